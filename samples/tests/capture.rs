//! `wcf-dump` on packet captures: those of real programs, and made ones for what a quiet network never does.

use std::path::{Path, PathBuf};
use std::process::Command;

use etherparse::PacketBuilder;
use proptest::prelude::*;
use samples::dump::Findings;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testvectors")
}

fn dump(octets: &[u8], port: Option<u16>) -> (String, Findings) {
    let mut xml = Vec::new();
    let findings = samples::dump::dump(octets, port, &mut xml).unwrap();
    (String::from_utf8(xml).unwrap(), findings)
}

/// .NET's client on the calculator service, as tcpdump captured it on all interfaces (IPv6, Linux cooked v2), as pcapng; cut
/// behind any octet it is read as far as it goes.
#[test]
fn a_capture_of_dotnet() {
    let octets = std::fs::read(vectors().join("dump/dotnet-calls.pcapng")).unwrap();
    let (xml, findings) = dump(&octets, None);
    assert_eq!((findings.problem, findings.warnings), (None, Vec::new()));
    for stream in [
        "<stream from=\"[::1]:50866\" to=\"[::1]:19822\">",
        "<stream from=\"[::1]:19822\" to=\"[::1]:50866\">",
    ] {
        assert_eq!(xml.matches(stream).count(), 1, "{xml}");
    }
    for element in [
        "<AddResult>115.99</AddResult>",
        "<n2>16.990000000000002</n2>",
        "ICalculator/SubtractResponse</a:Action>",
    ] {
        assert_eq!(xml.matches(element).count(), 1, "{element}: {xml}");
    }
    let (cut, findings) = dump(&octets[..octets.len() - 700], None);
    assert!(findings.problem.unwrap().contains("ends inside a packet"));
    assert!(cut.contains("ICalculator/Add</a:Action>"), "{cut}");
}

const ETHERNET: u32 = 1;

/// A pcap file with these frames.
fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 262_144, link] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        for word in [0, 0, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// A segment from the client (or to it) as an Ethernet frame; `flags` are of `S`, `A`, `F` and `R`.
fn frame(to_client: bool, number: u32, flags: &str, payload: &[u8]) -> Vec<u8> {
    let (client, server) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let ([from, to], [source, destination]) = match to_client {
        false => ([client, server], [50_000, 808]),
        true => ([server, client], [808, 50_000]),
    };
    let mut builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(from, to, 64)
        .tcp(source, destination, number, 65_535);
    for flag in flags.chars() {
        builder = match flag {
            'S' => builder.syn(),
            'F' => builder.fin(),
            'R' => builder.rst(),
            _ => builder.ack(1),
        };
    }
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

/// What a client of .NET sent.
fn stream() -> Vec<u8> {
    std::fs::read(vectors().join("corewcf/calc/c2s.bin")).unwrap()
}

/// The dump of the stream alone, as a capture shows it.
fn expected() -> String {
    let (xml, _) = dump(&stream(), None);
    xml.replace("<stream>", "<stream from=\"192.0.2.1:50000\" to=\"192.0.2.2:808\">")
}

/// The frames of a connection in which the client sends `octets` in pieces.
fn frames(octets: &[u8], size: usize, first: u32) -> Vec<Vec<u8>> {
    let mut frames = vec![frame(false, first, "S", &[]), frame(true, 7, "SA", &[])];
    for (number, piece) in octets.chunks(size).enumerate() {
        frames.push(frame(false, first.wrapping_add(1 + (number * size) as u32), "A", piece));
    }
    frames
}

#[test]
fn a_connection_is_shown_as_its_stream_is() {
    for size in [1, 7, 100, 1400] {
        let (xml, findings) = dump(&pcap(ETHERNET, &frames(&stream(), size, 1000)), None);
        assert_eq!(xml, expected());
        assert_eq!((findings.problem, findings.warnings.len()), (None, 0));
    }
}

proptest! {
    /// However segments come, twice, late, cut otherwise, over the end of the numbers: the stream is the same.
    #[test]
    fn segments_are_put_in_order(
        first in prop_oneof![any::<u32>(), (u32::MAX - 900)..=u32::MAX],
        again in proptest::collection::vec((0..2000_usize, 1..400_usize), 0..20),
        size in 1..300_usize,
        seed in any::<u64>(),
    ) {
        let octets = stream();
        let mut packets = frames(&octets, size, first);
        for (begin, length) in again {
            let begin = begin % octets.len();
            let end = octets.len().min(begin + length);
            packets.push(frame(false, first.wrapping_add(1 + begin as u32), "A", &octets[begin..end]));
        }
        // A keep-alive sends the octet before the next once more, and a reset has any number.
        packets.push(frame(false, first, "A", &[0]));
        packets.push(frame(false, first.wrapping_add(1 << 31), "R", &[]));
        let mut state = seed;
        for index in (3..packets.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            packets.swap(index, 2 + (state >> 33) as usize % (index - 1));
        }
        let (xml, findings) = dump(&pcap(ETHERNET, &packets), None);
        prop_assert_eq!(xml, expected());
        prop_assert_eq!(findings.problem, None);
    }

    /// No file makes it panic.
    #[test]
    fn broken_captures_are_survived(cut in 0..9000_usize, at in 0..9000_usize, octet in any::<u8>()) {
        let mut octets = std::fs::read(vectors().join("dump/dotnet-compression.pcap")).unwrap();
        let length = octets.len();
        octets[at % length] = octet;
        octets.truncate(cut.min(length));
        dump(&octets, None);
        dump(&octets, Some(19811));
    }
}

/// The same packet under every link layer.
#[test]
fn link_layers() {
    let ethernet = frames(&stream(), 1400, 5);
    let under = |link: u32, header: &[u8]| -> Vec<u8> {
        let frames: Vec<_> = ethernet.iter().map(|frame| [header, &frame[14..]].concat()).collect();
        pcap(link, &frames)
    };
    let sll = [&[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0x08, 0x00]].concat();
    let sll2 = [&[0x08, 0x00][..], &[0; 18]].concat();
    let vlan = [&ethernet[0][..12], &[0x81, 0x00, 0x00, 0x05, 0x08, 0x00]].concat();
    let two_vlans =
        [&ethernet[0][..12], &[0x88, 0xA8, 0x00, 0x05, 0x81, 0x00, 0x00, 0x06, 0x08, 0x00]].concat();
    for (link, header) in [
        (101, &[][..]),
        (228, &[]),
        (12, &[]),
        (0, &[2, 0, 0, 0]),
        (108, &[0, 0, 0, 2]),
        (113, &sll),
        (276, &sll2),
        (ETHERNET, &vlan),
        (ETHERNET, &two_vlans),
    ] {
        let (xml, findings) = dump(&under(link, header), None);
        assert_eq!(xml, expected(), "link type {link}");
        assert_eq!(findings.problem, None);
    }
    let (_, findings) = dump(&under(147, &[]), None);
    assert_eq!(findings.problem.unwrap(), "the capture has no TCP packets");
    assert_eq!(findings.warnings, ["packets of link type 147 are left out"]);
}

/// What is missing is said, and what comes behind it is read from where a record begins, under names that are right.
#[test]
fn gaps_are_said() {
    let octets = stream();
    let (whole, _) = dump(&octets, None);
    let offsets: Vec<usize> = whole
        .lines()
        .filter_map(|line| line.strip_prefix("  <envelope offset=\"")?.split('"').next()?.parse().ok())
        .collect();
    // A segment for the preamble and one for each envelope; the second envelope, or the end of it, is lost.
    let mut cuts = vec![0];
    cuts.extend(&offsets);
    for lost in [offsets[1]..offsets[2], offsets[2] - 10..offsets[2]] {
        let mut packets = vec![frame(false, 1, "S", &[])];
        for (index, begin) in cuts.iter().enumerate() {
            let end = cuts.get(index + 1).copied().unwrap_or(octets.len());
            let end = if (*begin..end).contains(&lost.start) { lost.start } else { end };
            if *begin < end {
                packets.push(frame(false, 2 + *begin as u32, "A", &octets[*begin..end]));
            }
        }
        let (xml, findings) = dump(&pcap(ETHERNET, &packets), None);
        assert!(xml.contains(&format!("<missing octets=\"{}\"/>", lost.len())), "{xml}");
        assert!(xml.contains("beginning of the session is missing"), "{xml}");
        assert_eq!(xml.matches("ICalculator/Add</a:Action>").count(), 1, "{xml}");
        assert!(xml.contains("ICalculator/Divide</a:Action>"), "{xml}");
        assert!(
            findings.warnings.iter().any(|warning| warning.contains("packets are missing")),
            "{findings:?}"
        );
    }
}

/// A capture that began in mid-connection.
#[test]
fn a_capture_may_begin_anywhere() {
    let octets = stream();
    for begin in [0, 3, 50, 200, 270] {
        // No SYN; the first segment may begin inside a record, the next ones begin with one.
        let mut packets: Vec<Vec<u8>> = Vec::new();
        let (whole, _) = dump(&octets, None);
        let offsets = whole.lines().filter_map(|line| {
            line.strip_prefix("  <envelope offset=\"")?.split('"').next()?.parse::<usize>().ok()
        });
        let mut cuts: Vec<usize> =
            [begin].into_iter().chain(offsets.filter(|offset| *offset > begin)).collect();
        cuts.push(octets.len());
        for pair in cuts.windows(2) {
            packets.push(frame(false, 77 + pair[0] as u32, "A", &octets[pair[0]..pair[1]]));
        }
        let (xml, findings) = dump(&pcap(ETHERNET, &packets), None);
        assert_eq!(findings.problem, None, "{begin}: {xml}");
        assert!(xml.contains(">103</"), "{begin}: {xml}");
    }
}

#[test]
fn connections_are_told_apart_and_chosen() {
    let octets = stream();
    // The same two ends twice: a second SYN opens another connection.
    let mut packets = frames(&octets, 500, 1000);
    packets.extend(frames(&octets, 500, 900_000));
    let http = |payload: &[u8]| {
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv6([0xFE; 16], [0xFD; 16], 64)
            .tcp(40_000, 80, 5, 1000);
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        frame
    };
    packets.push(http(b"GET / HTTP/1.1\r\n\r\n"));
    let file = pcap(ETHERNET, &packets);

    let (xml, findings) = dump(&file, None);
    assert_eq!(xml, expected().repeat(2));
    assert_eq!(findings.warnings, ["1 connection is no net.tcp; --port shows them all the same"]);
    assert_eq!(dump(&file, Some(808)).0, expected().repeat(2));

    let (xml, findings) = dump(&file, Some(80));
    assert!(xml.contains("<skipped octets=\"18\"/>"), "{xml}");
    assert!(findings.problem.is_some());
    let (_, findings) = dump(&file, Some(81));
    let problem = "no connection from or to port 81 carries anything; ports in this capture: 80, 808";
    assert_eq!(findings.problem.as_deref(), Some(problem));
    let (_, findings) = dump(&pcap(ETHERNET, &[http(b"GET / HTTP/1.1\r\n\r\n")]), None);
    let problem = "no connection speaks net.tcp; ports in this capture: 80";
    assert_eq!(findings.problem.as_deref(), Some(problem));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcap");
    std::fs::write(&path, file).unwrap();
    let wcf_dump = || Command::new(env!("CARGO_BIN_EXE_wcf-dump"));
    let chosen = wcf_dump().args(["--port", "808"]).arg(&path).output().unwrap();
    assert!(chosen.status.success());
    assert_eq!(String::from_utf8(chosen.stdout).unwrap(), expected().repeat(2));
    let none = wcf_dump().args(["--port", "81"]).arg(&path).output().unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8(none.stderr).unwrap().contains("port 81"));
}

/// A pcapng block with its length around it, padded to words.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = (12 + padded as u32).to_le_bytes();
    let mut block = [&kind.to_le_bytes(), &length[..], body].concat();
    // What pads a packet is nobody's payload.
    block.resize(8 + padded, 0xEE);
    [&block, &length[..]].concat()
}

fn section() -> Vec<u8> {
    block(0x0A0D_0D0A, &[&0x1A2B_3C4D_u32.to_le_bytes(), &[1, 0, 0, 0][..], &[0xFF; 8]].concat())
}

fn interface(link: u16) -> Vec<u8> {
    block(1, &[&link.to_le_bytes()[..], &[0; 6]].concat())
}

/// A packet of an interface; `length` is what it had on the wire.
fn packet(interface: u32, length: usize, frame: &[u8]) -> Vec<u8> {
    let numbers = [interface, 0, 0, frame.len() as u32, length as u32];
    let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    block(6, &[&numbers, frame].concat())
}

#[test]
fn interfaces_are_those_of_their_section() {
    const RAW: u16 = 101;
    let frames = frames(&stream(), 100, 5);
    let (first, second) = frames.split_at(4);
    let mut file = [section(), interface(RAW), interface(1)].concat();
    for (number, frame) in first.iter().enumerate() {
        let (at, frame) = if number % 2 == 0 { (0, &frame[14..]) } else { (1, &frame[..]) };
        file.extend(packet(at, frame.len(), frame));
    }
    file.extend([section(), interface(1)].concat());
    second.iter().for_each(|frame| file.extend(packet(0, frame.len(), frame)));
    let (xml, findings) = dump(&file, None);
    assert_eq!(xml, expected());
    assert_eq!((findings.problem, findings.warnings), (None, Vec::new()));

    file.extend(packet(1, 60, &frame(false, 5, "A", b"whose?")));
    let (xml, findings) = dump(&file, None);
    assert_eq!(xml, expected());
    assert_eq!(findings.warnings, ["packets of interfaces that the capture does not describe are left out"]);
}

/// A capture that keeps the beginning of each packet only.
#[test]
fn what_is_cut_off_is_missing() {
    let octets = stream();
    let mut file = [section(), interface(1)].concat();
    file.extend(packet(0, 54, &frame(false, 1, "S", &[])));
    let whole = frame(false, 2, "A", &octets[..100]);
    file.extend(packet(0, whole.len(), &whole[..whole.len() - 11]));
    file.extend(packet(0, 200, &frame(false, 102, "A", &octets[100..])));
    let (xml, findings) = dump(&file, None);
    assert!(xml.contains("<missing octets=\"11\"/>"), "{xml}");
    assert!(findings.warnings.iter().any(|warning| warning.contains("packets are missing")), "{findings:?}");
}

#[test]
fn of_two_segments_that_begin_alike_the_longer_one_counts() {
    let octets = stream();
    let mut packets = frames(&octets, 100, 5);
    packets.push(frame(false, 6, "A", &octets[..10]));
    let (xml, findings) = dump(&pcap(ETHERNET, &packets), None);
    assert_eq!(xml, expected());
    assert_eq!(findings.problem, None);
}

#[test]
fn fragments_are_counted() {
    let mut packets = frames(&stream(), 100, 5);
    let mut fragment = frame(false, 9000, "A", b"a part");
    // More fragments follow (RFC 791).
    fragment[14 + 6] = 0x20;
    packets.push(fragment);
    let (xml, findings) = dump(&pcap(ETHERNET, &packets), None);
    assert_eq!(xml, expected());
    assert_eq!(findings.warnings, ["fragments of IP packets are left out: 1"]);
}

/// A receiver's octets do not say how its envelopes are encoded; the other direction does.
#[test]
fn one_direction_says_how_both_are_encoded() {
    let opens = b"\0\x01\0\x01\x02\x02\x0Bnet.tcp://h\x04\x03x/y\x0C\x06\x01?";
    let packets = [
        frame(false, 1, "S", &[]),
        frame(true, 1, "SA", &[]),
        frame(false, 2, "A", opens),
        frame(true, 2, "A", b"\x0B\x06\x01!"),
    ];
    let (xml, findings) = dump(&pcap(ETHERNET, &packets), None);
    assert_eq!(xml.matches("octets=\"1\" encoding=\"x/y\"/>").count(), 2, "{xml}");
    assert_eq!(findings.problem, None);
}
