//! A registered address in canonical form.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use core::net::IpAddr;

use crate::uri;
use crate::{HostNameComparison, PrefixError};

/// Longest canonical address the original registers, in octets.
const LONGEST: usize = 2048;

/// A registered address: a base address with the mode in which its host is compared.
///
/// Cloning is cheap (the parts are shared). Two prefixes are equal when they are the same entry of a table:
/// same mode, same port, same segments but for case, and in exact mode the same host.
///
/// ```
/// use router::{Host, HostNameComparison, Prefix};
///
/// let calc = Prefix::parse("net.tcp://localhost:9000/Calc", HostNameComparison::default())?;
/// assert_eq!(calc.address(), "net.tcp://localhost:9000/Calc");
/// assert_eq!(calc.host(), Host::Name("localhost"));
/// assert_eq!(calc.port(), 9000);
/// # Ok::<(), router::PrefixError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prefix {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    address: String,
    mode: HostNameComparison,
    host: String,
    ip: Option<IpAddr>,
    port: u16,
    path: String,
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
    /// [`PrefixError`] says which of the original's checks (reference §4.2, §4.3) the address fails.
    pub fn parse(address: &str, mode: HostNameComparison) -> Result<Self, PrefixError> {
        let uri = uri::parse(address).map_err(PrefixError::Invalid)?;
        if !uri.net_tcp {
            return Err(PrefixError::Scheme);
        }
        if uri.query.is_some() {
            return Err(PrefixError::Query);
        }
        if uri.fragment {
            return Err(PrefixError::Fragment);
        }
        let octets = "net.tcp://:65535".len() + uri.host.len() + uri.path.len();
        if octets > LONGEST {
            return Err(PrefixError::TooLong { octets });
        }
        let (address, host, path) = (address.to_owned(), uri.host.into_owned(), uri.path.into_owned());
        Ok(Self { parts: Arc::new(Parts { address, mode, host, ip: uri.ip, port: uri.port, path }) })
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
            None => Host::Name(&self.parts.host),
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
        &self.parts.path
    }

    /// The host as exact addresses are compared.
    pub(crate) fn host_text(&self) -> &str {
        &self.parts.host
    }

    /// Whether a connection to this local address may be given to the registration (reference §10.4).
    pub(crate) fn admits(&self, local: IpAddr) -> bool {
        self.parts.ip.is_none_or(|ip| ip.is_unspecified() || ip == local)
    }
}

impl PartialEq for Prefix {
    fn eq(&self, other: &Self) -> bool {
        let segments = |prefix: &Self| -> alloc::vec::Vec<String> {
            prefix.path().split('/').filter(|s| !s.is_empty()).map(str::to_ascii_lowercase).collect()
        };
        self.mode() == other.mode()
            && self.port() == other.port()
            && (self.mode() != HostNameComparison::Exact || self.host_text() == other.host_text())
            && segments(self) == segments(other)
    }
}

impl Eq for Prefix {}
