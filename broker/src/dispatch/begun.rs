//! What an accept loop begins with: nothing, or all that another one had when it was frozen, in this process or in the one before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::parked::Waits;
use super::refuse::shut_down;
use crate::connection::Connection;
use crate::listening::Listening;
use crate::routes::queue::Queue;
use crate::shared::Shared;

/// See the module. What is in it is in no epoll.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    pub(crate) listening: Vec<Listening>,
    /// With their deadlines, those of each kind in their order.
    pub(crate) parked: Vec<(Waits, Instant)>,
    /// In the order of arrival. Their places are taken already ([`Queue::hold`]).
    pub(crate) held: Vec<(Arc<Queue>, VecDeque<Connection>)>,
    /// Queues that are looked after already ([`Queue::watch`]), and since when their workers have taken nothing.
    pub(crate) watched: Vec<(Arc<Queue>, Instant)>,
    /// Ended ones that could not be emptied for want of descriptors.
    pub(crate) incomplete: Vec<Arc<Queue>>,
}

impl Begun {
    /// Another process has all of it: its copies alone are left.
    pub(crate) fn pass_on(self) {
        let parked = self.parked.into_iter().filter_map(|(waits, _)| match waits {
            Waits::Preamble(connection) => Some(connection),
            Waits::Drain(_) => None,
        });
        let held = self.held.into_iter().flat_map(|(_, connections)| connections);
        parked.chain(held).for_each(Connection::pass_on);
    }

    /// No loop can begin with it.
    pub(crate) fn end(self, shared: &Shared) {
        for (waits, _) in self.parked {
            if let Waits::Preamble(connection) = waits {
                shut_down(shared, connection);
            }
        }
        for (_, connections) in self.held {
            connections.into_iter().for_each(|connection| shut_down(shared, connection));
        }
    }
}
