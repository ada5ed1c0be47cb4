//! What the rest of the broker says to the accept loop, and the loop to the rest.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use tokio::sync::mpsc::UnboundedSender;

use crate::config::{Compatibility, RelayTo};
use crate::help::Help;
use crate::limits::Descriptors;
use crate::outcome::{Counters, Outcome};
use crate::queue::{Bounds, Queue};
use crate::relay::Relays;
use crate::socket_options::{defer_accept, turn_away, waiting};
use crate::table::Table;

/// What the accept loop and everything else of one broker have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: ArcSwap<Table>,
    pub(crate) counters: Counters,
    pub(crate) bounds: Bounds,
    pub(crate) descriptors: Descriptors,
    pub(crate) receive_timeout: Duration,
    pub(crate) compatibility: Compatibility,
    pub(crate) bridges: Arc<Bridges>,
    /// Connections that are relayed or about to be.
    pub(crate) relayed: AtomicUsize,
    pub(crate) relays: Arc<Relays>,
    pub(crate) help: Help,
    pub(crate) errands: UnboundedSender<Errand>,
}

/// What the loop leaves to tokio, because it waits for others than the initiator.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Connect to a back-end that has to be waited for, and relay.
    Relay(OwnedFd, Arc<RelayTo>),
    /// Close this listening socket a moment later, if it is still open.
    CloseLater(Weak<OwnedFd>),
    /// The accept socket of this registration was shut down by its worker.
    Gone(u64),
}

/// What the rest asks of the loop.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept from this socket.
    Listen(Listening),
    /// Accept what is queued, then let go of the socket, then say so.
    Unlisten(Listening, mpsc::SyncSender<()>),
    /// Refuse a connection that could not be relayed.
    Refuse(OwnedFd, Outcome, Option<String>),
    /// Connections that a helper accepted and cannot finish.
    Again(Vec<OwnedFd>),
    /// A queue with connections in it that nobody watches yet.
    Watch(Arc<Queue>),
    /// A registration has ended: dispatch again what its worker left behind.
    Ended(Arc<Queue>),
    /// Descriptors ran out elsewhere: close some connections that have waited longest for their preamble.
    MakeRoom,
    /// End the loop.
    Stop,
}

/// A listening socket and the address it was opened for.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Arc<OwnedFd>,
}

impl Listening {
    pub(crate) fn new(address: SocketAddr, socket: OwnedFd) -> Self {
        Self { address, socket: Arc::new(socket) }
    }

    /// Whether both are one socket. There may be two for one address, when the older is about to close.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }

    /// How many connections wait to be accepted, as far as is known.
    pub(crate) fn waiting(&self) -> Option<usize> {
        waiting(&self.socket)
    }

    /// The connection that has waited longest.
    pub(crate) fn accept(&self) -> Result<OwnedFd, Errno> {
        accept_with(&self.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
    }

    /// Takes no new connections any more; those that the kernel has begun to make come soon.
    pub(crate) fn turn_away(&self) {
        turn_away(&self.socket);
        defer_accept(&self.socket, false);
    }
}

/// The way into the loop.
#[derive(Debug)]
pub(crate) struct Line {
    /// `None` when the loop has ended. Commands are dropped then: whoever waits for one knows, and a connection is closed.
    inbox: Mutex<Option<Vec<Command>>>,
    wake: OwnedFd,
}

impl Line {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            inbox: Mutex::new(Some(Vec::new())),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    pub(crate) fn send(&self, command: Command) {
        match &mut *lock(&self.inbox) {
            Some(inbox) => inbox.push(command),
            None => return,
        }
        // Full would mean 2^64 - 2 wake-ups that were never read.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Returns when the loop has accepted what was queued and holds the socket no longer.
    pub(crate) fn unlisten(&self, listening: &Listening) {
        let (done, wait) = mpsc::sync_channel(1);
        self.send(Command::Unlisten(listening.clone(), done));
        // An error means that the loop has ended, and its sockets with it.
        let _ = wait.recv();
    }

    /// The commands that came since the last call.
    pub(crate) fn receive(&self) -> Vec<Command> {
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        lock(&self.inbox).as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The loop has ended; these came too late for it.
    pub(crate) fn close(&self) -> Vec<Command> {
        lock(&self.inbox).take().unwrap_or_default()
    }
}

impl AsFd for Line {
    /// Readable when there is a command.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Connections that the broker makes to itself, by their own address: whose they are is known before they arrive.
#[derive(Debug, Default)]
pub(crate) struct Bridges {
    expected: Mutex<HashMap<SocketAddr, Arc<Queue>>>,
    count: AtomicUsize,
}

impl Bridges {
    /// Expects a connection from `from`; taken back when the guard is dropped.
    pub(crate) fn expect(self: &Arc<Self>, from: SocketAddr, queue: Arc<Queue>) -> Expected {
        let mut expected = lock(&self.expected);
        expected.insert(from, queue);
        self.count.store(expected.len(), Ordering::Release);
        Expected { bridges: Arc::clone(self), from }
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
        queue
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

/// A lock that is never poisoned for good: nothing that panics runs under it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The local address of a connection.
pub(crate) fn local_address(socket: impl AsFd) -> Option<SocketAddr> {
    rustix::net::getsockname(socket).ok()?.try_into().ok()
}

/// The initiator's address.
pub(crate) fn peer_address(socket: impl AsFd) -> Option<SocketAddr> {
    rustix::net::getpeername(socket).ok()??.try_into().ok()
}

/// An address for logs, if it is known.
pub(crate) fn shown(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

/// Only used where an address stands alone.
pub(crate) fn at_port(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}
