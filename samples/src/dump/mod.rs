//! Captured net.tcp traffic as XML: framing and encoding together. What the program `wcf-dump` prints.
//!
//! A file is a packet capture (pcap, pcapng), one direction of a connection, or one envelope. The direction is told by the
//! octets: a receiver's begins with a Preamble Ack and does not say how its envelopes are encoded, so that is told by the other
//! direction, or by the envelopes.

mod capture;
mod compression;
mod connections;
mod direction;
mod envelope;
mod kind;
mod out;
mod session_strings;
mod source;
mod stream;

use std::fmt::Write;
use std::fs::File;
use std::io;

use kind::Kind;
use out::Out;
use source::{Source, prefix};
use stream::{Start, Stream};

/// What there is to say about a file beside its XML.
#[derive(Debug, Default)]
pub struct Findings {
    /// What could not be read, the first of them: the file is not what it is taken for, or broken.
    pub problem: Option<String>,
    /// How many things could not be read.
    pub problems: usize,
    /// What the reader has to know about what was read. A few, each of them once.
    pub warnings: Vec<String>,
}

impl Findings {
    fn problem(&mut self, what: impl Into<String>) {
        self.problems += 1;
        self.problem.get_or_insert_with(|| what.into());
    }

    fn warning(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.warnings.len() < 20 && !self.warnings.contains(&what) {
            self.warnings.push(what);
        }
    }
}

/// Writes the records and envelopes of a file as XML, each as soon as it is read: a hostile stream may say much in a few
/// octets. Of a packet capture each direction of each net.tcp connection, or of each connection from or to `port`.
///
/// What is wrong is an `error` element at the place; the rest of that direction is not read. It is for people: what no XML can
/// say is written all the same, so it is not always well-formed.
///
/// ```
/// let mut xml = Vec::new();
/// let octets = b"\x0B\x06\x0B\x00\x56\x02\x0B\x01\x73\x04\x56\x0E\x01\x01\x07";
/// let findings = samples::dump::dump(octets, None, &mut xml)?;
/// let xml = String::from_utf8(xml)?;
/// assert!(xml.contains("<preamble-ack offset=\"0\"/>"), "{xml}");
/// assert!(xml.contains("<s:Body/>"), "{xml}");
/// assert_eq!(findings.problem, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// What `out` gives.
pub fn dump(octets: &[u8], port: Option<u16>, out: impl io::Write) -> io::Result<Findings> {
    dump_source(&octets, port, out)
}

/// As [`dump`], of a regular file. Of what is in it only the envelope at hand is in memory, and of a packet capture where the
/// payload of each TCP segment is: some 40 octets each.
///
/// # Errors
///
/// What `out` gives. What is wrong with the file is among the findings.
pub fn dump_file(file: &File, port: Option<u16>, out: impl io::Write) -> io::Result<Findings> {
    dump_source(file, port, out)
}

/// How much of a file tells what it is, if it is no envelope.
const BEGINNING: usize = 64 * 1024;

/// The most octets of a file that is an envelope, which is read as a whole.
const LARGEST_ENVELOPE: usize = 1 << 30;

fn dump_source(source: &dyn Source, port: Option<u16>, out: impl io::Write) -> io::Result<Findings> {
    let mut out = Out::new(out);
    let mut findings = Findings::default();
    if let Err(error) = dump_kind(source, port, &mut out, &mut findings) {
        findings.problem(format!("it cannot be read: {error}"));
    }
    out.finish()?;
    Ok(findings)
}

fn dump_kind(
    source: &dyn Source,
    port: Option<u16>,
    out: &mut Out<impl io::Write>,
    findings: &mut Findings,
) -> io::Result<()> {
    let mut octets = prefix(source, 0, BEGINNING)?;
    let mut kind = Kind::of(&octets);
    if octets.len() == BEGINNING && matches!(kind, Kind::Envelope | Kind::Other(_)) {
        octets = prefix(source, 0, LARGEST_ENVELOPE)?;
        kind = Kind::of(&octets);
    }
    match kind {
        Kind::Capture => capture::dump(source, port, out, findings),
        Kind::Stream => {
            let _ = out.write_str("<stream>\n");
            Stream::new(Start::Unknown, &[]).dump(source, 0, out, findings);
            let _ = out.write_str("</stream>\n");
        }
        Kind::Envelope => {
            let _ = out.write_str("<stream>\n");
            envelope::bare(&octets, out, findings);
            let _ = out.write_str("</stream>\n");
        }
        Kind::Other(what) => findings.problem(what),
    }
    Ok(())
}
