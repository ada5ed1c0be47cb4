//! Why the broker refuses a request.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::printable::printable;

/// The body of a `refused` reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Refused {
    /// Why, for programs.
    pub reason: RefusedReason,
    /// Which of the addresses, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why, for an operator; names the other side of a conflict. It may have words of strangers in it: when it is made, and when
    /// it is read, it becomes [`printable`].
    #[serde(default, deserialize_with = "printable_text")]
    pub message: String,
}

fn printable_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| printable(&text))
}

impl Refused {
    /// A refusal, with the address that is to blame, if one is.
    pub fn new(reason: RefusedReason, address: Option<&str>, message: impl AsRef<str>) -> Self {
        Self { reason, address: address.map(str::to_owned), message: printable(message.as_ref()) }
    }
}

/// Why a request was refused: the original service's statuses, and three of this protocol. Snake case on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusedReason {
    /// The address is registered by someone else.
    ConflictingRegistration,
    /// The port could not be opened.
    FailedToListen,
    /// The IP address is none of this machine, or none that the broker may listen on.
    AddressNotAvailable,
    /// The broker has no right to open the port: one below 1024, say.
    PortNotPermitted,
    /// The address is over 2048 octets.
    PathTooLong,
    /// The scheme is not `net.tcp`.
    ProtocolUnsupported,
    /// `protocol` is a version the broker does not speak.
    VersionUnsupported,
    /// A member has a value that makes no sense.
    InvalidArgument,
    /// The peer holds as many registrations as it may.
    RegistrationQuotaExceeded,
    /// The peer may not register (its `SO_PEERCRED` decides).
    AccessDenied,
    /// No JSON of the protocol's form, an over-long message or an unexpected descriptor; the connection is closed after it.
    Malformed,
    /// A request the broker does not know; the connection stays.
    NotSupported,
    /// A reason of a newer broker.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for RefusedReason {
    /// As on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
