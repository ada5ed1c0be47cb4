//! The control socket and the accept socket for asynchronous programs (feature `tokio`).
//!
//! A worker:
//!
//! ```no_run
//! use handoff::{Register, control_path, tokio::AsyncControlConnection};
//! use tokio::net::TcpStream;
//!
//! # async fn worker() -> Result<(), Box<dyn std::error::Error>> {
//! let mut control = AsyncControlConnection::connect(&control_path()).await?;
//! let (_id, mut accept_socket) = control.register(&Register::new(["net.tcp://localhost:9000/calc"])).await?;
//! loop {
//!     // Non-blocking already, and nothing was read from it.
//!     let connection = TcpStream::from_std(accept_socket.accept().await?.into())?;
//!     println!("from {}", connection.peer_addr()?);
//! }
//! # }
//! ```
//!
//! tokio has no `SOCK_SEQPACKET` type; its `UnixStream` carries one, and `async_io` does the right system call on it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ::tokio::io::Interest;
use ::tokio::net::{UnixListener, UnixStream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};

use crate::accept_socket::{AcceptSocket, LeftOver};
use crate::administration::{Drained, Which};
use crate::control::{ControlConnection, ControlListener, PeerCredentials};
use crate::error::HandoffError;
use crate::message::Malformed;
use crate::reply::{Registered, Reply, Routed};
use crate::request::{Register, Request, RequestWithConnection, Route};
use crate::wire::{
    ReplyWithDescriptor, accept_socket_of, closed_if_broken, drained_of, receive_reply, receive_request,
    request_alone, routed_of, send_message, unregistered_of,
};

fn stream(socket: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// The broker's listening end.
#[derive(Debug)]
pub struct AsyncControlListener {
    socket: UnixListener,
    listener: ControlListener,
}

impl AsyncControlListener {
    /// Accepts from this listener. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// Those of `dup` and of registering with the runtime.
    pub fn new(listener: ControlListener) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixListener::from(listener.as_fd().try_clone_to_owned()?);
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixListener::from_std(socket)?, listener })
    }

    /// Waits for a worker.
    ///
    /// # Errors
    /// Those of `accept`; at the descriptor limit `EMFILE`, and the worker stays queued.
    ///
    /// # Cancel safety
    /// Cancelled, no worker is lost.
    pub async fn accept(&self) -> io::Result<AsyncControlPeer> {
        let (stream, _) = self.socket.accept().await?;
        let credentials = PeerCredentials::of(stream.as_fd())?;
        Ok(AsyncControlPeer { stream, credentials })
    }

    /// The control socket's path.
    pub fn path(&self) -> &Path {
        self.listener.path()
    }

    /// What it was made of.
    pub fn listener(&self) -> &ControlListener {
        &self.listener
    }

    /// Whether the path does not lead here any more; see [`ControlListener::is_displaced`].
    pub fn is_displaced(&self) -> bool {
        self.listener.is_displaced()
    }

    /// Stops listening and removes the path; see [`ControlListener::remove`].
    pub fn remove(self) {
        self.listener.remove();
    }
}

impl AsFd for AsyncControlListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// A worker, as the broker sees it.
#[derive(Debug)]
pub struct AsyncControlPeer {
    stream: UnixStream,
    credentials: PeerCredentials,
}

impl AsyncControlPeer {
    /// Goes on with a connection that another process has accepted and passed on. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// Those of `getsockopt` and of registering with the runtime.
    pub fn from_socket(socket: OwnedFd) -> io::Result<Self> {
        let credentials = PeerCredentials::of(socket.as_fd())?;
        Ok(Self { stream: stream(socket)?, credentials })
    }

    /// Waits until there is something to receive, or the worker has closed the connection, and receives nothing.
    ///
    /// # Errors
    /// The runtime ends.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Who it is.
    pub fn credentials(&self) -> PeerCredentials {
        self.credentials
    }

    /// Waits for the next request; `None` when the worker has closed the connection; see
    /// [`ControlPeer::receive`](crate::ControlPeer::receive).
    ///
    /// # Errors
    /// Those of `recvmsg`.
    ///
    /// # Cancel safety
    /// Cancelled, no request is lost.
    pub async fn receive(&self) -> io::Result<Option<Result<Request, Malformed>>> {
        Ok(self.receive_with_connection().await?.map(request_alone))
    }

    /// The same, with the connection that is given back; see
    /// [`ControlPeer::receive_with_connection`](crate::ControlPeer::receive_with_connection).
    ///
    /// # Errors
    /// Those of `recvmsg`.
    ///
    /// # Cancel safety
    /// Cancelled, no request and no connection is lost.
    pub async fn receive_with_connection(
        &self,
    ) -> io::Result<Option<Result<RequestWithConnection, Malformed>>> {
        self.stream.async_io(Interest::READABLE, || receive_request(self.stream.as_fd())).await
    }

    /// Answers; with the accept socket if it is [`Reply::Registered`].
    ///
    /// # Errors
    /// Those of `sendmsg`: `EPIPE` when the worker is gone.
    ///
    /// # Cancel safety
    /// Cancelled, the reply was sent whole or not at all.
    pub async fn send(&self, reply: &Reply, accept_socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let json = reply.to_json();
        self.stream
            .async_io(Interest::WRITABLE, || send_message(self.stream.as_fd(), &json, accept_socket))
            .await
    }

    /// Whether the worker's end is closed already, without waiting: asked before a new registration is refused because of
    /// this worker's.
    pub fn has_ended(&self) -> bool {
        polled(self.stream.as_fd(), PollFlags::RDHUP | PollFlags::HUP)
    }

    /// Whether nobody can read an answer any more, without waiting: the worker's end is closed, not only for sending. Asked before
    /// a request is carried out.
    pub fn is_gone(&self) -> bool {
        polled(self.stream.as_fd(), PollFlags::HUP)
    }
}

impl AsFd for AsyncControlPeer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn polled(socket: BorrowedFd<'_>, signs: PollFlags) -> bool {
    let mut sockets = [PollFd::from_borrowed_fd(socket, signs)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut sockets, Some(&now)).is_ok() && sockets.iter().any(|socket| socket.revents().intersects(signs))
}

/// A worker's control connection. Closing it ends its registrations.
#[derive(Debug)]
pub struct AsyncControlConnection {
    stream: UnixStream,
    path: PathBuf,
}

impl AsyncControlConnection {
    /// Connects to the broker.
    ///
    /// # Errors
    /// As [`ControlConnection::connect`].
    ///
    /// # Cancel safety
    /// Cancelled, there is no connection.
    pub async fn connect(path: &Path) -> Result<Self, HandoffError> {
        // connecting to a Unix socket waits only when the broker has some thousand connections to accept
        let connection = ControlConnection::connect(path)?;
        Ok(Self { stream: stream(connection.into())?, path: path.to_owned() })
    }

    /// The control socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Registers; gives the registration and its accept socket.
    ///
    /// # Errors
    /// As [`ControlConnection::register`], but for [`HandoffError::NoAnswer`]: how long it waits is the caller's to bound
    /// (`tokio::time::timeout`).
    ///
    /// # Cancel safety
    /// None: close the connection if it is cancelled.
    pub async fn register(
        &mut self,
        register: &Register,
    ) -> Result<(Registered, AsyncAcceptSocket), HandoffError> {
        let reply = self.ask(&Request::Register(register.clone())).await?;
        let (registered, socket) = accept_socket_of(reply)?;
        Ok((registered, AsyncAcceptSocket::new(socket)?))
    }

    /// Ends one registration.
    ///
    /// # Errors
    /// As [`ControlConnection::unregister`], but for [`HandoffError::NoAnswer`].
    ///
    /// # Cancel safety
    /// None: close the connection if it is cancelled.
    pub async fn unregister(&mut self, id: u64) -> Result<(), HandoffError> {
        let reply = self.ask(&Request::Unregister { id }).await?;
        unregistered_of(reply, id)
    }

    /// Gives a registration no new connections, and says what still waits for it. A worker may ask this of a registration of this
    /// control connection, and may ask again to see how that goes on; of others only an administrator may.
    ///
    /// # Errors
    /// As [`ControlConnection::drain`], but for [`HandoffError::NoAnswer`].
    ///
    /// # Cancel safety
    /// None: close the connection if it is cancelled.
    pub async fn drain(&mut self, which: &Which) -> Result<Vec<Drained>, HandoffError> {
        drained_of(self.ask(&Request::Drain(which.clone())).await?)
    }

    /// Gives it new connections again.
    ///
    /// # Errors
    /// As [`ControlConnection::undrain`], but for [`HandoffError::NoAnswer`].
    ///
    /// # Cancel safety
    /// None: close the connection if it is cancelled.
    pub async fn undrain(&mut self, which: &Which) -> Result<Vec<Drained>, HandoffError> {
        drained_of(self.ask(&Request::Undrain(which.clone())).await?)
    }

    /// Asks where a connection would go.
    ///
    /// # Errors
    /// As [`ControlConnection::route`], but for [`HandoffError::NoAnswer`].
    ///
    /// # Cancel safety
    /// None: close the connection if it is cancelled.
    pub async fn route(&mut self, route: &Route) -> Result<Routed, HandoffError> {
        routed_of(self.ask(&Request::Route(route.clone())).await?)
    }

    /// Waits until the broker is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn closed(&self) {
        // between requests nothing comes from the broker but the end; a broker that sends something else is to be left, too
        let end = self.stream.async_io(Interest::READABLE, || {
            Ok(recv(&self.stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT)?)
        });
        let _ = end.await;
    }

    pub(crate) async fn ask(&mut self, request: &Request) -> Result<ReplyWithDescriptor, HandoffError> {
        self.ask_with(request, None).await
    }

    pub(crate) async fn ask_with(
        &mut self,
        request: &Request,
        connection: Option<BorrowedFd<'_>>,
    ) -> Result<ReplyWithDescriptor, HandoffError> {
        let json = request.to_json();
        let socket = self.stream.as_fd();
        let sent = self.stream.async_io(Interest::WRITABLE, || send_message(socket, &json, connection)).await;
        sent.map_err(closed_if_broken)?;
        let reply = self.stream.async_io(Interest::READABLE, || match receive_reply(socket) {
            Err(HandoffError::Io(error)) => Err(error),
            other => Ok(other),
        });
        reply.await.map_err(HandoffError::from)?
    }
}

impl AsFd for AsyncControlConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A worker's accept socket.
#[derive(Debug)]
pub struct AsyncAcceptSocket {
    stream: UnixStream,
    left: LeftOver,
}

impl AsyncAcceptSocket {
    /// Accepts from this socket. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// Those of registering with the runtime.
    pub fn new(socket: AcceptSocket) -> io::Result<Self> {
        Ok(Self { stream: stream(socket.into())?, left: LeftOver::default() })
    }

    /// Waits for the next connection. The socket is non-blocking and closed on exec.
    ///
    /// # Errors
    /// `EMFILE` at the descriptor limit: nothing is lost, and the caller should pause before it tries again;
    /// `ConnectionAborted` when the broker is gone or has ended the registration; `InvalidData` when it does not speak this
    /// protocol.
    ///
    /// # Cancel safety
    /// Cancelled, no connection is lost.
    pub async fn accept(&mut self) -> io::Result<OwnedFd> {
        let Self { stream, left } = self;
        let next = || left.next(stream.as_fd())?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
        stream.async_io(Interest::READABLE, next).await
    }

    /// One of those that came in a message with others and were not accepted, if any is left. Receives nothing.
    pub fn take_received(&mut self) -> Option<OwnedFd> {
        self.left.0.pop_front()
    }

    /// Closes the socket; gives what came in a message with others and was not accepted. What is still queued is the
    /// broker's to take back.
    pub fn into_received(self) -> impl Iterator<Item = OwnedFd> {
        self.left.0.into_iter()
    }
}

impl AsFd for AsyncAcceptSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
