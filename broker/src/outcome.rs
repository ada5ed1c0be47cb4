//! How a connection ends: one [`Outcome`] each, from which the log line, the counter and the wire fault all come.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use framing_core::{DecodeError, Fault};
use tracing::Level;

use crate::clock::Clock;
use crate::config::settings::Compatibility;
use crate::tally::{Kind, Tally};

/// The one end of an accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The socket is in a worker's accept socket; the broker's copy is closed.
    HandedOver,
    /// Copied to a back-end and back, until both directions had ended.
    Relayed,
    /// A relay that one of the two sides reset.
    RelayBroken,
    /// A relay in which nothing moved for `relay_idle`.
    RelayIdle,
    /// Closed by the initiator before its preamble was complete.
    ClosedEarly,
    /// The deadline passed before the preamble was complete.
    DeadlinePassed,
    /// Closed before its deadline because descriptors ran short: of the source that had most connections without a complete preamble,
    /// it had waited longest.
    CrowdedOut,
    /// Closed before its deadline because as many connections of its source waited as `max_connections_per_source` allows: it had
    /// waited longest without a complete preamble.
    SourceLimit,
    /// The first octet is no Version record: not .NET message framing.
    NotFraming,
    /// The preamble breaks the rules of MC-NMF or the limits of the broker.
    Malformed(DecodeError),
    /// The Via is empty, not UTF-8 or no URI.
    InvalidVia,
    /// No registration matches the Via on this local address.
    EndpointNotFound,
    /// The queue of the address is full, and so is what may wait for it.
    ServerTooBusy,
    /// The worker of the address does not take connections.
    EndpointUnavailable,
    /// An administrator lets whoever has the address drain.
    Draining,
    /// The hand-over, or the connection to the back-end, failed.
    DispatchFailed,
    /// The broker ended while it still held the connection.
    ShutDown,
}

/// Whose doing the end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blame {
    /// Whoever connected, or who told it where to.
    Initiator,
    /// The program that has the address, or the back-end.
    Worker,
    /// Whoever lets an address drain.
    Administrator,
    /// The broker, which ends, or the system, which has not enough for it.
    Broker,
}

impl Blame {
    /// The name in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Worker => "worker",
            Self::Administrator => "administrator",
            Self::Broker => "broker",
        }
    }
}

/// What the initiator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A Fault record, then FIN.
    Fault(Fault<'static>),
    /// FIN alone.
    Fin,
    /// An abortive close.
    Reset,
}

impl Answer {
    pub(crate) fn fault(self) -> Option<Fault<'static>> {
        match self {
            Self::Fault(fault) => Some(fault),
            Self::Fin | Self::Reset => None,
        }
    }
}

/// The names of the outcomes, in the order of their counters.
macro_rules! names {
    ($($outcome:ident: $name:literal),* $(,)?) => {
        impl Outcome {
            pub(crate) const NAMES: [&'static str; [$($name),*].len()] = [$($name),*];

            pub(crate) fn index(self) -> usize {
                enum Order { $($outcome),* }
                let order = match self { $(Self::$outcome { .. } => Order::$outcome),* };
                order as usize
            }
        }
    };
}

names! {
    HandedOver: "handed_over",
    Relayed: "relayed",
    RelayBroken: "relay_broken",
    RelayIdle: "relay_idle",
    ClosedEarly: "closed_early",
    DeadlinePassed: "deadline_passed",
    CrowdedOut: "crowded_out",
    SourceLimit: "source_limit",
    NotFraming: "not_framing",
    Malformed: "malformed",
    InvalidVia: "invalid_via",
    EndpointNotFound: "endpoint_not_found",
    ServerTooBusy: "server_too_busy",
    EndpointUnavailable: "endpoint_unavailable",
    Draining: "draining",
    DispatchFailed: "dispatch_failed",
    ShutDown: "shut_down",
}

impl Outcome {
    /// The name in logs and counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Whose doing it is; `None`: nobody's, it went well, or it is not known which side's.
    #[must_use]
    pub fn blame(self) -> Option<Blame> {
        Some(match self {
            Self::HandedOver | Self::Relayed | Self::RelayBroken | Self::RelayIdle => return None,
            Self::ClosedEarly
            | Self::DeadlinePassed
            | Self::SourceLimit
            | Self::NotFraming
            | Self::Malformed(_)
            | Self::InvalidVia
            | Self::EndpointNotFound => Blame::Initiator,
            Self::ServerTooBusy | Self::EndpointUnavailable | Self::DispatchFailed => Blame::Worker,
            Self::Draining => Blame::Administrator,
            Self::CrowdedOut | Self::ShutDown => Blame::Broker,
        })
    }

    /// What an operator should know of without asking, counted and not each by itself: a worker, a back-end or the system has not
    /// enough for those who come. What a peer does wrong is no news.
    pub(crate) fn warning(self) -> Option<Kind> {
        let what = match self {
            Self::ServerTooBusy => "too busy, connections are refused (ServerTooBusy)",
            Self::CrowdedOut => {
                "descriptors run short, connections that have waited longest for their preamble are closed, of whoever has most of them"
            }
            Self::SourceLimit => {
                "as many connections of one source wait as max_connections_per_source allows, those that are silent for longest are closed"
            }
            Self::EndpointUnavailable => {
                "nobody takes them, connections that waited are refused (EndpointUnavailable)"
            }
            Self::DispatchFailed => "connections cannot be passed on (ConnectionDispatchFailed)",
            Self::HandedOver
            | Self::Relayed
            | Self::RelayBroken
            | Self::RelayIdle
            | Self::ClosedEarly
            | Self::DeadlinePassed
            | Self::NotFraming
            | Self::Malformed(_)
            | Self::InvalidVia
            | Self::EndpointNotFound
            | Self::Draining
            | Self::ShutDown => return None,
        };
        Some(Kind { level: Level::WARN, what })
    }

    /// The table of docs/original.md §11. `None`: nothing is left to answer, the socket is closed or not ours any more.
    pub(crate) fn answer(self, compatibility: Compatibility) -> Option<Answer> {
        let fault = match self {
            Self::HandedOver | Self::Relayed | Self::RelayBroken | Self::RelayIdle => return None,
            // The original's three faults, the same in both modes.
            Self::EndpointNotFound => return Some(Answer::Fault(Fault::ENDPOINT_NOT_FOUND)),
            Self::EndpointUnavailable | Self::Draining => {
                return Some(Answer::Fault(Fault::ENDPOINT_UNAVAILABLE));
            }
            Self::DispatchFailed => return Some(Answer::Fault(Fault::CONNECTION_DISPATCH_FAILED)),
            Self::ClosedEarly
            | Self::DeadlinePassed
            | Self::CrowdedOut
            | Self::SourceLimit
            | Self::ShutDown => None,
            Self::NotFraming => return Some(reset_or(Answer::Fin, compatibility)),
            Self::Malformed(error) => error.fault(),
            Self::InvalidVia => Some(Fault::ENDPOINT_NOT_FOUND),
            Self::ServerTooBusy => Some(Fault::SERVER_TOO_BUSY),
        };
        match (compatibility, fault) {
            (Compatibility::Smsvchost, _) => Some(Answer::Reset),
            (Compatibility::Default, fault) => fault.map(Answer::Fault),
        }
    }
}

fn reset_or(answer: Answer, compatibility: Compatibility) -> Answer {
    match compatibility {
        Compatibility::Default => answer,
        Compatibility::Smsvchost => Answer::Reset,
    }
}

impl From<DecodeError> for Outcome {
    fn from(error: DecodeError) -> Self {
        match error.fault() {
            None => Self::NotFraming,
            Some(Fault::ENDPOINT_NOT_FOUND) => Self::InvalidVia,
            Some(_) => Self::Malformed(error),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many connections were accepted, and how many ended in which way.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    outcomes: [AtomicU64; Outcome::NAMES.len()],
    taken_back: AtomicU64,
    returned: AtomicU64,
    tally: Arc<Tally>,
    clock: Clock,
}

impl Counters {
    pub(crate) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection has ended: called by its end, and by nothing else.
    pub(crate) fn note(&self, outcome: Outcome) {
        self.outcomes[outcome.index()].fetch_add(1, Ordering::Release);
    }

    /// A connection that was handed over is here again.
    pub(crate) fn take_back(&self) {
        self.taken_back.fetch_add(1, Ordering::Release);
    }

    /// A connection that was handed over was given back.
    pub(crate) fn give_back(&self) {
        self.returned.fetch_add(1, Ordering::Release);
    }

    /// As they were in another process.
    pub(crate) fn again(&self, accepted: u64, taken_back: u64, returned: u64) {
        self.accepted.store(accepted, Ordering::Relaxed);
        self.taken_back.store(taken_back, Ordering::Relaxed);
        self.returned.store(returned, Ordering::Relaxed);
    }

    /// So many more have ended in this way, in another process.
    pub(crate) fn add(&self, name: &str, count: u64) {
        // What another version calls otherwise has ended all the same.
        let index = Outcome::NAMES.iter().position(|known| *known == name);
        let index = index.unwrap_or_else(|| Outcome::ShutDown.index());
        self.outcomes[index].fetch_add(count, Ordering::Release);
    }

    /// What is said of many ends in one line.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// When things happen.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Connections accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How often connections ended, by the name of their outcome. One that is taken back from a worker that left it behind ends
    /// once more: in another way, or by being handed over again. Each only grows.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Outcome::NAMES.into_iter().zip(self.outcomes.iter().map(|count| count.load(Ordering::Acquire)))
    }

    /// How often connections ended in this way; see [`Counters::outcomes`].
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()].load(Ordering::Acquire)
    }

    /// How often connections that were handed over were taken back.
    #[must_use]
    pub fn taken_back(&self) -> u64 {
        self.taken_back.load(Ordering::Acquire)
    }

    /// How often connections that were handed over were given back by their workers (`return`).
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.returned.load(Ordering::Acquire)
    }

    /// Connections that are with the broker: accepted, taken back or returned, and not ended. Exact when nothing happens meanwhile.
    #[must_use]
    pub fn here(&self) -> u64 {
        let ended: u64 = self.outcomes().map(|(_, count)| count).sum();
        // Behind the ends: nothing ends that was not here.
        (self.taken_back() + self.returned() + self.accepted()).saturating_sub(ended)
    }
}

impl fmt::Display for Counters {
    /// As at the end of the log: `accepted=3 handed_over=3 closed_early=1 taken_back=1 unfinished=0`. What was accepted, taken
    /// back and returned has ended, or is unfinished.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accepted={}", self.accepted())?;
        for (name, count) in self.outcomes().filter(|(_, count)| *count > 0) {
            write!(f, " {name}={count}")?;
        }
        if self.taken_back() > 0 {
            write!(f, " taken_back={}", self.taken_back())?;
        }
        if self.returned() > 0 {
            write!(f, " returned={}", self.returned())?;
        }
        write!(f, " unfinished={}", self.here())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All but those of which nobody is left to be told.
    #[test]
    fn what_a_client_is_told_is_in_the_table() {
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/original.md"));
        let document = document.unwrap();
        let (_, table) = document.split_once("## 11 What a client is told").unwrap();
        let (table, _) = table.split_once("## 12").unwrap();
        let untold = ["handed_over", "relayed", "relay_broken", "relay_idle"];
        for name in Outcome::NAMES {
            assert_eq!(table.contains(&format!("| `{name}` |")), !untold.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_original_resets_all_but_three() {
        let answered_with_a_fault =
            [Outcome::EndpointNotFound, Outcome::EndpointUnavailable, Outcome::DispatchFailed];
        for outcome in answered_with_a_fault {
            assert_eq!(outcome.answer(Compatibility::Smsvchost), outcome.answer(Compatibility::Default));
            assert!(matches!(outcome.answer(Compatibility::Default), Some(Answer::Fault(_))));
        }
        for outcome in
            [Outcome::NotFraming, Outcome::InvalidVia, Outcome::ServerTooBusy, Outcome::DeadlinePassed]
        {
            assert_eq!(outcome.answer(Compatibility::Smsvchost), Some(Answer::Reset));
        }
        assert_eq!(Outcome::NotFraming.answer(Compatibility::Default), Some(Answer::Fin));
        assert_eq!(Outcome::ClosedEarly.answer(Compatibility::Default), None);
    }
}
