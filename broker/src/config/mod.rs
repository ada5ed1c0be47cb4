//! What the broker is told: the TOML file, and what the command line adds to it. [`keys`]: those that it does not know.
//!
//! This folder uses no other.

pub(crate) mod keys;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use router::{Host, HostNameComparison, Prefix, PrefixError};
use serde::Deserialize;

use self::keys::check_keys;

/// Everything that can be configured. The default needs no file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where the control socket is; `None`: the default of this user (handoff/PROTOCOL.md).
    pub control: Option<PathBuf>,
    /// A group whose members may register, by name or number.
    pub control_group: Option<String>,
    /// What "all addresses" means; empty: all.
    pub listen: Vec<IpAddr>,
    /// How long a preamble may take, all of it; also how long a queue may stand still.
    pub receive_timeout: Duration,
    /// How long nothing may move in a relayed connection; zero: for ever.
    pub relay_idle: Duration,
    /// How many connections may wait in the queue of one registration, and as many again in the broker.
    pub max_pending_connections: usize,
    /// Whether malformed input and overflow are answered, or reset as the original does.
    pub compatibility: Compatibility,
    /// What workers may hold.
    pub quota: Quota,
    /// Static routes.
    pub routes: Vec<Route>,
}

/// What workers may hold; `None` follows from how many descriptors the broker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Addresses of one registration.
    pub addresses_per_registration: Option<usize>,
    /// Registrations of the workers of one user.
    pub registrations_per_user: Option<usize>,
    /// Local addresses, with their ports, that the workers of one user listen on.
    pub listeners_per_user: Option<usize>,
    /// Control connections of the workers of one user.
    pub control_connections_per_user: Option<usize>,
}

/// How connections that cannot be dispatched are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compatibility {
    /// With the fault that says what is wrong.
    #[default]
    Default,
    /// As SMSvcHost: everything but three faults is a reset.
    Smsvchost,
}

/// A static route to a back-end that cannot take descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The registered address.
    pub prefix: Prefix,
    /// Where its connections go.
    pub relay: RelayTo,
    /// At which line of the configuration it stands.
    pub line: usize,
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

/// Why a configuration is refused. Names the line where there is one.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    message: String,
}

impl ConfigError {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string() }
    }

    pub(crate) fn at_line(text: &str, offset: usize, message: impl fmt::Display) -> Self {
        Self::new(format_args!("line {}: {message}", line_of(text, offset)))
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            control: None,
            control_group: None,
            listen: Vec::new(),
            receive_timeout: Duration::from_secs(30),
            relay_idle: Duration::from_secs(3600),
            max_pending_connections: 100,
            compatibility: Compatibility::Default,
            quota: Quota::default(),
            routes: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct File {
    control: Option<PathBuf>,
    control_group: Option<String>,
    receive_timeout_seconds: Option<toml::Spanned<f64>>,
    relay_idle_seconds: Option<toml::Spanned<f64>>,
    max_pending_connections: Option<usize>,
    max_addresses_per_registration: Option<usize>,
    max_registrations_per_user: Option<usize>,
    max_listeners_per_user: Option<usize>,
    max_control_connections_per_user: Option<usize>,
    compatibility: Option<Compatibility>,
    listen: Option<Listen>,
    #[serde(default)]
    route: Vec<FileRoute>,
}

#[derive(Deserialize)]
struct Listen {
    addresses: Vec<IpAddr>,
}

#[derive(Deserialize)]
struct FileRoute {
    address: toml::Spanned<String>,
    host_name_comparison: Option<toml::Spanned<String>>,
    relay: toml::Spanned<String>,
}

impl Config {
    /// Reads the configuration in a file.
    ///
    /// # Errors
    /// As [`Config::from_toml`], with the file's name; or it cannot be read.
    pub(crate) fn from_file(file: &Path) -> Result<Self, ConfigError> {
        let name = file.display();
        let octets = std::fs::read(file).map_err(|error| {
            ConfigError::new(format_args!("the configuration {name} cannot be read: {error}"))
        })?;
        let read = String::from_utf8(octets).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let lines = error.as_bytes()[..valid].iter().filter(|octet| **octet == b'\n').count();
            ConfigError::new(format_args!(
                "line {}: what is there is no UTF-8; save the file as UTF-8",
                lines + 1
            ))
        });
        let config = read.and_then(|text| Self::from_toml(&text));
        config.map_err(|error| ConfigError::new(format_args!("the configuration {name}: {error}")))
    }

    /// Reads a configuration in TOML.
    ///
    /// ```
    /// let config = broker::Config::from_toml(
    ///     "receive_timeout_seconds = 10\n\
    ///      [[route]]\n\
    ///      address = 'net.tcp://localhost:9000/legacy'\n\
    ///      relay = '127.0.0.1:9101'\n",
    /// )?;
    /// assert_eq!(config.routes.len(), 1);
    ///
    /// let error = broker::Config::from_toml("[listen]\nadresses = ['127.0.0.1']\n").unwrap_err();
    /// assert_eq!(error.to_string(), "line 2: unknown key `adresses` in [listen]; did you mean `addresses`?");
    /// # Ok::<(), broker::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An unknown key (with its line and the nearest known key), a value of the wrong type, an address or route that
    /// makes no sense.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        check_keys(text).map_err(|(at, message)| ConfigError::at_line(text, at, message))?;
        let file: File = toml::from_str(text).map_err(|error| {
            ConfigError::at_line(text, error.span().map_or(0, |span| span.start), error.message().trim_end())
        })?;
        let mut config = Self {
            control: file.control,
            control_group: file.control_group,
            listen: file.listen.map(|listen| listen.addresses).unwrap_or_default(),
            compatibility: file.compatibility.unwrap_or_default(),
            ..Self::default()
        };
        if let Some(seconds) = file.receive_timeout_seconds {
            config.receive_timeout = receive_timeout(*seconds.get_ref())
                .map_err(|message| ConfigError::at_line(text, seconds.span().start, message))?;
        }
        if let Some(seconds) = file.relay_idle_seconds {
            config.relay_idle = relay_idle(*seconds.get_ref())
                .map_err(|message| ConfigError::at_line(text, seconds.span().start, message))?;
        }
        config.max_pending_connections =
            file.max_pending_connections.unwrap_or(config.max_pending_connections);
        config.quota = Quota {
            addresses_per_registration: file.max_addresses_per_registration,
            registrations_per_user: file.max_registrations_per_user,
            listeners_per_user: file.max_listeners_per_user,
            control_connections_per_user: file.max_control_connections_per_user,
        };
        for file_route in file.route {
            let at = file_route.address.span().start;
            let route = file_route.check(text)?;
            if let Some(other) = config.routes.iter().find(|other| other.excludes(&route)) {
                let (address, line, other) = (route.prefix.address(), other.line, other.prefix.address());
                let message = format!(
                    "the address {address:?} is that of the route at line {line} already, as {other:?}; leave one of them"
                );
                return Err(ConfigError::at_line(text, at, message));
            }
            config.routes.push(route);
        }
        Ok(config)
    }
}

/// A deadline from a number of seconds.
pub(crate) fn receive_timeout(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|timeout| (Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(timeout))
        .ok_or_else(|| format!("receive_timeout_seconds is {seconds}; it must be from 0.001 to 86400"))
}

/// How long a relay may be idle, from a number of seconds.
pub(crate) fn relay_idle(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|idle| {
            idle.is_zero() || (Duration::from_millis(1)..=Duration::from_secs(31_536_000)).contains(idle)
        })
        .ok_or_else(|| {
            format!("relay_idle_seconds is {seconds}; it must be 0, for no limit, or from 0.001 to 31536000")
        })
}

impl FileRoute {
    fn check(self, text: &str) -> Result<Route, ConfigError> {
        let mode = match &self.host_name_comparison {
            None => HostNameComparison::default(),
            Some(mode) => mode.get_ref().parse().map_err(|error| {
                let message =
                    format_args!("host_name_comparison is {:?}: {error}", mode.get_ref()).to_string();
                ConfigError::at_line(text, mode.span().start, message)
            })?,
        };
        let address = self.address.get_ref();
        let at_address = |why: &dyn fmt::Display| {
            let message = format_args!("the address {address:?}: {why}").to_string();
            ConfigError::at_line(text, self.address.span().start, message)
        };
        let prefix = Prefix::parse(address, mode).map_err(|error| match error {
            PrefixError::Scheme => at_address(&format_args!("{error}; write net.tcp://HOST:PORT/PATH")),
            _ if !address.contains("://") => {
                at_address(&format_args!("{error}; write net.tcp://HOST:PORT/PATH"))
            }
            _ => at_address(&error),
        })?;
        if prefix.port() == 0 {
            return Err(at_address(&NO_PORT));
        }
        let at_relay = |message: String| ConfigError::at_line(text, self.relay.span().start, message);
        let relay: RelayTo = self.relay.get_ref().parse().map_err(at_relay)?;
        if relay.leads_to(&prefix) {
            return Err(at_relay(format!(
                "the relay {:?} leads back to the route's own port; write where the back-end listens",
                self.relay.get_ref()
            )));
        }
        Ok(Route { prefix, relay, line: line_of(text, self.address.span().start) })
    }
}

impl Route {
    /// Whether some connection would belong to both: the address is the same, and so are the local addresses.
    fn excludes(&self, other: &Self) -> bool {
        let literal = |route: &Self| match route.prefix.host() {
            Host::Ip(ip) if !ip.is_unspecified() => Some(ip),
            _ => None,
        };
        let apart = literal(self).zip(literal(other)).is_some_and(|(ours, theirs)| ours != theirs);
        self.prefix == other.prefix && !apart
    }
}

impl RelayTo {
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

#[cfg(test)]
mod tests;
