//! A connection that a worker gives back: what it has to be, so that it can be routed as one that was just accepted.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use handoff::{Refused, RefusedReason};
use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};

use super::denied::refused;
use crate::socket_options::{as_accepted, local_address, may_still_be_served};

/// A worker may send any descriptor. What it does with its own copy afterwards harms nobody but whoever is at the other end, with
/// whom it could have done anything before.
#[derive(Debug)]
pub(crate) struct GivenBack {
    pub(crate) socket: OwnedFd,
    /// Where it was accepted.
    pub(crate) local: SocketAddr,
}

impl GivenBack {
    /// A connection, if it is one.
    ///
    /// # Errors
    /// What the worker is told.
    pub(crate) fn new(socket: OwnedFd) -> Result<Self, Refused> {
        let local =
            if is_tcp(&socket) && may_still_be_served(&socket) { local_address(&socket) } else { None };
        let Some(local) = local else {
            let message = "what was given back is no TCP socket that is connected and whose own end is open";
            return Err(refused(RefusedReason::InvalidArgument, None, message.to_owned()));
        };
        as_accepted(&socket);
        Ok(Self { socket, local })
    }
}

/// The broker has nothing to do with connections of other ports, and when it ends with none.
pub(super) fn not_listened_on(local: SocketAddr) -> Refused {
    let message = format!("the broker does not listen on {local}, where this connection came in");
    refused(RefusedReason::InvalidArgument, None, message)
}

fn is_tcp(socket: &OwnedFd) -> bool {
    let inet = sockopt::socket_domain(socket)
        .is_ok_and(|family| matches!(family, AddressFamily::INET | AddressFamily::INET6));
    inet && sockopt::socket_type(socket) == Ok(SocketType::STREAM)
        && sockopt::socket_protocol(socket) == Ok(Some(ipproto::TCP))
}

/// There was no descriptor for it.
pub(super) fn not_received() -> Refused {
    let message = "the broker has no descriptor left for the connection";
    refused(RefusedReason::RegistrationQuotaExceeded, None, message.to_owned())
}
