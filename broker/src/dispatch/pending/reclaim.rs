//! What a worker has left in its accept socket is taken back.

use std::sync::Arc;

use crate::command::Command;
use crate::connection::Connection;
use crate::routes::queue::Queue;
use crate::shared::Shared;
use crate::socket_options::peer_address;

/// See the module.
#[derive(Debug)]
pub(super) struct Reclaim {
    shared: Arc<Shared>,
    /// Queues that could not be emptied for want of descriptors.
    incomplete: Vec<Arc<Queue>>,
}

impl Reclaim {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, incomplete: Vec::new() }
    }

    /// What waits in the queue. Without descriptors for all of it the rest stays there until there are.
    pub(super) fn take(&mut self, queue: &Arc<Queue>) -> Vec<Connection> {
        let mut left = Vec::new();
        let take = |socket| {
            // A worker may have had a copy of the socket, and have changed this.
            let _ = rustix::io::ioctl_fionbio(&socket, true);
            let peer = peer_address(&socket).map(tracing::field::display);
            tracing::debug!(registration = queue.id(), peer, "connection taken back");
            left.push(Connection::taken_back(socket, &self.shared.counters));
        };
        if queue.drain(&self.shared.bounds, take).is_err() {
            self.shared.commands.send(Command::MakeRoom);
            self.incomplete.push(Arc::clone(queue));
        }
        left
    }

    pub(super) fn begin_with(&mut self, incomplete: Vec<Arc<Queue>>) {
        self.incomplete = incomplete;
    }

    pub(super) fn is_incomplete(&self) -> bool {
        !self.incomplete.is_empty()
    }

    /// The queues to be tried again; they are forgotten here.
    pub(super) fn incomplete(&mut self) -> Vec<Arc<Queue>> {
        std::mem::take(&mut self.incomplete)
    }
}
