//! A connection that was accepted and has not ended. It ends in exactly one [`Outcome`], which consumes it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use framing_core::preamble::{PreambleView, via_octets, view};
use framing_core::{DecodeError, Field, Limits};
use rustix::net::{RecvFlags, recv};

use crate::outcome::{Counters, Outcome};
use crate::routes::figures::Figures;
use crate::routes::holder::{Holder, StaticRoute};
use crate::routes::queue::Queue;
use crate::socket_options::{local_address, peer_address};

/// The longest part of a Via that is logged, in characters; the longest Via has 2048 octets.
const LOGGED: usize = 200;

/// See the module. Dropping it is a bug: only [`Connection::end`] ends it.
#[derive(Debug)]
#[must_use = "an accepted connection ends in one outcome"]
pub(crate) struct Connection {
    socket: OwnedFd,
    unended: Unended,
}

/// Is forgotten when its connection ends. A thread that panics takes its connections with it, and the process follows.
#[derive(Debug)]
struct Unended;

impl Drop for Unended {
    fn drop(&mut self) {
        debug_assert!(thread::panicking(), "a connection was dropped without an outcome");
    }
}

impl Connection {
    /// It was just accepted.
    pub(crate) fn accepted(socket: OwnedFd, counters: &Counters) -> Self {
        counters.accept();
        Self { socket, unended: Unended }
    }

    /// It was handed over, and its worker has left it in the accept socket.
    pub(crate) fn taken_back(socket: OwnedFd, counters: &Counters) -> Self {
        counters.take_back();
        Self { socket, unended: Unended }
    }

    /// The end of it, where it is counted and logged. What the initiator is told, if anything, is the caller's to say; the
    /// socket is closed when it is dropped.
    pub(crate) fn end(
        self,
        counters: &Counters,
        outcome: Outcome,
        destination: Destination<'_>,
        detail: Option<String>,
    ) -> OwnedFd {
        let fields = LogFields::of(&self);
        self.end_with(counters, outcome, destination, detail, fields)
    }

    /// The same if it was looked at before: it may have been read meanwhile.
    #[inline]
    pub(crate) fn end_with(
        self,
        counters: &Counters,
        outcome: Outcome,
        destination: Destination<'_>,
        detail: Option<String>,
        fields: LogFields,
    ) -> OwnedFd {
        let Self { socket, unended } = self;
        std::mem::forget(unended);
        counters.note(outcome);
        // What was handed over is known to its queue.
        if outcome != Outcome::HandedOver
            && let Some(figures) = destination.figures()
        {
            figures.ended(outcome);
        }
        if let Some(kind) = outcome.warning() {
            counters.tally().count(kind, destination.number(), || destination.with(detail.as_deref()));
        }
        if let LogFields(Some(fields)) = fields {
            fields.log(outcome, destination, detail.as_deref());
        }
        socket
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Where a connection was to go when it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Destination<'a> {
    /// To nobody, or nobody knows.
    Nobody,
    Registration(&'a Queue),
    Route(&'a StaticRoute),
}

impl<'a> From<&'a Holder> for Destination<'a> {
    fn from(holder: &'a Holder) -> Self {
        match holder {
            Holder::Worker(queue) => Self::Registration(queue),
            Holder::Route(route) => Self::Route(route),
        }
    }
}

impl Destination<'_> {
    /// Tells it from others.
    fn number(self) -> u64 {
        match self {
            Self::Nobody => 0,
            Self::Registration(queue) => queue.id(),
            Self::Route(route) => route.id,
        }
    }

    fn figures(&self) -> Option<&Figures> {
        match self {
            Self::Nobody => None,
            Self::Registration(queue) => Some(queue.figures()),
            Self::Route(route) => Some(&route.figures),
        }
    }

    /// In words, with what there is to say besides.
    fn with(self, detail: Option<&str>) -> String {
        let destination = match self {
            Self::Nobody => String::new(),
            Self::Registration(queue) => format!("registration {} ({:?})", queue.id(), queue.address()),
            Self::Route(route) => format!("the relay to {}", route.to),
        };
        let between = if destination.is_empty() || detail.is_none() { "" } else { ": " };
        destination + between + detail.unwrap_or_default()
    }
}

/// What is logged of a connection besides its end, if that is logged: it has to be asked before the socket leaves us.
#[derive(Debug, Default)]
pub(crate) struct LogFields(Option<Box<Addresses>>);

#[derive(Debug)]
struct Addresses {
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    via: Option<String>,
}

impl LogFields {
    /// Nothing, unless the level is `debug`.
    pub(crate) fn of(connection: &Connection) -> Self {
        Self(tracing::enabled!(tracing::Level::DEBUG).then(|| Box::new(Addresses::of(connection))))
    }

    /// The same for many; none without `debug`.
    pub(crate) fn each<'c>(connections: impl Iterator<Item = &'c Connection>) -> std::vec::IntoIter<Self> {
        match tracing::enabled!(tracing::Level::DEBUG) {
            true => connections.map(Self::of).collect::<Vec<_>>().into_iter(),
            false => Vec::new().into_iter(),
        }
    }
}

impl Addresses {
    fn of(connection: &Connection) -> Self {
        let (peer, local) = (peer_address(connection), local_address(connection));
        Self { peer, local, via: via(connection) }
    }

    fn log(&self, outcome: Outcome, destination: Destination<'_>, detail: Option<&str>) {
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
            via = self.via.as_ref().map(tracing::field::display),
            registration,
            relay,
            detail,
            "connection ended"
        );
    }
}

/// The Via for the log, if it is there and nobody has read it; also one that is not UTF-8.
fn via(connection: &Connection) -> Option<String> {
    let mut octets = [0; Limits::DEFAULT.preamble_octets()];
    let (length, _) = recv(connection, &mut octets, RecvFlags::PEEK | RecvFlags::DONTWAIT).ok()?;
    let octets = octets.get(..length)?;
    let via = match view(octets, &Limits::DEFAULT) {
        Ok(PreambleView::Encoding { via, .. } | PreambleView::Via { via, .. }) => via.as_bytes(),
        Err(DecodeError::NotUtf8(Field::Via)) => octets.get(via_octets(octets)?)?,
        Ok(PreambleView::NeedMore(_)) | Err(_) => return None,
    };
    Some(shown(via))
}

/// In quotes; what is not UTF-8, and what might end a line or command a terminal, is escaped; cut where it is long.
fn shown(via: &[u8]) -> String {
    let mut shown = String::from('"');
    let mut left = LOGGED;
    for chunk in via.utf8_chunks() {
        let text: String = chunk.valid().chars().take(left).collect();
        left -= text.chars().count();
        shown.extend(text.escape_debug());
        let invalid = chunk.invalid().get(..chunk.invalid().len().min(left)).unwrap_or_default();
        left -= invalid.len();
        shown.extend(invalid.escape_ascii().map(char::from));
        if text.len() < chunk.valid().len() || invalid.len() < chunk.invalid().len() {
            shown.push('…');
            break;
        }
    }
    shown + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_in_the_log_is_one_short_line() {
        for (via, expected) in [
            (&b"net.tcp://h/calc"[..], r#""net.tcp://h/calc""#),
            (b"net.tcp://h/\xFF\xE2\x82x", r#""net.tcp://h/\xff\xe2\x82x""#),
            (
                "net.tcp://g\u{f6}/\n\u{1b}[31m\"\u{202e}".as_bytes(),
                "\"net.tcp://g\u{f6}/\\n\\u{1b}[31m\\\"\\u{202e}\"",
            ),
        ] {
            assert_eq!(shown(via), expected);
        }
        for (octets, end) in [(&[b'x'; 2048][..], "x…\""), (&[0xFF; 2048], "\\xff…\"")] {
            let shown = shown(octets);
            assert!(shown.ends_with(end) && shown.len() <= LOGGED * 4 + 6, "{shown}");
        }
        assert_eq!(shown(&[b'x'; LOGGED]), format!("\"{}\"", "x".repeat(LOGGED)), "nothing is cut");
    }
}
