//! How a broker does, in figures, and what went wrong lately: the answer to [`Request::Status`](crate::Request::Status).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::RefusedReason;

/// How the broker does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started: seconds since 1970-01-01 UTC.
    pub started: u64,
    /// Seconds since then, whatever the clock has done.
    pub uptime_seconds: u64,
    /// The file of its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// The last reload of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<LastReload>,
    /// Where it listens, at most [`Status::MOST_LISTENERS`] of them.
    pub listeners: Vec<Listener>,
    /// On how many addresses it listens.
    pub listening: u64,
    /// How many registrations and static routes there are.
    pub holders: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that it has: `accepted` + `taken_back` + `returned` − the sum of `outcomes`.
    pub here: u64,
    /// How often a connection that was handed over was taken back, because its worker had left it behind: it ends once more.
    pub taken_back: u64,
    /// How often a connection that was handed over was given back by its worker, between two sessions: it ends once more.
    pub returned: u64,
    /// How often connections ended, by how; each only grows.
    pub outcomes: BTreeMap<String, u64>,
    /// What is in no log.
    pub logs: Logs,
    /// What there is a bound of.
    pub totals: Totals,
    /// Vias that matched nothing lately, the last first. If they do not fit a message the oldest are left out, here as of
    /// the refused registrations.
    pub unmatched: Vec<Unmatched>,
    /// Registrations that were refused lately, the last first.
    pub refused: Vec<RefusedRegistration>,
}

impl Status {
    /// So many listeners are named.
    pub const MOST_LISTENERS: usize = 200;

    /// So many Vias, and so many registrations, are kept.
    pub const KEPT: usize = 20;

    /// Whether who connected was refused, by the name of the outcome: it was not served, and did not leave by itself.
    #[must_use]
    pub fn is_refusal(outcome: &str) -> bool {
        let others = ["handed_over", "relayed", "relay_broken", "relay_idle", "closed_early", "shut_down"];
        !others.contains(&outcome)
    }

    /// Connections that were refused.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.outcomes.iter().filter(|(name, _)| Self::is_refusal(name)).map(|(_, count)| count).sum()
    }

    /// How often connections ended in this way.
    #[must_use]
    pub fn ended(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }
}

/// How the configuration was last read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LastReload {
    /// When: seconds since 1970-01-01 UTC.
    pub at: u64,
    /// Whether it was applied. If not, nothing has changed.
    pub applied: bool,
    /// What has changed, or why nothing has.
    pub message: String,
}

impl LastReload {
    /// A reload at this time.
    #[must_use]
    pub fn new(at: u64, applied: bool, message: impl Into<String>) -> Self {
        Self { at, applied, message: message.into() }
    }
}

/// An address that the broker listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// Since when: seconds since 1970-01-01 UTC.
    pub since: u64,
}

impl Listener {
    /// This one.
    #[must_use]
    pub fn new(address: SocketAddr, since: u64) -> Self {
        Self { address, since }
    }
}

/// How much the logs do not say since the start; each only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Logs {
    /// Lines of the broker's own log that could not be written, or not fast enough.
    pub lost: u64,
    /// The same of the access log's records.
    pub access_lost: u64,
    /// Connections of which the access log has no record because their source had too many.
    pub access_suppressed: u64,
}

/// What all queues, relays and registrations together have, and what they may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Totals {
    /// Open descriptors, and how many there may be.
    pub descriptors: Bounded,
    /// Connections in the workers' queues: an upper bound of them.
    pub queued: Bounded,
    /// Connections that wait in the broker for a full queue.
    pub held: Bounded,
    /// Relayed connections.
    pub relays: Bounded,
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Bounded {
    /// How many there are; none: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<u64>,
    /// How many there may be.
    pub most: u64,
}

impl Bounded {
    /// So many of so many.
    #[must_use]
    pub fn new(now: Option<u64>, most: u64) -> Self {
        Self { now, most }
    }
}

/// A Via that matched nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Unmatched {
    /// The Via: at most 256 octets of it, and U+FFFD for what is a control character or no UTF-8.
    pub via: String,
    /// Where the connection was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// Who asked for it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// How often it was asked for since it is in this list. In a flood some are not counted: nobody waits for this list.
    pub count: u64,
    /// When it was asked for last: seconds since 1970-01-01 UTC.
    pub last: u64,
    /// Why it matches nothing.
    pub reason: String,
    /// What may have been meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
}

/// A registration that was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RefusedRegistration {
    /// The address that is to blame, or the first that was asked for; cut and cleaned as a Via is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The process of the worker that tried it last, if the broker can see into its PID namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The worker's user.
    pub uid: u32,
    /// How often it was refused since it is in this list.
    pub count: u64,
    /// When it was refused last: seconds since 1970-01-01 UTC.
    pub last: u64,
    /// Why, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<RefusedReason>,
    /// Why, for people.
    pub message: String,
    /// The registered address that is most like it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
}

/// The registered address that is most like one that matches nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Nearest {
    /// The registered address.
    pub address: String,
    /// What is different, in words: the likely mistake.
    pub difference: String,
}

impl Nearest {
    /// This address, and what is different.
    #[must_use]
    pub fn new(address: impl Into<String>, difference: impl Into<String>) -> Self {
        Self { address: address.into(), difference: difference.into() }
    }
}
