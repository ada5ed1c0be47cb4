//! What can be configured. The keys in the file, and the options, are in [`super::keys`].

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::route::Route;

/// Everything that can be configured. The default needs no file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where the control socket is; `None`: the default of this user (handoff/PROTOCOL.md).
    pub control: Option<PathBuf>,
    /// A group whose members may register, by name or number.
    pub control_group: Option<String>,
    /// A group whose members may administer, by name or number.
    pub admin_group: Option<String>,
    /// What "all addresses" means; empty: all.
    pub listen: Vec<IpAddr>,
    /// How long a preamble may take, all of it; also how long a queue may stand still.
    pub receive_timeout: Duration,
    /// How long nothing may move in a relayed connection; zero: for ever.
    pub relay_idle: Duration,
    /// How long relays may stay in a broker that has passed everything else on to the next.
    pub relay_linger: Duration,
    /// How many connections may wait in the queue of one registration, and as many again in the broker.
    pub max_pending_connections: usize,
    /// How many connections of one source may wait in the broker, for their preambles or for workers: of an IPv4 address, or of the
    /// first 64 bits of an IPv6 address; 0: any number; `None`: a quarter of the limit of open files.
    pub max_connections_per_source: Option<usize>,
    /// Whether malformed input and overflow are answered, or reset as the original does.
    pub compatibility: Compatibility,
    /// What workers may hold.
    pub quota: Quota,
    /// HTTP for machines and people.
    pub http: Http,
    /// Static routes.
    pub routes: Vec<Route>,
    /// What is told of each connection.
    pub access_log: AccessLog,
}

/// What is told of each connection when it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessLog {
    /// Where it is written; `None`: nowhere.
    pub to: Option<AccessLogTo>,
    /// As what.
    pub format: AccessLogFormat,
    /// The outcomes that are told, by their names; `None`: all.
    pub outcomes: Option<Vec<&'static str>>,
    /// How many records of one source there may be in a second; 0: any number.
    pub per_source: usize,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { to: None, format: AccessLogFormat::default(), outcomes: None, per_source: 100 }
    }
}

/// Where the access log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessLogTo {
    /// On standard error.
    Stderr,
    /// To journald, in fields of their own.
    Journal,
    /// To the end of a file.
    File(PathBuf),
}

impl AccessLogTo {
    /// As it is written in the configuration.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Stderr => "stderr".to_owned(),
            Self::Journal => "journal".to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// How a record is written where it is a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessLogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
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

/// The status page, metrics and health over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Http {
    /// Where it listens; empty: nowhere.
    pub listen: Vec<SocketAddr>,
    /// Who may ask besides this machine itself.
    pub allow: Vec<IpNet>,
    /// By which names it may be asked besides IP addresses, `localhost` and the machine's own name.
    pub hosts: Vec<String>,
}

impl Http {
    /// Whether somebody may ask wherever it listens; else what to write.
    pub(crate) fn check(&self) -> Result<(), String> {
        let outside = self.listen.iter().find(|address| !address.ip().to_canonical().is_loopback());
        match outside.filter(|_| self.allow.is_empty()) {
            Some(address) => Err(format!(
                "[http] listen {address} is not loopback, and [http] allow says of no other machine that it may ask; \
                 write, for instance, allow = ['192.0.2.0/24'], or listen = '127.0.0.1:{}'",
                address.port()
            )),
            None => Ok(()),
        }
    }

    /// Whether this peer may ask.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        peer.is_loopback() || self.allow.iter().any(|network| network.contains(&peer))
    }
}

/// How connections that cannot be dispatched are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compatibility {
    /// With the fault that says what is wrong.
    #[default]
    Default,
    /// As SMSvcHost: everything but three faults is a reset.
    Smsvchost,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            control: None,
            control_group: None,
            admin_group: None,
            listen: Vec::new(),
            receive_timeout: Duration::from_secs(30),
            relay_idle: Duration::from_secs(3600),
            relay_linger: Duration::from_secs(3600),
            max_pending_connections: 100,
            max_connections_per_source: None,
            compatibility: Compatibility::Default,
            quota: Quota::default(),
            http: Http::default(),
            routes: Vec::new(),
            access_log: AccessLog::default(),
        }
    }
}
