//! What became of the connections of one holder, for whoever asks (`broker ls`). What was handed over is counted by its queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::outcome::Outcome;

/// See the module.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) since: Instant,
    relaying: AtomicU64,
    relayed: AtomicU64,
    refused: AtomicU64,
    taken_back: AtomicU64,
    octets_in: AtomicU64,
    octets_out: AtomicU64,
}

/// Octets that a relay has copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// To the back-end.
    pub(crate) octets_in: u64,
    /// From the back-end.
    pub(crate) octets_out: u64,
}

/// What the figures are at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) relaying: u64,
    pub(crate) relayed: u64,
    pub(crate) refused: u64,
    pub(crate) taken_back: u64,
    pub(crate) copied: Copied,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            relaying: AtomicU64::default(),
            relayed: AtomicU64::default(),
            refused: AtomicU64::default(),
            taken_back: AtomicU64::default(),
            octets_in: AtomicU64::default(),
            octets_out: AtomicU64::default(),
        }
    }
}

impl Figures {
    /// As they were in another process.
    pub(crate) fn again(since: Instant, counted: &Counted) -> Self {
        let &Counted { relaying, relayed, refused, taken_back, copied } = counted;
        Self {
            since,
            relaying: relaying.into(),
            relayed: relayed.into(),
            refused: refused.into(),
            taken_back: taken_back.into(),
            octets_in: copied.octets_in.into(),
            octets_out: copied.octets_out.into(),
        }
    }

    /// Another process tells what has become of connections that it relays.
    pub(crate) fn told(&self, over: u64, relayed: u64, refused: u64, copied: Copied) {
        let _ = self.relaying.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |relaying| {
            Some(relaying.saturating_sub(over))
        });
        self.relayed.fetch_add(relayed, Ordering::Relaxed);
        self.refused.fetch_add(refused, Ordering::Relaxed);
        self.copied(copied);
    }

    /// A connection for it has ended. (The broker's own end is nobody's refusal.)
    pub(crate) fn ended(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::HandedOver | Outcome::ShutDown => return,
            Outcome::Relayed | Outcome::RelayBroken | Outcome::RelayIdle => &self.relayed,
            Outcome::ClosedEarly
            | Outcome::DeadlinePassed
            | Outcome::CrowdedOut
            | Outcome::SourceLimit
            | Outcome::NotFraming
            | Outcome::Malformed(_)
            | Outcome::InvalidVia
            | Outcome::EndpointNotFound
            | Outcome::ServerTooBusy
            | Outcome::EndpointUnavailable
            | Outcome::Draining
            | Outcome::DispatchFailed => &self.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A relay for it begins; it ends with [`Figures::relay_over`].
    pub(crate) fn relay_begun(&self) {
        self.relaying.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn relay_over(&self) {
        self.relaying.fetch_sub(1, Ordering::Relaxed);
    }

    /// A relay has copied so much.
    pub(crate) fn copied(&self, copied: Copied) {
        self.octets_in.fetch_add(copied.octets_in, Ordering::Relaxed);
        self.octets_out.fetch_add(copied.octets_out, Ordering::Relaxed);
    }

    /// A connection that was handed over was left behind.
    pub(crate) fn took_back(&self) {
        self.taken_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Counted {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            relaying: of(&self.relaying),
            relayed: of(&self.relayed),
            refused: of(&self.refused),
            taken_back: of(&self.taken_back),
            copied: Copied { octets_in: of(&self.octets_in), octets_out: of(&self.octets_out) },
        }
    }
}
