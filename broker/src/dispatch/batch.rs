//! Hand-over: the connections of one turn that go to one worker cross in one message.
//!
//! A message costs about ten times what one more socket in it does, so a busy loop collects before it sends. Nobody waits
//! for more to come: what a turn has accepted is sent at its end.

use std::os::fd::AsFd;
use std::sync::Arc;

use handoff::MAX_SOCKETS;

use crate::connection::Connection;
use crate::destination::Destination;
use crate::outcome::Outcome;
use crate::routes::queue::{Queue, Refusal};
use crate::shared::Shared;
use crate::told::Told;

/// What a turn has for the workers so far; one batch for each queue.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    open: Vec<Batch>,
    /// Room of batches that were sent, for the next ones.
    spare: Vec<Vec<Connection>>,
}

/// Connections for one queue, in the order of arrival.
#[derive(Debug)]
pub(crate) struct Batch {
    queue: Arc<Queue>,
    connections: Vec<Connection>,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) queue: Arc<Queue>,
    /// So many of its connections are in the accept socket.
    pub(crate) count: usize,
    /// These are not, in the order of arrival. Empty it, and give it back: [`Batches::reuse`].
    pub(crate) rest: Vec<Connection>,
    /// Why, if any are left.
    pub(crate) refusal: Refusal,
}

impl Batches {
    /// Puts a connection behind the others for its queue; returns the batch if that fills a message.
    #[inline]
    pub(crate) fn add(&mut self, connection: Connection, queue: Arc<Queue>) -> Option<Batch> {
        queue.comes();
        let known = self.open.iter().position(|batch| Arc::ptr_eq(&batch.queue, &queue));
        let at = known.unwrap_or_else(|| {
            let connections = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(MAX_SOCKETS));
            self.open.push(Batch { queue, connections });
            self.open.len() - 1
        });
        let batch = self.open.get_mut(at)?;
        batch.connections.push(connection);
        let full = batch.connections.len() >= batch.queue.per_message().min(MAX_SOCKETS);
        full.then(|| self.open.swap_remove(at))
    }

    /// Any batch.
    pub(crate) fn pop(&mut self) -> Option<Batch> {
        self.open.pop()
    }

    /// What was sent leaves its room.
    pub(crate) fn reuse(&mut self, room: Vec<Connection>) {
        debug_assert!(room.is_empty());
        self.spare.push(room);
    }
}

impl Batch {
    /// Sends as many connections as there is room for. The last two system calls of the fast path are this `sendmsg` and
    /// the `close` of each socket.
    pub(crate) fn send(self, shared: &Shared) -> Sent {
        let Self { queue, mut connections } = self;
        let came = connections.len();
        let mut told = Told::each(&shared.telling, connections.iter(), Outcome::HandedOver);
        let (count, refusal) = match queue.send(connections.iter().map(AsFd::as_fd), &shared.bounds) {
            Ok(count) => (count, Refusal::Full),
            Err(refusal) => (0, refusal),
        };
        queue.came(came);
        for connection in connections.drain(..count) {
            let (told, destination) = (told.next().unwrap_or_default(), Destination::Registration(&queue));
            drop(connection.end(&shared.counters, Outcome::HandedOver, destination, None, told));
        }
        Sent { queue, count, rest: connections, refusal }
    }
}
