//! Who has an address.

use std::sync::Arc;

use super::figures::Figures;
use super::queue::Queue;
use super::sharing::Load;
use crate::config::RelayTo;

/// Who gets the connections of an address. Each has an id of its own, which no other gets while the broker runs.
#[derive(Clone, Debug)]
pub(crate) enum Holder {
    /// A worker that has registered it: connections go into the accept socket of its registration.
    Worker(Arc<Queue>),
    /// A static route: connections are copied to its back-end.
    Route(Arc<StaticRoute>),
}

/// A route of the configuration.
#[derive(Debug)]
pub(crate) struct StaticRoute {
    pub(crate) id: u64,
    /// Its back-end.
    pub(crate) to: RelayTo,
    /// Of its address: whatever the route was before.
    pub(crate) figures: Arc<Figures>,
}

impl StaticRoute {
    pub(crate) fn new(id: u64, to: RelayTo) -> Self {
        Self { id, to, figures: Arc::default() }
    }

    /// The same route to another back-end. What is relayed already goes on to the one before, and is counted here as well.
    pub(crate) fn changed(&self, to: RelayTo) -> Self {
        Self { id: self.id, to, figures: Arc::clone(&self.figures) }
    }
}

impl Holder {
    pub(crate) fn id(&self) -> u64 {
        match self {
            Self::Worker(queue) => queue.id(),
            Self::Route(route) => route.id,
        }
    }

    pub(crate) fn figures(&self) -> &Figures {
        match self {
            Self::Worker(queue) => queue.figures(),
            Self::Route(route) => &route.figures,
        }
    }

    /// Whether it waits for a worker that has left, or for the next.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Worker(queue) if queue.is_absent())
    }

    /// How it stands beside others that have its addresses, too.
    pub(crate) fn load(&self) -> Load {
        match self {
            Self::Worker(queue) => queue.load(),
            Self::Route(_) => Load::default(),
        }
    }

    pub(crate) fn is_worker(&self) -> bool {
        matches!(self, Self::Worker(_))
    }
}
