//! Packet captures: pcap and pcapng, as tcpdump, tshark and Wireshark write them.

use std::fmt::Write;
use std::io;

use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError, PcapNGReader};

use super::Findings;
use super::connections::{Connection, Connections};
use super::direction::{Direction, Piece};
use super::envelope::{Format, begins_envelope};
use super::kind::{LIMITS, is_stream};
use super::out::Out;
use super::source::{Sequential, Source, prefix};
use super::stream::{Start, Stream};

/// Octets of a block that are kept at first, and of the largest one that is read: a packet has 256 KiB at most.
const BLOCK: usize = 512 * 1024;
const LARGEST_BLOCK: usize = 64 << 20;

/// How far it is looked to tell a record: further than string tables mostly go.
const LOOK: usize = 16 * 1024;

/// Writes each direction of each net.tcp connection, or of each from or to `port`.
pub(super) fn dump(
    capture: &dyn Source,
    port: Option<u16>,
    out: &mut Out<impl io::Write>,
    findings: &mut Findings,
) {
    let connections = read(capture, findings);
    let of_port = |connection: &&Connection| {
        port.is_none_or(|port| connection.ends.iter().any(|end| end.port() == port))
    };
    let mut shown = 0;
    let mut others = 0;
    for connection in connections.all().iter().filter(of_port) {
        if port.is_some() || connection.directions.iter().any(|direction| is_net_tcp(direction, capture)) {
            shown += usize::from(show(connection, capture, out, findings));
        } else {
            others += usize::from(connection.directions.iter().any(|direction| !direction.is_empty()));
        }
    }
    match (shown, port) {
        (0, Some(port)) => findings.problem(format!(
            "no connection from or to port {port} carries anything; ports in this capture: {}",
            ports(&connections)
        )),
        (0, None) => findings.problem(match connections.all() {
            [] => "the capture has no TCP packets".into(),
            _ => format!("no connection speaks net.tcp; ports in this capture: {}", ports(&connections)),
        }),
        (_, None) if others > 0 => {
            let are = if others == 1 { "connection is" } else { "connections are" };
            findings.warning(format!("{others} {are} no net.tcp; --port shows them all the same"));
        }
        _ => {}
    }
    if connections.fragments > 0 {
        findings.warning(format!("fragments of IP packets are left out: {}", connections.fragments));
    }
    if let Some(link) = connections.other_links {
        findings.warning(format!("packets of link type {} are left out", link.0));
    }
}

/// The connections of a capture, as far as it can be read.
fn read(capture: &dyn Source, findings: &mut Findings) -> Connections {
    let mut connections = Connections::default();
    let mut links = Vec::new();
    let whole = blocks(capture, |at, block| match block {
        PcapBlockOwned::LegacyHeader(header) => links.push(header.network),
        PcapBlockOwned::Legacy(packet) => {
            if let Some(link) = links.first() {
                let frame = within(packet.data, packet.caplen);
                connections.frame(*link, at(frame), frame);
            }
        }
        // Interfaces are numbered anew in each section.
        PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => links.push(interface.linktype),
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => match links.get(packet.if_id as usize) {
            Some(link) => {
                let frame = within(packet.data, packet.caplen);
                connections.frame(*link, at(frame), frame);
            }
            None => {
                findings.warning("packets of interfaces that the capture does not describe are left out");
            }
        },
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            if let Some(link) = links.first() {
                let frame = within(packet.data, packet.origlen);
                connections.frame(*link, at(frame), frame);
            }
        }
        PcapBlockOwned::NG(_) => {}
    });
    if !whole {
        findings.problem("the capture ends inside a packet, or is broken");
    }
    connections
}

/// The blocks of a capture, each with what says where in the capture a part of it is; false if it does not end with one.
fn blocks(capture: &dyn Source, mut each: impl FnMut(&dyn Fn(&[u8]) -> u64, &PcapBlockOwned<'_>)) -> bool {
    let sequential = || Sequential::new(capture);
    let mut capacity = BLOCK;
    let mut reader: Box<dyn PcapReaderIterator> = match PcapNGReader::new(capacity, sequential()) {
        Ok(reader) => Box::new(reader),
        Err(_) => match LegacyPcapReader::new(capacity, sequential()) {
            Ok(reader) => Box::new(reader),
            Err(_) => return false,
        },
    };
    loop {
        let begins = reader.consumed() as u64;
        let data = reader.data().as_ptr().addr();
        match reader.next() {
            Ok((octets, block)) => {
                each(&|part| begins + (part.as_ptr().addr() - data) as u64, &block);
                drop(block);
                reader.consume(octets);
                continue;
            }
            Err(PcapError::Eof) => return true,
            Err(PcapError::Incomplete(_) | PcapError::BufferTooSmall) => {}
            Err(_) => return false,
        }
        if reader.data().len() == capacity {
            capacity *= 2;
            if capacity > LARGEST_BLOCK || !reader.grow(capacity) {
                return false;
            }
        }
        if reader.refill().is_err() {
            return false;
        }
    }
}

/// Without what pads a packet.
fn within(data: &[u8], octets: u32) -> &[u8] {
    data.get(..octets as usize).unwrap_or(data)
}

/// Writes both directions; false if nothing was sent.
fn show(
    connection: &Connection,
    capture: &dyn Source,
    out: &mut Out<impl io::Write>,
    findings: &mut Findings,
) -> bool {
    let Connection { ends: [opener, other], directions: [there, back] } = connection;
    let mut formats = Vec::new();
    let mut shown = false;
    for (from, to, direction) in [(opener, other, there), (other, opener, back)] {
        let pieces = direction.pieces(capture);
        if pieces.is_empty() {
            continue;
        }
        shown = true;
        let _ = writeln!(out, "<stream from=\"{from}\" to=\"{to}\">");
        for piece in pieces {
            let announced = show_piece(&piece, direction, &formats, out, findings);
            formats.extend(announced);
        }
        let _ = out.write_str("</stream>\n");
    }
    shown
}

fn show_piece(
    piece: &Piece<'_>,
    direction: &Direction,
    formats: &[Format],
    out: &mut Out<impl io::Write>,
    findings: &mut Findings,
) -> Vec<Format> {
    if piece.missing == Some(0) && direction.saw_syn() {
        return Stream::new(Start::Connection, formats).dump(piece, 0, out, findings);
    }
    if let Some(missing) = piece.missing {
        let _ = writeln!(out, "  <missing octets=\"{missing}\"/>");
        findings.warning("packets are missing in the capture; offsets count from behind them");
    }
    // Where a segment begins a record may begin.
    let record = piece.segments().find_map(|begins| Some((begins, record_at(piece, begins)?)));
    let Some((begins, octets)) = record else {
        let _ = writeln!(out, "  <skipped octets=\"{}\"/>", piece.octets().unwrap_or_default());
        findings.problem("no record is found behind what is missing");
        return Vec::new();
    };
    if begins > 0 {
        let _ = writeln!(out, "  <skipped octets=\"{begins}\"/>");
    }
    let start = if octets.starts_with(&[0x00, 0x01]) { Start::Connection } else { Start::Middle };
    Stream::new(start, formats).dump(piece, begins, out, findings)
}

/// Whether what was sent begins as net.tcp does, or goes on as it does.
fn is_net_tcp(direction: &Direction, capture: &dyn Source) -> bool {
    direction.pieces(capture).first().is_some_and(|piece| match (piece.missing, direction.saw_syn()) {
        (Some(0), true) => prefix(piece, 0, LOOK).is_ok_and(|octets| is_stream(&octets)),
        _ => piece.segments().any(|begins| record_at(piece, begins).is_some()),
    })
}

/// The first octets of what seems to be a record.
fn record_at(piece: &Piece<'_>, at: u64) -> Option<Vec<u8>> {
    prefix(piece, at, LOOK).ok().filter(|octets| is_record(octets))
}

/// Whether a record begins here that is hardly anything else.
fn is_record(octets: &[u8]) -> bool {
    use framing_core::{Decoded, Record};
    let Ok(Decoded::Complete { value, consumed }) = Record::decode(octets, &LIMITS) else { return false };
    let rest = octets.get(consumed..).unwrap_or_default();
    match value {
        Record::Version { .. } => rest.starts_with(&[0x01]),
        Record::SizedEnvelope { size } => {
            size > 0 && begins_envelope(rest.get(..size as usize).unwrap_or(rest))
        }
        Record::UnsizedEnvelope => match framing_core::size::decode(rest) {
            Ok(Decoded::Complete { value, consumed }) => {
                value > 0 && begins_envelope(rest.get(consumed..).unwrap_or_default())
            }
            _ => false,
        },
        _ => false,
    }
}

/// The ports that were connected to.
fn ports(connections: &Connections) -> String {
    let mut ports: Vec<u16> = connections.all().iter().map(|connection| connection.ends[1].port()).collect();
    ports.sort_unstable();
    ports.dedup();
    let more = if ports.len() > 20 { ", …" } else { "" };
    let ports: Vec<String> = ports.iter().take(20).map(u16::to_string).collect();
    ports.join(", ") + more
}
