//! The dumps: every kind of record, every way to be wrong, any way to be cut; and the example program that prints them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use framing_core::dump::{Dump, DumpError, Dumper};
use support::vectors::{self, hex};

mod support;

/// Octets, their dump, and the offset at which they are wrong.
const CASES: &[(&str, &str, Option<u64>)] = &[
    ("", "", None),
    ("00 01 00", "0 Version 1.0\n", None),
    ("00 02 09  01 07", "0 Version 2.9\n3 Mode 7\n", None),
    ("01 01 01 02 01 03", "0 Mode 1 SingletonUnsized\n2 Mode 2 Duplex\n4 Mode 3 Simplex\n", None),
    ("02 00", "0 Via \"\"\n", None),
    (
        "02 0C \"a\" 22 5C 0A 1B C3 A9 FF E2 82 CC 81",
        "0 Via \"a\\\"\\\\\\n\\u{1b}é\\xFF\\xE2\\x82\\u{301}\"\n",
        None,
    ),
    ("02 07 E2 82 AC F0 9F A6 80", "0 Via \"€🦀\"\n", None),
    ("03 08 03 63", "0 KnownEncoding 8 BinarySession\n2 KnownEncoding 99\n", None),
    ("04 03 \"a/b\"", "0 ExtensibleEncoding \"a/b\"\n", None),
    (
        "05 02 AA BB 81 00 CC 00 07",
        "0 UnsizedEnvelope\n    1 Chunk 2 octets\n    4 Chunk 1 octets\n    7 Terminator\n8 End\n",
        None,
    ),
    ("05 00", "0 UnsizedEnvelope\n    1 Terminator\n", None),
    ("06 03 06 07 08 06 00 07", "0 SizedEnvelope 3 octets\n5 SizedEnvelope 0 octets\n7 End\n", None),
    ("08 05 \"urn:x\"", "0 Fault \"urn:x\"\n", None),
    ("09 03 \"tls\"", "0 UpgradeRequest \"tls\"\n", None),
    ("09 03 \"tls\" 16 03 01", "0 UpgradeRequest \"tls\"\n5 Upgraded 3 octets\n", None),
    ("0A 16 03", "0 UpgradeResponse\n1 Upgraded 2 octets\n", None),
    // An upgrade that is none of the two leaves the stream as it is; and a pcapng file begins as a stream might.
    ("0A 0B 07", "0 UpgradeResponse\n1 PreambleAck\n2 End\n", None),
    ("0A 0D 0D 0A", "0 UpgradeResponse\n1 error: octet 0x0D is no record\n", Some(1)),
    ("0A \"hello\"", "0 UpgradeResponse\n1 error: octet 0x68 is no record\n", Some(1)),
    ("0B 0C 07", "0 PreambleAck\n1 PreambleEnd\n2 End\n", None),
    (
        "01 04 02 01 61 03 03 3C 3E",
        "0 Mode 4 SingletonSized\n2 Via \"a\"\n5 KnownEncoding 3 Soap12Utf8\n7 Envelope 2 octets\n",
        None,
    ),
    (
        "01 04 02 01 61 03 03 07",
        "0 Mode 4 SingletonSized\n2 Via \"a\"\n5 KnownEncoding 3 Soap12Utf8\n7 End\n",
        None,
    ),
    // Only singleton-sized has an envelope without a record.
    (
        "01 02 02 01 61 03 03 3C",
        "0 Mode 2 Duplex\n2 Via \"a\"\n5 KnownEncoding 3 Soap12Utf8\n7 error: octet 0x3C is no record\n",
        Some(7),
    ),
    ("0B 0D", "0 PreambleAck\n1 error: octet 0x0D is no record\n", Some(1)),
    ("0B FF", "0 PreambleAck\n1 error: octet 0xFF is no record\n", Some(1)),
    ("00 01", "2 error: the stream ends inside the record or chunk that begins at 0\n", Some(2)),
    (
        "0B 02 05 61 C3",
        "0 PreambleAck\n1 Via \"a\\xC3\n5 error: the stream ends inside the record or chunk that begins at 1\n",
        Some(5),
    ),
    (
        "0B 06 05 61",
        "0 PreambleAck\n1 SizedEnvelope 5 octets\n4 error: the stream ends inside the record or chunk that begins at 1\n",
        Some(4),
    ),
    (
        "05 02 AA",
        "0 UnsizedEnvelope\n    1 Chunk 2 octets\n3 error: the stream ends inside the record or chunk that begins at 1\n",
        Some(3),
    ),
    (
        "05",
        "0 UnsizedEnvelope\n1 error: the stream ends inside the record or chunk that begins at 0\n",
        Some(1),
    ),
    (
        "0B 06 FF FF FF FF 08",
        "0 PreambleAck\n1 error: the size of this record or chunk is over 31 bits or 5 octets\n",
        Some(1),
    ),
];

#[test]
fn every_record_and_error() {
    for (octets, expected, offset) in CASES {
        let octets = hex(octets);
        assert_eq!(Dump(&octets).to_string(), *expected);
        for cut in 0..=octets.len() {
            let mut text = String::new();
            let mut dumper = Dumper::new();
            let dumped = dumper
                .dump(&octets[..cut], &mut text)
                .and_then(|()| dumper.dump(&octets[cut..], &mut text))
                .and_then(|()| dumper.finish(&mut text));
            assert_eq!(dumped.err().and_then(DumpError::offset), *offset, "{expected}");
            if let (Err(error), Some(offset)) = (dumped, offset) {
                writeln!(text, "{offset} error: {error}").expect("a string");
            }
            assert_eq!(text, *expected, "cut at {cut}");
        }
        let (mut text, mut dumper) = (String::new(), Dumper::new());
        let mut dumped = octets.iter().try_for_each(|octet| dumper.dump(&[*octet], &mut text));
        if dumped.is_ok() {
            dumped = dumper.finish(&mut text);
        }
        if let (Err(error), Some(offset)) = (dumped, offset) {
            writeln!(text, "{offset} error: {error}").expect("a string");
        }
        assert_eq!(text, *expected, "octet by octet");
    }
}

/// Constant memory whatever a size says: a text of 2 GiB announced, some of it there.
#[test]
fn a_huge_text_is_streamed() {
    let mut text = String::new();
    let mut dumper = Dumper::new();
    dumper.dump(&hex("02 FF FF FF FF 07"), &mut text).expect("a size");
    for _ in 0..1000 {
        text.clear();
        dumper.dump(&[b'x'; 1000], &mut text).expect("text");
        assert_eq!(text.len(), 1000);
    }
    assert_eq!(dumper.finish(&mut text), Err(DumpError::EndInside { offset: 1_000_006, began: 0 }));
}

#[test]
fn captures_dump_to_the_end() {
    for vector in vectors::read(&["mono", "corewcf"]) {
        let dump = Dump(&vector.octets).to_string();
        assert!(!dump.contains("error:"), "{}:\n{dump}", vector.path.display());
        let sessions = dump.matches(" Version 1.0\n").count();
        assert_eq!(sessions, dump.matches(" Via \"net.tcp://").count(), "{dump}");
    }
}

/// The program, which `cargo test` builds; not there when only this test was asked for.
fn nmf_dump() -> Option<PathBuf> {
    let test = std::env::current_exe().expect("a path");
    let program = test.parent()?.parent()?.join("examples/nmf-dump");
    if !program.exists() {
        test_peers::skip("nmf-dump", "test the whole package, not this file alone");
        return None;
    }
    Some(program)
}

#[test]
fn program_reads_standard_input_and_says_where_it_is_wrong() {
    let Some(program) = nmf_dump() else { return };
    for (octets, expected, offset) in CASES {
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        child.stdin.take().expect("piped").write_all(&hex(octets)).expect("reads");
        let output = child.wait_with_output().expect("ends");
        let lines: String = expected.split_inclusive('\n').filter(|line| !line.contains("error:")).collect();
        assert_eq!(String::from_utf8(output.stdout).expect("UTF-8"), lines);
        assert_eq!(output.status.code(), Some(i32::from(offset.is_some())));
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        match offset {
            Some(offset) => assert!(message.contains(&format!("offset {offset}:")), "{message}"),
            None => assert_eq!(message, ""),
        }
    }
}

#[test]
fn program_reads_files() {
    let Some(program) = nmf_dump() else { return };
    for vector in vectors::read(&["corewcf"]) {
        let output = Command::new(&program).arg(&vector.path).output().expect("starts");
        assert_eq!(String::from_utf8(output.stdout).expect("UTF-8"), Dump(&vector.octets).to_string());
        assert_eq!(output.status.code(), Some(0));
    }
    let missing = Command::new(&program).arg("no/such/file").output().expect("starts");
    assert_eq!(missing.status.code(), Some(2));
}
