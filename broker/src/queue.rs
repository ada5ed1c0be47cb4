//! The queue of one registration: its accept socket, and the bounds on what may wait there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use handoff::{AcceptError, AcceptSender, AcceptSocket, MAX_SOCKETS, SendError};
use rustix::net::{Shutdown, shutdown, sockopt};

use crate::limits::{Descriptors, share};

/// Enough that one octet per message up to the default bound leaves the socket writable, so that every message a worker
/// takes out wakes the broker.
const SEND_BUFFER: usize = 262_144;

/// The broker's ends of an accept socket.
///
/// The number of connections that wait in it is known as an upper bound only: every hand-over raises it, and the kernel is
/// asked (`FIONREAD`) only when the bound is reached. So a hand-over costs one system call, and no queue grows past its bound.
#[derive(Debug)]
pub(crate) struct Queue {
    id: u64,
    sender: AcceptSender,
    /// The broker's copy of the worker's end: what the worker leaves behind is dispatched again from here.
    receiver: AcceptSocket,
    per_message: usize,
    /// At least as many as wait in the accept socket.
    in_flight: AtomicUsize,
    /// Ever sent; less what waits gives what the worker took.
    sent: AtomicUsize,
    /// Connections that wait in the broker because the queue is full.
    held: AtomicUsize,
    /// Whether a loop looks after it from time to time.
    watched: AtomicBool,
    ended: AtomicBool,
}

/// What all queues share.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// `max_pending_connections`.
    per_queue: usize,
    /// In flight to all workers together, at most.
    all: usize,
    /// The sum of the upper bounds of all queues.
    in_flight: AtomicUsize,
    /// Held for full queues, at most.
    held_all: usize,
    /// Held for full queues.
    held: AtomicUsize,
}

impl Bounds {
    /// With nothing in the queues.
    pub(crate) fn new(per_queue: usize, descriptors: &Descriptors) -> Self {
        Self {
            per_queue,
            all: descriptors.in_flight,
            in_flight: AtomicUsize::new(0),
            held_all: descriptors.held,
            held: AtomicUsize::new(0),
        }
    }
}

/// Why a queue did not take a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its own bound is reached, or the socket's buffer is full: it becomes writable when the worker takes something.
    Full,
    /// All queues together hold too much; nothing tells when that changes.
    Crowded,
    /// The worker shut its end down, or the registration has ended.
    Gone,
    /// The kernel refused for another reason.
    Failed,
}

impl Queue {
    pub(crate) fn new(id: u64, sender: AcceptSender, receiver: AcceptSocket, per_message: usize) -> Self {
        // Without it the queue still works; it is refilled in larger steps.
        let _ = sockopt::set_socket_send_buffer_size(&sender, SEND_BUFFER);
        Self {
            id,
            sender,
            receiver,
            per_message,
            in_flight: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// How many connections may go into one message.
    pub(crate) fn per_message(&self) -> usize {
        self.per_message
    }

    /// How many of `wanted` connections the queue takes now.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`] or [`Refusal::Crowded`] if none.
    fn room(&self, wanted: usize, bounds: &Bounds) -> Result<usize, Refusal> {
        if self.estimated_room(bounds) >= wanted {
            return Ok(wanted);
        }
        self.refresh(bounds);
        match self.estimated_room(bounds).min(wanted) {
            0 if self.in_flight.load(Ordering::Relaxed) >= bounds.per_queue => Err(Refusal::Full),
            0 => Err(Refusal::Crowded),
            room => Ok(room),
        }
    }

    fn estimated_room(&self, bounds: &Bounds) -> usize {
        let may = share(bounds.per_queue, bounds.all, bounds.in_flight.load(Ordering::Relaxed));
        may.saturating_sub(self.in_flight.load(Ordering::Relaxed))
    }

    /// Asks the kernel how many connections really wait, and returns it.
    pub(crate) fn refresh(&self, bounds: &Bounds) -> usize {
        let waiting = self.receiver.waiting().unwrap_or(0);
        let before = self.in_flight.swap(waiting, Ordering::Relaxed);
        if before > waiting {
            bounds.in_flight.fetch_sub(before - waiting, Ordering::Relaxed);
        } else {
            bounds.in_flight.fetch_add(waiting - before, Ordering::Relaxed);
        }
        waiting
    }

    /// Hands the first of these connections over, all in one message: as many as the worker takes in one and there is room
    /// for. Returns how many; the caller closes its copies.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if none is handed over.
    pub(crate) fn send<'a>(
        &self,
        sockets: impl Iterator<Item = &'a OwnedFd>,
        bounds: &Bounds,
    ) -> Result<usize, Refusal> {
        let mut message: [BorrowedFd<'_>; MAX_SOCKETS] = [self.as_fd(); MAX_SOCKETS];
        let mut wanted = 0;
        for (place, socket) in message.iter_mut().zip(sockets).take(self.per_message) {
            *place = socket.as_fd();
            wanted += 1;
        }
        let count = self.room(wanted, bounds)?;
        self.sender.send(message.get(..count).unwrap_or_default()).map_err(|error| match error {
            SendError::Full => Refusal::Full,
            SendError::InFlight => Refusal::Crowded,
            SendError::Gone => Refusal::Gone,
            _ => Refusal::Failed,
        })?;
        self.in_flight.fetch_add(count, Ordering::Relaxed);
        bounds.in_flight.fetch_add(count, Ordering::Relaxed);
        self.sent.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }

    /// How many connections the worker has ever taken, given how many wait.
    pub(crate) fn taken(&self, waiting: usize) -> usize {
        self.sent.load(Ordering::Relaxed).wrapping_sub(waiting)
    }

    /// Whether connections wait in the broker for this queue; newcomers go behind them.
    pub(crate) fn holds(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }

    /// Takes a place among those that wait in the broker; false if there is none.
    pub(crate) fn hold(&self, bounds: &Bounds) -> bool {
        let may = share(bounds.per_queue, bounds.held_all, bounds.held.load(Ordering::Relaxed));
        if self.held.load(Ordering::Relaxed) >= may {
            return false;
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        bounds.held.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Gives places back.
    pub(crate) fn release(&self, places: usize, bounds: &Bounds) {
        self.held.fetch_sub(places, Ordering::Relaxed);
        bounds.held.fetch_sub(places, Ordering::Relaxed);
    }

    /// True for the first caller until [`Queue::unwatch`].
    pub(crate) fn watch(&self) -> bool {
        !self.watched.load(Ordering::Relaxed) && !self.watched.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn unwatch(&self) {
        self.watched.store(false, Ordering::Relaxed);
    }

    /// Ends the queue: whatever is sent from now on fails with [`Refusal::Gone`], and what was sent before is still there
    /// to be received or drained. The kernel orders the two, so nothing is sent behind a drain.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let _ = shutdown(&self.sender, Shutdown::Write);
    }

    /// Whether the registration has ended. It is in the table no longer then.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Takes back what the worker has not received.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] if there are no descriptors for it; what was not taken stays in the queue.
    pub(crate) fn drain(&self, bounds: &Bounds, each: impl FnMut(OwnedFd)) -> Result<(), AcceptError> {
        let drained = self.receiver.drain(each);
        self.refresh(bounds);
        drained
    }
}

impl AsFd for Queue {
    /// The sending end, to wait for.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.as_fd()
    }
}
