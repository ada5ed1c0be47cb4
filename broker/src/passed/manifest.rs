//! All that is passed on. Times are so many milliseconds ago: the two processes have no clock in common but the machine's.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use handoff::RefusedReason;
use handoff::administration::LastReload;
use serde::{Deserialize, Serialize};

use super::descriptors::Number;

/// The form of a manifest. A member more is no other form; one that must not be ignored is.
pub(crate) const VERSION: u32 = 1;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Manifest {
    /// Nanoseconds of the machine's monotonic clock when accepting paused.
    pub(crate) frozen_at: u64,
    pub(crate) process: Process,
    pub(crate) counted: Counted,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) unmatched: Vec<Unmatched>,
    pub(crate) not_registered: Vec<NotRegistered>,
    /// The control socket.
    pub(crate) control: Option<Control>,
    /// The control socket for administrators.
    pub(crate) administrators: Option<Control>,
    pub(crate) http: Vec<Http>,
    pub(crate) listening: Vec<Listening>,
    /// Sockets for all addresses that turn everybody away, and close in a moment.
    pub(crate) leaving: Vec<Leaving>,
    /// Control connections.
    pub(crate) workers: Vec<Worker>,
    pub(crate) registrations: Vec<Registration>,
    pub(crate) routes: Vec<Route>,
    /// What a service manager keeps: how many descriptors by which name.
    pub(crate) kept: BTreeMap<String, usize>,
    /// No number up to this one is given away again.
    pub(crate) last_id: u64,
    /// Queues whose registrations have ended, and which have to be emptied.
    pub(crate) left: Vec<Queue>,
    pub(crate) parked: Vec<Parked>,
    pub(crate) held: Vec<Held>,
    /// Queues that are looked after.
    pub(crate) watched: Vec<Watched>,
    /// Connections that the broker makes to itself and that have not arrived, and whose they are.
    pub(crate) bridges: Vec<Bridge>,
    /// Brokers that have passed everything on but what they relay, which may be told of them: the last is the giver itself.
    pub(crate) lingering: Vec<Lingering>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Process {
    /// Seconds since 1970-01-01 UTC.
    pub(crate) started: u64,
    pub(crate) uptime_milliseconds: u64,
    pub(crate) last_reload: Option<LastReload>,
}

/// What has become of connections so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counted {
    pub(crate) accepted: u64,
    pub(crate) taken_back: u64,
    pub(crate) returned: u64,
    /// By their names; those that never happened may be left out.
    pub(crate) outcomes: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogLevel {
    pub(crate) now: String,
    /// What it is when its time is over, if it is set for a time, and how much of that is left.
    pub(crate) afterwards: Option<String>,
    pub(crate) rest_milliseconds: u64,
}

/// A Via that matched nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Unmatched {
    pub(crate) via: Vec<u8>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) reason: String,
    pub(crate) count: u64,
    pub(crate) last_milliseconds: u64,
}

/// A registration that was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NotRegistered {
    #[serde(default)]
    pub(crate) address: Option<String>,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) reason: RefusedReason,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) count: u64,
    #[serde(default)]
    pub(crate) last_milliseconds: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Control {
    pub(crate) path: PathBuf,
    /// Device and inode of its file.
    pub(crate) file: (u64, u64),
    pub(crate) socket: Number,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Number,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    /// Milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub(crate) since: u64,
    /// None: the socket for all addresses takes its connections.
    #[serde(default)]
    pub(crate) socket: Option<Number>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Leaving {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Number,
    #[serde(default)]
    pub(crate) covered: Vec<SocketAddr>,
}

/// A control connection. Who it is says the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) socket: Number,
    /// Whether it came by the socket for administrators.
    #[serde(default)]
    pub(crate) administrator: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub(crate) id: u64,
    /// Which of the control connections holds it, unless its worker has left.
    #[serde(default)]
    pub(crate) worker: Option<usize>,
    #[serde(default)]
    pub(crate) left: Option<Left>,
    pub(crate) addresses: Vec<Address>,
    #[serde(default)]
    pub(crate) bound: Option<Vec<IpAddr>>,
    /// What it keeps open, each as often as one of its addresses does.
    #[serde(default)]
    pub(crate) open: Vec<SocketAddr>,
    #[serde(default)]
    pub(crate) draining: bool,
    #[serde(default)]
    pub(crate) share: bool,
    #[serde(default)]
    pub(crate) grace_milliseconds: u64,
    pub(crate) queue: Queue,
}

/// A worker that has left; its addresses stay for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) pid: u32,
    pub(crate) rest_milliseconds: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) address: String,
    /// `strong_wildcard`, `exact` or `weak_wildcard`.
    pub(crate) mode: String,
}

/// Both ends of an accept socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) id: u64,
    pub(crate) sender: Number,
    pub(crate) receiver: Number,
    /// What is registered, for the log.
    #[serde(default)]
    pub(crate) address: String,
    pub(crate) per_message: usize,
    #[serde(default)]
    pub(crate) handed_over: u64,
    #[serde(default)]
    pub(crate) stuck: bool,
    #[serde(default)]
    pub(crate) figures: Figures,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) id: u64,
    pub(crate) address: Address,
    pub(crate) relay: String,
    #[serde(default)]
    pub(crate) draining: bool,
    #[serde(default)]
    pub(crate) figures: Figures,
}

/// What became of the connections of a holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    pub(crate) age_milliseconds: u64,
    pub(crate) relaying: u64,
    pub(crate) relayed: u64,
    pub(crate) refused: u64,
    pub(crate) taken_back: u64,
    pub(crate) octets_in: u64,
    pub(crate) octets_out: u64,
}

/// A connection of which nothing was read; when it was accepted, and known for whom it is, if somebody wanted to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    pub(crate) socket: Number,
    #[serde(default)]
    pub(crate) accepted_milliseconds: Option<u32>,
    #[serde(default)]
    pub(crate) known_milliseconds: Option<u32>,
    /// Whether a worker had it.
    #[serde(default)]
    pub(crate) handed_over: bool,
}

/// It waits for the rest of its preamble, or, refused, for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parked {
    pub(crate) connection: Connection,
    #[serde(default)]
    pub(crate) refused: bool,
    /// For so long.
    #[serde(default)]
    pub(crate) waited_milliseconds: u64,
}

/// Connections that wait for a worker, in the order of arrival.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The number of its queue.
    pub(crate) queue: u64,
    pub(crate) connections: Vec<Connection>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// The number of its queue.
    pub(crate) queue: u64,
    /// Nobody has read it for so long.
    #[serde(default)]
    pub(crate) idle_milliseconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bridge {
    /// Its own address.
    pub(crate) from: SocketAddr,
    /// The number of its queue.
    pub(crate) queue: u64,
}

/// A broker that relays, and has nothing else any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Lingering {
    pub(crate) pid: u32,
    /// Its end of the pair; none: the pair by which this comes.
    pub(crate) pair: Option<Number>,
    /// So many connections are with it.
    pub(crate) connections: u64,
    /// How many of them it relays for which holder.
    pub(crate) relaying: BTreeMap<u64, u64>,
}
