//! Connections whose worker is busy: they are held while its queue is full, and taken back when it leaves them.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use handoff::MAX_SOCKETS;
use rustix::event::epoll;
use tracing::Level;

use super::event_key::EventKey;
use crate::command::{Command, Job};
use crate::connection::{Connection, Seen, Whom};
use crate::outcome::Outcome;
use crate::routes::queue::{Queue, Refusal};
use crate::shared::Shared;
use crate::tally::Kind;

/// When a send is tried again that nothing will wake us for.
const RETRY: Duration = Duration::from_millis(20);

const UNWATCHED: Kind =
    Kind { level: Level::ERROR, what: "an accept socket cannot be waited for, it is tried again" };

/// What becomes of a connection that is not held any longer.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// It is dispatched again; nothing was read from it.
    Again,
    /// It ends here, and this queue is why, if one is.
    End(Outcome, Option<Arc<Queue>>),
}

/// Connections that are not held any longer.
pub(crate) type Leaving = Vec<(Connection, Next)>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Pending {
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
    /// Whether the epoll tells when the queue takes more.
    watched: bool,
    connections: VecDeque<Connection>,
}

/// A queue with connections in it, and when its worker last took one.
#[derive(Debug)]
struct Watched {
    queue: Arc<Queue>,
    taken: usize,
    since: Instant,
}

impl Pending {
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
        connection: Connection,
        queue: Arc<Queue>,
        refusal: Refusal,
        now: Instant,
    ) -> Option<(Connection, Next)> {
        if refusal == Refusal::Failed {
            return Some((connection, Next::End(Outcome::DispatchFailed, Some(queue))));
        }
        // Its way was found before the registration ended. The queue may have been emptied already, and nothing more would
        // come to wake us.
        if refusal == Refusal::Gone && queue.has_ended() {
            return Some((connection, Next::Again));
        }
        if self.shared.descriptors.are_scarce(&connection) || !queue.hold(&self.shared.bounds) {
            return Some((connection, Next::End(Outcome::ServerTooBusy, Some(queue))));
        }
        if queue.watch() {
            self.watch(Arc::clone(&queue), now);
        }
        let id = queue.id();
        let new = || Waiting { queue, watched: false, connections: VecDeque::new() };
        self.waiting.entry(id).or_insert_with(new).connections.push_back(connection);
        self.blocked(id, refusal, now);
        None
    }

    /// What wakes those that wait for a queue which takes no more.
    fn blocked(&mut self, id: u64, refusal: Refusal, now: Instant) {
        match refusal {
            // The worker's next receive does.
            Refusal::Full => self.wait_for_room(id, now),
            // The registry ends the registration; they are dispatched again then.
            Refusal::Gone => drop(self.shared.jobs.send(Job::Gone(id))),
            Refusal::Crowded | Refusal::Failed => self.retry_soon(now),
        }
    }

    /// Edge-triggered: it is told at once if the worker has made room since.
    fn wait_for_room(&mut self, id: u64, now: Instant) {
        let Some(waiting) = self.waiting.get_mut(&id) else { return };
        // Full of what another thread is about to send: if that fails, no receive will follow.
        if waiting.queue.refresh(&self.shared.bounds) == 0 {
            self.retry_at.get_or_insert(now + RETRY);
        }
        if waiting.watched {
            return;
        }
        let flags = epoll::EventFlags::OUT | epoll::EventFlags::ET;
        match epoll::add(&self.epoll, &*waiting.queue, EventKey::Queue(id).into(), flags) {
            Ok(()) => waiting.watched = true,
            Err(error) => {
                let about = || format!("registration {id}: {error}");
                self.shared.tally.count(UNWATCHED, id, about);
                self.retry_soon(now);
            }
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
            if waiting.connections.is_empty() {
                return all(self.release(id), &Next::Again);
            }
            let Waiting { queue, connections, .. } = waiting;
            let mut seen = Seen::each(connections.iter().take(MAX_SOCKETS));
            match queue.send(connections.iter().map(AsFd::as_fd), &self.shared.bounds) {
                Ok(sent) => {
                    queue.release(sent, &self.shared.bounds);
                    for connection in connections.drain(..sent) {
                        let (seen, whom) = (seen.next().unwrap_or_default(), Whom::Registration(queue));
                        drop(connection.end_seen(
                            &self.shared.counters,
                            Outcome::HandedOver,
                            whom,
                            None,
                            seen,
                        ));
                    }
                }
                Err(Refusal::Failed) => {
                    let end = Next::End(Outcome::DispatchFailed, Some(Arc::clone(queue)));
                    return all(self.release(id), &end);
                }
                Err(refusal) => break refusal,
            }
        };
        self.blocked(id, refusal, now);
        Leaving::new()
    }

    /// Nobody waits for this queue any more: whoever did is returned.
    fn release(&mut self, id: u64) -> VecDeque<Connection> {
        let Some(waiting) = self.waiting.remove(&id) else { return VecDeque::new() };
        if waiting.watched {
            let _ = epoll::delete(&self.epoll, &*waiting.queue);
        }
        waiting.queue.release(waiting.connections.len(), &self.shared.bounds);
        waiting.connections
    }

    /// The registration has ended. Nothing was read from what its worker left behind: another may serve it.
    pub(crate) fn dispatch_again(&mut self, queue: &Arc<Queue>, now: Instant) -> Leaving {
        self.watched.retain(|watched| !Arc::ptr_eq(&watched.queue, queue));
        queue.unwatch();
        all(self.take_back(queue, now), &Next::Again)
    }

    /// What the worker has not received, and what waited for that.
    fn take_back(&mut self, queue: &Arc<Queue>, now: Instant) -> Vec<Connection> {
        let mut left = Vec::new();
        let take = |socket| {
            // A worker may have had a copy of the socket, and have changed this.
            let _ = rustix::io::ioctl_fionbio(&socket, true);
            tracing::debug!(registration = queue.id(), "connection taken back");
            left.push(Connection::taken_back(socket, &self.shared.counters));
        };
        if queue.drain(&self.shared.bounds, take).is_err() {
            // No descriptors: what is left in the queue stays there until there are.
            self.shared.commands.send(Command::MakeRoom);
            self.undrained.push(Arc::clone(queue));
            self.retry_soon(now);
        }
        left.extend(self.release(queue.id()));
        left
    }

    /// Looks after a queue that has connections in it.
    pub(crate) fn watch(&mut self, queue: Arc<Queue>, now: Instant) {
        queue.refresh(&self.shared.bounds);
        let taken = queue.taken();
        self.watched.push(Watched { queue, taken, since: now });
        self.watch_at.get_or_insert(now + self.shared.receive_timeout / 8);
    }

    /// A queue that nobody reads for the preamble deadline is answered.
    fn watch_queues(&mut self, now: Instant, leaving: &mut Leaving) {
        let (bounds, timeout) = (&self.shared.bounds, self.shared.receive_timeout);
        let mut stuck = Vec::new();
        self.watched.retain_mut(|watched| {
            if watched.queue.unwatch_if_empty(bounds) {
                return false;
            }
            let taken = watched.queue.taken();
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
            leaving.extend(all(left, &Next::End(Outcome::EndpointUnavailable, Some(queue))));
        }
        self.watch_at = (!self.watched.is_empty()).then(|| now + timeout / 8);
    }

    /// The broker ends.
    pub(crate) fn leave(&mut self) -> Leaving {
        let connections = self.waiting.drain().flat_map(|(_, waiting)| waiting.connections);
        all(connections, &Next::End(Outcome::ShutDown, None))
    }
}

fn all(connections: impl IntoIterator<Item = Connection>, next: &Next) -> Leaving {
    connections.into_iter().map(|connection| (connection, next.clone())).collect()
}
