//! From a connection whose Via leads to a back-end, or back to the broker itself, to a relay.
//!
//! A connection to an address or a path is begun here and now; the relay loop sees it established or refused. Only what
//! has to be waited for in another way, a name or a Unix socket whose queue is full, is left to tokio.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with, sockopt,
};
use tokio::sync::mpsc::error::SendError;

use super::refuse::{shut_down, too_late};
use crate::command::{Command, Job};
use crate::config::RelayTo;
use crate::connection::Connection;
use crate::outcome::Outcome;
use crate::relay::bridge::Expected;
use crate::relay::relay_loop::{Joined, Own, RelayEnd};
use crate::relay::relaying::Relaying;
use crate::routes::figures::Copied;
use crate::routes::holder::{Holder, StaticRoute};
use crate::routes::queue::Queue;
use crate::shared::Shared;
use crate::socket_options::local_address;
use crate::told::Told;

/// After so long without a sign of a relay's peer it is asked for one, and then four times as often. With Linux's nine tries
/// one that has vanished is given up after three and a quarter minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A connection goes to a back-end; it comes back if there are too many already.
pub(crate) fn relay(
    shared: &Shared,
    connection: Connection,
    route: &Arc<StaticRoute>,
) -> Result<(), Connection> {
    if !may_relay(shared) {
        return Err(connection);
    }
    match begin(&route.to) {
        Ok(Some(back_end)) => join(shared, connection, back_end, Arc::clone(route)),
        Ok(None) => {
            let sent = shared.jobs.send(Job::Relay(connection, Arc::clone(route)));
            if let Err(SendError(Job::Relay(connection, _))) = sent {
                shut_down(shared, connection);
            }
        }
        Err(error) => not_relayed(shared, connection, Holder::Route(Arc::clone(route)), error),
    }
    Ok(())
}

/// A connection goes to the queue of a worker of the other family, over an address of our own; it comes back if there are
/// too many already.
pub(crate) fn bridge(
    shared: &Shared,
    connection: Connection,
    queue: &Arc<Queue>,
    at: SocketAddr,
) -> Result<(), Connection> {
    if !may_relay(shared) {
        return Err(connection);
    }
    let holder = Holder::Worker(Arc::clone(queue));
    match begin_bridge(shared, Arc::clone(queue), at) {
        Ok((back_end, expected)) => {
            let own = Some(Box::new(Own::Bridge(expected)));
            let holder = Relaying::begin(holder);
            join_relays(shared, Joined { initiator: connection, back_end, holder, own }, true);
        }
        Err(error) => not_relayed(shared, connection, holder, error),
    }
    Ok(())
}

fn begin_bridge(shared: &Shared, queue: Arc<Queue>, at: SocketAddr) -> Result<(OwnedFd, Expected), Errno> {
    let (socket, from) = match at {
        SocketAddr::V4(_) => (tcp(AddressFamily::INET)?, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        SocketAddr::V6(_) => (tcp(AddressFamily::INET6)?, SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
    };
    bind(&socket, &from)?;
    let from = local_address(&socket).ok_or(Errno::ADDRNOTAVAIL)?;
    let expected = shared.bridges.expect(from, queue);
    begin_tcp(&socket, at)?;
    Ok((socket, expected))
}

/// Relays take two descriptors each and stay long, so they are counted: one more, if it may be.
fn may_relay(shared: &Shared) -> bool {
    let before = shared.relayed.fetch_add(1, Ordering::Relaxed);
    if before >= shared.descriptors.relays {
        shared.relayed.fetch_sub(1, Ordering::Relaxed);
    }
    before < shared.descriptors.relays
}

/// Room that an attempt beside another takes until it is over.
pub(crate) struct RelayRoom(Arc<Shared>);

impl RelayRoom {
    pub(crate) fn take(shared: &Arc<Shared>) -> Option<Self> {
        may_relay(shared).then(|| Self(Arc::clone(shared)))
    }
}

impl Drop for RelayRoom {
    fn drop(&mut self) {
        self.0.relayed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connection to a back-end is established, or about to be.
pub(crate) fn join(shared: &Shared, initiator: Connection, back_end: OwnedFd, route: Arc<StaticRoute>) {
    let own = shared.under_way.note(&back_end, &route.to).map(Own::Relay).map(Box::new);
    let splices = !matches!(route.to, RelayTo::Unix(_));
    if splices {
        keep_alive(&back_end);
    }
    let holder = Relaying::begin(Holder::Route(route));
    join_relays(shared, Joined { initiator, back_end, holder, own }, splices);
}

fn join_relays(shared: &Shared, mut joined: Joined, splices: bool) {
    joined.initiator.is_known(&shared.counters);
    let _ = sockopt::set_tcp_nodelay(&joined.initiator, true);
    keep_alive(&joined.initiator);
    // A splice waits if the socket is made to, whatever it is told itself: a worker could stop all relays by its copy.
    let splices = splices && !joined.initiator.was_handed_over();
    let told = Told::of_relay(&shared.telling, &joined.initiator);
    if let Err((joined, error)) = shared.relays.join(joined, splices, told) {
        not_relayed(shared, joined.initiator, joined.holder.holder().clone(), error);
    }
}

/// A peer that has vanished is noticed. A socket that is handed over is left as it came: that is the worker's to decide.
fn keep_alive(socket: impl AsFd + Copy) {
    let _ = sockopt::set_socket_keepalive(socket, true);
    let _ = sockopt::set_tcp_keepidle(socket, KEEP_ALIVE);
    let _ = sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE / 4);
}

/// Nothing was read from the connection: it can still be told.
pub(crate) fn not_relayed(shared: &Shared, connection: Connection, holder: Holder, error: impl Display) {
    shared.relayed.fetch_sub(1, Ordering::Relaxed);
    let command = Command::NotRelayed(connection, holder, error.to_string());
    if let Err(command) = shared.commands.try_send(command) {
        too_late(shared, command);
    }
    // Where there is no accept loop any more.
    shared.relays.over.notify_waiters();
}

/// A relay is over.
pub(crate) fn relay_ended(
    shared: &Shared,
    initiator: Connection,
    holder: &Holder,
    end: RelayEnd,
    copied: Copied,
    told: Told,
) {
    let outcome = match end {
        RelayEnd::Complete => Outcome::Relayed,
        RelayEnd::Broken => Outcome::RelayBroken,
        RelayEnd::Idle => Outcome::RelayIdle,
        RelayEnd::ShutDown => Outcome::ShutDown,
        RelayEnd::NotConnected(error) => return not_relayed(shared, initiator, holder.clone(), error),
    };
    shared.relayed.fetch_sub(1, Ordering::Relaxed);
    holder.figures().copied(copied);
    drop(initiator.end(&shared.counters, outcome, holder.into(), None, told.copied(copied)));
}

/// Begins a connection; `None` if it cannot be begun now.
pub(crate) fn begin(to: &RelayTo) -> Result<Option<OwnedFd>, Errno> {
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
