//! Why the registry refuses a request. What is to be said of another program stands in `/proc`, maybe in that of the last of
//! thousands of processes: it is looked up by whoever tells, not by the registry, for which others wait.

use std::io;

use handoff::{Refused, RefusedReason};
use router::Prefix;

use crate::listening::ListenError;
use crate::listening::owner::process;

/// See the module.
#[derive(Debug)]
pub(crate) enum Denied {
    /// All is known.
    Known(Refused),
    /// A registered address whose port cannot be opened.
    NotOpened(String, ListenError),
    /// An address that somebody has: which of the registered ones it is, its worker's process, and what else stands in the way.
    Registered { address: String, existing: String, pid: u32, note: &'static str },
    /// There is no descriptor for the accept socket.
    NoDescriptor(io::Error),
}

impl Denied {
    pub(crate) fn not_opened(prefix: &Prefix, error: ListenError) -> Self {
        Self::NotOpened(prefix.address().to_owned(), error)
    }

    pub(crate) fn reason(&self) -> RefusedReason {
        match self {
            Self::Known(refused) => refused.reason,
            Self::NotOpened(_, error) => error.reason(),
            Self::Registered { .. } => RefusedReason::ConflictingRegistration,
            Self::NoDescriptor(_) => RefusedReason::RegistrationQuotaExceeded,
        }
    }

    /// Descriptors have run out: connections that only wait may make room.
    pub(crate) fn is_shortage(&self) -> bool {
        match self {
            Self::NoDescriptor(_) => true,
            Self::NotOpened(_, error) => error.is_shortage(),
            _ => false,
        }
    }

    /// What the worker is told. Looks the other program up: that may take long.
    pub(crate) fn told(self) -> Refused {
        let reason = self.reason();
        match self {
            Self::Known(refused) => refused,
            Self::NotOpened(address, error) => refused(reason, Some(&address), error.explained()),
            Self::Registered { address, existing, pid, note } => {
                let message = already_registered(&address, &existing, &process(pid)) + note;
                refused(reason, Some(&address), message)
            }
            Self::NoDescriptor(error) => {
                let message = format!("the broker has no descriptor for another registration: {error}");
                refused(reason, None, message)
            }
        }
    }
}

/// The same address may be written in another way.
pub(crate) fn already_registered(address: &str, existing: &str, by: &str) -> String {
    let written = if address == existing { String::new() } else { format!(", as {existing}") };
    format!("{address} is already registered{written} by {by}")
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self::Known(refused)
    }
}

/// How much of a request is repeated in a reply: JSON may make six octets of one, and four of a character.
const ROOM: usize = handoff::MAX_MESSAGE / 16;

/// An address that would not leave room in the reply for the rest is not repeated. The message may have words of another
/// worker in it, its name and its addresses, and this one may print it.
pub(crate) fn refused(reason: RefusedReason, address: Option<&str>, message: String) -> Refused {
    let address = address.filter(|address| address.len() <= ROOM);
    Refused::new(reason, address, message.chars().take(ROOM).collect::<String>())
}
