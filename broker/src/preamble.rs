//! From the preamble to what becomes of the connection; the octets are peeked, never read.

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use framing_core::preamble::{self, PreambleView};
use framing_core::{Limits, Mode};
use router::Via;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};

use crate::accept::{Loop, Token};
use crate::config::RelayTo;
use crate::line::{Shared, at_port, local_address, peer_address};
use crate::outcome::Outcome;
use crate::parked::{Place, Stage};
use crate::queue::Queue;
use crate::table::{Choice, Table, Way};

/// Holds the longest preamble the limits allow, so that a full buffer always decides.
const PEEK: usize = Limits::DEFAULT.preamble_octets();

/// Where a connection comes from when it is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// Just accepted by a socket that listens on this address; in no epoll.
    Accepted(SocketAddr),
    /// Parked, and registered with epoll.
    Parked,
    /// Out of the queue of a registration that has ended.
    Queue,
}

/// What becomes of a connection next.
#[derive(Debug)]
pub(crate) enum Step {
    /// It goes into the accept socket of this queue's worker.
    HandOver(Arc<Queue>),
    /// It goes to a back-end.
    Relay(Arc<RelayTo>),
    /// It goes to the queue over a loopback connection to this address.
    Bridge(Arc<Queue>, SocketAddr),
    /// More octets are wanted.
    Wait,
    /// It ends here; with what an operator may want to know, if anybody listens.
    End(Outcome, Option<String>),
}

impl Loop {
    /// A connection that was just accepted by a socket that listens on `listening`.
    pub(crate) fn arrived(&mut self, connection: OwnedFd, listening: SocketAddr) {
        if let Some(queue) = self.shared.bridges.arrived(|| peer_address(&connection)) {
            return self.hand_over(connection, queue);
        }
        match self.shared.look(&connection, Origin::Accepted(listening)) {
            Step::Wait => self.park(connection),
            step => self.take(connection, step),
        }
    }

    /// A connection that was in a queue before, so that its preamble is known to be there.
    pub(crate) fn again(&mut self, connection: OwnedFd) {
        match self.shared.look(&connection, Origin::Queue) {
            Step::Wait => self.park(connection),
            step => self.take(connection, step),
        }
    }

    /// Something happened to a parked connection.
    pub(crate) fn advance(&mut self, place: Place, flags: epoll::EventFlags) {
        let Some((connection, stage)) = self.lot.at(place) else { return };
        if let Stage::Drain { left } = stage {
            return self.drain_on(place, left);
        }
        match self.shared.look(connection, Origin::Parked) {
            // A FIN behind an incomplete preamble: a peek would show the same octets for ever.
            Step::Wait if flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP) => {
                self.end_parked(place, Outcome::ClosedEarly);
            }
            // Edge-triggered: the next octet wakes us again. What we peek is acknowledged late unless we ask.
            Step::Wait => {
                let _ = sockopt::set_tcp_quickack(connection, true);
            }
            step => {
                if let Some((connection, _)) = self.unpark(place) {
                    self.take(connection, step);
                }
            }
        }
    }

    /// The rest of the preamble has until the deadline to come.
    fn park(&mut self, connection: OwnedFd) {
        let _ = sockopt::set_tcp_quickack(&connection, true);
        let deadline = self.now + self.shared.receive_timeout;
        let place = self.lot.park(connection, Stage::Preamble, deadline);
        self.wait_for(place);
    }

    /// Registers a parked connection with epoll. What is there already is told at once.
    pub(crate) fn wait_for(&mut self, place: Place) {
        let Some((connection, _)) = self.lot.at(place) else { return };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        if let Err(error) = epoll::add(&self.epoll, connection, Token::Parked(place).into(), flags) {
            tracing::error!(%error, "a connection cannot be waited for");
            self.end_parked(place, Outcome::DispatchFailed);
        }
    }

    /// Takes a connection out of its place, and out of epoll.
    pub(crate) fn unpark(&mut self, place: Place) -> Option<(OwnedFd, Stage)> {
        let (connection, stage, _) = self.lot.leave(place)?;
        let _ = epoll::delete(&self.epoll, connection.as_fd());
        Some((connection, stage))
    }

    pub(crate) fn end_parked(&mut self, place: Place, outcome: Outcome) {
        if let Some((connection, _)) = self.unpark(place) {
            self.refuse(connection, outcome, None);
        }
    }
}

impl Shared {
    /// Peeks and routes.
    pub(crate) fn look(&self, connection: &OwnedFd, origin: Origin) -> Step {
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; PEEK];
        let octets = match recv(connection, &mut buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Step::End(Outcome::ClosedEarly, None),
            Ok(((octets, _), _)) => &*octets,
            Err(Errno::AGAIN | Errno::INTR) => return Step::Wait,
            Err(_) => return Step::End(Outcome::ClosedEarly, None),
        };
        let via = match preamble::view(octets, &Limits::DEFAULT) {
            Ok(PreambleView::Encoding { via, .. }) => via,
            // Like the original: a singleton is routed by its Via, a duplex session when its encoding is there too.
            Ok(PreambleView::Via { via, mode: Mode::SINGLETON_UNSIZED, .. }) => via,
            Ok(PreambleView::Via { .. } | PreambleView::NeedMore { .. }) => return Step::Wait,
            Err(error) => return Step::End(error.into(), detail(|| error.to_string())),
        };
        let via = match Via::parse(via) {
            Ok(via) => via,
            Err(error) => return Step::End(Outcome::InvalidVia, detail(|| format!("{error}: {via:?}"))),
        };
        let table = self.table.load();
        self.route(connection, origin, &via, &table)
    }

    fn route(&self, connection: &OwnedFd, origin: Origin, via: &Via<'_>, table: &Table) -> Step {
        // What a socket that listens on all addresses does not tell is asked of the kernel where it matters.
        let told = match origin {
            Origin::Accepted(at) if !(table.literals && at.ip().is_unspecified()) => Some(at),
            _ => local_address(connection),
        };
        let Some(local) = told else { return Step::End(Outcome::ClosedEarly, None) };
        let found = match table.routes.lookup(via, local) {
            Ok(found) => found,
            Err(miss) => return Step::End(Outcome::EndpointNotFound, detail(|| miss.to_string())),
        };
        let mut choice = found.value.choose(local.ip());
        let mut ip = local.ip();
        if ip.is_unspecified() && !matches!(choice, Choice::Direct(_)) {
            let Some(local) = local_address(connection) else { return Step::End(Outcome::ClosedEarly, None) };
            ip = local.ip();
            choice = found.value.choose(ip);
        }
        match choice {
            Choice::Direct(Way::HandOver(queue)) => Step::HandOver(Arc::clone(queue)),
            Choice::Direct(Way::Relay(to)) => Step::Relay(Arc::clone(to)),
            Choice::Bridge(queue, to) => Step::Bridge(Arc::clone(queue), at_port(to, local.port())),
            Choice::None => Step::End(
                Outcome::EndpointNotFound,
                detail(|| format!("{} is not bound to {ip}", found.prefix.address())),
            ),
        }
    }
}

/// A description that is only made when it will be logged.
fn detail(describe: impl FnOnce() -> String) -> Option<String> {
    tracing::enabled!(tracing::Level::DEBUG).then(describe)
}
