//! The keys of the configuration, each once: its place in the file, its option, what it may be, and what it is for. Everything
//! else that knows a key by name goes through this table: reading, `--help`, `broker check`, the comparison of two configurations.

use std::fmt;
use std::ops::RangeInclusive;

use super::kind::{Field, Kind};
use super::settings::{AccessLogFormat, Compatibility};
use crate::outcome::Outcome;

/// A key of the file, and the option of the same meaning.
pub(crate) struct Key {
    /// The table it stands in; `""`: none.
    pub(crate) table: &'static str,
    pub(crate) name: &'static str,
    /// Unique.
    pub(crate) option: &'static str,
    /// What the value of the option is called.
    pub(crate) placeholder: &'static str,
    pub(crate) kind: Kind,
    /// Whether its table makes no sense without it.
    pub(crate) required: bool,
    /// The option of the key without which it does nothing; `""`: there is none.
    pub(crate) needs: &'static str,
    /// A value in TOML.
    pub(crate) example: &'static str,
    /// What goes without saying, where that is no value; `""`: it is one.
    pub(crate) default: &'static str,
    /// What it does, in a sentence without a full stop.
    pub(crate) help: &'static str,
    pub(crate) on_reload: OnReload,
}

/// Whether a changed value could take effect in a broker that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReload {
    /// It could.
    Applied,
    /// Only in the next broker: workers would not find this one any more, or ports would close.
    Restart,
}

/// As people name it: `[listen] addresses`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.table {
            "" => f.write_str(self.name),
            table => write!(f, "[{table}] {}", self.name),
        }
    }
}

/// A field that always has a value.
macro_rules! field {
    ($($field:ident).+) => {
        Field { get: |config| Some(config.$($field).+.clone()), set: |config, value| config.$($field).+ = value }
    };
}

/// A field that may follow from something else.
macro_rules! optional {
    ($($field:ident).+) => {
        Field { get: |config| config.$($field).+.clone(), set: |config, value| config.$($field).+ = Some(value) }
    };
}

/// What a bound of what workers may hold may be.
const QUOTA: RangeInclusive<usize> = 1..=1 << 20;

pub(crate) const KEYS: &[Key] = &[
    Key {
        table: "",
        name: "control",
        option: "control",
        placeholder: "PATH",
        kind: Kind::Path(optional!(control)),
        required: false,
        needs: "",
        example: "'/run/net-tcp-port-sharing/control'",
        default: "$NET_TCP_PORT_SHARING_CONTROL, else /run/net-tcp-port-sharing/control for root and \
                  $XDG_RUNTIME_DIR/net-tcp-port-sharing/control for others",
        help: "Where workers register",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "",
        name: "control_group",
        option: "control-group",
        placeholder: "NAME",
        kind: Kind::Text(optional!(control_group)),
        required: false,
        needs: "",
        example: "'wcf'",
        default: "none",
        help: "A group whose members may register, besides this user and root; the control socket gets mode 0660",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "",
        name: "receive_timeout_seconds",
        option: "receive-timeout-seconds",
        placeholder: "SECONDS",
        kind: Kind::Seconds(field!(receive_timeout), 86_400),
        required: false,
        needs: "",
        example: "30",
        default: "",
        help: "How long a preamble may take",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "",
        name: "relay_idle_seconds",
        option: "relay-idle-seconds",
        placeholder: "SECONDS",
        kind: Kind::SecondsOrNoLimit(field!(relay_idle), 31_536_000),
        required: false,
        needs: "",
        example: "3600",
        default: "",
        help: "How long nothing may move in a relayed connection; 0: for ever",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "",
        name: "relay_linger_seconds",
        option: "relay-linger-seconds",
        placeholder: "SECONDS",
        kind: Kind::Seconds(field!(relay_linger), 31_536_000),
        required: false,
        needs: "",
        example: "3600",
        default: "",
        help: "How long relays may stay in a broker that the next one has taken over from",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "",
        name: "max_pending_connections",
        option: "max-pending-connections",
        placeholder: "CONNECTIONS",
        // 0 would refuse everything, as in the original.
        kind: Kind::Whole(field!(max_pending_connections), 1..=100_000),
        required: false,
        needs: "",
        example: "100",
        default: "",
        help: "How many connections may wait in the queue of a registration",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "",
        name: "max_connections_per_source",
        option: "max-connections-per-source",
        placeholder: "CONNECTIONS",
        kind: Kind::Whole(optional!(max_connections_per_source), 0..=1 << 20),
        required: false,
        needs: "",
        example: "1000",
        default: "a quarter of the limit of open files, for workers a quarter of what may wait for them (a 32nd)",
        help: "How many connections of one source, an IPv4 address or the first 64 bits of an IPv6 address, may wait in the broker, for \
               their preambles or for workers; 0: no limit",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "",
        name: "max_addresses_per_registration",
        option: "max-addresses-per-registration",
        placeholder: "ADDRESSES",
        kind: Kind::Whole(optional!(quota.addresses_per_registration), QUOTA),
        required: false,
        needs: "",
        example: "1024",
        default: "1024",
        help: "How many addresses one registration may have",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "",
        name: "max_registrations_per_user",
        option: "max-registrations-per-user",
        placeholder: "REGISTRATIONS",
        kind: Kind::Whole(optional!(quota.registrations_per_user), QUOTA),
        required: false,
        needs: "",
        example: "128",
        default: "an eighth of the limit of open files",
        help: "How many registrations the workers of one user may have",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "",
        name: "max_listeners_per_user",
        option: "max-listeners-per-user",
        placeholder: "LISTENERS",
        kind: Kind::Whole(optional!(quota.listeners_per_user), QUOTA),
        required: false,
        needs: "",
        example: "64",
        default: "a sixteenth of the limit of open files, at most 1024",
        help: "How many local addresses, with their ports, the workers of one user may listen on",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "",
        name: "max_control_connections_per_user",
        option: "max-control-connections-per-user",
        placeholder: "CONNECTIONS",
        kind: Kind::Whole(optional!(quota.control_connections_per_user), QUOTA),
        required: false,
        needs: "",
        example: "128",
        default: "an eighth of the limit of open files",
        help: "How many control connections the workers of one user may have",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "",
        name: "compatibility",
        option: "compatibility",
        placeholder: "MODE",
        kind: Kind::OneOf(COMPATIBILITY, &["default", "smsvchost"]),
        required: false,
        needs: "",
        example: "'default'",
        default: "",
        help: "`smsvchost`: reset connections wherever the original does",
        on_reload: OnReload::Applied,
    },
    Key {
        table: "listen",
        name: "addresses",
        option: "listen",
        placeholder: "IP",
        kind: Kind::Ips(field!(listen)),
        required: true,
        needs: "",
        example: "['127.0.0.1', '::1']",
        default: "all",
        help: "What \"all addresses\" means; a worker that binds one address itself gets that one; may be given several times",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "admin",
        name: "group",
        option: "admin-group",
        placeholder: "NAME",
        kind: Kind::Text(optional!(admin_group)),
        required: false,
        needs: "",
        example: "'ops'",
        default: "none",
        help: "A group whose members may administer, besides this user and root: what broker ls, drain, reload and others ask; they \
               have a socket beside the control socket",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "http",
        name: "listen",
        option: "http-listen",
        placeholder: "IP:PORT",
        kind: Kind::Sockets(field!(http.listen)),
        required: false,
        needs: "",
        example: "'127.0.0.1:9808'",
        default: "nowhere",
        help: "Where the status page, /metrics, /healthz, /readyz and /status.json are; may be given several times",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "http",
        name: "allow",
        option: "http-allow",
        placeholder: "NETWORK",
        kind: Kind::Networks(field!(http.allow)),
        required: false,
        needs: "http-listen",
        example: "['192.0.2.0/24']",
        default: "this machine",
        help: "Who may ask there besides this machine; may be given several times",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "http",
        name: "hosts",
        option: "http-hosts",
        placeholder: "NAME",
        kind: Kind::Hosts(field!(http.hosts)),
        required: false,
        needs: "http-listen",
        example: "['status.example.com']",
        default: "IP addresses, localhost and this machine's name",
        help: "Which names the broker answers to besides its IP addresses, localhost and the machine's own name: what clients put into \
               Host; may be given several times",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "access_log",
        name: "to",
        option: "access-log",
        placeholder: "WHERE",
        kind: Kind::LogTo(optional!(access_log.to)),
        required: false,
        needs: "",
        example: "'/var/log/net-tcp-port-sharing/access.log'",
        default: "nowhere",
        help: "Where there is a record of each connection that has ended: stderr, journal or the path of a file, which is opened \
               anew on SIGHUP",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "access_log",
        name: "format",
        option: "access-log-format",
        placeholder: "FORMAT",
        kind: Kind::OneOf(ACCESS_LOG_FORMAT, &["text", "json"]),
        required: false,
        needs: "access-log",
        example: "'json'",
        default: "",
        help: "How a record of the access log is written; journald gets fields",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "access_log",
        name: "outcomes",
        option: "access-log-outcomes",
        placeholder: "OUTCOME",
        kind: Kind::Names(optional!(access_log.outcomes), &Outcome::NAMES),
        required: false,
        needs: "access-log",
        example: "['endpoint_not_found', 'server_too_busy']",
        default: "all",
        help: "Which ends of connections the access log tells; may be given several times",
        on_reload: OnReload::Restart,
    },
    Key {
        table: "access_log",
        name: "per_source",
        option: "access-log-per-source",
        placeholder: "RECORDS",
        kind: Kind::Whole(field!(access_log.per_source), 0..=1_000_000),
        required: false,
        needs: "access-log",
        example: "100",
        default: "",
        help: "How many records a second there may be of one source, an IPv4 address or the first 64 bits of an IPv6 address; those \
               above it are counted; 0: no limit",
        on_reload: OnReload::Applied,
    },
];

const ACCESS_LOG_FORMAT: Field<&'static str> = Field {
    get: |config| match config.access_log.format {
        AccessLogFormat::Text => Some("text"),
        AccessLogFormat::Json => Some("json"),
    },
    set: |config, name| {
        config.access_log.format = match name {
            "json" => AccessLogFormat::Json,
            _ => AccessLogFormat::Text,
        };
    },
};

const COMPATIBILITY: Field<&'static str> = Field {
    get: |config| match config.compatibility {
        Compatibility::Default => Some("default"),
        Compatibility::Smsvchost => Some("smsvchost"),
    },
    set: |config, name| {
        config.compatibility = match name {
            "smsvchost" => Compatibility::Smsvchost,
            _ => Compatibility::Default,
        };
    },
};
