//! Which Vias matched nothing lately: what somebody needs who gets EndpointNotFound. Costs the loop a look at what it has in its
//! hands already; a Via that comes again and again is counted and nothing is allocated for it.

use std::mem::MaybeUninit;
use std::net::SocketAddr;

use framing_core::Limits;
use framing_core::preamble::via_octets;
use router::Via;
use rustix::net::{RecvFlags, recv};

use crate::connection::Connection;
use crate::recent::{NoMatch, cut};
use crate::routes::table::Choice;
use crate::shared::Shared;
use crate::socket_options::{local_address, peer_address};

/// It is about to be refused because nobody has its address.
pub(super) fn note(shared: &Shared, connection: &Connection, detail: Option<&str>) {
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; Limits::DEFAULT.preamble_octets()];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let Ok(((octets, _), _)) = recv(connection, &mut buffer, flags) else { return };
    let Some(via) = via_octets(octets).and_then(|via| octets.get(via)) else { return };
    let peer = || peer_address(connection).map(|peer| peer.ip().to_canonical());
    shared.unmatched.note_unless_busy(
        |other| *other.via == *cut(via),
        |other| other.peer = peer(),
        || {
            let local = local_address(connection);
            let reason = detail.map_or_else(|| why(shared, local, via), str::to_owned);
            NoMatch { via: cut(via).into(), local, peer: peer(), reason }
        },
    );
}

/// As the line has just found out without saying it.
#[cold]
fn why(shared: &Shared, local: Option<SocketAddr>, via: &[u8]) -> String {
    let Ok(via) = str::from_utf8(via) else { return "the Via is not UTF-8".to_owned() };
    let via = match Via::parse(via) {
        Ok(via) => via,
        Err(error) => return error.to_string(),
    };
    let Some(local) = local else { return "the client has left".to_owned() };
    match shared.table.load().choose(&via, local) {
        Choice::None(miss) => miss.to_string(),
        _ => "nobody had the address when the connection came".to_owned(),
    }
}
