//! What becomes of a connection whose way is known, and of those whose worker is busy: hold while the queue is full, take
//! back what a worker left.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use crate::accept::{Loop, Token};
use crate::line::Errand;
use crate::outcome::Outcome;
use crate::preamble::Step;
use crate::queue::{Queue, Refusal};

/// When a send is tried again that nothing will wake us for.
const RETRY: Duration = Duration::from_millis(20);

/// Connections that wait in the broker for one full queue.
#[derive(Debug)]
pub(crate) struct Held {
    queue: Arc<Queue>,
    pub(crate) sockets: VecDeque<OwnedFd>,
}

/// A queue with connections in it, and when its worker last took one.
#[derive(Debug)]
pub(crate) struct Watched {
    queue: Arc<Queue>,
    taken: usize,
    since: Instant,
}

impl Loop {
    /// Does what was decided about a connection. It is in no epoll.
    pub(crate) fn take(&mut self, connection: OwnedFd, step: Step) {
        match step {
            Step::HandOver(queue) => self.hand_over(connection, queue),
            Step::Relay(to) => self.relay(connection, to),
            Step::Bridge(queue, at) => self.bridge(connection, queue, at),
            Step::End(outcome, detail) => self.refuse(connection, outcome, detail),
            // The preamble was there a moment ago.
            Step::Wait => self.refuse(connection, Outcome::ClosedEarly, None),
        }
    }

    pub(crate) fn hold(&mut self, connection: OwnedFd, queue: Arc<Queue>, refusal: Refusal) {
        if refusal == Refusal::Failed {
            return self.refuse(connection, Outcome::DispatchFailed, None);
        }
        // Its way was found before the registration ended. The queue may have been emptied already, and nothing more would
        // come to wake us.
        if refusal == Refusal::Gone && queue.has_ended() {
            return self.again(connection);
        }
        let scarce =
            usize::try_from(connection.as_raw_fd()).is_ok_and(|n| n >= self.shared.descriptors.pressure);
        if scarce || !queue.hold(&self.shared.bounds) {
            return self.refuse(connection, Outcome::ServerTooBusy, None);
        }
        if queue.watch() {
            self.watch(Arc::clone(&queue));
        }
        let id = queue.id();
        let mut first = false;
        let held = self.held.entry(id).or_insert_with(|| {
            first = true;
            Held { queue, sockets: VecDeque::new() }
        });
        held.sockets.push_back(connection);
        // Tells at once if the worker has made room since.
        if first {
            let flags = epoll::EventFlags::OUT | epoll::EventFlags::ET;
            if let Err(error) = epoll::add(&self.epoll, &*held.queue, Token::Queue(id).into(), flags) {
                tracing::error!(%error, registration = id, "the accept socket cannot be waited for");
                self.retry_soon();
            }
        }
        self.after(id, refusal);
    }

    /// What a refusal means for those that wait.
    fn after(&mut self, id: u64, refusal: Refusal) {
        match refusal {
            // The worker's next receive wakes us.
            Refusal::Full => {}
            Refusal::Crowded => self.retry_soon(),
            // The registry ends the registration; they are dispatched again then.
            Refusal::Gone => drop(self.shared.errands.send(Errand::Gone(id))),
            Refusal::Failed => {
                for connection in self.release(id) {
                    self.refuse(connection, Outcome::DispatchFailed, None);
                }
            }
        }
    }

    fn retry_soon(&mut self) {
        self.retry_at.get_or_insert(self.now + RETRY);
    }

    pub(crate) fn retry(&mut self) {
        self.retry_at = None;
        for watched in &self.watched {
            watched.queue.refresh(&self.shared.bounds);
        }
        for id in self.held.keys().copied().collect::<Vec<_>>() {
            self.flush(id);
        }
        for queue in std::mem::take(&mut self.undrained) {
            self.dispatch_again(&queue);
        }
    }

    /// Sends what waits for a queue, as many in a message as the worker takes.
    pub(crate) fn flush(&mut self, id: u64) {
        let refusal = loop {
            let Some(held) = self.held.get_mut(&id) else { return };
            if held.sockets.is_empty() {
                self.release(id);
                return;
            }
            match send_some(held, &self.shared.bounds) {
                Ok(sent) => {
                    held.queue.release(sent, &self.shared.bounds);
                    let sent: Vec<OwnedFd> = held.sockets.drain(..sent).collect();
                    for connection in &sent {
                        self.note(Outcome::HandedOver, connection, None);
                    }
                }
                Err(refusal) => break refusal,
            }
        };
        self.after(id, refusal);
    }

    /// Nobody waits for this queue any more: whoever did is returned.
    fn release(&mut self, id: u64) -> VecDeque<OwnedFd> {
        let Some(held) = self.held.remove(&id) else { return VecDeque::new() };
        let _ = epoll::delete(&self.epoll, &*held.queue);
        held.queue.release(held.sockets.len(), &self.shared.bounds);
        held.sockets
    }

    /// The registration has ended. Nothing was read from what its worker left behind: another may serve it.
    pub(crate) fn dispatch_again(&mut self, queue: &Arc<Queue>) {
        self.unwatch(queue);
        let mut left = self.take_back(queue);
        left.extend(self.release(queue.id()));
        for connection in left {
            self.again(connection);
        }
    }

    fn take_back(&mut self, queue: &Arc<Queue>) -> Vec<OwnedFd> {
        let mut left = Vec::new();
        let take = |connection| {
            // A worker may have had a copy of the socket, and have changed this.
            let _ = rustix::io::ioctl_fionbio(&connection, true);
            left.push(connection);
        };
        if queue.drain(&self.shared.bounds, take).is_err() {
            // No descriptors: what is left in the queue stays there until there are.
            self.make_room();
            self.undrained.push(Arc::clone(queue));
            self.retry_soon();
        }
        left
    }

    pub(crate) fn watch(&mut self, queue: Arc<Queue>) {
        let waiting = queue.refresh(&self.shared.bounds);
        let taken = queue.taken(waiting);
        self.watched.push(Watched { queue, taken, since: self.now });
        let next = self.now + self.shared.receive_timeout / 8;
        self.watch_at.get_or_insert(next);
    }

    fn unwatch(&mut self, queue: &Arc<Queue>) {
        self.watched.retain(|watched| !Arc::ptr_eq(&watched.queue, queue));
        queue.unwatch();
    }

    /// A queue that nobody reads for the preamble deadline is answered.
    pub(crate) fn watch_queues(&mut self) {
        let (now, timeout) = (self.now, self.shared.receive_timeout);
        let mut stuck = Vec::new();
        let bounds = &self.shared.bounds;
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
            self.answer_unavailable(&queue);
        }
        self.watch_at = (!self.watched.is_empty()).then(|| now + timeout / 8);
    }

    fn answer_unavailable(&mut self, queue: &Arc<Queue>) {
        let mut left = self.take_back(queue);
        left.extend(self.release(queue.id()));
        let (registration, connections) = (queue.id(), left.len());
        tracing::warn!(
            registration,
            connections,
            "the worker takes no connections; those that waited are refused"
        );
        for connection in left {
            self.refuse(connection, Outcome::EndpointUnavailable, None);
        }
    }
}

/// One message with as many connections as there is room for.
fn send_some(held: &Held, bounds: &crate::queue::Bounds) -> Result<usize, Refusal> {
    let room = held.queue.room(held.sockets.len().min(held.queue.per_message()), bounds)?;
    let mut batch: [BorrowedFd<'_>; handoff::MAX_SOCKETS] = [held.queue.as_fd(); handoff::MAX_SOCKETS];
    let mut count = 0;
    for (place, socket) in batch.iter_mut().zip(&held.sockets).take(room) {
        *place = socket.as_fd();
        count += 1;
    }
    held.queue.send(&batch[..count], bounds)?;
    Ok(count)
}
