//! Connections whose worker is busy: they are held while its queue is full, and taken back when it leaves them.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use crate::line::{Command, Errand};
use crate::outcome::Outcome;
use crate::queue::{Queue, Refusal};
use crate::shared::Shared;
use crate::token::Token;

/// When a send is tried again that nothing will wake us for.
const RETRY: Duration = Duration::from_millis(20);

/// What becomes of a connection that is not held any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is dispatched again; nothing was read from it.
    Again,
    /// It ends here.
    End(Outcome),
}

/// Connections that are not held any longer.
pub(crate) type Leaving = Vec<(OwnedFd, Next)>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Held {
    shared: Arc<Shared>,
    epoll: Arc<OwnedFd>,
    waiting: HashMap<u64, Waiting>,
    watched: Vec<Watched>,
    /// Ended queues that could not be emptied for want of descriptors.
    undrained: Vec<Arc<Queue>>,
    retry_at: Option<Instant>,
    watch_at: Option<Instant>,
}

/// Connections that wait for one full queue.
#[derive(Debug)]
struct Waiting {
    queue: Arc<Queue>,
    sockets: VecDeque<OwnedFd>,
}

/// A queue with connections in it, and when its worker last took one.
#[derive(Debug)]
struct Watched {
    queue: Arc<Queue>,
    taken: usize,
    since: Instant,
}

impl Held {
    pub(crate) fn new(shared: Arc<Shared>, epoll: Arc<OwnedFd>) -> Self {
        Self {
            shared,
            epoll,
            waiting: HashMap::new(),
            watched: Vec::new(),
            undrained: Vec::new(),
            retry_at: None,
            watch_at: None,
        }
    }

    /// Holds a connection that its queue refused; returns it if that may not be.
    pub(crate) fn hold(
        &mut self,
        connection: OwnedFd,
        queue: Arc<Queue>,
        refusal: Refusal,
        now: Instant,
    ) -> Option<(OwnedFd, Next)> {
        if refusal == Refusal::Failed {
            return Some((connection, Next::End(Outcome::DispatchFailed)));
        }
        // Its way was found before the registration ended. The queue may have been emptied already, and nothing more would
        // come to wake us.
        if refusal == Refusal::Gone && queue.has_ended() {
            return Some((connection, Next::Again));
        }
        if self.shared.descriptors.are_scarce(&connection) || !queue.hold(&self.shared.bounds) {
            return Some((connection, Next::End(Outcome::ServerTooBusy)));
        }
        if queue.watch() {
            self.watch(Arc::clone(&queue), now);
        }
        let id = queue.id();
        let mut first = false;
        let waiting = self.waiting.entry(id).or_insert_with(|| {
            first = true;
            Waiting { queue, sockets: VecDeque::new() }
        });
        waiting.sockets.push_back(connection);
        // Tells at once if the worker has made room since.
        if first {
            let flags = epoll::EventFlags::OUT | epoll::EventFlags::ET;
            if let Err(error) = epoll::add(&self.epoll, &*waiting.queue, Token::Queue(id).into(), flags) {
                tracing::error!(%error, registration = id, "the accept socket cannot be waited for");
                self.retry_soon(now);
            }
        }
        self.blocked(id, refusal, now);
        None
    }

    /// What wakes those that wait for a queue which takes no more.
    fn blocked(&mut self, id: u64, refusal: Refusal, now: Instant) {
        match refusal {
            // The worker's next receive does.
            Refusal::Full => {}
            // The registry ends the registration; they are dispatched again then.
            Refusal::Gone => drop(self.shared.errands.send(Errand::Gone(id))),
            Refusal::Crowded | Refusal::Failed => self.retry_soon(now),
        }
    }

    fn retry_soon(&mut self, now: Instant) {
        self.retry_at.get_or_insert(now + RETRY);
    }

    /// When something is due that no event will tell of.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.retry_at.into_iter().chain(self.watch_at).min()
    }

    /// Does what is due.
    pub(crate) fn keep_time(&mut self, now: Instant) -> Leaving {
        let mut leaving = Leaving::new();
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry(now, &mut leaving);
        }
        if self.watch_at.is_some_and(|at| at <= now) {
            self.watch_queues(now, &mut leaving);
        }
        leaving
    }

    fn retry(&mut self, now: Instant, leaving: &mut Leaving) {
        self.retry_at = None;
        for watched in &self.watched {
            watched.queue.refresh(&self.shared.bounds);
        }
        for id in self.waiting.keys().copied().collect::<Vec<_>>() {
            leaving.extend(self.flush(id, now));
        }
        for queue in std::mem::take(&mut self.undrained) {
            leaving.extend(self.dispatch_again(&queue, now));
        }
    }

    /// Sends what waits for a queue, as many in a message as the worker takes.
    pub(crate) fn flush(&mut self, id: u64, now: Instant) -> Leaving {
        let refusal = loop {
            let Some(waiting) = self.waiting.get_mut(&id) else { return Leaving::new() };
            if waiting.sockets.is_empty() {
                return all(self.release(id), Next::Again);
            }
            match waiting.queue.send(waiting.sockets.iter(), &self.shared.bounds) {
                Ok(sent) => {
                    waiting.queue.release(sent, &self.shared.bounds);
                    for connection in waiting.sockets.drain(..sent) {
                        self.shared.counters.note(Outcome::HandedOver, &connection, None);
                    }
                }
                Err(Refusal::Failed) => return all(self.release(id), Next::End(Outcome::DispatchFailed)),
                Err(refusal) => break refusal,
            }
        };
        self.blocked(id, refusal, now);
        Leaving::new()
    }

    /// Nobody waits for this queue any more: whoever did is returned.
    fn release(&mut self, id: u64) -> VecDeque<OwnedFd> {
        let Some(waiting) = self.waiting.remove(&id) else { return VecDeque::new() };
        let _ = epoll::delete(&self.epoll, &*waiting.queue);
        waiting.queue.release(waiting.sockets.len(), &self.shared.bounds);
        waiting.sockets
    }

    /// The registration has ended. Nothing was read from what its worker left behind: another may serve it.
    pub(crate) fn dispatch_again(&mut self, queue: &Arc<Queue>, now: Instant) -> Leaving {
        self.watched.retain(|watched| !Arc::ptr_eq(&watched.queue, queue));
        queue.unwatch();
        all(self.take_back(queue, now), Next::Again)
    }

    /// What the worker has not received, and what waited for that.
    fn take_back(&mut self, queue: &Arc<Queue>, now: Instant) -> Vec<OwnedFd> {
        let mut left = Vec::new();
        let take = |connection| {
            // A worker may have had a copy of the socket, and have changed this.
            let _ = rustix::io::ioctl_fionbio(&connection, true);
            left.push(connection);
        };
        if queue.drain(&self.shared.bounds, take).is_err() {
            // No descriptors: what is left in the queue stays there until there are.
            self.shared.line.send(Command::MakeRoom);
            self.undrained.push(Arc::clone(queue));
            self.retry_soon(now);
        }
        left.extend(self.release(queue.id()));
        left
    }

    /// Looks after a queue that has connections in it.
    pub(crate) fn watch(&mut self, queue: Arc<Queue>, now: Instant) {
        let waiting = queue.refresh(&self.shared.bounds);
        let taken = queue.taken(waiting);
        self.watched.push(Watched { queue, taken, since: now });
        self.watch_at.get_or_insert(now + self.shared.receive_timeout / 8);
    }

    /// A queue that nobody reads for the preamble deadline is answered.
    fn watch_queues(&mut self, now: Instant, leaving: &mut Leaving) {
        let (bounds, timeout) = (&self.shared.bounds, self.shared.receive_timeout);
        let mut stuck = Vec::new();
        self.watched.retain_mut(|watched| {
            let waiting = watched.queue.refresh(bounds);
            if waiting == 0 && !watched.queue.holds() {
                watched.queue.unwatch();
                return false;
            }
            let taken = watched.queue.taken(waiting);
            if taken != watched.taken {
                (watched.taken, watched.since) = (taken, now);
            }
            if now.duration_since(watched.since) >= timeout {
                stuck.push(Arc::clone(&watched.queue));
                watched.since = now;
            }
            true
        });
        for queue in stuck {
            let left = self.take_back(&queue, now);
            let (registration, connections) = (queue.id(), left.len());
            tracing::warn!(
                registration,
                connections,
                "the worker takes no connections; those that waited are refused"
            );
            leaving.extend(all(left, Next::End(Outcome::EndpointUnavailable)));
        }
        self.watch_at = (!self.watched.is_empty()).then(|| now + timeout / 8);
    }

    /// The broker ends.
    pub(crate) fn leave(&mut self) -> Leaving {
        let sockets = self.waiting.drain().flat_map(|(_, waiting)| waiting.sockets);
        all(sockets, Next::End(Outcome::ShutDown))
    }
}

fn all(connections: impl IntoIterator<Item = OwnedFd>, next: Next) -> Leaving {
    connections.into_iter().map(|connection| (connection, next)).collect()
}
