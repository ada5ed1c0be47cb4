//! How a connection ends: one [`Outcome`] each, from which the log line, the counter and the wire fault all come.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use framing_core::{DecodeError, Fault};
use tracing::Level;

use crate::config::Compatibility;
use crate::socket_options::{peer_address, shown};

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
    /// Closed before its deadline because descriptors ran short: it had waited longest without a complete preamble.
    CrowdedOut,
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
    /// The hand-over, or the connection to the back-end, failed.
    DispatchFailed,
    /// The broker ended while it still held the connection.
    ShutDown,
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

impl Outcome {
    const NAMES: [&'static str; 15] = [
        "handed_over",
        "relayed",
        "relay_broken",
        "relay_idle",
        "closed_early",
        "deadline_passed",
        "crowded_out",
        "not_framing",
        "malformed",
        "invalid_via",
        "endpoint_not_found",
        "server_too_busy",
        "endpoint_unavailable",
        "dispatch_failed",
        "shut_down",
    ];

    const fn index(self) -> usize {
        match self {
            Self::HandedOver => 0,
            Self::Relayed => 1,
            Self::RelayBroken => 2,
            Self::RelayIdle => 3,
            Self::ClosedEarly => 4,
            Self::DeadlinePassed => 5,
            Self::CrowdedOut => 6,
            Self::NotFraming => 7,
            Self::Malformed(_) => 8,
            Self::InvalidVia => 9,
            Self::EndpointNotFound => 10,
            Self::ServerTooBusy => 11,
            Self::EndpointUnavailable => 12,
            Self::DispatchFailed => 13,
            Self::ShutDown => 14,
        }
    }

    /// The name in logs and counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Who is to blame decides the level: the peer `debug`, a worker `warn`, the broker `error`.
    pub(crate) fn level(self) -> Level {
        match self {
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
            | Self::ServerTooBusy
            | Self::CrowdedOut
            | Self::ShutDown => Level::DEBUG,
            Self::EndpointUnavailable | Self::DispatchFailed => Level::WARN,
        }
    }

    /// The table of design §3. `None`: nothing is left to answer, the socket is closed or not ours any more.
    pub(crate) fn answer(self, compatibility: Compatibility) -> Option<Answer> {
        let fault = match self {
            Self::HandedOver | Self::Relayed | Self::RelayBroken | Self::RelayIdle => return None,
            // The original's three faults, the same in both modes.
            Self::EndpointNotFound => return Some(Answer::Fault(Fault::ENDPOINT_NOT_FOUND)),
            Self::EndpointUnavailable => return Some(Answer::Fault(Fault::ENDPOINT_UNAVAILABLE)),
            Self::DispatchFailed => return Some(Answer::Fault(Fault::CONNECTION_DISPATCH_FAILED)),
            Self::ClosedEarly | Self::DeadlinePassed | Self::CrowdedOut | Self::ShutDown => None,
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
}

impl Counters {
    pub(crate) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// The one place where an accepted connection is counted and logged as ended.
    pub(crate) fn note(&self, outcome: Outcome, connection: impl AsFd, detail: Option<String>) {
        self.outcomes[outcome.index()].fetch_add(1, Ordering::Relaxed);
        let detail = detail.unwrap_or_default();
        if outcome.level() == Level::WARN {
            tracing::warn!(%outcome, peer = %shown(peer_address(connection)), ?detail, "connection ended");
        } else if tracing::enabled!(Level::DEBUG) {
            tracing::debug!(%outcome, peer = %shown(peer_address(connection)), ?detail, "connection ended");
        }
    }

    /// Connections accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that ended, by the name of their outcome.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Outcome::NAMES.into_iter().zip(self.outcomes.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Connections that ended in this way.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
