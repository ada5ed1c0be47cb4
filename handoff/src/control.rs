//! The control socket: the broker's listening end and the worker's connection.
//!
//! A Unix `SOCK_SEQPACKET` socket. Its path appears only when it is listening: it is bound under another name and renamed.
//! Who may register is decided from [`PeerCredentials`], never from a claim.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::accept_socket::AcceptSocket;
use crate::administration::admin_path;
use crate::alone::alone_in;
use crate::error::HandoffError;
pub use crate::peer::{ControlPeer, PeerCredentials};
use crate::reply::{Registered, Routed};
use crate::request::{Register, Request, Route};
use crate::wire::{
    ReplyWithDescriptor, accept_socket_of, closed_if_broken, receive_reply, routed_of, send_message,
    unregistered_of,
};

/// What `sockaddr_un` has room for: Linux asks for no final zero.
const LONGEST_PATH: usize = 108;

/// How the control socket's file is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ControlOptions {
    /// The permission bits. The default, 0666, lets everyone ask, and [`PeerCredentials`] decides; 0660 with a `group`
    /// leaves the decision about group members to the file system, which knows supplementary groups.
    pub mode: u32,
    /// The numeric group of the file; none leaves it.
    pub group: Option<u32>,
    /// How many connections wait for [`ControlListener::accept`].
    pub backlog: i32,
}

impl Default for ControlOptions {
    fn default() -> Self {
        Self { mode: 0o666, group: None, backlog: 1024 }
    }
}

impl ControlOptions {
    /// Admits a group: mode 0660.
    #[must_use]
    pub fn with_group(self, group: u32) -> Self {
        Self { mode: 0o660, group: Some(group), ..self }
    }
}

/// The broker's listening end.
#[derive(Debug)]
pub struct ControlListener {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the file that was bound.
    file: (u64, u64),
}

impl ControlListener {
    /// Binds and listens. The folder is made if it is missing; a socket that nobody listens on is replaced.
    ///
    /// While another broker starts in the same folder it waits, for 2 s at most; that is a blocking wait, also under a runtime.
    ///
    /// # Errors
    /// [`HandoffError::AlreadyRunning`] if another broker listens there, [`HandoffError::NoSocket`] or
    /// [`HandoffError::OtherSocket`] if something else stands there, [`HandoffError::PathTooLong`], [`HandoffError::Io`] for the
    /// rest, such as a folder that cannot be written.
    pub fn bind(path: &Path, options: &ControlOptions) -> Result<Self, HandoffError> {
        fs::create_dir_all(path.parent().unwrap_or_else(|| Path::new("")))?;
        let (socket, unfinished) = bind_beside(path, path, options)?;
        rustix::net::listen(&socket, options.backlog)?;
        let file = identity(&unfinished.0)?;
        let _alone = alone_in(path.parent());
        rename_unless_in_use(&unfinished.0, path)?;
        Ok(Self { socket, path: path.to_owned(), file })
    }

    /// Goes on with a listening socket that another process has bound to `path` and passed on; `file` is its
    /// [`ControlListener::file`].
    pub fn inherited(socket: OwnedFd, path: &Path, file: (u64, u64)) -> Self {
        Self { socket, path: path.to_owned(), file }
    }

    /// Device and inode of the file that was bound.
    pub fn file(&self) -> (u64, u64) {
        self.file
    }

    /// Gives the file these permissions, if the path still leads here: for a socket that was bound with other ones.
    ///
    /// # Errors
    /// Those of `chmod` and `chown`.
    pub fn permit(&self, options: &ControlOptions) -> io::Result<()> {
        if self.is_displaced() {
            return Ok(());
        }
        if options.group.is_some() {
            std::os::unix::fs::chown(&self.path, None, options.group)?;
        }
        fs::set_permissions(&self.path, fs::Permissions::from_mode(options.mode))
    }

    /// Whether [`ControlListener::bind`] could bind, now and here, as far as that is seen without it; and the process of a broker that
    /// listens there already, 0 if that cannot be known. A file is made beside the path, or above it where its folder is missing, and
    /// removed.
    ///
    /// # Errors
    /// As for [`ControlListener::bind`], but for [`HandoffError::AlreadyRunning`].
    pub fn check(path: &Path, options: &ControlOptions) -> Result<Option<u32>, HandoffError> {
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let folder = folder.ancestors().find(|folder| folder.exists()).unwrap_or_else(|| Path::new("."));
        if !folder.is_dir() {
            return Err(io::Error::from(Errno::NOTDIR).into());
        }
        bind_beside(path, &folder.join(path.file_name().unwrap_or(path.as_os_str())), options)?;
        match fs::symlink_metadata(path) {
            Err(_) => return Ok(None),
            Ok(there) if there.file_type().is_socket() => {}
            Ok(_) => return Err(HandoffError::NoSocket { path: path.to_owned() }),
        }
        match ControlConnection::connect(path) {
            Ok(broker) => Ok(Some(PeerCredentials::of(broker.socket.as_fd())?.pid)),
            Err(HandoffError::NoBroker { .. }) => Ok(None),
            Err(error @ (HandoffError::Io(_) | HandoffError::OtherSocket { .. })) => Err(error),
            Err(_) => Ok(Some(0)),
        }
    }

    /// The control socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a worker.
    ///
    /// # Errors
    /// Those of `accept`; at the descriptor limit `EMFILE`, and the worker stays queued.
    pub fn accept(&self) -> io::Result<ControlPeer> {
        let socket = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC)?;
        ControlPeer::new(socket)
    }

    /// Whether the path does not lead here any more: the file was removed, or another has taken its place. Workers that are
    /// connected stay so; no new one finds the way.
    pub fn is_displaced(&self) -> bool {
        match identity(&self.path) {
            Ok(file) => file != self.file,
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Removes the path, if it is still the one that was bound. Otherwise the file stays, as it must when a next broker
    /// process inherits the socket.
    pub fn remove(self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl AsFd for ControlListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket for this path, under another name in the folder of `there`; nobody can connect before `listen`.
fn bind_beside(
    path: &Path,
    there: &Path,
    options: &ControlOptions,
) -> Result<(OwnedFd, Unfinished), HandoffError> {
    static STARTS: AtomicU32 = AtomicU32::new(0);
    let own = format!(".{}.{}", std::process::id(), STARTS.fetch_add(1, Ordering::Relaxed));
    let with_own = |path: &Path| {
        let mut unfinished = OsString::from(path);
        unfinished.push(&own);
        PathBuf::from(unfinished)
    };
    let too_long = |longest: usize| HandoffError::PathTooLong {
        path: path.to_owned(),
        longest: longest.saturating_sub(own.len()),
    };
    address(&with_own(path)).map_err(too_long)?;
    let unfinished = Unfinished(with_own(there));
    let _ = fs::remove_file(&unfinished.0);
    let socket = seqpacket()?;
    rustix::net::bind(&socket, &address(&unfinished.0).map_err(too_long)?)?;
    fs::set_permissions(&unfinished.0, fs::Permissions::from_mode(options.mode))?;
    if options.group.is_some() {
        std::os::unix::fs::chown(&unfinished.0, None, options.group)?;
    }
    Ok((socket, unfinished))
}

/// A file that is removed unless it was renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn rename_unless_in_use(from: &Path, to: &Path) -> Result<(), HandoffError> {
    loop {
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            other => return Ok(other?),
        }
        let Ok(there) = fs::symlink_metadata(to) else { continue };
        if !there.file_type().is_socket() {
            return Err(HandoffError::NoSocket { path: to.to_owned() });
        }
        match ControlConnection::connect(to) {
            Err(HandoffError::NoBroker { .. }) => {}
            Err(error @ (HandoffError::Io(_) | HandoffError::OtherSocket { .. })) => return Err(error),
            Ok(_) | Err(_) => return Err(HandoffError::AlreadyRunning { path: to.to_owned() }),
        }
        match fs::remove_file(to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
}

/// A worker's control connection. Closing it ends its registrations.
#[derive(Debug)]
pub struct ControlConnection {
    socket: OwnedFd,
    path: PathBuf,
    /// How long the broker is waited for.
    timeout: Option<Duration>,
}

impl ControlConnection {
    /// Connects to the broker.
    ///
    /// # Errors
    /// [`HandoffError::NoBroker`] if nothing listens there, [`HandoffError::OtherSocket`] if another program does,
    /// [`HandoffError::NoSocket`] if it is another kind of file, [`HandoffError::AccessDenied`] if the file's permissions say so, [`HandoffError::PathTooLong`], else
    /// [`HandoffError::Io`].
    pub fn connect(path: &Path) -> Result<Self, HandoffError> {
        let socket = seqpacket()?;
        let path = path.to_owned();
        let address = match address(&path) {
            Ok(address) => address,
            Err(longest) => return Err(HandoffError::PathTooLong { path, longest }),
        };
        match rustix::net::connect(&socket, &address) {
            Ok(()) => Ok(Self { socket, path, timeout: None }),
            Err(Errno::CONNREFUSED) if path.metadata().is_ok_and(|file| !file.file_type().is_socket()) => {
                Err(HandoffError::NoSocket { path })
            }
            Err(Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR) => Err(HandoffError::NoBroker { path }),
            Err(Errno::PROTOTYPE) => Err(HandoffError::OtherSocket { path }),
            Err(Errno::ACCESS | Errno::PERM) => Err(HandoffError::AccessDenied { path }),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Connects to ask what an administrator may: on the socket for members of the broker's `[admin] group` if there is one and it
    /// lets us in, else on `path` itself.
    ///
    /// # Errors
    /// As [`ControlConnection::connect`].
    pub fn connect_as_administrator(path: &Path) -> Result<Self, HandoffError> {
        Self::connect(&admin_path(path)).or_else(|_| Self::connect(path))
    }

    /// Bounds each wait for the broker; `None` waits for ever, the default.
    ///
    /// # Errors
    /// Those of `setsockopt`: a zero duration is `EINVAL`.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, timeout)?;
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Send, timeout)?;
        self.timeout = timeout;
        Ok(())
    }

    /// Registers; gives the registration and its accept socket.
    ///
    /// # Errors
    /// [`HandoffError::Refused`] with the broker's reason, and the connection goes on, unless that is
    /// [`Malformed`](crate::RefusedReason::Malformed). After the others it is to be closed: [`HandoffError::Closed`] when the broker
    /// has gone; [`HandoffError::NoAnswer`] after the timeout; [`HandoffError::ControlTruncated`] at the descriptor limit;
    /// [`HandoffError::DescriptorMissing`] and [`HandoffError::Malformed`] when the broker does not keep to the protocol;
    /// [`HandoffError::Io`] for what else the kernel says.
    pub fn register(&mut self, register: &Register) -> Result<(Registered, AcceptSocket), HandoffError> {
        accept_socket_of(self.ask(&Request::Register(register.clone()))?)
    }

    /// Ends one registration. What was handed over and not received is the broker's again.
    ///
    /// # Errors
    /// As [`ControlConnection::register`], but for the two that concern the accept socket.
    pub fn unregister(&mut self, id: u64) -> Result<(), HandoffError> {
        unregistered_of(self.ask(&Request::Unregister { id })?, id)
    }

    /// Asks where a connection would go.
    ///
    /// # Errors
    /// As [`ControlConnection::unregister`]; a broker that does not know the request refuses it with
    /// [`NotSupported`](crate::RefusedReason::NotSupported).
    pub fn route(&mut self, route: &Route) -> Result<Routed, HandoffError> {
        routed_of(self.ask(&Request::Route(route.clone()))?)
    }

    pub(crate) fn ask(&self, request: &Request) -> Result<ReplyWithDescriptor, HandoffError> {
        self.send(request, None)?;
        self.receive()
    }

    pub(crate) fn send(
        &self,
        request: &Request,
        connection: Option<BorrowedFd<'_>>,
    ) -> Result<(), HandoffError> {
        send_message(self.socket.as_fd(), &request.to_json(), connection)
            .map_err(|error| self.no_answer(closed_if_broken(error)))
    }

    pub(crate) fn receive(&self) -> Result<ReplyWithDescriptor, HandoffError> {
        receive_reply(self.socket.as_fd()).map_err(|error| self.no_answer(error))
    }

    /// An error of waiting is one of the broker.
    fn no_answer(&self, error: HandoffError) -> HandoffError {
        match (error, self.timeout) {
            (HandoffError::Io(error), Some(waited)) if error.kind() == io::ErrorKind::WouldBlock => {
                HandoffError::NoAnswer { path: self.path.clone(), waited }
            }
            (error, _) => error,
        }
    }
}

impl AsFd for ControlConnection {
    /// Readable when the broker is gone (there is no message that was not asked for).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<ControlConnection> for OwnedFd {
    fn from(connection: ControlConnection) -> Self {
        connection.socket
    }
}

/// The address of a path, or how many octets a path may have.
fn address(path: &Path) -> Result<SocketAddrUnix, usize> {
    SocketAddrUnix::new(path).map_err(|_| LONGEST_PATH)
}

fn seqpacket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}
