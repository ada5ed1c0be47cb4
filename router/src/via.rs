//! A Via in the canonical form of System.Uri.

use alloc::borrow::Cow;

use crate::ViaError;
use crate::uri::{self, Plain, Uri};

/// Longest Via in octets: WCF's `ConnectionOrientedTransportDefaults.MaxViaSize`.
const LONGEST: usize = 2048;

/// A Via, parsed as the original parses it and ready to be looked up.
///
/// What is canonical already, as real clients send it, is borrowed from the text; nothing is allocated.
///
/// ```
/// use router::Via;
///
/// let via = Via::parse("NET.TCP://Srv1/a/../%63alc")?;
/// assert_eq!((via.host(), via.port(), via.path()), ("srv1", 808, "/calc"));
/// assert!(Via::parse("net.tcp://user@srv1/calc").is_err());
/// # Ok::<(), router::ViaError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Via<'a> {
    net_tcp: bool,
    host: Cow<'a, str>,
    port: u16,
    path: Cow<'a, str>,
    /// Path and query as the wildcard lookups see them, where that is not the path.
    wildcard_path: Option<Cow<'a, str>>,
}

impl<'a> Via<'a> {
    /// Parses a Via and brings it into canonical form.
    ///
    /// # Errors
    ///
    /// Says in what way the Via is no absolute URI; the original resets such a connection. A Via of more than
    /// 2048 octets is refused without a look at it.
    pub fn parse(via: &'a str) -> Result<Self, ViaError> {
        if via.len() > LONGEST {
            return Err(ViaError::TooLong { octets: via.len() });
        }
        match uri::plain(via) {
            Some(Plain { host, port, path }) => {
                let (host, path) = (Cow::Borrowed(host), Cow::Borrowed(path));
                Ok(Self { net_tcp: true, host, port, path, wildcard_path: None })
            }
            None => Self::parse_any(via),
        }
    }

    #[cold]
    fn parse_any(via: &'a str) -> Result<Self, ViaError> {
        let uri = Uri::parse(via)?;
        uri.check_with_port()?;
        let (net_tcp, port) = (uri.is_net_tcp(), uri.port_or_default());
        let wildcard_path = uri.path_with_query().map(Cow::Owned);
        Ok(Self { net_tcp, host: uri.host, port, path: uri.path, wildcard_path })
    }

    /// Whether the scheme is net.tcp; no other scheme matches anything.
    #[must_use]
    pub fn is_net_tcp(&self) -> bool {
        self.net_tcp
    }

    /// The host as System.Uri spells it: ASCII in small letters, IPv6 in brackets. Letters outside ASCII are small ones only
    /// where an ASCII capital was among them; exact addresses are compared with it without regard to case.
    ///
    /// ```
    /// # use router::Via;
    /// assert_eq!(Via::parse("net.tcp://BÜCHER/")?.host(), "bücher");
    /// assert_eq!(Via::parse("net.tcp://É/")?.host(), "É");
    /// # Ok::<(), router::ViaError>(())
    /// ```
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port written in the Via, 808 if none is.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The escaped path, beginning with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path that wildcard addresses are compared with: a query is part of it, its `?` as `%3F`
    /// (docs/original.md §6.5).
    #[must_use]
    pub fn wildcard_path(&self) -> &str {
        self.wildcard_path.as_deref().unwrap_or(&self.path)
    }
}
