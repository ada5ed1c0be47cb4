//! What a worker asks about a connection whose session has ended: clients use connections again, for other Vias of the same port too.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use crate::control::ControlConnection;
use crate::error::HandoffError;
use crate::request::Request;
#[cfg(feature = "tokio")]
use crate::tokio::AsyncControlConnection;
use crate::wire::{returned_of, validated_of};

/// The body of a `validate` request: what has come on a connection whose session has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Validate {
    /// The Via of the next session.
    pub via: String,
    /// The local address and port of the connection, such as `192.0.2.5:808`.
    pub local: SocketAddr,
}

impl Validate {
    /// A session with this Via, on a connection with this local address.
    pub fn new(via: impl Into<String>, local: SocketAddr) -> Self {
        Self { via: via.into(), local }
    }
}

impl ControlConnection {
    /// Asks whether a connection that this worker has would be its own with another Via: gives the registration of this control
    /// connection that it would go to, `None` if it would go elsewhere.
    ///
    /// # Errors
    /// As [`ControlConnection::route`].
    pub fn validate(&mut self, validate: &Validate) -> Result<Option<u64>, HandoffError> {
        validated_of(self.ask(&Request::Validate(validate.clone()))?)
    }

    /// Gives a connection back that came by the registration `id`. The broker routes it as if it had just been accepted, so
    /// nothing may have been read of what is to be routed, and it may be in no epoll instance. The caller closes its own
    /// descriptor, whatever comes of it; refused, the connection is still its own.
    ///
    /// Ask [`ControlConnection::validate`] first: a broker that is too old for both says so to that, and closes the control
    /// connection to this.
    ///
    /// # Errors
    /// As [`ControlConnection::validate`]; [`InvalidArgument`](crate::RefusedReason::InvalidArgument) if it is no connection of a
    /// port that the broker listens on, or `id` none of this control connection;
    /// [`RegistrationQuotaExceeded`](crate::RefusedReason::RegistrationQuotaExceeded) if the broker has no descriptor for it.
    pub fn give_back(&mut self, id: u64, connection: BorrowedFd<'_>) -> Result<(), HandoffError> {
        self.send(&Request::Return { id }, Some(connection))?;
        returned_of(self.receive()?)
    }
}

#[cfg(feature = "tokio")]
impl AsyncControlConnection {
    /// Asks whether a connection that this worker has would be its own with another Via.
    ///
    /// # Errors
    /// As [`ControlConnection::validate`], but for [`HandoffError::NoAnswer`].
    ///
    /// # Cancel safety
    /// None: close the connection if it is cancelled.
    pub async fn validate(&mut self, validate: &Validate) -> Result<Option<u64>, HandoffError> {
        validated_of(self.ask(&Request::Validate(validate.clone())).await?)
    }

    /// Gives a connection back. It may be registered with no runtime any more (`TcpStream::into_std`).
    ///
    /// # Errors
    /// As [`ControlConnection::give_back`], but for [`HandoffError::NoAnswer`].
    ///
    /// # Cancel safety
    /// None: close the connection if it is cancelled.
    pub async fn give_back(&mut self, id: u64, connection: BorrowedFd<'_>) -> Result<(), HandoffError> {
        returned_of(self.ask_with(&Request::Return { id }, Some(connection)).await?)
    }
}
