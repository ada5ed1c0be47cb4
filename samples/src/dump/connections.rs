//! The TCP connections of a packet capture.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::Linktype;

use super::direction::{Direction, Payload};

/// A connection: what went from `ends[0]` to `ends[1]`, and back. The first end opened it, as far as that was captured.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: [SocketAddr; 2],
    pub(super) directions: [Direction; 2],
}

#[derive(Default)]
pub(super) struct Connections {
    all: Vec<Connection>,
    /// The latest connection between two ends, the lower first.
    latest: HashMap<[SocketAddr; 2], usize>,
    /// Packets that were not looked into.
    pub(super) fragments: usize,
    pub(super) other_links: Option<Linktype>,
}

impl Connections {
    /// Takes a frame as it was captured, at this place of the capture.
    pub(super) fn frame(&mut self, link: Linktype, at: u64, frame: &[u8]) {
        let packet = match link {
            Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(frame).ok(),
            Linktype::LINUX_SLL => of_type(frame, 14, 16),
            Linktype::LINUX_SLL2 => of_type(frame, 0, 20),
            Linktype::NULL | Linktype::LOOP => {
                frame.get(4..).and_then(|packet| LaxSlicedPacket::from_ip(packet).ok())
            }
            // 12 and 14 are what some systems write for RAW.
            Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | Linktype(12 | 14) => {
                LaxSlicedPacket::from_ip(frame).ok()
            }
            other => {
                self.other_links = Some(other);
                None
            }
        };
        if let Some(packet) = packet {
            // The payload is a part of the frame.
            let before = |payload: &[u8]| payload.as_ptr().addr().saturating_sub(frame.as_ptr().addr());
            self.packet(&packet, |payload| Payload {
                at: at + before(payload) as u64,
                octets: payload.len() as u32,
            });
        }
    }

    fn packet(&mut self, packet: &LaxSlicedPacket<'_>, place: impl FnOnce(&[u8]) -> Payload) {
        let (from, to, fragment): (IpAddr, IpAddr, bool) = match &packet.net {
            Some(LaxNetSlice::Ipv4(ip)) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
                ip.is_payload_fragmented(),
            ),
            Some(LaxNetSlice::Ipv6(ip)) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
                ip.is_payload_fragmented(),
            ),
            _ => return,
        };
        self.fragments += usize::from(fragment);
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return };
        let from = SocketAddr::new(from, tcp.source_port());
        let to = SocketAddr::new(to, tcp.destination_port());
        let opens = tcp.syn() && !tcp.ack();
        let connection = self.connection(from, to, opens.then(|| tcp.sequence_number()));
        let direction = usize::from(connection.ends[0] != from);
        let payload = if tcp.rst() { Payload::default() } else { place(tcp.payload()) };
        connection.directions[direction].segment(tcp.sequence_number(), tcp.syn(), payload);
    }

    /// The connection that a segment belongs to. `opens` is the number of a SYN that opens one.
    fn connection(&mut self, from: SocketAddr, to: SocketAddr, opens: Option<u32>) -> &mut Connection {
        let key = if from < to { [from, to] } else { [to, from] };
        let known = self.latest.get(&key).copied().filter(|&index| {
            let Connection { ends, directions } = &self.all[index];
            opens.is_none_or(|number| !directions[usize::from(ends[0] != from)].is_another(number))
        });
        let index = known.unwrap_or_else(|| {
            // Without its SYN a connection's opener is the end with the port that nobody chose.
            let opener = if opens.is_some() || from.port() > to.port() { [from, to] } else { [to, from] };
            self.all.push(Connection { ends: opener, directions: Default::default() });
            self.latest.insert(key, self.all.len() - 1);
            self.all.len() - 1
        });
        &mut self.all[index]
    }

    pub(super) fn all(&self) -> &[Connection] {
        &self.all
    }
}

/// A packet whose EtherType stands at one place of a frame, and which begins at another.
fn of_type(frame: &[u8], kind: usize, begins: usize) -> Option<LaxSlicedPacket<'_>> {
    let kind = frame.get(kind..)?.first_chunk::<2>()?;
    Some(LaxSlicedPacket::from_ether_type(EtherType(u16::from_be_bytes(*kind)), frame.get(begins..)?))
}
