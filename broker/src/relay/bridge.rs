//! Connections that the broker makes to itself, for a worker whose listener is of the other family of loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::routes::queue::Queue;

/// The bridges under way, by their own address: whose they are is known before they arrive.
#[derive(Debug, Default)]
pub(crate) struct Bridges {
    expected: Mutex<HashMap<SocketAddr, Arc<Queue>>>,
    count: AtomicUsize,
}

impl Bridges {
    /// Expects a connection from `from`; taken back when the guard is dropped.
    pub(crate) fn expect(self: &Arc<Self>, from: SocketAddr, queue: Arc<Queue>) -> Expected {
        queue.comes();
        let mut expected = lock(&self.expected);
        expected.insert(from, queue);
        self.count.store(expected.len(), Ordering::Release);
        Expected { bridges: Arc::clone(self), from }
    }

    /// Those that are expected, and the numbers of their queues.
    pub(crate) fn all(&self) -> Vec<(SocketAddr, u64)> {
        lock(&self.expected).iter().map(|(from, queue)| (*from, queue.id())).collect()
    }

    /// The queue of a connection that is such a bridge.
    pub(crate) fn arrived(&self, peer: impl FnOnce() -> Option<SocketAddr>) -> Option<Arc<Queue>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.remove(peer()?)
    }

    fn remove(&self, from: SocketAddr) -> Option<Arc<Queue>> {
        let mut expected = lock(&self.expected);
        let queue = expected.remove(&from);
        self.count.store(expected.len(), Ordering::Release);
        queue.inspect(|queue| queue.came(1))
    }
}

/// See [`Bridges::expect`].
#[derive(Debug)]
pub(crate) struct Expected {
    bridges: Arc<Bridges>,
    from: SocketAddr,
}

impl Drop for Expected {
    fn drop(&mut self) {
        drop(self.bridges.remove(self.from));
    }
}
