//! Copies a connection to a back-end that cannot take descriptors, and back.
//!
//! Nothing was read from the connection yet, so the back-end sees it from the Version record on. Either side may close
//! its half first; the relay ends when both have, or when one resets.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::RelayTo;
use crate::line::{Command, Errand, Line, Shared};
use crate::outcome::Outcome;
use crate::refuse::note;
use crate::registry::Registry;
use crate::socket_options::STRAGGLERS;

/// How long a back-end may take to accept.
const CONNECT: Duration = Duration::from_secs(10);

thread_local! {
    /// What is copied stays here only between a read and the write that follows it, so that an idle relay has no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; 65_536].into());
}

/// Does what the accept loop leaves to others, until it is cancelled.
pub(crate) async fn run_errands(
    mut errands: UnboundedReceiver<Errand>,
    shared: Arc<Shared>,
    line: Arc<Line>,
    registry: Arc<Registry>,
) {
    let mut relays = JoinSet::new();
    loop {
        let errand = tokio::select! {
            Some(errand) = errands.recv() => errand,
            Some(_) = relays.join_next() => continue,
            else => return,
        };
        let (shared, line) = (Arc::clone(&shared), Arc::clone(&line));
        match errand {
            Errand::Gone(id) => registry.unregister(id),
            Errand::CloseLater(address) => {
                let registry = Arc::clone(&registry);
                relays.spawn(async move {
                    tokio::time::sleep(STRAGGLERS).await;
                    registry.close_unused(address);
                });
            }
            Errand::Relay(connection, to) => {
                relays.spawn(async move {
                    let _counted = Counted(&shared);
                    let backend = within(CONNECT, connect(&to)).await;
                    relay(connection, backend, &to, &shared, &line).await;
                });
            }
            Errand::Bridge(connection, queue, to) => {
                relays.spawn(async move {
                    let _counted = Counted(&shared);
                    let (socket, from) = match ephemeral(to) {
                        Ok(bound) => bound,
                        Err(error) => return relay(connection, Err(error), &to, &shared, &line).await,
                    };
                    let _expected = shared.bridges.expect(from, queue);
                    let backend = within(CONNECT, async { Ok(Side::Tcp(socket.connect(to).await?)) }).await;
                    relay(connection, backend, &to, &shared, &line).await;
                });
            }
        }
    }
}

/// Counts a relay down when it ends.
struct Counted<'a>(&'a Shared);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.relays.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connect(to: &RelayTo) -> io::Result<Side> {
    Ok(match to {
        RelayTo::Tcp(address) => Side::Tcp(TcpStream::connect(address).await?),
        RelayTo::Name(name) => Side::Tcp(TcpStream::connect(name.as_str()).await?),
        RelayTo::Unix(path) => Side::Unix(UnixStream::connect(path).await?),
    })
}

async fn within(time: Duration, connecting: impl Future<Output = io::Result<Side>>) -> io::Result<Side> {
    timeout(time, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A socket on the loopback address of the target's family, and its own address.
fn ephemeral(to: SocketAddr) -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    let from = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
    };
    socket.bind(from)?;
    let from = socket.local_addr()?;
    Ok((socket, from))
}

async fn relay(
    connection: OwnedFd,
    backend: io::Result<Side>,
    to: &(impl std::fmt::Display + ?Sized),
    shared: &Shared,
    line: &Line,
) {
    let backend = match backend {
        Ok(backend) => backend,
        Err(error) => {
            let detail = Some(format!("no connection to {to}: {error}"));
            return line.send(Command::Refuse(connection, Outcome::DispatchFailed, detail));
        }
    };
    let initiator = match TcpStream::from_std(connection.into()) {
        Ok(initiator) => Side::Tcp(initiator),
        Err(error) => {
            // The socket is gone with it.
            shared.counters.count(Outcome::DispatchFailed);
            tracing::error!(%error, "a connection cannot be waited for");
            return;
        }
    };
    initiator.send_at_once();
    backend.send_at_once();
    let outcome = match copy_both(&initiator, &backend).await {
        Ok(()) => Outcome::Relayed,
        Err(_) => {
            initiator.reset();
            backend.reset();
            Outcome::RelayBroken
        }
    };
    note(&shared.counters, outcome, &initiator, None);
}

/// Both directions, each to its end. A side that can no longer be read ends both; one that can only not be written to may
/// still have something to say.
async fn copy_both(a: &Side, b: &Side) -> io::Result<()> {
    let (there, back) = tokio::try_join!(copy(a, b), copy(b, a))?;
    there.and(back)
}

/// Until the end of `from`, which is passed on. The outer error is one of reading, the inner one of writing.
async fn copy(from: &Side, to: &Side) -> io::Result<io::Result<()>> {
    loop {
        from.readable().await?;
        let (ended, rest) = match copy_some(from, to) {
            Ok(done) => done,
            Err(Broken::Reading(error)) => return Err(error),
            Err(Broken::Writing(error)) => return Ok(Err(error)),
        };
        if let Err(error) = to.write_all(&rest).await {
            return Ok(Err(error));
        }
        if ended {
            let _ = shutdown(to, Shutdown::Write);
            return Ok(Ok(()));
        }
    }
}

enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

/// Copies what is there and fits; what does not fit is returned. True at the end.
fn copy_some(from: &Side, to: &Side) -> Result<(bool, Vec<u8>), Broken> {
    SCRATCH.with_borrow_mut(|scratch| {
        let octets = match from.try_read(scratch) {
            Ok(0) => return Ok((true, Vec::new())),
            Ok(count) => scratch.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((false, Vec::new())),
            Err(error) => return Err(Broken::Reading(error)),
        };
        match to.try_write(octets) {
            Ok(written) => Ok((false, octets.get(written..).unwrap_or_default().to_vec())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok((false, octets.to_vec())),
            Err(error) => Err(Broken::Writing(error)),
        }
    })
}

/// One side of a relay.
#[derive(Debug)]
enum Side {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Side {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }

    fn try_read(&self, octets: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(octets),
            Self::Unix(stream) => stream.try_read(octets),
        }
    }

    fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(octets),
            Self::Unix(stream) => stream.try_write(octets),
        }
    }

    async fn write_all(&self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            self.writable().await?;
            match self.try_write(octets) {
                Ok(written) => octets = octets.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The peers decide about delays, not we.
    fn send_at_once(&self) {
        if let Self::Tcp(stream) = self {
            let _ = stream.set_nodelay(true);
        }
    }

    /// The close that follows is abortive.
    fn reset(&self) {
        if let Self::Tcp(stream) = self {
            let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }
}

impl AsFd for Side {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
