//! A connection that ends in the broker: answered so that the initiator really receives the answer.
//!
//! Octets that were never read turn a close into a reset, and a reset destroys a fault that is still under way. So the
//! fault is followed by a FIN, what the initiator sends is read for a while, and the close comes after its FIN.

use std::os::fd::OwnedFd;
use std::time::Duration;

use framing_core::{Fault, Record};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

use super::unmatched;
use crate::command::Command;
use crate::connection::Connection;
use crate::destination::Destination;
use crate::outcome::{Answer, Outcome};
use crate::shared::Shared;
use crate::told::Told;

/// The most octets of one connection that are forgotten before others get their turn.
const TURN_OCTETS: usize = 65_536;

/// How long a refused initiator may take to close, however much it sends until then.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Ends a connection that is in no epoll, in the one way its outcome says. Some have to be drained further.
pub(crate) fn refuse(
    shared: &Shared,
    connection: Connection,
    outcome: Outcome,
    destination: Destination<'_>,
    detail: Option<String>,
) -> Option<OwnedFd> {
    if matches!(outcome, Outcome::EndpointNotFound | Outcome::InvalidVia) {
        unmatched::note(shared, &connection, detail.as_deref());
    }
    let answer = outcome.answer(shared.compatibility());
    let told = Told::of(&shared.telling, &connection, outcome).answered(answer.and_then(Answer::fault));
    let socket = connection.end(&shared.counters, outcome, destination, detail, told);
    let fault = match answer {
        Some(Answer::Fault(fault)) => Some(fault),
        Some(Answer::Fin) => None,
        Some(Answer::Reset) if !(outcome == Outcome::ClosedEarly && nothing_there(&socket)) => {
            reset(&socket);
            return None;
        }
        // Closed: with a FIN, which needs an empty receive buffer.
        Some(Answer::Reset) | None => {
            let _ = drain(&socket);
            return None;
        }
    };
    if fault.is_some_and(|fault| say(&socket, fault).is_err()) {
        reset(&socket);
        return None;
    }
    let _ = shutdown(&socket, Shutdown::Write);
    (drain(&socket) == Drained::NotYet).then_some(socket)
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
        Command::Returned(socket) => shut_down(shared, Connection::returned(socket, &shared.counters)),
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

/// Whether a refused initiator has said all that it has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Its end was read, or it is gone.
    Whole,
    /// More may come, or is there.
    NotYet,
}

/// Forgets what is there, at most so much that others do not wait for it.
pub(crate) fn drain(connection: &OwnedFd) -> Drained {
    let mut scrap = [0_u8; 4096];
    let mut left = TURN_OCTETS;
    while left > 0 {
        match recv(connection, &mut scrap, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Drained::Whole,
            Ok((_, octets)) => left = left.saturating_sub(octets),
            Err(Errno::AGAIN) => return Drained::NotYet,
            Err(Errno::INTR) => {}
            Err(_) => return Drained::Whole,
        }
    }
    Drained::NotYet
}
