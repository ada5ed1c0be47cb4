//! Hand-over: the connections of one turn that go to one worker cross in one message.
//!
//! A message costs about ten times what one more socket in it does, so a busy loop collects before it sends. Nobody waits
//! for more to come: what a turn has accepted is sent at its end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use handoff::MAX_SOCKETS;

use crate::accept::Loop;
use crate::outcome::Outcome;
use crate::queue::{Bounds, Queue, Refusal};

/// Connections for one queue, in the order of arrival.
#[derive(Debug)]
pub(crate) struct Batch {
    queue: Arc<Queue>,
    sockets: [Option<OwnedFd>; MAX_SOCKETS],
    count: usize,
}

impl Batch {
    fn new(queue: Arc<Queue>) -> Self {
        Self { queue, sockets: [const { None }; MAX_SOCKETS], count: 0 }
    }

    fn push(&mut self, connection: OwnedFd) {
        if let Some(place) = self.sockets.get_mut(self.count) {
            *place = Some(connection);
            self.count += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.count >= self.queue.per_message().min(MAX_SOCKETS)
    }

    /// Sends as many as there is room for; says how many, and why not all.
    fn send(&self, bounds: &Bounds) -> (usize, Refusal) {
        let room = match self.queue.room(self.count, bounds) {
            Ok(room) => room,
            Err(refusal) => return (0, refusal),
        };
        let mut message: [BorrowedFd<'_>; MAX_SOCKETS] = [self.queue.as_fd(); MAX_SOCKETS];
        for (place, socket) in message.iter_mut().zip(self.sockets.iter().flatten()) {
            *place = socket.as_fd();
        }
        match self.queue.send(message.get(..room).unwrap_or_default(), bounds) {
            Ok(()) => (room, Refusal::Full),
            Err(refusal) => (0, refusal),
        }
    }
}

impl Loop {
    /// A connection goes to the worker of this queue: now, if it fills a message, else at the end of the turn.
    pub(crate) fn hand_over(&mut self, connection: OwnedFd, queue: Arc<Queue>) {
        if queue.holds() {
            return self.hold(connection, queue, Refusal::Full);
        }
        let known = self.batches.iter().position(|batch| Arc::ptr_eq(&batch.queue, &queue));
        let at = known.unwrap_or_else(|| {
            self.batches.push(Batch::new(queue));
            self.batches.len() - 1
        });
        let Some(batch) = self.batches.get_mut(at) else { return };
        batch.push(connection);
        if batch.is_full() {
            let batch = self.batches.swap_remove(at);
            self.send(batch);
        }
    }

    /// The end of a turn.
    pub(crate) fn send_batches(&mut self) {
        while let Some(batch) = self.batches.pop() {
            self.send(batch);
        }
    }

    /// The last two system calls of the fast path are this `sendmsg` and the `close` of each socket.
    fn send(&mut self, batch: Batch) {
        let (sent, refusal) = batch.send(&self.shared.bounds);
        let Batch { queue, sockets, .. } = batch;
        let mut sockets = sockets.into_iter().flatten();
        for connection in sockets.by_ref().take(sent) {
            self.note(Outcome::HandedOver, &connection, None);
        }
        if sent > 0 && queue.watch() {
            self.watch(Arc::clone(&queue));
        }
        for connection in sockets {
            self.hold(connection, Arc::clone(&queue), refusal);
        }
    }
}
