//! The accept socket: a `SOCK_SEQPACKET` pair whose messages carry TCP sockets from the broker to a worker.
//!
//! Each message holds 1 to [`MAX_SOCKETS`] sockets as `SCM_RIGHTS`, in the order of arrival, and as many octets, each the
//! protocol's version, so that `FIONREAD` on the receiving end counts the waiting connections. The broker keeps a copy of the
//! receiving end: what a dead worker had not received is still in it ([`AcceptSocket::drain`]).
//!
//! A worker has an [`AcceptReceiver`], or the asynchronous one of `handoff::tokio`. [`Sockets`], [`receive`], [`receive_lowest`]
//! and [`peek`] are the layer below, one message at a time and without memory of the last one: for a worker that keeps what is
//! left of a message by itself, because several processes share its accept socket (the library of `broker exec`), or that may
//! not allocate.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{DupFlags, Errno};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::message::PROTOCOL_VERSION;

/// How many sockets one message carries at most.
pub const MAX_SOCKETS: usize = 32;

/// One for each socket.
const VERSION_OCTET: u8 = {
    let [octet, 0, 0, 0] = PROTOCOL_VERSION.to_le_bytes() else { panic!("a version is one octet here") };
    octet
};

/// Makes an accept socket: the broker's sending end, and the receiving end that goes to the worker (non-blocking).
///
/// # Errors
/// That of `socketpair`: at the descriptor limit, `EMFILE` or `ENFILE`.
pub fn accept_pair() -> io::Result<(AcceptSender, AcceptSocket)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (sender, receiver) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((AcceptSender(sender), AcceptSocket(receiver)))
}

/// The sending end, held by the broker.
#[derive(Debug)]
pub struct AcceptSender(OwnedFd);

impl AcceptSender {
    /// Hands over up to [`MAX_SOCKETS`] sockets in one message: all or none. Never blocks, allocates nothing. The caller's
    /// copies stay the caller's to close.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn send(&self, sockets: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        if sockets.is_empty() {
            return Ok(());
        }
        let octets = [VERSION_OCTET; MAX_SOCKETS];
        let octets = octets.get(..sockets.len()).ok_or_else(|| SendError::Io(Errno::INVAL.into()))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(sockets));
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(&self.0, &[IoSlice::new(octets)], &mut control, flags) {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN) => Err(SendError::Full),
            Err(Errno::TOOMANYREFS) => Err(SendError::InFlight),
            Err(Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN) => Err(SendError::Gone),
            Err(errno) => Err(SendError::Io(errno.into())),
        }
    }
}

impl AsFd for AcceptSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<AcceptSender> for OwnedFd {
    fn from(sender: AcceptSender) -> Self {
        sender.0
    }
}

impl From<OwnedFd> for AcceptSender {
    /// Takes over a sending end that another process made.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

/// Why sockets were not handed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// `EAGAIN`: the queue is full. Back-pressure; the sending end becomes writable.
    #[error("the accept socket's queue is full")]
    Full,
    /// `ETOOMANYREFS`: this user has too many descriptors in flight. Back-pressure without a wake-up: try again later.
    #[error("too many descriptors in flight")]
    InFlight,
    /// The worker shut its end down, or every copy of it is closed.
    #[error("the worker no longer takes connections")]
    Gone,
    /// Everything else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The receiving end: the worker's, and the copy of it that the broker keeps.
///
/// Both are one open file, so status flags are shared: whether it blocks is the worker's choice, and this type never
/// relies on it.
#[derive(Debug)]
pub struct AcceptSocket(OwnedFd);

impl AcceptSocket {
    /// How many connections wait in the queue (`FIONREAD`).
    ///
    /// # Errors
    /// That of `ioctl`.
    pub fn waiting(&self) -> io::Result<usize> {
        let waiting = rustix::io::ioctl_fionread(&self.0)?;
        Ok(usize::try_from(waiting).unwrap_or(usize::MAX))
    }

    /// A second descriptor of the same receiving end.
    ///
    /// # Errors
    /// `EMFILE` at the descriptor limit.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Takes everything that waits, in order, and gives each connection to `each`; for the broker, once its worker is gone.
    ///
    /// # Errors
    /// [`ReceiveError`], with what has not been taken still in the queue; `each` was called for the others.
    pub fn drain(&self, mut each: impl FnMut(OwnedFd)) -> Result<(), ReceiveError> {
        let mut sockets = Sockets::default();
        loop {
            match receive(self.as_fd(), &mut sockets) {
                Ok(true) => sockets.drain().for_each(&mut each),
                Ok(false) | Err(ReceiveError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for AcceptSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for AcceptSocket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl From<AcceptSocket> for OwnedFd {
    fn from(socket: AcceptSocket) -> Self {
        socket.0
    }
}

/// A worker's accept: one connection at a time out of messages of several.
#[derive(Debug)]
pub struct AcceptReceiver {
    socket: AcceptSocket,
    left: LeftOver,
}

impl AcceptReceiver {
    /// Receives from this socket.
    pub fn new(socket: AcceptSocket) -> Self {
        Self { socket, left: LeftOver::default() }
    }

    /// The next connection; `None` if none waits. Never blocks. The socket is non-blocking and closed on exec.
    ///
    /// # Errors
    /// [`ReceiveError::TooManyOpenFiles`] at the descriptor limit, with nothing lost; [`ReceiveError::Closed`] when the
    /// broker is gone; [`ReceiveError::Malformed`] when it does not speak this protocol.
    pub fn try_accept(&mut self) -> Result<Option<OwnedFd>, ReceiveError> {
        self.left.next(self.socket.as_fd())
    }

    /// How many connections wait, here and in the queue.
    ///
    /// # Errors
    /// That of [`AcceptSocket::waiting`].
    pub fn waiting(&self) -> io::Result<usize> {
        Ok(self.left.0.len().saturating_add(self.socket.waiting()?))
    }

    /// The socket, and what was received and not accepted.
    pub fn into_parts(self) -> (AcceptSocket, impl Iterator<Item = OwnedFd>) {
        (self.socket, self.left.0.into_iter())
    }
}

impl AsFd for AcceptReceiver {
    /// For poll and epoll.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Received with an earlier socket and not accepted yet. Invisible to poll: accept until `None` before waiting.
#[derive(Debug, Default)]
pub(crate) struct LeftOver(pub(crate) VecDeque<OwnedFd>);

impl LeftOver {
    /// The next one; else the first of the next message.
    pub(crate) fn next(&mut self, socket: BorrowedFd<'_>) -> Result<Option<OwnedFd>, ReceiveError> {
        if self.0.is_empty() {
            let mut sockets = Sockets::default();
            if receive(socket, &mut sockets)? {
                self.0.extend(sockets.drain());
            }
        }
        Ok(self.0.pop_front())
    }
}

/// Why there is no connection although the broker may have sent one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// `EMFILE`: this process has no room for the next message's sockets. They stay queued.
    #[error("no descriptor is free for the next connections")]
    TooManyOpenFiles,
    /// Every sending end is closed: the broker is gone, or has ended the registration.
    #[error("the broker closed the accept socket")]
    Closed,
    /// A message is not of this version's form; its sockets were closed.
    #[error("the accept socket carried a message of another form")]
    Malformed,
    /// Everything else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<ReceiveError> for io::Error {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::TooManyOpenFiles => Errno::MFILE.into(),
            ReceiveError::Closed => Self::new(io::ErrorKind::ConnectionAborted, error),
            ReceiveError::Malformed => Self::new(io::ErrorKind::InvalidData, error),
            ReceiveError::Io(error) => error,
        }
    }
}

/// The sockets of one message, without allocation.
#[derive(Debug, Default)]
pub struct Sockets {
    sockets: [Option<OwnedFd>; MAX_SOCKETS],
}

impl Sockets {
    /// Takes them out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = OwnedFd> {
        self.sockets.iter_mut().map_while(Option::take)
    }

    fn len(&self) -> usize {
        self.sockets.iter().take_while(|slot| slot.is_some()).count()
    }

    fn clear(&mut self) {
        self.drain().for_each(drop);
    }
}

/// Receives one message into `into`, whose former content is closed; false if none waits. Never blocks or allocates.
///
/// `recvmsg` throws sockets away that the descriptor table has no room for. So the message is looked at first: a peek
/// installs a copy of each socket, says when not all of them fitted, and leaves the message queued. The message received
/// next is the one that counts (another holder of this end may have been faster); should a thread have taken the room
/// meanwhile, the copies serve.
///
/// # Errors
/// [`ReceiveError`], with nothing lost on [`ReceiveError::TooManyOpenFiles`].
pub fn receive(socket: BorrowedFd<'_>, into: &mut Sockets) -> Result<bool, ReceiveError> {
    receive_beside(socket, into, &mut Sockets::default())
}

/// As [`receive`], and each socket has the lowest descriptor that was free, as `accept` promises: those of the copies, which
/// came first. Costs a system call for each socket more.
///
/// # Errors
/// Those of [`receive`].
pub fn receive_lowest(socket: BorrowedFd<'_>, into: &mut Sockets) -> Result<bool, ReceiveError> {
    let mut copies = Sockets::default();
    let received = receive_beside(socket, into, &mut copies)?;
    for (socket, mut copy) in into.sockets.iter_mut().map_while(Option::as_mut).zip(copies.drain()) {
        if rustix::io::dup3(&*socket, &mut copy, DupFlags::CLOEXEC).is_ok() {
            *socket = copy;
        }
    }
    Ok(received)
}

/// `copies` gets those of the peek.
fn receive_beside(
    socket: BorrowedFd<'_>,
    into: &mut Sockets,
    copies: &mut Sockets,
) -> Result<bool, ReceiveError> {
    match receive_message(socket, copies, RecvFlags::PEEK)? {
        Message::None => return Ok(false),
        Message::Truncated => return Err(ReceiveError::TooManyOpenFiles),
        Message::Malformed | Message::Whole => {}
    }
    match receive_message(socket, into, RecvFlags::empty())? {
        Message::None => Ok(false),
        Message::Whole => Ok(true),
        Message::Truncated => {
            core::mem::swap(into, copies);
            Ok(true)
        }
        Message::Malformed => Err(ReceiveError::Malformed),
    }
}

/// Looks at the first message and leaves it queued: `into` gets a copy of each of its sockets. False if none waits.
///
/// # Errors
/// [`ReceiveError`].
pub fn peek(socket: BorrowedFd<'_>, into: &mut Sockets) -> Result<bool, ReceiveError> {
    match receive_message(socket, into, RecvFlags::PEEK)? {
        Message::None => Ok(false),
        Message::Whole => Ok(true),
        Message::Truncated => Err(ReceiveError::TooManyOpenFiles),
        Message::Malformed => Err(ReceiveError::Malformed),
    }
}

enum Message {
    None,
    Whole,
    Truncated,
    Malformed,
}

/// One `recvmsg`; only of a whole message are the sockets in `into`.
fn receive_message(
    socket: BorrowedFd<'_>,
    into: &mut Sockets,
    flags: RecvFlags,
) -> Result<Message, ReceiveError> {
    into.clear();
    // one octet more than a message has: an over-long one shows
    let mut octets = [0; MAX_SOCKETS + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(&mut octets)], &mut control, flags) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Message::None),
            Err(errno) => return Err(ReceiveError::Io(errno.into())),
        }
    };
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    for (slot, descriptor) in into.sockets.iter_mut().zip(descriptors.flatten()) {
        *slot = Some(descriptor);
    }
    let octets = octets.get(..received.bytes).unwrap_or_default();
    if octets.is_empty() && into.len() == 0 && !received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(ReceiveError::Closed);
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        into.clear();
        return Ok(Message::Truncated);
    }
    if octets.len() != into.len() || octets.iter().any(|octet| *octet != VERSION_OCTET) {
        into.clear();
        return Ok(Message::Malformed);
    }
    Ok(Message::Whole)
}
