//! A registered address in canonical form.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use crate::chunk::{self, Chunk, Chunks};
use crate::uri::{self, Uri};
use crate::{HostNameComparison, PrefixError};

/// Longest canonical address the original registers, in octets.
const LONGEST: usize = 2048;

/// How every address begins.
const SCHEME: &str = "net.tcp://";

/// A registered address: a base address with the mode in which its host is compared.
///
/// Cloning is cheap (the parts are shared). Two prefixes are equal when they are the same entry of a table:
/// same mode, same port, same segments but for case, and in exact mode the same host (docs/original.md §7).
///
/// ```
/// use router::{Host, HostNameComparison, Prefix};
///
/// let calc = Prefix::parse("net.tcp://localhost:9000/Calc", HostNameComparison::default())?;
/// assert_eq!(calc.address(), "net.tcp://localhost:9000/Calc");
/// assert_eq!(calc.host(), Host::Name("localhost"));
/// assert_eq!(calc.port(), 9000);
/// assert_eq!(calc, Prefix::parse("net.tcp://srv1:9000/calc/", HostNameComparison::default())?);
/// # Ok::<(), router::PrefixError>(())
/// ```
#[derive(Clone)]
pub struct Prefix {
    parts: Arc<Parts>,
}

struct Parts {
    address: Box<str>,
    /// The host, then the path; empty if the address begins and ends with them as they are.
    canonical: Box<str>,
    host_len: u16,
    path_len: u16,
    ip: Option<IpAddr>,
    port: u16,
    segments: u16,
    mode: HostNameComparison,
}

/// The host of a registered address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A name (`localhost` too): the service listens on all addresses.
    Name(&'a str),
    /// An IP literal: the service listens on that address, and only connections to it match.
    Ip(IpAddr),
}

impl Prefix {
    /// Parses an address to register.
    ///
    /// # Errors
    ///
    /// [`PrefixError`] says which of the original's checks (docs/original.md §4.2, §4.3) the address fails.
    pub fn parse(address: &str, mode: HostNameComparison) -> Result<Self, PrefixError> {
        let uri = Uri::parse(address).map_err(PrefixError::Invalid)?;
        if !uri.is_net_tcp() {
            return Err(PrefixError::Scheme);
        }
        if uri.query.is_some() {
            return Err(PrefixError::Query);
        }
        if uri.has_fragment {
            return Err(PrefixError::Fragment);
        }
        let port = uri.port_or_default();
        let written_port = if port == uri::DEFAULT_PORT { 0 } else { 1 + digits(port) };
        let octets = SCHEME.len() + uri.host.len() + written_port + uri.path.len();
        if octets > LONGEST {
            return Err(PrefixError::TooLong { octets });
        }
        let segments = uri.path.split('/').filter(|segment| !segment.is_empty()).count();
        let behind_scheme = address.get(SCHEME.len()..).unwrap_or_default();
        let written = behind_scheme.starts_with(&*uri.host) && behind_scheme.ends_with(&*uri.path);
        let canonical = if written { Box::default() } else { [&*uri.host, &*uri.path].concat().into() };
        let [host_len, path_len] =
            [&uri.host, &uri.path].map(|part| u16::try_from(part.len()).unwrap_or(u16::MAX));
        let parts = Parts {
            address: address.into(),
            canonical,
            host_len,
            path_len,
            ip: uri.ip,
            port,
            segments: u16::try_from(segments).unwrap_or(u16::MAX),
            mode,
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The address as it was written.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.parts.address
    }

    /// How the host is compared.
    #[must_use]
    pub fn mode(&self) -> HostNameComparison {
        self.parts.mode
    }

    /// The host: a name in canonical form, or an IP literal.
    #[must_use]
    pub fn host(&self) -> Host<'_> {
        match self.parts.ip {
            Some(ip) => Host::Ip(ip),
            None => Host::Name(self.host_and_path().0),
        }
    }

    /// The port, 808 if the address has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.parts.port
    }

    /// The canonical, escaped path, beginning with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.host_and_path().1
    }

    /// How many segments the path has; empty ones do not count.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.parts.segments.into()
    }

    fn host_and_path(&self) -> (&str, &str) {
        let Parts { address, canonical, .. } = &*self.parts;
        let [host_len, path_len] = [self.parts.host_len, self.parts.path_len].map(usize::from);
        if !canonical.is_empty() {
            return canonical.split_at_checked(host_len).unwrap_or_default();
        }
        let host = address.get(SCHEME.len()..SCHEME.len() + host_len);
        let path = address.get(address.len() - path_len..);
        (host.unwrap_or_default(), path.unwrap_or_default())
    }

    /// The text under which a table's tree of this mode holds the address: port, host (exact only) and path, as an ordinal
    /// comparison that ignores case sees them.
    pub(crate) fn key(&self) -> Vec<Chunk> {
        let (host, path) = self.host_and_path();
        let mut key = Vec::from([Chunk::port(self.parts.port)]);
        if self.parts.mode == HostNameComparison::Exact {
            chunk::of_host(host, |chunk| {
                key.push(chunk);
                true
            });
        }
        key.extend(Chunks::of(path));
        key
    }

    /// Whether a connection to this local address may be given to the registration (docs/original.md §6.4).
    pub(crate) fn admits(&self, local: IpAddr) -> bool {
        self.admits_all() || self.parts.ip == Some(local)
    }

    /// Whether any connection may: the host is a name, `0.0.0.0` or `[::]`.
    pub(crate) fn admits_all(&self) -> bool {
        self.parts.ip.is_none_or(|ip| ip.is_unspecified())
    }
}

fn digits(port: u16) -> usize {
    port.checked_ilog10().unwrap_or(0) as usize + 1
}

impl PartialEq for Prefix {
    fn eq(&self, other: &Self) -> bool {
        self.mode() == other.mode() && self.key() == other.key()
    }
}

impl Eq for Prefix {}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefix").field("address", &self.address()).field("mode", &self.mode()).finish()
    }
}
