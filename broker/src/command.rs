//! What the rest of the broker says to the accept loop, and the loop to the rest.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use crate::connection::Connection;
use crate::here::Asked;
use crate::listening::Listening;
use crate::lock::lock;
use crate::routes::holder::{Holder, StaticRoute};
use crate::routes::queue::Queue;

/// What the loop leaves to tokio, because it waits for others than the initiator.
#[derive(Debug)]
pub(crate) enum Job {
    /// Connect to a back-end that has to be waited for, and relay.
    Relay(Connection, Arc<StaticRoute>),
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
    /// A connection could not be relayed, and why.
    NotRelayed(Connection, Holder, String),
    /// Connections that a helper accepted and cannot finish.
    Again(Vec<Left>),
    /// A worker has given this connection back: as if it was just accepted.
    Returned(OwnedFd),
    /// A queue with connections in it that nobody watches yet.
    Watch(Arc<Queue>),
    /// A registration has ended: dispatch again what its worker left behind.
    Ended(Arc<Queue>),
    /// So has this one, whose worker has left and was waited for: nobody takes what waits.
    Unclaimed(Arc<Queue>),
    /// Descriptors ran out elsewhere: close some connections that have waited longest for their preamble.
    MakeRoom,
    /// Tell which connections are in the loop.
    ListConnections(Asked),
    /// From now on a preamble may take so long, those that wait already included. Queues may have another bound.
    Reconfigured { receive_timeout: Duration },
    /// End the loop, and leave all that it has, and what comes for it, to another.
    Freeze,
    /// End the loop.
    Stop,
    /// Have a bug.
    #[cfg(test)]
    Panic,
}

/// A connection that a helper leaves to the loop.
#[derive(Debug)]
pub(crate) enum Left {
    /// As if the loop had just accepted it, by a socket that listens on this address.
    Accepted(Connection, SocketAddr),
    /// It is for this queue, which takes no more. That is not to be found out again: a bridge says only once whose it is.
    For(Connection, Arc<Queue>),
}

impl Left {
    pub(crate) fn into_connection(self) -> Connection {
        match self {
            Self::Accepted(connection, _) | Self::For(connection, _) => connection,
        }
    }
}

/// The way into the loop.
#[derive(Debug)]
pub(crate) struct Commands {
    /// `None` when the loop has ended. Whoever waits for a command knows by its end.
    inbox: Mutex<Option<Vec<Command>>>,
    wake: OwnedFd,
}

impl Commands {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            inbox: Mutex::new(Some(Vec::new())),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Says something that is of no interest any more when the loop has ended.
    pub(crate) fn send(&self, command: Command) {
        drop(self.try_send(command));
    }

    /// The same for what may not be forgotten.
    ///
    /// # Errors
    /// The command, if the loop has ended.
    pub(crate) fn try_send(&self, command: Command) -> Result<(), Command> {
        match &mut *lock(&self.inbox) {
            Some(inbox) => inbox.push(command),
            None => return Err(command),
        }
        // Full would mean 2^64 - 2 wake-ups that were never read.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        Ok(())
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

impl AsFd for Commands {
    /// Readable when there is a command.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
