//! Packet captures: pcap and pcapng, as tcpdump, tshark and Wireshark write them.

use std::fmt::Write;
use std::io;

use pcap_parser::pcapng::Block;
use pcap_parser::{LegacyPcapSlice, Linktype, PcapBlockOwned, PcapNGSlice};

use super::Findings;
use super::connections::{Connection, Connections};
use super::direction::{Direction, Piece};
use super::envelope::{Format, begins_envelope};
use super::kind::{LIMITS, is_stream};
use super::out::Out;
use super::stream::{Start, Stream};

/// Writes each direction of each net.tcp connection, or of each from or to `port`.
pub(super) fn dump(octets: &[u8], port: Option<u16>, out: &mut Out<impl io::Write>, findings: &mut Findings) {
    let connections = read(octets, findings);
    let of_port = |connection: &&Connection<'_>| {
        port.is_none_or(|port| connection.ends.iter().any(|end| end.port() == port))
    };
    let mut shown = 0;
    let mut others = 0;
    for connection in connections.all().iter().filter(of_port) {
        if port.is_some() || connection.directions.iter().any(is_net_tcp) {
            shown += usize::from(show(connection, out, findings));
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
fn read<'a>(octets: &'a [u8], findings: &mut Findings) -> Connections<'a> {
    let mut connections = Connections::default();
    let broken = if let Ok(blocks) = PcapNGSlice::from_slice(octets) {
        let mut links = Vec::new();
        let mut blocks = blocks;
        blocks.find_map(|block| {
            match block {
                // Interfaces are numbered anew in each section.
                Ok(PcapBlockOwned::NG(Block::SectionHeader(_))) => links.clear(),
                Ok(PcapBlockOwned::NG(Block::InterfaceDescription(interface))) => {
                    links.push(interface.linktype)
                }
                Ok(PcapBlockOwned::NG(Block::EnhancedPacket(packet))) => {
                    match links.get(packet.if_id as usize) {
                        Some(link) => connections.frame(*link, within(packet.data, packet.caplen)),
                        None => findings
                            .warning("packets of interfaces that the capture does not describe are left out"),
                    }
                }
                Ok(PcapBlockOwned::NG(Block::SimplePacket(packet))) => {
                    if let Some(link) = links.first() {
                        connections.frame(*link, within(packet.data, packet.origlen));
                    }
                }
                Ok(_) => {}
                Err(error) => return Some(error.to_string()),
            }
            None
        })
    } else {
        match LegacyPcapSlice::from_slice(octets) {
            Ok(mut blocks) => {
                let link: Linktype = blocks.header.network;
                blocks.find_map(|block| {
                    match block {
                        Ok(PcapBlockOwned::Legacy(packet)) => {
                            connections.frame(link, within(packet.data, packet.caplen));
                        }
                        Ok(_) => {}
                        Err(error) => return Some(error.to_string()),
                    }
                    None
                })
            }
            Err(error) => Some(error.to_string()),
        }
    };
    if broken.is_some() {
        findings.problem("the capture ends inside a packet, or is broken");
    }
    connections
}

/// Without what pads a packet.
fn within(data: &[u8], octets: u32) -> &[u8] {
    data.get(..octets as usize).unwrap_or(data)
}

/// Writes both directions; false if nothing was sent.
fn show(connection: &Connection<'_>, out: &mut Out<impl io::Write>, findings: &mut Findings) -> bool {
    let Connection { ends: [opener, other], directions: [there, back] } = connection;
    let (there, back) = ((there, there.pieces()), (back, back.pieces()));
    let mut formats = Vec::new();
    let mut shown = false;
    for (from, to, (direction, pieces)) in [(opener, other, there), (other, opener, back)] {
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
    piece: &Piece,
    direction: &Direction<'_>,
    formats: &[Format],
    out: &mut Out<impl io::Write>,
    findings: &mut Findings,
) -> Vec<Format> {
    if piece.missing == Some(0) && direction.saw_syn() {
        return Stream::new(&piece.octets, Start::Connection, formats).dump(out, findings);
    }
    if let Some(missing) = piece.missing {
        let _ = writeln!(out, "  <missing octets=\"{missing}\"/>");
        findings.warning("packets are missing in the capture; offsets count from behind them");
    }
    // Where a segment begins a record may begin.
    let Some(&begins) = piece.segments.iter().find(|&&begins| is_record(&piece.octets[begins..])) else {
        let _ = writeln!(out, "  <skipped octets=\"{}\"/>", piece.octets.len());
        findings.problem("no record is found behind what is missing");
        return Vec::new();
    };
    if begins > 0 {
        let _ = writeln!(out, "  <skipped octets=\"{begins}\"/>");
    }
    let octets = &piece.octets[begins..];
    let start = if octets.starts_with(&[0x00, 0x01]) { Start::Connection } else { Start::Middle };
    Stream::new(octets, start, formats).dump(out, findings)
}

/// Whether what was sent begins as net.tcp does, or goes on as it does.
fn is_net_tcp(direction: &Direction<'_>) -> bool {
    direction.pieces().first().is_some_and(|piece| match (piece.missing, direction.saw_syn()) {
        (Some(0), true) => is_stream(&piece.octets),
        _ => piece.segments.iter().any(|&begins| is_record(&piece.octets[begins..])),
    })
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
fn ports(connections: &Connections<'_>) -> String {
    let mut ports: Vec<u16> = connections.all().iter().map(|connection| connection.ends[1].port()).collect();
    ports.sort_unstable();
    ports.dedup();
    let more = if ports.len() > 20 { ", …" } else { "" };
    let ports: Vec<String> = ports.iter().take(20).map(u16::to_string).collect();
    ports.join(", ") + more
}
