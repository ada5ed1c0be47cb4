//! A worker that takes nothing from its queue for as long as a preamble may take is stalled.

use std::sync::Arc;
use std::time::Instant;

use crate::routes::queue::Queue;
use crate::shared::Shared;

/// The queues that have connections in them.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    queues: Vec<Watched>,
    look_at: Option<Instant>,
}

/// A queue with connections in it, and when its worker last took one.
#[derive(Debug)]
struct Watched {
    queue: Arc<Queue>,
    taken: usize,
    since: Instant,
}

impl Watch {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, queues: Vec::new(), look_at: None }
    }

    /// Nobody has read it since that moment, as far as is known.
    pub(super) fn add(&mut self, queue: Arc<Queue>, since: Instant, now: Instant) {
        queue.refresh(&self.shared.bounds);
        let taken = queue.taken();
        self.queues.push(Watched { queue, taken, since });
        self.look_at.get_or_insert_with(|| now + self.shared.receive_timeout.get() / 8);
    }

    pub(super) fn forget(&mut self, queue: &Arc<Queue>) {
        self.queues.retain(|watched| !Arc::ptr_eq(&watched.queue, queue));
        queue.unwatch();
    }

    /// All of them, still as if they were looked after, with the moment since when nobody has read them.
    pub(super) fn freeze(&mut self) -> Vec<(Arc<Queue>, Instant)> {
        self.look_at = None;
        let since = |Watched { queue, taken, since }: Watched| {
            queue.refresh(&self.shared.bounds);
            let since = if queue.taken() == taken { since } else { Instant::now() };
            (queue, since)
        };
        std::mem::take(&mut self.queues).into_iter().map(since).collect()
    }

    /// Those whose workers have left.
    pub(super) fn absent(&self) -> Vec<Arc<Queue>> {
        let absent = self.queues.iter().filter(|watched| watched.queue.is_absent());
        absent.map(|watched| Arc::clone(&watched.queue)).collect()
    }

    /// Asks the kernel what waits in each.
    pub(super) fn refresh(&self) {
        for watched in &self.queues {
            watched.queue.refresh(&self.shared.bounds);
        }
    }

    /// How long a queue may stand still has changed.
    pub(super) fn look_again(&mut self, now: Instant) {
        self.look_at = (!self.queues.is_empty()).then_some(now);
    }

    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Those that nobody has read for too long, if it is time to look. They have as long again from now on.
    pub(super) fn stalled(&mut self, now: Instant) -> Vec<Arc<Queue>> {
        let mut stalled = Vec::new();
        if self.look_at.is_none_or(|at| at > now) {
            return stalled;
        }
        let (bounds, timeout) = (&self.shared.bounds, self.shared.receive_timeout.get());
        self.queues.retain_mut(|watched| {
            if watched.queue.unwatch_if_empty(bounds) {
                return false;
            }
            let taken = watched.queue.taken();
            if taken != watched.taken {
                (watched.taken, watched.since) = (taken, now);
            }
            if watched.queue.is_absent() {
                // Until the next comes, or its grace is over.
                watched.since = now;
            }
            if now.duration_since(watched.since) >= timeout {
                stalled.push(Arc::clone(&watched.queue));
                watched.since = now;
            }
            true
        });
        self.look_at = (!self.queues.is_empty()).then(|| now + timeout / 8);
        stalled
    }
}
