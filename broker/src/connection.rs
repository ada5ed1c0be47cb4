//! A connection that was accepted and has not ended. It ends in exactly one [`Outcome`], which consumes it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use crate::access::record::Times;
use crate::clock::{Stamp, before, between};
use crate::destination::Destination;
use crate::outcome::{Counters, Outcome};
use crate::socket_options::since_last_octets;
use crate::told::Told;

/// See the module. Dropping it is a bug: only [`Connection::end`] ends it, or another process does.
#[derive(Debug)]
#[must_use = "an accepted connection ends in one outcome"]
pub(crate) struct Connection {
    socket: OwnedFd,
    /// 0: not known, as of what was taken back.
    accepted: Stamp,
    /// When it was known for whom it is, if it was not handed over at once.
    known: Stamp,
    /// A worker had it, and may still have a descriptor of it.
    was_handed_over: bool,
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
    #[inline]
    pub(crate) fn accepted(socket: OwnedFd, counters: &Counters) -> Self {
        counters.accept();
        let accepted = counters.clock().last();
        Self { socket, accepted, known: 0, was_handed_over: false, unended: Unended }
    }

    /// It was handed over, and its worker has left it in the accept socket: since its last octets have come, about.
    pub(crate) fn taken_back(socket: OwnedFd, counters: &Counters) -> Self {
        counters.take_back();
        let known = match counters.clock().last() {
            0 => 0,
            now => before(now, since_last_octets(&socket).unwrap_or(0)),
        };
        Self { socket, accepted: 0, known, was_handed_over: true, unended: Unended }
    }

    /// It was handed over, and its worker has given it back for the next session.
    pub(crate) fn returned(socket: OwnedFd, counters: &Counters) -> Self {
        counters.give_back();
        let accepted = counters.clock().last();
        Self { socket, accepted, known: 0, was_handed_over: true, unended: Unended }
    }

    /// Whether a worker had it: it may still have a descriptor, and change what of its options it likes at any time.
    pub(crate) fn was_handed_over(&self) -> bool {
        self.was_handed_over
    }

    /// Its preamble is there, and it waits for its worker, or is relayed.
    pub(crate) fn is_known(&mut self, counters: &Counters) {
        if self.known == 0 {
            self.known = counters.clock().last();
        }
    }

    /// It was another process's, and is counted already: so many milliseconds ago it was accepted, and known for whom it is.
    pub(crate) fn again(
        socket: OwnedFd,
        ages: [Option<u32>; 2],
        was_handed_over: bool,
        counters: &Counters,
    ) -> Self {
        let now = counters.clock().last();
        let [accepted, known] = ages.map(|age| age.filter(|_| now > 0).map_or(0, |age| before(now, age)));
        Self { socket, accepted, known, was_handed_over, unended: Unended }
    }

    /// How many milliseconds ago it was accepted, and known for whom it is, where somebody wanted to know.
    pub(crate) fn ages(&self, counters: &Counters) -> [Option<u32>; 2] {
        let now = counters.clock().last();
        [self.accepted, self.known].map(|then| (then > 0).then(|| between(then, now)))
    }

    /// It goes on in another process, which has the socket and counts its end; this one's copy is closed.
    pub(crate) fn pass_on(self) {
        std::mem::forget(self.unended);
    }

    /// The end of it, where it is counted and told, as far as it was asked before: it may have been read meanwhile. What the
    /// initiator is told, if anything, is the caller's to say; the socket is closed when it is dropped.
    #[inline]
    pub(crate) fn end(
        self,
        counters: &Counters,
        outcome: Outcome,
        destination: Destination<'_>,
        detail: Option<String>,
        told: Told,
    ) -> OwnedFd {
        let Self { socket, accepted, known, unended, .. } = self;
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
        told.tell(outcome, destination, detail, || times(accepted, known, counters.clock().read()));
        socket
    }
}

fn times(accepted: Stamp, known: Stamp, now: Stamp) -> Times {
    let until = if known == 0 { now } else { known };
    let taken_back = accepted == 0 && known > 0;
    let begin = if taken_back { known } else { accepted };
    Times {
        taken_back,
        preamble: between(begin, until),
        queue: (known > 0).then(|| between(known, now)),
        all: between(begin, now),
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
