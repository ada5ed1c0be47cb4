//! From the preamble to what becomes of the connection; the octets are peeked, never read.

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::Arc;

use framing_core::preamble::{self, PreambleView};
use framing_core::{DecodeError, Field, Limits, Mode, Record};
use router::Via;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::config::Compatibility;
use crate::connection::Connection;
use crate::outcome::Outcome;
use crate::routes::holder::{Holder, StaticRoute};
use crate::routes::queue::Queue;
use crate::routes::table::{Choice, Table, Target};
use crate::shared::Shared;
use crate::socket_options::{local_address, peer_address};

/// Holds the longest preamble the limits allow, so that a full buffer always decides.
const PEEK: usize = Limits::DEFAULT.preamble_octets();

/// Where the Via Record begins: behind a Version Record of three octets and a Mode Record of two.
const VIA_RECORD: usize = 5;

/// Where a connection comes from when it is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// Just accepted by a socket that listens on this address; in no epoll.
    Accepted(SocketAddr),
    /// Parked, and registered with epoll.
    Parked,
    /// Looked at before: out of the queue of a registration that has ended, or from another loop.
    Queue,
}

/// What becomes of a connection next.
#[derive(Debug)]
pub(crate) enum Step {
    /// It goes into the accept socket of this queue's worker.
    HandOver(Arc<Queue>),
    /// It goes to a back-end.
    Relay(Arc<StaticRoute>),
    /// It goes to the queue over a loopback connection to this address.
    Bridge(Arc<Queue>, SocketAddr),
    /// Whoever has the address drains, and no other has it.
    Drains(Holder),
    /// More octets are wanted.
    Wait,
    /// It ends here; with what an operator may want to know, if anybody listens.
    End(Outcome, Option<String>),
}

/// What becomes of a connection that was just accepted by a socket that listens on `listening`. Asked twice where a helper leaves
/// the connection to the accept loop; only a hand-over to a bridge's queue is not, which it leaves with the queue.
pub(crate) fn arrived(shared: &Shared, connection: &Connection, listening: SocketAddr) -> Step {
    match shared.bridges.arrived(|| peer_address(connection)) {
        Some(queue) => Step::HandOver(queue),
        None => look(shared, connection, Origin::Accepted(listening)),
    }
}

/// Peeks and routes.
pub(crate) fn look(shared: &Shared, connection: &Connection, origin: Origin) -> Step {
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; PEEK];
    let octets = match recv(connection, &mut buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => return Step::End(Outcome::ClosedEarly, None),
        Ok(((octets, _), _)) => &*octets,
        Err(Errno::AGAIN | Errno::INTR) => return Step::Wait,
        Err(_) => return Step::End(Outcome::ClosedEarly, None),
    };
    match preamble::view(octets, &Limits::DEFAULT) {
        Err(DecodeError::NotUtf8(Field::Via)) if shared.compatibility() == Compatibility::Smsvchost => {
            let replaced = with_replacement_characters(octets).unwrap_or_default();
            let limits = Limits { via: replaced.len(), ..Limits::DEFAULT };
            judge(shared, connection, origin, preamble::view(&replaced, &limits))
        }
        view => judge(shared, connection, origin, view),
    }
}

/// The preamble with what is not UTF-8 in its Via as U+FFFD, which the original reads there. A Via that has more than 2048
/// octets then is none.
#[cold]
fn with_replacement_characters(octets: &[u8]) -> Option<Vec<u8>> {
    let via = preamble::via_octets(octets)?;
    let text = String::from_utf8_lossy(octets.get(via.clone())?);
    let record = Record::Via(&text);
    let mut replaced = vec![0; record.encoded_len()];
    record.encode(&mut replaced).ok()?;
    // The records before it are of fixed sizes.
    Some([octets.get(..VIA_RECORD)?, &replaced, octets.get(via.end..)?].concat())
}

#[inline]
fn judge(
    shared: &Shared,
    connection: &Connection,
    origin: Origin,
    view: Result<PreambleView<'_>, DecodeError>,
) -> Step {
    let via = match view {
        Ok(PreambleView::Encoding { via, .. }) => via,
        // Like the original: a singleton is routed by its Via, a duplex session when its encoding is there too.
        Ok(PreambleView::Via { via, mode: Mode::SINGLETON_UNSIZED, .. }) => via,
        Ok(PreambleView::Via { .. } | PreambleView::NeedMore(_)) => return Step::Wait,
        Err(error) => return end(shared, error.into(), || error.to_string()),
    };
    let via = match Via::parse(via) {
        Ok(via) => via,
        Err(error) => return end(shared, Outcome::InvalidVia, || error.to_string()),
    };
    let table = shared.table.load();
    route(shared, connection, origin, &via, &table)
}

#[inline]
fn route(shared: &Shared, connection: &Connection, origin: Origin, via: &Via<'_>, table: &Table) -> Step {
    // What a socket that listens on all addresses does not tell is asked of the kernel where it matters.
    let told = match origin {
        Origin::Accepted(at) => Some(at),
        _ => local_address(connection),
    };
    let Some(mut local) = told else { return Step::End(Outcome::ClosedEarly, None) };
    let mut choice = table.choose(via, local);
    if matches!(choice, Choice::Unknown) {
        let Some(asked) = local_address(connection) else { return Step::End(Outcome::ClosedEarly, None) };
        local = asked;
        choice = table.choose(via, local);
    }
    match choice {
        Choice::Direct(target, _) | Choice::Bridge(target, ..) if target.draining => drains(target),
        Choice::Direct(Target { holder: Holder::Worker(queue), .. }, _) => Step::HandOver(Arc::clone(queue)),
        Choice::Direct(Target { holder: Holder::Route(route), .. }, _) => Step::Relay(Arc::clone(route)),
        Choice::Bridge(Target { holder: Holder::Worker(queue), .. }, to, _) => {
            Step::Bridge(Arc::clone(queue), SocketAddr::new(to, local.port()))
        }
        Choice::None(miss) => end(shared, Outcome::EndpointNotFound, || miss.to_string()),
        Choice::Bridge(..) | Choice::Unknown => Step::End(Outcome::EndpointNotFound, None),
    }
}

#[cold]
#[inline(never)]
fn drains(target: &Target) -> Step {
    Step::Drains(target.holder.clone())
}

/// It ends so; why is only said where it will be told.
#[cold]
fn end(shared: &Shared, outcome: Outcome, why: impl FnOnce() -> String) -> Step {
    Step::End(outcome, shared.telling.wants(outcome).then(why))
}
