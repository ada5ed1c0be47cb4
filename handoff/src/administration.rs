//! What an administrator asks of the broker: who has which address, what waits, drain, reload.
//!
//! The broker answers these to root, to its own user and, on the socket beside its own ([`admin_path`]), to the members of
//! its `[admin] group`. A long answer comes in several replies; all but the last say that there is `more`.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use crate::status::{
    Bounded, LastReload, Listener, Logs, Nearest, RefusedRegistration, Status, Totals, Unmatched,
};

/// Where members of the broker's `[admin] group` ask: the control socket's path with `.admin` behind it.
///
/// ```
/// # use std::path::Path;
/// assert_eq!(handoff::administration::admin_path(Path::new("/run/x/control")), Path::new("/run/x/control.admin"));
/// ```
#[must_use]
pub fn admin_path(control: &Path) -> PathBuf {
    let mut path = OsString::from(control);
    path.push(".admin");
    path.into()
}

/// Which holder a `drain` or an `undrain` is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Which {
    /// The holder with this number.
    Id(u64),
    /// Every holder of this address, in whatever mode.
    Address(String),
}

/// Which holders are listed: all of them, or fewer. A broker that does not know a member lists more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct List {
    /// Only the holder with this number; none if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// No more than so many, the oldest ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
}

impl List {
    /// The holder with this number.
    #[must_use]
    pub fn holder(id: u64) -> Self {
        Self { id: Some(id), most: None }
    }

    /// No more than so many.
    #[must_use]
    pub fn first(most: u64) -> Self {
        Self { id: None, most: Some(most) }
    }

    fn has(&self, holder: &Holder) -> bool {
        self.id.is_none_or(|id| id == holder.id)
    }

    /// These alone, of a list that may have others.
    pub(crate) fn retain(&self, holders: &mut Vec<Holder>) {
        holders.retain(|holder| self.has(holder));
        holders.truncate(self.most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX));
    }
}

/// How a holder does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It takes connections.
    #[default]
    Up,
    /// It gets no new connections; what it has it keeps. By an administrator, and not from the configuration.
    Draining,
    /// Its worker has taken none of those that wait for as long as a preamble may take, and takes none still.
    Stuck,
    /// As many are in its queue as may be; further ones wait in the broker, or are refused.
    Full,
    /// Its worker has left, and connections wait for the next: [`Register::with_grace`](crate::Register::with_grace).
    Absent,
    /// A state of a newer broker.
    #[serde(other)]
    Unknown,
}

/// Who has addresses: a registration of a worker, or a static route of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Holder {
    /// Its number, which no other gets while the broker runs.
    pub id: u64,
    /// Its addresses, as they were registered. There may be more than fit: then the next entry has the same number and goes on
    /// with the rest.
    pub addresses: Vec<String>,
    /// Goes on with the addresses of the entry before. Figures are the same.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub continued: bool,
    /// `strong_wildcard`, `exact` or `weak_wildcard`.
    pub host_name_comparison: String,
    /// The local addresses that the worker's own listener would have had; none: as the addresses say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<Vec<IpAddr>>,
    /// The worker's process, if the broker can see into its PID namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What the kernel calls its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The worker's user: its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The back-end of a static route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// How it does: the first of `states`.
    pub state: State,
    /// All that is true of how it does, what an administrator did first: one that drains may be stuck, and full.
    pub states: Vec<State>,
    /// Others may have its addresses as well: [`Register::with_share`](crate::Register::with_share).
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub share: bool,
    /// Its worker has left: so many seconds, rounded up, its addresses still stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_left_seconds: Option<u64>,
    /// Connections in the worker's queue.
    pub queued: u64,
    /// How many may be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pending: Option<u64>,
    /// Connections that wait in the broker because that is full.
    pub held: u64,
    /// How many may do that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_held: Option<u64>,
    /// Connections that are being relayed.
    pub relaying: u64,
    /// How often connections were handed over; it only grows.
    pub handed_over: u64,
    /// How many of those were taken back, because its worker had left them behind. Each is handed over again, to whoever has its
    /// address then, or refused.
    pub taken_back: u64,
    /// Connections that were relayed, and have ended.
    pub relayed: u64,
    /// Connections for it that were refused.
    pub refused: u64,
    /// Octets of ended relays from initiators.
    pub octets_in: u64,
    /// Octets of ended relays to initiators.
    pub octets_out: u64,
    /// Seconds since it has its addresses.
    pub age_seconds: u64,
}

impl Holder {
    /// Puts the entries of a page behind those of the pages before it, the addresses of one holder together again.
    pub fn join_page(holders: &mut Vec<Self>, page: Vec<Self>) {
        for holder in page {
            match holders.last_mut().filter(|last| holder.continued && last.id == holder.id) {
                Some(last) => last.addresses.extend(holder.addresses),
                None => holders.push(holder),
            }
        }
    }

    /// All that may wait for it: in its queue, and in the broker.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.queued.saturating_add(self.held)
    }
}

/// Where a connection is that the broker still has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Place {
    /// It waits for the rest of its preamble.
    #[default]
    Preamble,
    /// It was refused, and waits for its peer to close.
    Refused,
    /// It waits for a worker whose queue is full.
    Held,
    /// It is copied to a back-end and back.
    Relayed,
    /// A place of a newer broker.
    #[serde(other)]
    Unknown,
}

/// A connection that the broker still has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HeldConnection {
    /// Where it is.
    pub place: Place,
    /// Who connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// The local address it was accepted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// The holder it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The back-end it is relayed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Milliseconds since it was accepted, or, relayed, since the relay began.
    pub age_milliseconds: u64,
    /// Octets that have come and were not read (a preamble so far), or that were copied to the back-end.
    pub octets_in: u64,
    /// Octets that were copied from the back-end.
    pub octets_out: u64,
}

/// One part of a long answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Whether another reply follows.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub more: bool,
}

impl<T> Page<T> {
    /// A part of an answer.
    #[must_use]
    pub fn new(entries: Vec<T>, more: bool) -> Self {
        Self { entries, more }
    }
}

/// What became of a `reload`. A long answer comes in several replies, whose changes are one list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Reloaded {
    /// Why nothing was applied: what is wrong, and where, each in a line. None: what has changed is applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What has changed since the configuration was read last, in sentences. None: nothing has.
    pub changes: Vec<String>,
    /// What the configuration says otherwise than the broker does, and only the next broker will do.
    pub needs_restart: Vec<String>,
    /// What may be meant otherwise than it is understood, and where it is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether another reply follows.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub more: bool,
}

impl Reloaded {
    /// These are applied; those need a restart.
    #[must_use]
    pub fn applied(changes: Vec<String>, needs_restart: Vec<String>) -> Self {
        Self { changes, needs_restart, ..Self::default() }
    }

    /// With these warnings.
    #[must_use]
    pub fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// Nothing has changed, and why.
    #[must_use]
    pub fn refused(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

/// The next broker, as it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Upgrade {
    /// The program's absolute path; only root and the broker's own user may name one. None: by the name that the broker itself
    /// was started by, looked up again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary: Option<PathBuf>,
}

impl Upgrade {
    /// By this program, or by the same as now.
    #[must_use]
    pub fn to(binary: Option<PathBuf>) -> Self {
        Self { binary }
    }
}

/// What became of an `upgrade`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Upgraded {
    /// Why the broker goes on as if nothing had been. None: the next one serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The next one's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// For how many microseconds no connection was accepted; those that came waited. None: it was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_microseconds: Option<u64>,
}

impl Upgraded {
    /// This process serves now.
    #[must_use]
    pub fn to(pid: u32, version: impl Into<String>, pause_microseconds: impl Into<Option<u64>>) -> Self {
        let version = Some(version.into());
        Self { error: None, pid: Some(pid), version, pause_microseconds: pause_microseconds.into() }
    }

    /// Nothing has changed, and why.
    #[must_use]
    pub fn refused(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

/// A holder that drains, or does so no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Drained {
    /// Its number.
    pub id: u64,
    /// Its first address.
    pub address: String,
    /// Whether it drains.
    pub draining: bool,
    /// Connections that wait for it, in its queue and in the broker.
    pub waiting: u64,
    /// Connections that are relayed for it.
    pub relaying: u64,
}

impl Drained {
    /// This holder, with nothing that waits.
    #[must_use]
    pub fn new(id: u64, address: impl Into<String>, draining: bool) -> Self {
        Self { id, address: address.into(), draining, ..Self::default() }
    }
}

/// How much the broker logs: as asked for, and as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogLevel {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// For so long, up to [`LogLevel::LONGEST`]; then it is again what it was. None: from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// In an answer: what it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

impl LogLevel {
    /// The most seconds: a day.
    pub const LONGEST: u64 = 86_400;

    /// This level, from now on.
    #[must_use]
    pub fn new(level: impl Into<String>) -> Self {
        Self { level: level.into(), ..Self::default() }
    }
}
