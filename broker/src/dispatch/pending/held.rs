//! Connections whose worker has a full queue are held until it takes more.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use handoff::MAX_SOCKETS;
use rustix::event::epoll;
use tracing::Level;

use super::leaving::{Leaving, Next, all};
use crate::command::Job;
use crate::connection::Connection;
use crate::destination::Destination;
use crate::dispatch::event_key::EventKey;
use crate::here::{Here, PLACES};
use crate::outcome::Outcome;
use crate::routes::queue::{Queue, Refusal};
use crate::shared::Shared;
use crate::source::source_of;
use crate::tally::Kind;
use crate::told::Told;

/// When a send is tried again that nothing will wake us for.
const RETRY: Duration = Duration::from_millis(20);

const UNWATCHED: Kind =
    Kind { level: Level::ERROR, what: "an accept socket cannot be waited for, it is tried again" };

/// See the module.
#[derive(Debug)]
pub(super) struct Held {
    shared: Arc<Shared>,
    epoll: Arc<OwnedFd>,
    /// By the numbers of their registrations.
    waiting: BTreeMap<u64, Waiting>,
    /// How many of each source; none of them is 0.
    sources: HashMap<IpAddr, usize>,
    retry_at: Option<Instant>,
}

/// Connections that wait for one full queue.
#[derive(Debug)]
struct Waiting {
    queue: Arc<Queue>,
    /// Whether the epoll tells when the queue takes more.
    watched: bool,
    connections: VecDeque<Connection>,
    /// Of which source each is.
    sources: VecDeque<Option<IpAddr>>,
}

/// Whose connection it is, and whether as many of the same wait as may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Initiator {
    pub(crate) source: Option<IpAddr>,
    pub(crate) has_enough: bool,
}

impl Held {
    pub(super) fn new(shared: Arc<Shared>, epoll: Arc<OwnedFd>) -> Self {
        Self { shared, epoll, waiting: BTreeMap::new(), sources: HashMap::new(), retry_at: None }
    }

    /// Goes on with these, whose places are taken already, and tries at once whether their queues take them.
    pub(super) fn begin_with(&mut self, held: Vec<(Arc<Queue>, VecDeque<Connection>)>, now: Instant) {
        for (queue, connections) in held {
            let sources: VecDeque<_> = connections.iter().map(source_of).collect();
            sources.iter().flatten().for_each(|source| *self.sources.entry(*source).or_default() += 1);
            self.waiting.insert(queue.id(), Waiting { queue, watched: false, connections, sources });
        }
        self.retry_at = Some(now);
    }

    /// All of them, which keep their places.
    pub(super) fn freeze(&mut self) -> Vec<(Arc<Queue>, VecDeque<Connection>)> {
        let frozen = |waiting: Waiting| {
            if waiting.watched {
                let _ = epoll::delete(&self.epoll, &*waiting.queue);
            }
            (waiting.queue, waiting.connections)
        };
        self.sources.clear();
        std::mem::take(&mut self.waiting).into_values().map(frozen).collect()
    }

    /// Holds a connection that its queue refused; returns it if that may not be.
    pub(super) fn hold(
        &mut self,
        mut connection: Connection,
        queue: Arc<Queue>,
        refusal: Refusal,
        initiator: Initiator,
        now: Instant,
    ) -> Option<(Connection, Next)> {
        connection.is_known(&self.shared.counters);
        if let Refusal::Failed(error) = refusal {
            return Some((connection, Next::End(Outcome::DispatchFailed, Some(queue), Some(error))));
        }
        // Its way was found before the registration ended. The queue may have been emptied already, and nothing more would
        // come to wake us.
        if refusal == Refusal::Gone && queue.has_ended() {
            return Some((connection, Next::Again));
        }
        if initiator.has_enough {
            return Some((connection, Next::HasEnough(queue)));
        }
        if self.shared.descriptors.are_scarce(&connection) || !queue.hold(&self.shared.bounds) {
            return Some((connection, Next::End(Outcome::ServerTooBusy, Some(queue), None)));
        }
        let id = queue.id();
        let (connections, sources) = (VecDeque::new(), VecDeque::new());
        let waiting = self.waiting.entry(id);
        let waiting = waiting.or_insert_with(|| Waiting { queue, watched: false, connections, sources });
        waiting.connections.push_back(connection);
        waiting.sources.push_back(initiator.source);
        if let Some(source) = initiator.source {
            *self.sources.entry(source).or_default() += 1;
        }
        self.blocked(id, refusal, now);
        None
    }

    /// What wakes those that wait for a queue which takes no more.
    fn blocked(&mut self, id: u64, refusal: Refusal, now: Instant) {
        match refusal {
            // The worker's next receive does.
            Refusal::Full => self.wait_for_room(id, now),
            // The registry ends the registration, and they are dispatched again then; or they wait for the next worker.
            Refusal::Gone => drop(self.shared.jobs.send(Job::Gone(id))),
            Refusal::Crowded | Refusal::Failed(_) => self.retry_soon(now),
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

    /// Tries again a moment later what no event will tell of.
    pub(super) fn retry_soon(&mut self, now: Instant) {
        self.retry_at.get_or_insert(now + RETRY);
    }

    /// When a send is tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether it is time to try again.
    pub(super) fn is_retry_due(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }

    /// Sends what waits for any queue.
    pub(super) fn flush_all(&mut self, now: Instant) -> Leaving {
        self.retry_at = None;
        let ids: Vec<u64> = self.waiting.keys().copied().collect();
        ids.into_iter().flat_map(|id| self.flush(id, now)).collect()
    }

    /// Sends what waits for a queue, as many in a message as the worker takes.
    pub(super) fn flush(&mut self, id: u64, now: Instant) -> Leaving {
        let refusal = loop {
            let Some(waiting) = self.waiting.get_mut(&id) else { return Leaving::new() };
            if waiting.connections.is_empty() {
                return all(self.release(id), &Next::Again);
            }
            let Waiting { queue, connections, sources, .. } = waiting;
            let first = connections.iter().take(MAX_SOCKETS);
            let mut told = Told::each(&self.shared.telling, first, Outcome::HandedOver);
            match queue.send(connections.iter().map(AsFd::as_fd), &self.shared.bounds) {
                Ok(sent) => {
                    queue.release(sent, &self.shared.bounds);
                    sources.drain(..sent).flatten().for_each(|source| less(&mut self.sources, source));
                    for connection in connections.drain(..sent) {
                        let (told, destination) =
                            (told.next().unwrap_or_default(), Destination::Registration(queue));
                        let counters = &self.shared.counters;
                        drop(connection.end(counters, Outcome::HandedOver, destination, None, told));
                    }
                }
                Err(Refusal::Failed(error)) => {
                    let end = Next::End(Outcome::DispatchFailed, Some(Arc::clone(queue)), Some(error));
                    return all(self.release(id), &end);
                }
                Err(refusal) => break refusal,
            }
        };
        self.blocked(id, refusal, now);
        Leaving::new()
    }

    /// Nobody waits for this queue any more: whoever did is returned.
    pub(super) fn release(&mut self, id: u64) -> VecDeque<Connection> {
        let Some(waiting) = self.waiting.remove(&id) else { return VecDeque::new() };
        if waiting.watched {
            let _ = epoll::delete(&self.epoll, &*waiting.queue);
        }
        waiting.queue.release(waiting.connections.len(), &self.shared.bounds);
        waiting.sources.into_iter().flatten().for_each(|source| less(&mut self.sources, source));
        waiting.connections
    }

    /// How many of this source wait.
    pub(super) fn of(&self, source: IpAddr) -> usize {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    /// Those that wait for this registration or a later one, from one of them on, as many as a page has; and where the next page
    /// begins.
    pub(super) fn page(&self, from: Here) -> (Vec<(u64, &Connection)>, Option<Here>) {
        let mut page = Vec::new();
        for (&id, waiting) in self.waiting.range(from.at..) {
            let begin = if id == from.at { from.within } else { 0 };
            for (within, connection) in waiting.connections.iter().enumerate().skip(begin) {
                if page.len() == PLACES {
                    return (page, Some(Here { at: id, within, ..from }));
                }
                page.push((id, connection));
            }
        }
        (page, None)
    }

    /// The broker ends.
    pub(super) fn leave(&mut self) -> impl Iterator<Item = Connection> + use<'_> {
        std::mem::take(&mut self.waiting).into_values().flat_map(|waiting| waiting.connections)
    }
}

fn less(sources: &mut HashMap<IpAddr, usize>, source: IpAddr) {
    let Some(count) = sources.get_mut(&source) else { return };
    *count -= 1;
    if *count == 0 {
        sources.remove(&source);
    }
}
