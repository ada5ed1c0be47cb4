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
mod stream;

use std::fmt::Write;
use std::io;

use kind::Kind;
use out::Out;
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
    let mut out = Out::new(out);
    let mut findings = Findings::default();
    match Kind::of(octets) {
        Kind::Capture => capture::dump(octets, port, &mut out, &mut findings),
        Kind::Stream => {
            let _ = out.write_str("<stream>\n");
            Stream::new(octets, Start::Unknown, &[]).dump(&mut out, &mut findings);
            let _ = out.write_str("</stream>\n");
        }
        Kind::Envelope => {
            let _ = out.write_str("<stream>\n");
            envelope::bare(octets, &mut out, &mut findings);
            let _ = out.write_str("</stream>\n");
        }
        Kind::Other(what) => findings.problem(what),
    }
    out.finish()?;
    Ok(findings)
}
