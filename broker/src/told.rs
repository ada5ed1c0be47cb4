//! What is told of a connection when it has ended, in the access log and, at `debug`, in the service's: it has to be asked before
//! the socket leaves us.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use arc_swap::ArcSwap;
use framing_core::preamble::{PreambleView, via_octets, view};
use framing_core::{DecodeError, Fault, Field, Limits};
use router::{HostNameComparison, Via};
use rustix::net::{RecvFlags, recv};

use crate::access::AccessLog;
use crate::access::record::{Record, Times};
use crate::access::via::in_quotes;
use crate::clock::Clock;
use crate::destination::Destination;
use crate::log::form;
use crate::outcome::Outcome;
use crate::routes::figures::Copied;
use crate::routes::table::{Choice, Table};
use crate::socket_options::{local_address, peer_address};

/// Who tells of ends.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// `None`: it is off.
    pub(crate) access: Option<Arc<AccessLog>>,
    pub(crate) table: Arc<ArcSwap<Table>>,
}

impl Telling {
    /// A turn begins: what is accepted in it is stamped so, if somebody wants to know.
    #[inline]
    pub(crate) fn turn(&self, clock: &Clock) {
        if self.access.is_some() {
            clock.tick();
        }
    }

    /// Whether a log takes how a connection ends so.
    #[inline]
    pub(crate) fn wants(&self, outcome: Outcome) -> bool {
        let debug = tracing::enabled!(tracing::Level::DEBUG);
        debug || self.access.as_ref().is_some_and(|access| access.takes(outcome))
    }
}

/// What is told of a connection, if anything is.
#[derive(Debug, Default)]
pub(crate) struct Told(Option<Box<Asked>>);

/// What was asked of a socket.
#[derive(Debug)]
struct Asked {
    access: Option<Arc<AccessLog>>,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    /// Whether an octet of it is there.
    has_octets: bool,
    via: Option<Vec<u8>>,
    matched: Option<Matched>,
    copied: Option<Copied>,
    fault: Option<Fault<'static>>,
}

/// The address of a holder that matches.
#[derive(Debug)]
struct Matched {
    holder: u64,
    address: String,
    mode: HostNameComparison,
}

impl Told {
    /// Of a connection that ends so; nothing, unless a log takes it. Nobody has read from it.
    #[inline]
    pub(crate) fn of(telling: &Telling, connection: impl AsFd + Copy, outcome: Outcome) -> Self {
        Self(telling.wants(outcome).then(|| Asked::of(telling, connection)))
    }

    /// Of one that is relayed: how that ends is not known yet.
    pub(crate) fn of_relay(telling: &Telling, connection: impl AsFd + Copy) -> Self {
        let debug = tracing::enabled!(tracing::Level::DEBUG);
        Self((debug || telling.access.is_some()).then(|| Asked::of(telling, connection)))
    }

    /// The same for many that end so.
    #[inline]
    pub(crate) fn each<C: AsFd + Copy>(
        telling: &Telling,
        connections: impl Iterator<Item = C>,
        outcome: Outcome,
    ) -> std::vec::IntoIter<Self> {
        match telling.wants(outcome) {
            true => {
                let all = connections.map(|connection| Self(Some(Asked::of(telling, connection))));
                all.collect::<Vec<_>>().into_iter()
            }
            false => Vec::new().into_iter(),
        }
    }

    /// A relay has copied so much.
    pub(crate) fn copied(mut self, copied: Copied) -> Self {
        if let Some(asked) = &mut self.0 {
            asked.copied = Some(copied);
        }
        self
    }

    /// The fault that is sent.
    pub(crate) fn answered(mut self, fault: Option<Fault<'static>>) -> Self {
        if let Some(asked) = &mut self.0 {
            asked.fault = fault;
        }
        self
    }

    /// The end.
    #[inline]
    pub(crate) fn tell(
        self,
        outcome: Outcome,
        destination: Destination<'_>,
        detail: Option<String>,
        times: impl FnOnce() -> Times,
    ) {
        if let Some(asked) = self.0 {
            // Why many end so is why one does, if nobody knows better.
            let detail = detail.or_else(|| outcome.warning().map(|kind| kind.what.to_owned()));
            asked.tell(outcome, destination, detail, times());
        }
    }
}

impl Asked {
    #[cold]
    fn of(telling: &Telling, connection: impl AsFd + Copy) -> Box<Self> {
        let (peer, local) = (peer_address(connection), local_address(connection));
        let mut octets = [0; Limits::DEFAULT.preamble_octets()];
        let received = recv(connection, &mut octets, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        let octets = received.ok().and_then(|(length, _)| octets.get(..length)).unwrap_or_default();
        let (via, access) = (via(octets), telling.access.clone());
        let matched = access.as_ref().and_then(|_| matched(&telling.table.load(), via?, local?));
        let (has_octets, via) = (!octets.is_empty(), via.map(<[u8]>::to_vec));
        Box::new(Self { access, peer, local, has_octets, via, matched, copied: None, fault: None })
    }

    fn tell(self, outcome: Outcome, destination: Destination<'_>, detail: Option<String>, times: Times) {
        self.debug(outcome, destination, detail.as_deref());
        let Self { access, peer, local, has_octets, via, matched, copied, fault } = self;
        // Nobody but a check of somebody's health does nothing but come and go.
        let came_and_went = outcome == Outcome::ClosedEarly && !has_octets;
        let Some(access) = access.filter(|access| access.takes(outcome) && !came_and_went) else { return };
        let matched = matched.filter(|matched| matched.holder == destination.number());
        let (address, mode) = matched.map(|matched| (matched.address, matched.mode)).unzip();
        let (of_registration, worker, relay) = match destination {
            Destination::Nobody => (None, None, None),
            Destination::Registration(queue) => (Some(queue.address().to_owned()), queue.worker(), None),
            Destination::Route(route) => (None, None, Some(route.to.to_string())),
        };
        access.tell(Box::new(Record {
            time: form::now(),
            outcome,
            peer,
            local,
            via,
            address: address.or(of_registration),
            mode,
            holder: Some(destination.number()).filter(|number| *number > 0),
            worker,
            relay,
            // A relay waits in no queue.
            times: Times { queue: times.queue.filter(|_| copied.is_none()), ..times },
            copied,
            fault: fault.as_ref().and_then(Fault::name),
            detail,
        }));
    }

    fn debug(&self, outcome: Outcome, destination: Destination<'_>, detail: Option<&str>) {
        let shown = |address: Option<SocketAddr>| address.map(tracing::field::display);
        let (registration, relay) = match destination {
            Destination::Nobody => (None, None),
            Destination::Registration(queue) => (Some(queue.id()), None),
            Destination::Route(route) => (None, Some(tracing::field::display(&route.to))),
        };
        tracing::debug!(
            %outcome,
            peer = shown(self.peer),
            local = shown(self.local),
            via = self.via.as_deref().map(in_quotes).map(tracing::field::display),
            registration,
            relay,
            detail,
            "connection ended"
        );
    }
}

/// The Via, if it is there; also one that is not UTF-8.
fn via(octets: &[u8]) -> Option<&[u8]> {
    match view(octets, &Limits::DEFAULT) {
        Ok(PreambleView::Encoding { via, .. } | PreambleView::Via { via, .. }) => Some(via.as_bytes()),
        Err(DecodeError::NotUtf8(Field::Via)) => octets.get(via_octets(octets)?),
        Ok(PreambleView::NeedMore(_)) | Err(_) => None,
    }
}

/// As the line has found out, which carries no text. The table may have changed meanwhile: the holder tells.
fn matched(table: &Table, via: &[u8], local: SocketAddr) -> Option<Matched> {
    let via = Via::parse(str::from_utf8(via).ok()?).ok()?;
    match table.choose(&via, local) {
        Choice::Direct(target, found) | Choice::Bridge(target, _, found) => Some(Matched {
            holder: target.holder.id(),
            address: target.prefix.address().to_owned(),
            mode: found.mode,
        }),
        Choice::None(_) | Choice::Unknown => None,
    }
}
