//! Why a queue did not take a connection.

use handoff::SendError;
use rustix::io::Errno;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its own bound is reached, or the socket's buffer is full: it becomes writable when the worker takes something.
    Full,
    /// All queues together hold too much, or the kernel has no memory; nothing tells when that changes.
    Crowded,
    /// The worker shut its end down, or the registration has ended.
    Gone,
    /// The kernel refused for another reason.
    Failed(Errno),
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Full => Self::Full,
            SendError::InFlight => Self::Crowded,
            SendError::Gone => Self::Gone,
            SendError::Io(error) => match Errno::from_io_error(&error) {
                // The kernel has no memory for a message just now.
                Some(Errno::NOBUFS | Errno::NOMEM | Errno::INTR) => Self::Crowded,
                error => Self::Failed(error.unwrap_or(Errno::IO)),
            },
            _ => Self::Failed(Errno::IO),
        }
    }
}
