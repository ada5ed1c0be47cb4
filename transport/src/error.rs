//! What can go wrong, whose fault it is, and what to do about it. The texts leave out what [`source`] says.
//!
//! [`source`]: core::error::Error::source

use std::io;

use framing_core::{DecodeError, Fault};
use handoff::{HandoffError, RefusedReason};

use crate::address::Address;

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The address is none of this transport.
    #[error("'{address}' cannot be listened on: {reason}")]
    InvalidAddress {
        /// What was asked for, escaped.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another listener has the address, or another program the port.
    #[error("address already in use: {address}: {holder}")]
    AddressInUse {
        /// What was asked for, escaped.
        address: String,
        /// Who has it, as far as that is known, and what would help.
        holder: String,
    },
    /// A port is to be shared, and no broker runs. It is never enabled by itself.
    #[error(transparent)]
    NoBroker(HandoffError),
    /// The broker refused for another reason than an address in use, or could not be talked to.
    #[error("{address} was not registered with the port sharing broker")]
    Broker {
        /// What was asked for, escaped.
        address: String,
        /// What the broker said, or what went wrong.
        source: HandoffError,
    },
    /// The port cannot be listened on.
    #[error("{address} cannot be listened on")]
    Listen {
        /// What was asked for, escaped.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl RegisterError {
    /// Whether the same attempt may succeed later without anybody changing this program or its rights.
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::AddressInUse { .. } | Self::NoBroker(_) => true,
            Self::InvalidAddress { .. } => false,
            Self::Broker { source: HandoffError::Refused(refused), .. } => {
                matches!(
                    refused.reason,
                    RefusedReason::RegistrationQuotaExceeded | RefusedReason::AddressNotAvailable
                )
            }
            Self::Broker { source, .. } => {
                matches!(source, HandoffError::Closed | HandoffError::NoAnswer { .. } | HandoffError::Io(_))
            }
            Self::Listen { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
        }
    }

    pub(crate) fn own_port(address: &Address, error: io::Error) -> Self {
        let port = address.port();
        let address = address.to_string();
        if error.kind() != io::ErrorKind::AddrInUse {
            return Self::Listen { address, source: explained(error, port) };
        }
        let holder = "another program listens on that port; \
                      if it is the port sharing broker, listen with port sharing switched on";
        Self::AddressInUse { address, holder: holder.into() }
    }

    pub(crate) fn shared_port(address: &Address, error: HandoffError) -> Self {
        let address = address.to_string();
        match error {
            HandoffError::NoBroker { .. } => Self::NoBroker(error),
            HandoffError::Refused(refused) if is_in_use(refused.reason) => {
                Self::AddressInUse { address, holder: refused.message }
            }
            source => Self::Broker { address, source },
        }
    }
}

/// What the kernel says of listening, with what it means where an operator's mistake is behind it.
fn explained(error: io::Error, port: u16) -> io::Error {
    let meaning = match error.kind() {
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that IP address".into(),
        io::ErrorKind::PermissionDenied => handoff::why_not_permitted(port),
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{meaning} ({error})"))
}

fn is_in_use(reason: RefusedReason) -> bool {
    matches!(reason, RefusedReason::ConflictingRegistration | RefusedReason::FailedToListen)
}

/// Why no connection was accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// This process has no descriptor left, or the system no memory. The connection stays where it is: close something or
    /// pause, then accept again.
    #[error("no connection can be accepted now, what waits is kept")]
    AtLimit(#[source] io::Error),
    /// `accept` failed otherwise, for instance because a security module refuses it. Accepting again, which pauses first, helps
    /// only when somebody has mended the cause.
    #[error("the listening socket failed")]
    Io(#[source] io::Error),
    /// The listener was stopped, and nothing is left to accept.
    #[error("the listener was stopped")]
    Stopped,
}

impl AcceptError {
    /// Whether accepting again, after a pause, may succeed.
    pub fn retry_helps(&self) -> bool {
        matches!(self, Self::AtLimit(_))
    }
}

/// Why a session could not be opened, or broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address to call is none of this transport.
    #[error("'{via}' cannot be called: {reason}")]
    InvalidVia {
        /// What was asked for, escaped.
        via: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection to the peer could be made.
    #[error("{via} cannot be reached")]
    Unreachable {
        /// What was asked for, escaped.
        via: String,
        /// The error of the address; of several, what came of each.
        source: io::Error,
    },
    /// The peer answered with a fault.
    #[error("the peer answered with the fault {}{}", name_of(uri), advice(uri))]
    Fault {
        /// The fault's URI.
        uri: String,
    },
    /// The peer breaks the framing protocol, or speaks another one.
    #[error("the peer breaks the framing protocol")]
    Protocol(#[source] DecodeError),
    /// An envelope is larger than the limit: that of [`ListenOptions::limits`](crate::ListenOptions::limits) or
    /// [`ConnectOptions::limits`](crate::ConnectOptions::limits).
    #[error("the peer's envelope is larger than the limit of {limit} octets")]
    EnvelopeTooLarge {
        /// [`framing_core::Limits::envelope`].
        limit: u64,
    },
    /// The peer closed the connection where more had to come.
    #[error("the peer closed the connection before the session had ended")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The peer did not answer in time, sent nothing for as long as a session waits, or did not read what was sent to it.
    #[error("the peer did not answer, or did not read what was sent, within {0:?}")]
    TimedOut(core::time::Duration),
    /// This program asked for what the session does not allow: to send after the end, a second or an empty envelope where
    /// the mode has no place for it, or to go on after a `send` that was cancelled.
    #[error("{0}")]
    Misuse(&'static str),
}

impl TransportError {
    pub(crate) fn unreachable(via: &str, error: io::Error) -> Self {
        let source = if error.kind() == io::ErrorKind::ConnectionRefused {
            let meaning = "no program listens there: the service is not started, or its port is another one";
            io::Error::new(error.kind(), format!("{meaning} ({error})"))
        } else {
            error
        };
        Self::Unreachable { via: via.escape_debug().to_string(), source }
    }

    /// Whether the same attempt may succeed later.
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::Fault { uri } => is_passing(Fault::new(uri)),
            Self::Unreachable { .. } | Self::Closed | Self::Io(_) | Self::TimedOut(_) => true,
            _ => false,
        }
    }

    /// The fault that the peer answered with.
    pub fn fault(&self) -> Option<Fault<'_>> {
        match self {
            Self::Fault { uri } => Some(Fault::new(uri)),
            _ => None,
        }
    }
}

fn is_passing(fault: Fault<'_>) -> bool {
    [Fault::ENDPOINT_UNAVAILABLE, Fault::SERVER_TOO_BUSY, Fault::CONNECTION_DISPATCH_FAILED].contains(&fault)
}

fn name_of(uri: &str) -> String {
    Fault::new(uri).to_string()
}

fn advice(uri: &str) -> &'static str {
    match Fault::new(uri) {
        Fault::ENDPOINT_NOT_FOUND => ": no service listens at that address",
        Fault::ENDPOINT_UNAVAILABLE => ": the service takes no connections now, try again later",
        Fault::SERVER_TOO_BUSY => ": too many connections wait for the service, try again later",
        Fault::CONNECTION_DISPATCH_FAILED => ": the connection could not be handed to the service, try again",
        Fault::CONTENT_TYPE_INVALID => ": the service does not take this encoding",
        Fault::UNSUPPORTED_MODE => ": the service does not take this mode (buffered or streamed)",
        Fault::MAX_MESSAGE_SIZE_EXCEEDED => ": the message is larger than the service takes",
        Fault::UPGRADE_INVALID => ": the service does not take this security upgrade",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_needs_no_privilege_is_not_said_to_need_one() {
        // EPERM comes from filters, EACCES from most else.
        for errno in [rustix::io::Errno::ACCESS, rustix::io::Errno::PERM] {
            let address = Address::parse("net.tcp://localhost:65535/", router::HostNameComparison::default());
            let error = RegisterError::own_port(&address.unwrap(), errno.into());
            assert!(!error.retry_helps());
            let RegisterError::Listen { source, .. } = error else { panic!("{error:?}") };
            assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
            let said = source.to_string();
            assert!(!said.contains("ports below") && said.contains("security module"), "{said}");
        }
    }
}
