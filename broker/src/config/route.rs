//! A static route: an address, and the back-end that its connections are relayed to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use router::{Host, HostNameComparison, Prefix, PrefixError, ViaError};

use super::error::Place;

/// A static route to a back-end that cannot take descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The registered address.
    pub prefix: Prefix,
    /// Where its connections go.
    pub relay: RelayTo,
    /// Where its address stands in the configuration.
    pub place: Place,
}

/// The address of a back-end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayTo {
    /// `127.0.0.1:9101`
    Tcp(SocketAddr),
    /// `name:9101`, resolved at each connection.
    Name(String),
    /// `unix:/path`
    Unix(PathBuf),
}

/// Why an address with port 0 is refused.
pub(crate) const NO_PORT: &str =
    "port 0 is no port that anybody could connect to; an address without a port has 808";

/// What every address looks like.
const FORM: &str = "write net.tcp://HOST:PORT/PATH";

/// The address of a route; or what is wrong with it.
pub(super) fn address(address: &str, mode: HostNameComparison) -> Result<Prefix, String> {
    let prefix = match Prefix::parse(address, mode) {
        Ok(prefix) if prefix.port() == 0 => Err(NO_PORT.to_owned()),
        Ok(prefix) => Ok(prefix),
        Err(error) => Err(match error {
            PrefixError::Invalid(ViaError::Wildcard(mode)) => format!("write {}", every_host(mode)),
            _ if !address.contains("://") => match address.chars().next() {
                Some('*') => {
                    format!("{error}; {FORM}, with {}", every_host(HostNameComparison::WeakWildcard))
                }
                Some('+') => {
                    format!("{error}; {FORM}, with {}", every_host(HostNameComparison::StrongWildcard))
                }
                _ => format!("{error}; {FORM}"),
            },
            PrefixError::Scheme => format!("{error}; {FORM}"),
            _ => error.to_string(),
        }),
    };
    prefix.map_err(|why| format!("the address {address:?}: {why}"))
}

/// What to write for the hosts `*` and `+` of HTTP.sys.
fn every_host(mode: HostNameComparison) -> String {
    let (sign, default) = match mode {
        HostNameComparison::WeakWildcard => ("*", ""),
        _ => ("+", " (the default)"),
    };
    format!(
        "localhost for {sign}, and host_name_comparison = '{mode}'{default}: any name stands for every host then"
    )
}

impl Route {
    /// Whether some connection would belong to both: the address is the same, and so are the local addresses.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        let apart = self.literal().zip(other.literal()).is_some_and(|(ours, theirs)| ours != theirs);
        self.prefix == other.prefix && !apart
    }

    /// Whether both are the route of one address in one mode, wherever it leads.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.is_at(&other.prefix)
    }

    /// Whether it is the route of this address in this mode.
    pub(crate) fn is_at(&self, prefix: &Prefix) -> bool {
        self.prefix == *prefix && self.literal() == literal(prefix)
    }

    /// The one local address that it is for.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        literal(&self.prefix)
    }
}

fn literal(prefix: &Prefix) -> Option<IpAddr> {
    match prefix.host() {
        Host::Ip(ip) if !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

impl RelayTo {
    /// Whether a route with this address may go there; else what to write.
    pub(super) fn check(&self, prefix: &Prefix) -> Result<(), String> {
        match self.leads_to(prefix) {
            true => Err(format!(
                "the relay {:?} leads back to the route's own port; write where the back-end listens",
                self.to_string()
            )),
            false => Ok(()),
        }
    }

    /// Whether the back-end would be the broker itself.
    fn leads_to(&self, prefix: &Prefix) -> bool {
        match self {
            Self::Tcp(to) if to.port() == prefix.port() => match prefix.host() {
                Host::Ip(ip) if !ip.is_unspecified() => to.ip() == ip,
                _ => to.ip().is_loopback() || to.ip().is_unspecified(),
            },
            Self::Name(name) => *name == format!("localhost:{}", prefix.port()),
            _ => false,
        }
    }
}

impl FromStr for RelayTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("the relay names no path behind \"unix:\"".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(format!("the relay {text:?} has port 0; write the port that the back-end listens on"))
            } else {
                Ok(Self::Tcp(address))
            };
        }
        match text.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty()
                    && !host.contains(':')
                    && port.parse::<u16>().is_ok_and(|port| port > 0) =>
            {
                Ok(Self::Name(text.to_owned()))
            }
            _ if text.starts_with('/') => Err(format!("the relay {text:?} is a path; write 'unix:{text}'")),
            _ => Err(format!(
                "the relay {text:?} is neither IP:PORT, NAME:PORT nor unix:PATH; write, for instance, 127.0.0.1:9101"
            )),
        }
    }
}

impl fmt::Display for RelayTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
