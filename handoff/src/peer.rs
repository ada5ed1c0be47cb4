//! A worker, as the broker sees it on the control socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials as PeerCredentialsOption;

use crate::message::Malformed;
use crate::reply::Reply;
use crate::request::{Request, RequestWithConnection};
use crate::wire::{receive_request, request_alone, send_message};

/// Who is at the other end, as the kernel says (`SO_PEERCRED`): at the time it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
    /// The process; 0 if it is in a PID namespace that this process cannot see into.
    pub pid: u32,
}

impl PeerCredentials {
    /// As somebody else has asked the kernel.
    pub fn new(uid: u32, gid: u32, pid: u32) -> Self {
        Self { uid, gid, pid }
    }

    pub(crate) fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        // Not by rustix, whose pid is never 0 by its type.
        let peer = getsockopt(&socket, PeerCredentialsOption)?;
        Ok(Self { uid: peer.uid(), gid: peer.gid(), pid: u32::try_from(peer.pid()).unwrap_or_default() })
    }
}

/// A worker, as the broker sees it.
#[derive(Debug)]
pub struct ControlPeer {
    socket: OwnedFd,
    credentials: PeerCredentials,
}

impl ControlPeer {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let credentials = PeerCredentials::of(socket.as_fd())?;
        Ok(Self { socket, credentials })
    }

    /// Who it is.
    pub fn credentials(&self) -> PeerCredentials {
        self.credentials
    }

    /// Waits for the next request; `None` when the worker has closed the connection. A malformed one is to be answered
    /// ([`Malformed::reply`]) and the connection then closed. To this one a `return` is malformed: it takes no connections back.
    ///
    /// # Errors
    /// Those of `recvmsg`.
    pub fn receive(&self) -> io::Result<Option<Result<Request, Malformed>>> {
        Ok(self.receive_with_connection()?.map(request_alone))
    }

    /// The same, with the connection that [`Request::Return`] gives back.
    ///
    /// # Errors
    /// Those of `recvmsg`.
    pub fn receive_with_connection(&self) -> io::Result<Option<Result<RequestWithConnection, Malformed>>> {
        receive_request(self.socket.as_fd())
    }

    /// Answers; with the accept socket if it is [`Reply::Registered`].
    ///
    /// # Errors
    /// Those of `sendmsg`: `EPIPE` when the worker is gone.
    pub fn send(&self, reply: &Reply, accept_socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
        send_message(self.socket.as_fd(), &reply.to_json(), accept_socket)
    }
}

impl AsFd for ControlPeer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<ControlPeer> for OwnedFd {
    fn from(peer: ControlPeer) -> Self {
        peer.socket
    }
}
