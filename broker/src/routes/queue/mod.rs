//! The queue of one registration: its accept socket, and the bounds on what may wait there. [`refusal`]: why it takes no more.

mod refusal;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use handoff::{AcceptSender, AcceptSocket, MAX_SOCKETS, ReceiveError};
use rustix::net::{Shutdown, shutdown, sockopt};

pub(crate) use self::refusal::Refusal;
use super::figures::Figures;
use super::in_flight::InFlight;
use super::sharing::{Load, Sharing};
use crate::limits::{Descriptors, share};

/// Enough that one octet per message up to the default bound leaves the socket writable, so that every message a worker
/// takes out wakes the broker.
const SEND_BUFFER: usize = 262_144;

/// The broker's ends of an accept socket.
///
/// The number of connections that wait in it is known as an upper bound only: every hand-over raises it, and the kernel is
/// asked (`FIONREAD`) only when the bound is reached. So a hand-over costs one system call, and no queue grows past its bound,
/// whichever threads send. (All queues together may, by what each thread has just sent: that bound has room to spare.)
#[derive(Debug)]
pub(crate) struct Queue {
    id: u64,
    /// What is registered, for the log.
    address: String,
    worker: Option<Worker>,
    sender: AcceptSender,
    /// The broker's copy of the worker's end: what the worker leaves behind is dispatched again from here.
    receiver: AcceptSocket,
    per_message: usize,
    in_flight: InFlight,
    /// Connections that wait in the broker because the queue is full.
    held: AtomicUsize,
    /// `None`: nobody else may have its addresses.
    sharing: Option<Sharing>,
    /// Its worker has left; what waits, waits for the next.
    absent: AtomicBool,
    /// Whether a loop looks after it from time to time.
    watched: AtomicBool,
    ended: AtomicBool,
    /// What [`Queue::taken`] was when its worker had taken nothing for too long, and one more; 0: it never was so.
    stuck_at: AtomicUsize,
    figures: Figures,
}

/// Whose accept socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    /// `None`: in a PID namespace that we do not see into.
    pub(crate) pid: Option<u32>,
    pub(crate) uid: u32,
}

/// What all queues share.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// `max_pending_connections`; a reload may change it.
    per_queue: AtomicUsize,
    /// In flight to all workers together, at most.
    all: usize,
    /// The sum of the upper bounds of all queues.
    in_flight: AtomicUsize,
    /// Held for full queues, at most.
    held_all: usize,
    /// Held for full queues.
    held: AtomicUsize,
}

impl Bounds {
    /// `max_pending_connections`.
    pub(crate) fn per_queue(&self) -> usize {
        self.per_queue.load(Ordering::Relaxed)
    }

    /// Where more wait already, they stay.
    pub(crate) fn set_per_queue(&self, per_queue: usize) {
        self.per_queue.store(per_queue, Ordering::Relaxed);
    }

    /// In flight to all workers together, at most so many.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Held for full queues.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// With nothing in the queues.
    pub(crate) fn new(per_queue: usize, descriptors: &Descriptors) -> Self {
        Self {
            per_queue: AtomicUsize::new(per_queue),
            all: descriptors.in_flight,
            in_flight: AtomicUsize::new(0),
            held_all: descriptors.held,
            held: AtomicUsize::new(0),
        }
    }
}

impl Queue {
    pub(crate) fn new(
        id: u64,
        address: String,
        sender: AcceptSender,
        receiver: AcceptSocket,
        per_message: usize,
    ) -> Self {
        // Without it the queue still works; it is refilled in larger steps.
        let _ = sockopt::set_socket_send_buffer_size(&sender, SEND_BUFFER);
        Self {
            id,
            address,
            worker: None,
            sender,
            receiver,
            per_message,
            in_flight: InFlight::default(),
            held: AtomicUsize::new(0),
            sharing: None,
            absent: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            stuck_at: AtomicUsize::new(0),
            figures: Figures::default(),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What is registered.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The same, of this worker.
    pub(crate) fn of(self, worker: Worker) -> Self {
        Self { worker: Some(worker), ..self }
    }

    /// The same, which others share the addresses of; `turns` counts for all of them.
    pub(crate) fn sharing(self, turns: &Arc<AtomicUsize>) -> Self {
        Self { sharing: Some(Sharing::new(turns)), ..self }
    }

    /// The same, as another process had it: what waits in it is asked of the kernel.
    pub(crate) fn again(self, figures: Figures, handed_over: u64, stuck: bool, bounds: &Bounds) -> Self {
        let (in_flight, sent) = (InFlight::default(), usize::try_from(handed_over).unwrap_or(usize::MAX));
        let this = Self { figures, in_flight, ..self };
        this.in_flight.sent(this.in_flight.begin(sent, usize::MAX));
        this.in_flight.count(|| this.receiver.waiting().unwrap_or(0));
        bounds.in_flight.fetch_add(this.in_flight.at_most(), Ordering::Relaxed);
        if stuck {
            this.note_stuck();
        }
        this
    }

    /// Both ends.
    pub(crate) fn ends(&self) -> (&AcceptSender, &AcceptSocket) {
        (&self.sender, &self.receiver)
    }

    /// So many have waited in another process, and wait here now.
    pub(crate) fn hold_again(&self, connections: usize, bounds: &Bounds) {
        self.held.fetch_add(connections, Ordering::Relaxed);
        bounds.held.fetch_add(connections, Ordering::Relaxed);
    }

    pub(crate) fn worker(&self) -> Option<Worker> {
        self.worker
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// How often connections were handed over; some may have been taken back. (Of 32 bits where a pointer has no more.)
    pub(crate) fn handed_over(&self) -> u64 {
        u64::try_from(self.in_flight.sent_in_all()).unwrap_or(u64::MAX)
    }

    /// Connections that wait in the broker.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How many connections may go into one message.
    pub(crate) fn per_message(&self) -> usize {
        self.per_message
    }

    /// Takes places for up to `wanted` connections.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`] or [`Refusal::Crowded`] if there is none.
    fn begin(&self, wanted: usize, bounds: &Bounds) -> Result<usize, Refusal> {
        let may = || share(bounds.per_queue(), bounds.all, bounds.in_flight.load(Ordering::Relaxed));
        let mut places = self.in_flight.begin(wanted, may());
        if places < wanted {
            self.refresh(bounds);
            places += self.in_flight.begin(wanted - places, may());
        }
        if places > 0 {
            bounds.in_flight.fetch_add(places, Ordering::Relaxed);
            return Ok(places);
        }
        let full = self.in_flight.at_most() >= bounds.per_queue();
        Err(if full { Refusal::Full } else { Refusal::Crowded })
    }

    /// Asks the kernel how many connections really wait, and returns it.
    pub(crate) fn refresh(&self, bounds: &Bounds) -> usize {
        self.refresh_by(bounds, || self.receiver.waiting().unwrap_or(0))
    }

    fn refresh_by(&self, bounds: &Bounds, waiting: impl FnOnce() -> usize) -> usize {
        let (waiting, taken) = self.in_flight.count(waiting);
        if taken > 0 {
            bounds.in_flight.fetch_sub(taken, Ordering::Relaxed);
        }
        waiting
    }

    /// Hands the first of these connections over, all in one message: as many as the worker takes in one and there is room
    /// for. Returns how many; the caller closes its copies.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if none is handed over.
    pub(crate) fn send<'a>(
        &self,
        sockets: impl Iterator<Item = BorrowedFd<'a>>,
        bounds: &Bounds,
    ) -> Result<usize, Refusal> {
        let mut message: [BorrowedFd<'_>; MAX_SOCKETS] = [self.as_fd(); MAX_SOCKETS];
        let mut wanted = 0;
        for (place, socket) in message.iter_mut().zip(sockets).take(self.per_message) {
            *place = socket;
            wanted += 1;
        }
        let count = self.begin(wanted, bounds)?;
        match self.sender.send(message.get(..count).unwrap_or_default()) {
            Ok(()) => {
                self.in_flight.sent(count);
                Ok(count)
            }
            Err(error) => {
                self.in_flight.not_sent(count);
                bounds.in_flight.fetch_sub(count, Ordering::Relaxed);
                Err(error.into())
            }
        }
    }

    /// Changes when the worker takes something, as of the last [`Queue::refresh`].
    pub(crate) fn taken(&self) -> usize {
        self.in_flight.taken()
    }

    /// Its worker has taken nothing for too long, and what waited was taken away from it.
    pub(crate) fn note_stuck(&self) {
        self.stuck_at.store(self.taken().wrapping_add(1), Ordering::Relaxed);
    }

    /// Whether it has taken nothing since, as of the last [`Queue::refresh`].
    pub(crate) fn is_stuck(&self) -> bool {
        let at = self.stuck_at.load(Ordering::Relaxed);
        at != 0 && at == self.taken().wrapping_add(1)
    }

    /// Whether connections wait in the broker for this queue; newcomers go behind them.
    pub(crate) fn holds(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }

    /// Takes a place among those that wait in the broker; false if there is none.
    pub(crate) fn hold(&self, bounds: &Bounds) -> bool {
        let may = share(bounds.per_queue(), bounds.held_all, bounds.held.load(Ordering::Relaxed));
        if self.held.load(Ordering::Relaxed) >= may {
            return false;
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        bounds.held.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Gives places back.
    pub(crate) fn release(&self, places: usize, bounds: &Bounds) {
        self.held.fetch_sub(places, Ordering::Relaxed);
        bounds.held.fetch_sub(places, Ordering::Relaxed);
    }

    /// A connection was chosen for it: until [`Queue::came`] it counts as one that waits.
    #[inline]
    pub(crate) fn comes(&self) {
        if let Some(sharing) = &self.sharing {
            sharing.comes();
        }
    }

    /// So many of those are in the accept socket now, or held, or given up.
    #[inline]
    pub(crate) fn came(&self, count: usize) {
        if let Some(sharing) = &self.sharing {
            sharing.came(count);
        }
    }

    /// How it stands beside others that have its addresses. Asks the kernel, if there may be others.
    pub(crate) fn load(&self) -> Load {
        let waiting = || self.receiver.waiting().unwrap_or(0).saturating_add(self.held());
        self.sharing.as_ref().map(|sharing| sharing.load(waiting())).unwrap_or_default()
    }

    /// Its worker has left: nobody takes anything from it, and that is no fault.
    pub(crate) fn set_absent(&self) {
        self.absent.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.absent.load(Ordering::Relaxed)
    }

    /// True for the first caller until [`Queue::unwatch`].
    pub(crate) fn watch(&self) -> bool {
        !self.watched.load(Ordering::Relaxed) && !self.watched.swap(true, Ordering::Relaxed)
    }

    /// The loop that looks after it does so no longer.
    pub(crate) fn unwatch(&self) {
        self.watched.store(false, Ordering::Relaxed);
    }

    /// Unwatches the queue if nothing is in it, and nothing waits for it.
    pub(crate) fn unwatch_if_empty(&self, bounds: &Bounds) -> bool {
        self.unwatch_if(|| self.refresh(bounds) == 0 && !self.holds())
    }

    fn unwatch_if(&self, mut empty: impl FnMut() -> bool) -> bool {
        if !empty() {
            return false;
        }
        self.unwatch();
        // Another thread may have sent before that, and have found it watched. If it finds now that it is not, it says so, and we
        // need not. (The kernel's lock of the accept socket orders its send and our question.)
        empty() || !self.watch()
    }

    /// Ends the queue: whatever is sent from now on fails with [`Refusal::Gone`], and what was sent before is still there
    /// to be received or drained. The kernel orders the two, so nothing is sent behind a drain.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let _ = shutdown(&self.sender, Shutdown::Write);
    }

    /// Whether the registration has ended. It is in the table no longer then.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Takes back what the worker has not received.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`] if there are no descriptors for it; what was not taken stays in the queue.
    pub(crate) fn drain(&self, bounds: &Bounds, mut each: impl FnMut(OwnedFd)) -> Result<(), ReceiveError> {
        let drained = self.receiver.drain(|socket| {
            self.figures.took_back();
            each(socket);
        });
        self.refresh(bounds);
        drained
    }
}

impl AsFd for Queue {
    /// The sending end, to wait for.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.as_fd()
    }
}

#[cfg(test)]
mod tests;
