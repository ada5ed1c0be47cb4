//! `wcf-dump` on files that are larger than its memory may be.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use etherparse::PacketBuilder;

/// What the program may map, in KiB, and how much is in a file.
const MEMORY: u64 = 48 * 1024;
const ENVELOPES: usize = 96;
const ENVELOPE: usize = 1 << 20;

/// A session whose envelopes are of an encoding that nobody knows, so that they are not printed.
fn stream(mut write: impl FnMut(&[u8])) {
    write(b"\0\x01\0\x01\x02\x02\x0Bnet.tcp://h\x04\x03x/y\x0C");
    let envelope = [&b"\x06\x80\x80\x40"[..], &vec![b'?'; ENVELOPE]].concat();
    (0..ENVELOPES).for_each(|_| write(&envelope));
    write(b"\x07");
}

/// The stream as Ethernet frames in a pcap file.
fn capture(file: File) {
    let mut file = BufWriter::new(file);
    for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        file.write_all(&word.to_le_bytes()).unwrap();
    }
    let mut number = 1_u32;
    let mut segment = |number: u32, syn: bool, payload: &[u8]| {
        let mut builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .tcp(50_000, 808, number, 65_535);
        if syn {
            builder = builder.syn();
        }
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        for word in [0, 0, frame.len() as u32, frame.len() as u32] {
            file.write_all(&word.to_le_bytes()).unwrap();
        }
        file.write_all(&frame).unwrap();
    };
    segment(number, true, &[]);
    number += 1;
    stream(|octets| {
        for payload in octets.chunks(60_000) {
            segment(number, false, payload);
            number += payload.len() as u32;
        }
    });
}

fn file(folder: &Path, name: &str, write: impl FnOnce(File)) -> PathBuf {
    let path = folder.join(name);
    write(File::create(&path).unwrap());
    path
}

/// The program with little memory, on a file or on a pipe.
fn dump(path: &Path, through_a_pipe: bool) -> String {
    let mut command = Command::new("sh");
    let limited = format!("ulimit -v {MEMORY} && exec \"$0\" \"$1\"");
    let limited = if through_a_pipe { format!("cat \"$2\" | ({limited})") } else { limited };
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_wcf-dump")]);
    command.arg(if through_a_pipe { Path::new("-") } else { path }).arg(path);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_in_a_file_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let one_way = file(folder.path(), "stream", |mut file| stream(|octets| file.write_all(octets).unwrap()));
    let pcap = file(folder.path(), "pcap", capture);
    for (path, through_a_pipe) in [(&one_way, false), (&one_way, true), (&pcap, false), (&pcap, true)] {
        let xml = dump(path, through_a_pipe);
        let envelopes = format!("octets=\"{ENVELOPE}\" encoding=\"x/y\"/>");
        assert_eq!(xml.matches(&envelopes).count(), ENVELOPES, "{xml}");
        assert!(xml.ends_with("</stream>\n") && xml.contains("<end offset=\""), "{xml}");
    }
}
