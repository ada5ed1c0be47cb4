//! A connection that ends in the broker: answered so that the initiator really receives the answer.
//!
//! Octets that were never read turn a close into a reset, and a reset destroys a fault that is still under way. So the
//! fault is followed by a FIN, what the initiator sends is read, up to a bound, and the close comes after its FIN.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use framing_core::{Fault, Record};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};
use tracing::Level;

use crate::accept::Loop;
use crate::line::{peer_address, shown};
use crate::outcome::{Answer, Outcome};
use crate::parked::{Place, Stage};

/// The most octets that are read after a refusal, as in the original.
const DRAIN_OCTETS: u32 = 65_536;

/// How long a refused initiator may take to close.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Whether the stream has ended.
#[derive(Debug, PartialEq, Eq)]
enum Drained {
    Ended,
    /// More may come, so many octets at most.
    Not(u32),
}

impl Loop {
    /// Ends a connection that is in no epoll, in the one way its outcome says.
    pub(crate) fn refuse(&mut self, connection: OwnedFd, outcome: Outcome, detail: Option<String>) {
        self.note(outcome, &connection, detail);
        let fault = match outcome.answer(self.shared.compatibility) {
            Some(Answer::Fault(fault)) => Some(fault),
            Some(Answer::Fin) => None,
            Some(Answer::Reset) if !(outcome == Outcome::ClosedEarly && nothing_there(&connection)) => {
                return reset(&connection);
            }
            // Closed: with a FIN, which needs an empty receive buffer.
            Some(Answer::Reset) | None => {
                drain(&connection, DRAIN_OCTETS);
                return;
            }
        };
        if fault.is_some_and(|fault| say(&connection, fault).is_err()) {
            return reset(&connection);
        }
        let _ = shutdown(&connection, Shutdown::Write);
        if let Drained::Not(left @ 1..) = drain(&connection, DRAIN_OCTETS) {
            let place = self.lot.park(connection, Stage::Drain { left }, self.now + DRAIN_TIME);
            self.wait_for(place);
        }
    }

    /// More octets, or the end, after a refusal.
    pub(crate) fn drain_on(&mut self, place: Place, left: u32) {
        let Some((connection, _)) = self.lot.at(place) else { return };
        match drain(connection, left) {
            Drained::Not(left @ 1..) => self.lot.set_left(place, left),
            Drained::Ended | Drained::Not(0) => self.close_parked(place),
        }
    }

    /// Closes a connection whose outcome is known already.
    pub(crate) fn close_parked(&mut self, place: Place) {
        drop(self.unpark(place));
    }

    /// The one place where an accepted connection is counted and logged as ended.
    pub(crate) fn note(&self, outcome: Outcome, connection: &OwnedFd, detail: Option<String>) {
        note(&self.shared.counters, outcome, connection, detail);
    }
}

/// See [`Loop::note`]; relays end elsewhere.
pub(crate) fn note(
    counters: &crate::outcome::Counters,
    outcome: Outcome,
    connection: impl AsFd,
    detail: Option<String>,
) {
    counters.count(outcome);
    let detail = detail.unwrap_or_default();
    if outcome.level() == Level::WARN {
        tracing::warn!(%outcome, peer = %shown(peer_address(connection)), ?detail, "connection ended");
    } else if tracing::enabled!(Level::DEBUG) {
        tracing::debug!(%outcome, peer = %shown(peer_address(connection)), ?detail, "connection ended");
    }
}

fn say(connection: &OwnedFd, fault: Fault<'static>) -> Result<(), Errno> {
    let mut octets = [0; 300];
    let length = Record::Fault(fault).encode(&mut octets).map_err(|_| Errno::INVAL)?;
    // A fresh connection takes a hundred octets; if it does not, the fault cannot be had.
    let sent = send(
        connection,
        octets.get(..length).unwrap_or_default(),
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    if sent == length { Ok(()) } else { Err(Errno::AGAIN) }
}

/// An abortive close.
fn reset(connection: &OwnedFd) {
    let _ = sockopt::set_socket_linger(connection, Some(Duration::ZERO));
}

/// Whether the initiator closed without a single octet.
fn nothing_there(connection: &OwnedFd) -> bool {
    matches!(recv(connection, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((_, 0)))
}

/// Reads what is there and forgets it.
fn drain(connection: &OwnedFd, mut left: u32) -> Drained {
    let mut scrap = [0_u8; 4096];
    while left > 0 {
        let most = scrap.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match recv(connection, &mut scrap[..most], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Drained::Ended,
            Ok((_, octets)) => left = left.saturating_sub(u32::try_from(octets).unwrap_or(u32::MAX)),
            Err(Errno::AGAIN) => return Drained::Not(left),
            Err(Errno::INTR) => {}
            Err(_) => return Drained::Ended,
        }
    }
    Drained::Not(0)
}

impl Stage {
    /// Stands for every drain where only the kind matters.
    pub(crate) const DRAIN: Self = Self::Drain { left: 0 };
}
