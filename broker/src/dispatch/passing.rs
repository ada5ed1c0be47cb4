//! What the accept loop has, written down for another process, and made of what one has written.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::begun::Begun;
use super::parked::Waits;
use super::refuse::DRAIN_TIME;
use crate::connection::Connection;
use crate::error::StartError;
use crate::passed::descriptors::{Given, Number, Taken};
use crate::passed::manifest::{self, Held, Manifest, Parked, Watched};
use crate::routes::queue::Queue;
use crate::shared::Shared;

impl Begun {
    /// Writes everything down, but the sockets that listen, which are others' too, and gives the descriptors. Returns how many
    /// connections that are.
    pub(crate) fn pass<'d>(&'d self, shared: &Shared, manifest: &mut Manifest, given: &mut Given<'d>) -> u64 {
        let (now, timeout) = (Instant::now(), shared.receive_timeout.get());
        let mut connections = 0;
        for (waits, deadline) in &self.parked {
            let (connection, refused, may_wait) = match waits {
                Waits::Preamble(connection) => {
                    connections += 1;
                    (pass_connection(connection, shared, given), false, timeout)
                }
                Waits::Drain(socket) => (of_nobody(given.give(socket)), true, DRAIN_TIME),
            };
            let waited = may_wait.saturating_sub(deadline.saturating_duration_since(now));
            manifest.parked.push(Parked { connection, refused, waited_milliseconds: milliseconds(waited) });
        }
        for (queue, waiting) in &self.held {
            connections += waiting.len() as u64;
            let waiting = waiting.iter().map(|connection| pass_connection(connection, shared, given));
            manifest.held.push(Held { queue: queue.id(), connections: waiting.collect() });
        }
        for (queue, since) in &self.watched {
            let idle_milliseconds = milliseconds(now.saturating_duration_since(*since));
            manifest.watched.push(Watched { queue: queue.id(), idle_milliseconds });
        }
        connections
    }

    /// Makes it of what was written down.
    ///
    /// # Errors
    /// It does not make sense.
    pub(crate) fn restore(
        manifest: &mut Manifest,
        taken: &mut Taken,
        queues: &HashMap<u64, Arc<Queue>>,
        shared: &Shared,
    ) -> Result<Self, StartError> {
        let mut begun = Self::default();
        match begun.fill(manifest, taken, queues, shared) {
            Ok(()) => Ok(begun),
            Err(error) => {
                // They are the other process's still.
                begun.pass_on();
                Err(error)
            }
        }
    }

    fn fill(
        &mut self,
        manifest: &mut Manifest,
        taken: &mut Taken,
        queues: &HashMap<u64, Arc<Queue>>,
        shared: &Shared,
    ) -> Result<(), StartError> {
        let (now, timeout) = (Instant::now(), shared.receive_timeout.get());
        let ago = |milliseconds| now.checked_sub(Duration::from_millis(milliseconds)).unwrap_or(now);
        for Parked { connection, refused, waited_milliseconds } in manifest.parked.drain(..) {
            let socket = taken.take(connection.socket)?;
            let (waits, may_wait) = match refused {
                true => (Waits::Drain(socket), DRAIN_TIME),
                false => (Waits::Preamble(again(socket, connection, shared)), timeout),
            };
            self.parked.push((waits, ago(waited_milliseconds) + may_wait));
        }
        for Held { queue, connections } in manifest.held.drain(..) {
            let known = queues.get(&queue);
            let known = known.ok_or_else(|| StartError::passed(format!("queue {queue} is not there")))?;
            known.hold_again(connections.len(), &shared.bounds);
            let mut held = VecDeque::with_capacity(connections.len());
            let mut missing = None;
            for connection in connections {
                match taken.take(connection.socket) {
                    Ok(socket) => held.push_back(again(socket, connection, shared)),
                    Err(error) => missing = Some(error),
                }
            }
            self.held.push((Arc::clone(known), held));
            if let Some(error) = missing {
                return Err(error.into());
            }
        }
        for Watched { queue, idle_milliseconds } in manifest.watched.drain(..) {
            // One that has ended is emptied, and not looked after.
            let queue = queues.get(&queue).filter(|queue| !queue.has_ended());
            if let Some(queue) = queue.filter(|queue| queue.watch()) {
                self.watched.push((Arc::clone(queue), ago(idle_milliseconds)));
            }
        }
        Ok(())
    }
}

/// A connection, written down.
pub(crate) fn pass_connection<'d>(
    connection: &'d Connection,
    shared: &Shared,
    given: &mut Given<'d>,
) -> manifest::Connection {
    let [accepted_milliseconds, known_milliseconds] = connection.ages(&shared.counters);
    let handed_over = connection.was_handed_over();
    let socket = given.give(connection);
    manifest::Connection { socket, accepted_milliseconds, known_milliseconds, handed_over }
}

/// A connection that was written down. It is counted already.
pub(crate) fn again(socket: OwnedFd, passed: manifest::Connection, shared: &Shared) -> Connection {
    let ages = [passed.accepted_milliseconds, passed.known_milliseconds];
    Connection::again(socket, ages, passed.handed_over, &shared.counters)
}

/// A socket whose connection has ended.
fn of_nobody(socket: Number) -> manifest::Connection {
    manifest::Connection { socket, accepted_milliseconds: None, known_milliseconds: None, handed_over: false }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
