//! A connection that ends in the broker: answered so that the initiator really receives the answer.
//!
//! Octets that were never read turn a close into a reset, and a reset destroys a fault that is still under way. So the
//! fault is followed by a FIN, what the initiator sends is read, up to a bound, and the close comes after its FIN.

use std::os::fd::OwnedFd;
use std::time::Duration;

use framing_core::{Fault, Record};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

use crate::command::Command;
use crate::connection::{Connection, Destination};
use crate::outcome::{Answer, Outcome};
use crate::shared::Shared;

/// The most octets that are read after a refusal, as in the original.
const DRAIN_OCTETS: u32 = 65_536;

/// How long a refused initiator may take to close.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Ends a connection that is in no epoll, in the one way its outcome says. Some have to be drained further, by so many octets.
pub(crate) fn refuse(
    shared: &Shared,
    connection: Connection,
    outcome: Outcome,
    destination: Destination<'_>,
    detail: Option<String>,
) -> Option<(OwnedFd, u32)> {
    let socket = connection.end(&shared.counters, outcome, destination, detail);
    let fault = match outcome.answer(shared.compatibility) {
        Some(Answer::Fault(fault)) => Some(fault),
        Some(Answer::Fin) => None,
        Some(Answer::Reset) if !(outcome == Outcome::ClosedEarly && nothing_there(&socket)) => {
            reset(&socket);
            return None;
        }
        // Closed: with a FIN, which needs an empty receive buffer.
        Some(Answer::Reset) | None => {
            drain(&socket, DRAIN_OCTETS);
            return None;
        }
    };
    if fault.is_some_and(|fault| say(&socket, fault).is_err()) {
        reset(&socket);
        return None;
    }
    let _ = shutdown(&socket, Shutdown::Write);
    drain(&socket, DRAIN_OCTETS).map(|left| (socket, left))
}

/// The broker ends, and the accept loop before this connection.
pub(crate) fn shut_down(shared: &Shared, connection: Connection) {
    let _ = refuse(shared, connection, Outcome::ShutDown, Destination::Nobody, None);
}

/// The accept loop has ended before a command; what it would have done with a connection is done here.
pub(crate) fn too_late(shared: &Shared, command: Command) {
    match command {
        Command::NotRelayed(connection, ..) => shut_down(shared, connection),
        Command::Again(left) => {
            left.into_iter().for_each(|left| shut_down(shared, left.into_connection()));
        }
        _ => {}
    }
}

fn say(connection: &OwnedFd, fault: Fault<'static>) -> Result<(), Errno> {
    let mut octets = [0; 300];
    let length = Record::Fault(fault).encode(&mut octets).map_err(|_| Errno::INVAL)?;
    // A fresh connection takes a hundred octets; if it does not, the fault cannot be had.
    let sent = send(
        connection,
        octets.get(..length).unwrap_or_default(),
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    if sent == length { Ok(()) } else { Err(Errno::AGAIN) }
}

/// An abortive close.
fn reset(connection: &OwnedFd) {
    let _ = sockopt::set_socket_linger(connection, Some(Duration::ZERO));
}

/// Whether the initiator closed without a single octet.
fn nothing_there(connection: &OwnedFd) -> bool {
    matches!(recv(connection, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((_, 0)))
}

/// Reads what is there and forgets it. Returns how many octets more may come, until the end of the stream or of the bound.
pub(crate) fn drain(connection: &OwnedFd, mut left: u32) -> Option<u32> {
    let mut scrap = [0_u8; 4096];
    while left > 0 {
        let most = scrap.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match recv(connection, &mut scrap[..most], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return None,
            Ok((_, octets)) => left = left.saturating_sub(u32::try_from(octets).unwrap_or(u32::MAX)),
            Err(Errno::AGAIN) => return Some(left),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    None
}
