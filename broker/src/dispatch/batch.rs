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
pub(crate) struct Batches(Vec<Batch>);

/// Connections for one queue, in the order of arrival.
#[derive(Debug)]
pub(crate) struct Batch {
    queue: Arc<Queue>,
    sockets: [Option<Connection>; MAX_SOCKETS],
    count: usize,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Sent<Rest> {
    pub(crate) queue: Arc<Queue>,
    /// So many of its connections are in the accept socket.
    pub(crate) count: usize,
    /// These are not, in the order of arrival.
    pub(crate) rest: Rest,
    /// Why, if any are left.
    pub(crate) refusal: Refusal,
}

impl Batches {
    /// Puts a connection behind the others for its queue; returns the batch if that fills a message.
    #[inline]
    pub(crate) fn add(&mut self, connection: Connection, queue: Arc<Queue>) -> Option<Batch> {
        let known = self.0.iter().position(|batch| Arc::ptr_eq(&batch.queue, &queue));
        let at = known.unwrap_or_else(|| {
            self.0.push(Batch { queue, sockets: [const { None }; MAX_SOCKETS], count: 0 });
            self.0.len() - 1
        });
        let batch = self.0.get_mut(at)?;
        *batch.sockets.get_mut(batch.count)? = Some(connection);
        batch.count += 1;
        let full = batch.count >= batch.queue.per_message().min(MAX_SOCKETS);
        full.then(|| self.0.swap_remove(at))
    }

    /// Any batch.
    pub(crate) fn pop(&mut self) -> Option<Batch> {
        self.0.pop()
    }
}

impl Batch {
    /// Sends as many connections as there is room for. The last two system calls of the fast path are this `sendmsg` and
    /// the `close` of each socket.
    pub(crate) fn send(self, shared: &Shared) -> Sent<impl Iterator<Item = Connection> + use<>> {
        let connections = || self.sockets.iter().take(self.count).flatten();
        let mut told = Told::each(&shared.telling, connections(), Outcome::HandedOver);
        let (count, refusal) = match self.queue.send(connections().map(AsFd::as_fd), &shared.bounds) {
            Ok(count) => (count, Refusal::Full),
            Err(refusal) => (0, refusal),
        };
        let mut rest = self.sockets.into_iter().flatten();
        for connection in rest.by_ref().take(count) {
            let (told, destination) =
                (told.next().unwrap_or_default(), Destination::Registration(&self.queue));
            drop(connection.end(&shared.counters, Outcome::HandedOver, destination, None, told));
        }
        Sent { queue: self.queue, count, rest, refusal }
    }
}
