//! Which connections the accept loop has, for an administrator.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use handoff::administration::{HeldConnection, Place};
use rustix::io::ioctl_fionread;

use super::parked::{Parked, Waits};
use super::pending::Pending;
use super::refuse::DRAIN_TIME;
use crate::here::{Asked, Here};
use crate::socket_options::{local_address, peer_address};

const PARKED: u8 = 0;
const HELD: u8 = 1;

/// Answers with a page.
pub(super) fn tell(
    asked: Asked,
    parked: &Parked,
    pending: &Pending,
    now: Instant,
    receive_timeout: Duration,
) {
    let from = asked.from;
    match from.collection {
        PARKED => {
            let (waiting, next) = parked.page(usize::try_from(from.at).unwrap_or(usize::MAX));
            let page =
                waiting.map(|(waits, deadline)| parked_connection(waits, deadline, now, receive_timeout));
            let next = match next {
                Some(at) => Here { at: at as u64, ..from },
                None => Here { collection: HELD, ..Here::default() },
            };
            let page = page.collect();
            asked.answer(page, Some(next));
        }
        _ => {
            let (waiting, next) = pending.page(from);
            let held = |(id, connection)| {
                let mut held = seen(Place::Held, connection);
                held.id = Some(id);
                held
            };
            let page = waiting.into_iter().map(held).collect();
            asked.answer(page, next);
        }
    }
}

fn parked_connection(
    waits: &Waits,
    deadline: Instant,
    now: Instant,
    receive_timeout: Duration,
) -> HeldConnection {
    let (place, may_wait) = match waits {
        Waits::Preamble(_) => (Place::Preamble, receive_timeout),
        Waits::Drain { .. } => (Place::Refused, DRAIN_TIME),
    };
    let mut parked = seen(place, waits);
    let age = may_wait.saturating_sub(deadline.saturating_duration_since(now));
    parked.age_milliseconds = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    parked
}

fn seen(place: Place, socket: impl AsFd + Copy) -> HeldConnection {
    let mut seen = HeldConnection::default();
    seen.place = place;
    (seen.peer, seen.local) = (peer_address(socket), local_address(socket));
    seen.octets_in = ioctl_fionread(socket).unwrap_or_default();
    seen
}
