//! The way back to the listener, for connections whose session has ended.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::connection::Connection;

/// A connection whose session has ended, on its way back to the listener, which may be gone.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) connection: Connection,
    pub(crate) via: String,
    /// One of the connections that may wait for another session.
    pub(crate) room: OwnedSemaphorePermit,
}

/// The way back to the listener.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    sender: mpsc::UnboundedSender<Returned>,
    room: Arc<Semaphore>,
}

impl Home {
    /// The way for at most `room` connections at a time, and where they come out.
    pub(crate) fn new(room: usize) -> (Self, mpsc::UnboundedReceiver<Returned>) {
        let (sender, returned) = mpsc::unbounded_channel();
        (Self { sender, room: Arc::new(Semaphore::new(room)) }, returned)
    }

    /// Without room, or without a listener, the connection is closed.
    pub(crate) fn take_back(&self, connection: Connection, via: String) {
        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            drop(self.sender.send(Returned { connection, via, room }));
        }
    }
}
