//! From a connection whose Via leads to a back-end, or back to the broker itself, to a relay.
//!
//! A connection to an address or a path is begun here and now; the relay loop sees it established or refused. Only what
//! has to be waited for in another way, a name or a Unix socket whose queue is full, is left to tokio.

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with, sockopt,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::accept::Loop;
use crate::config::RelayTo;
use crate::line::{Command, Errand, Expected, Line, Shared, local_address};
use crate::outcome::Outcome;
use crate::queue::Queue;
use crate::refuse::note;
use crate::registry::Registry;
use crate::relay::{CONNECT_TIME, Joined, RelayEnd};
use crate::socket_options::STRAGGLERS;

/// When a Unix socket whose queue was full is tried again.
const RETRY: Duration = Duration::from_millis(20);

impl Loop {
    /// A connection goes to a back-end.
    pub(crate) fn relay(&mut self, connection: OwnedFd, to: Arc<RelayTo>) {
        if !self.shared.may_relay() {
            return self.refuse(connection, Outcome::ServerTooBusy, None);
        }
        match begin(&to) {
            Ok(Some(back_end)) => {
                self.shared.join(&self.line, Joined { initiator: connection, back_end, to, expected: None });
            }
            // Fails only when the runtime is gone, and the broker with it.
            Ok(None) => drop(self.shared.errands.send(Errand::Relay(connection, to))),
            Err(error) => self.shared.not_relayed(&self.line, connection, &to, error),
        }
    }

    /// A connection goes to the queue of a worker of the other family, over an address of our own: where we do not
    /// listen, another program may.
    pub(crate) fn bridge(&mut self, connection: OwnedFd, queue: Arc<Queue>, at: SocketAddr) {
        if !self.listens_on(at) {
            return self.refuse(connection, Outcome::EndpointNotFound, None);
        }
        if !self.shared.may_relay() {
            return self.refuse(connection, Outcome::ServerTooBusy, None);
        }
        let to = Arc::new(RelayTo::Tcp(at));
        match self.begin_bridge(queue, at) {
            Ok((back_end, expected)) => {
                let expected = Some(Box::new(expected));
                self.shared.join(&self.line, Joined { initiator: connection, back_end, to, expected });
            }
            Err(error) => self.shared.not_relayed(&self.line, connection, &to, error),
        }
    }

    fn begin_bridge(&self, queue: Arc<Queue>, at: SocketAddr) -> Result<(OwnedFd, Expected), Errno> {
        let (socket, from) = match at {
            SocketAddr::V4(_) => (tcp(AddressFamily::INET)?, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            SocketAddr::V6(_) => (tcp(AddressFamily::INET6)?, SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
        };
        bind(&socket, &from)?;
        let from = local_address(&socket).ok_or(Errno::ADDRNOTAVAIL)?;
        let expected = self.shared.bridges.expect(from, queue);
        begin_tcp(&socket, at)?;
        Ok((socket, expected))
    }
}

impl Shared {
    /// Relays take two descriptors each and stay long, so they are counted: one more, if it may be.
    fn may_relay(&self) -> bool {
        let before = self.relayed.fetch_add(1, Ordering::Relaxed);
        if before >= self.descriptors.relays {
            self.relayed.fetch_sub(1, Ordering::Relaxed);
        }
        before < self.descriptors.relays
    }

    fn join(&self, line: &Line, joined: Joined) {
        let _ = sockopt::set_tcp_nodelay(&joined.initiator, true);
        if let Err((joined, error)) = self.relays.join(joined) {
            self.not_relayed(line, joined.initiator, &joined.to, error);
        }
    }

    /// Nothing was read from the connection: it can still be told.
    fn not_relayed(&self, line: &Line, connection: OwnedFd, to: &RelayTo, error: impl Display) {
        self.relayed.fetch_sub(1, Ordering::Relaxed);
        let detail = Some(format!("no connection to {to}: {error}"));
        line.send(Command::Refuse(connection, Outcome::DispatchFailed, detail));
    }

    /// A relay is over.
    pub(crate) fn relay_ended(&self, line: &Line, initiator: OwnedFd, to: &RelayTo, end: RelayEnd) {
        let outcome = match end {
            RelayEnd::Complete => Outcome::Relayed,
            RelayEnd::Broken => Outcome::RelayBroken,
            RelayEnd::ShutDown => Outcome::ShutDown,
            RelayEnd::NotConnected(error) => return self.not_relayed(line, initiator, to, error),
        };
        self.relayed.fetch_sub(1, Ordering::Relaxed);
        note(&self.counters, outcome, &initiator, None);
    }
}

/// Does what the accept loop leaves to others, until it is cancelled.
pub(crate) async fn run_errands(
    mut errands: UnboundedReceiver<Errand>,
    shared: Arc<Shared>,
    line: Arc<Line>,
    registry: Arc<Registry>,
) {
    let mut waiting = JoinSet::new();
    loop {
        let errand = tokio::select! {
            Some(errand) = errands.recv() => errand,
            Some(_) = waiting.join_next() => continue,
            else => return,
        };
        match errand {
            Errand::Gone(id) => registry.unregister(id),
            Errand::CloseLater(left) => {
                let registry = Arc::clone(&registry);
                waiting.spawn(async move {
                    sleep(STRAGGLERS).await;
                    registry.close_left(&left);
                });
            }
            Errand::Relay(initiator, to) => {
                let (shared, line) = (Arc::clone(&shared), Arc::clone(&line));
                waiting.spawn(async move {
                    let connected = timeout(CONNECT_TIME, wait_for(&to)).await;
                    match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                        Ok(back_end) => {
                            shared.join(&line, Joined { initiator, back_end, to, expected: None })
                        }
                        Err(error) => shared.not_relayed(&line, initiator, &to, error),
                    }
                });
            }
        }
    }
}

async fn wait_for(to: &RelayTo) -> io::Result<OwnedFd> {
    if let RelayTo::Name(name) = to {
        let stream = TcpStream::connect(name.as_str()).await?;
        stream.set_nodelay(true)?;
        return Ok(stream.into_std()?.into());
    }
    loop {
        match begin(to)? {
            Some(back_end) => return Ok(back_end),
            None => sleep(RETRY).await,
        }
    }
}

/// Begins a connection; `None` if it cannot be begun now.
fn begin(to: &RelayTo) -> Result<Option<OwnedFd>, Errno> {
    match to {
        RelayTo::Name(_) => Ok(None),
        RelayTo::Tcp(at) => {
            let socket = tcp(if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 })?;
            begin_tcp(&socket, *at)?;
            Ok(Some(socket))
        }
        RelayTo::Unix(path) => {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            match connect(&socket, &SocketAddrUnix::new(path)?) {
                Ok(()) => Ok(Some(socket)),
                Err(Errno::AGAIN) => Ok(None),
                Err(error) => Err(error),
            }
        }
    }
}

fn tcp(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    // The peers decide about delays, not we.
    sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(socket)
}

fn begin_tcp(socket: &OwnedFd, to: SocketAddr) -> Result<(), Errno> {
    match connect(socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(error) => Err(error),
    }
}
