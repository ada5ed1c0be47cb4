//! Connections that wait for a worker: held while its queue is full ([`held`]), answered when it takes none for too long
//! ([`stalled`]), taken back when it leaves them ([`reclaim`]).

mod held;
mod leaving;
mod reclaim;
mod stalled;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use self::held::Held;
pub(crate) use self::held::Initiator;
use self::leaving::all;
pub(crate) use self::leaving::{Leaving, Next};
use self::reclaim::Reclaim;
use self::stalled::Watch;
use crate::connection::Connection;
use crate::here::Here;
use crate::outcome::Outcome;
use crate::routes::queue::{Queue, Refusal};
use crate::shared::Shared;

/// What waits for which queue, which queues are looked after, and which could not be emptied.
type Frozen = (Vec<(Arc<Queue>, VecDeque<Connection>)>, Vec<(Arc<Queue>, Instant)>, Vec<Arc<Queue>>);

/// See the module.
#[derive(Debug)]
pub(crate) struct Pending {
    held: Held,
    watch: Watch,
    reclaim: Reclaim,
}

impl Pending {
    pub(crate) fn new(shared: Arc<Shared>, epoll: Arc<OwnedFd>) -> Self {
        Self {
            held: Held::new(Arc::clone(&shared), epoll),
            watch: Watch::new(Arc::clone(&shared)),
            reclaim: Reclaim::new(shared),
        }
    }

    /// Goes on with what another has had; see [`Begun`](super::begun::Begun).
    pub(crate) fn begin_with(
        &mut self,
        held: Vec<(Arc<Queue>, VecDeque<Connection>)>,
        watched: Vec<(Arc<Queue>, Instant)>,
        incomplete: Vec<Arc<Queue>>,
        now: Instant,
    ) {
        self.held.begin_with(held, now);
        watched.into_iter().for_each(|(queue, since)| self.watch.add(queue, since, now));
        self.reclaim.begin_with(incomplete);
    }

    /// All that is here; nothing is after that.
    pub(crate) fn freeze(&mut self) -> Frozen {
        (self.held.freeze(), self.watch.freeze(), self.reclaim.incomplete())
    }

    /// Holds a connection that its queue refused; returns it if that may not be.
    pub(crate) fn hold(
        &mut self,
        connection: Connection,
        queue: Arc<Queue>,
        refusal: Refusal,
        initiator: Initiator,
        now: Instant,
    ) -> Option<(Connection, Next)> {
        let refused = self.held.hold(connection, Arc::clone(&queue), refusal, initiator, now);
        if refused.is_none() && queue.watch() {
            self.watch(queue, now);
        }
        refused
    }

    /// How many connections of this source wait in the broker.
    pub(crate) fn of(&self, source: IpAddr) -> usize {
        self.held.of(source)
    }

    /// Sends what waits for a queue, which takes more.
    pub(crate) fn flush(&mut self, id: u64, now: Instant) -> Leaving {
        self.held.flush(id, now)
    }

    /// Looks after a queue that has connections in it.
    pub(crate) fn watch(&mut self, queue: Arc<Queue>, now: Instant) {
        self.watch.add(queue, now, now);
    }

    /// The registration has ended. Nothing was read from what its worker left behind: another may serve it.
    pub(crate) fn dispatch_again(&mut self, queue: &Arc<Queue>, now: Instant) -> Leaving {
        self.watch.forget(queue);
        self.take_back(queue, &Next::Again, now)
    }

    /// Nobody has come for what a worker left behind.
    pub(crate) fn give_up(&mut self, queue: &Arc<Queue>, now: Instant) -> Leaving {
        self.watch.forget(queue);
        self.take_back(queue, &Next::End(Outcome::EndpointUnavailable, Some(Arc::clone(queue)), None), now)
    }

    /// What the worker has not received, and what waited for that.
    fn take_back(&mut self, queue: &Arc<Queue>, next: &Next, now: Instant) -> Leaving {
        let mut left = self.reclaim.take(queue);
        if self.reclaim.is_incomplete() {
            self.held.retry_soon(now);
        }
        left.extend(self.held.release(queue.id()));
        all(left, next)
    }

    /// How much may wait, or for how long, has changed.
    pub(crate) fn reconfigured(&mut self, now: Instant) {
        self.held.retry_soon(now);
        self.watch.look_again(now);
    }

    /// When something is due that no event will tell of.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.held.retry_at().into_iter().chain(self.watch.look_at()).min()
    }

    /// Does what is due.
    pub(crate) fn run_timers(&mut self, now: Instant) -> Leaving {
        let mut leaving = Leaving::new();
        if self.held.is_retry_due(now) {
            self.watch.refresh();
            leaving.extend(self.held.flush_all(now));
            for queue in self.reclaim.incomplete() {
                leaving.extend(self.dispatch_again(&queue, now));
            }
        }
        for queue in self.watch.stalled(now) {
            let end = Next::End(Outcome::EndpointUnavailable, Some(Arc::clone(&queue)), None);
            leaving.extend(self.take_back(&queue, &end, now));
            queue.note_stuck();
        }
        leaving
    }

    /// Those that wait in the broker, page by page.
    pub(crate) fn page(&self, from: Here) -> (Vec<(u64, &Connection)>, Option<Here>) {
        self.held.page(from)
    }

    /// The broker ends. What waits in an accept socket is its worker's; where that has left, nobody would take it.
    pub(crate) fn leave(&mut self) -> Leaving {
        let end = Next::End(Outcome::ShutDown, None, None);
        let mut leaving = all(self.held.leave(), &end);
        for queue in self.watch.absent() {
            leaving.extend(all(self.reclaim.take(&queue), &end));
        }
        leaving
    }
}
