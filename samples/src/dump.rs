//! A captured net.tcp stream as XML: framing and encoding together. What the program `wcf-dump` prints.
//!
//! A capture is one direction of a connection, from its first octet on. The direction is told by the octets: a receiver's
//! begins with a Preamble Ack and does not say how its envelopes are encoded, so that is told by the envelopes.

use std::fmt::{self, Write};
use std::io;

use framing_core::{Decoded, Encoding as NamedEncoding, Limits, Record};
use message_encoding::dictionary::Strings;
use message_encoding::envelope::{Decoder, Encoding};
use message_encoding::event::{Reader, ReaderState};
use message_encoding::text::XmlPrinter;
use message_encoding::{Int31, Quotas};

/// What a stream may have: as much as is in the file. Only the quotas of nesting stay, so that lines do not run off.
const QUOTAS: Quotas = Quotas { max_depth: 256, ..Quotas::MAX };
const LIMITS: Limits = Limits {
    via: usize::MAX,
    content_type: usize::MAX,
    upgrade: usize::MAX,
    fault: usize::MAX,
    envelope: u64::MAX,
};
/// How an element of a binary document begins.
const ELEMENTS: core::ops::RangeInclusive<u8> = 0x40..=0x77;

/// Writes the records and envelopes of a stream as XML, each as soon as it is read: a hostile stream may say much in a few
/// octets.
///
/// What is wrong with the stream is an `error` element at the place; the rest is not read. It is for people: what no XML can say
/// is written all the same, so it is not always well-formed.
///
/// ```
/// let mut xml = Vec::new();
/// samples::dump::dump(b"\x0B\x06\x0A\x00\x56\x02\x0B\x01\x73\x04\x56\x0E\x01\x01\x07", &mut xml)?;
/// let xml = String::from_utf8(xml)?;
/// assert!(xml.contains("<preamble-ack offset=\"0\"/>"), "{xml}");
/// assert!(xml.contains("<s:Body/>"), "{xml}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// What `out` gives.
pub fn dump(octets: &[u8], out: impl io::Write) -> io::Result<()> {
    let out = Out { to: out, written: Ok(()) };
    let mut dump = Dump { octets, position: 0, out, encoding: None, decoder: None };
    let _ = dump.out.write_str("<stream>\n");
    while dump.position < octets.len() && dump.out.written.is_ok() {
        if let Err(why) = dump.record() {
            let at = dump.position;
            let _ = writeln!(dump.out, "  <error offset=\"{at}\">{}</error>", escaped(&why));
            break;
        }
    }
    let _ = dump.out.write_str("</stream>\n");
    dump.out.written
}

/// Where the text goes, and how that went. Nothing more is written after an error.
struct Out<W> {
    to: W,
    written: io::Result<()>,
}

impl<W: io::Write> Write for Out<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.written.is_ok() {
            self.written = self.to.write_all(text.as_bytes());
        }
        self.written.as_ref().map_err(|_| fmt::Error).copied()
    }
}

/// The lines of an envelope, further in.
struct Indented<'o, W> {
    out: &'o mut Out<W>,
    in_line: bool,
}

impl<W: io::Write> Write for Indented<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            if !self.in_line {
                self.out.write_str("    ")?;
            }
            self.out.write_str(part)?;
            self.in_line = !part.ends_with('\n');
        }
        Ok(())
    }
}

struct Dump<'a, W> {
    octets: &'a [u8],
    position: usize,
    out: Out<W>,
    /// What the session's preamble says, if it is in this direction: `Some(None)` is an encoding that is not read here.
    encoding: Option<Option<Encoding>>,
    /// The decoder of the session, once its encoding is known.
    decoder: Option<Decoder>,
}

impl<'a, W: io::Write> Dump<'a, W> {
    fn record(&mut self) -> Result<(), String> {
        let at = self.position;
        let rest = &self.octets[at..];
        let (record, consumed) = match Record::decode(rest, &LIMITS) {
            Ok(Decoded::Complete { value, consumed }) => (value, consumed),
            Ok(Decoded::NeedMore(_)) => return Err("the stream ends inside a record".into()),
            Err(error) => return Err(error.to_string()),
        };
        self.position += consumed;
        match record {
            Record::Version { major, minor } => {
                self.begin_session();
                self.line("version", at, &format!("{major}.{minor}"));
            }
            Record::Mode(mode) => self.line("mode", at, &mode.to_string()),
            Record::Via(via) => self.line("via", at, via),
            Record::KnownEncoding(known) => {
                self.encoding = Some(Encoding::from_known(known.0));
                self.line("encoding", at, NamedEncoding::Known(known).content_type().unwrap_or("unknown"));
            }
            Record::ExtensibleEncoding(content_type) => {
                self.encoding = Some(Encoding::from_content_type(content_type));
                self.line("encoding", at, content_type);
            }
            Record::PreambleAck => {
                self.begin_session();
                self.line("preamble-ack", at, "");
            }
            Record::PreambleEnd => self.line("preamble-end", at, ""),
            Record::End => self.line("end", at, ""),
            Record::Fault(fault) => self.line("fault", at, fault.uri()),
            Record::UpgradeRequest(protocol) => {
                self.line("upgrade-request", at, protocol);
                self.upgraded();
            }
            Record::UpgradeResponse => {
                self.line("upgrade-response", at, "");
                self.upgraded();
            }
            Record::SizedEnvelope { size } => {
                let payload = self.take(size as usize)?;
                self.envelope("sized", at, payload);
            }
            Record::UnsizedEnvelope => {
                let mut payload = Vec::new();
                loop {
                    let size = Int31::decode(&self.octets[self.position..])
                        .map_err(|_| "the stream ends inside an unsized envelope")?;
                    self.position += size.octets();
                    if size.value() == 0 {
                        break;
                    }
                    payload.extend_from_slice(self.take(size.value() as usize)?);
                }
                self.envelope("unsized", at, &payload);
            }
        }
        Ok(())
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8], String> {
        let octets = self.octets;
        let end = self.position.checked_add(size).filter(|&end| end <= octets.len());
        let end = end.ok_or("the stream ends inside an envelope")?;
        let taken = &octets[self.position..end];
        self.position = end;
        Ok(taken)
    }

    /// The next session on the connection has dictionaries of its own.
    fn begin_session(&mut self) {
        self.encoding = None;
        self.decoder = None;
    }

    /// What follows is TLS or Negotiate, and no framing until it is decrypted.
    fn upgraded(&mut self) {
        let (at, left) = (self.position, self.octets.len() - self.position);
        if left > 0 {
            self.line("upgraded", at, &format!("{left} octets"));
        }
        self.position = self.octets.len();
    }

    fn line(&mut self, name: &str, at: usize, text: &str) {
        let _ = match text {
            "" => writeln!(self.out, "  <{name} offset=\"{at}\"/>"),
            text => writeln!(self.out, "  <{name} offset=\"{at}\">{}</{name}>", escaped(text)),
        };
    }

    fn envelope(&mut self, kind: &str, at: usize, payload: &[u8]) {
        let Some(encoding) = self.encoding.unwrap_or_else(|| Some(guess(kind, payload))) else {
            let octets = payload.len();
            let _ = writeln!(self.out, "  <envelope offset=\"{at}\" record=\"{kind}\" octets=\"{octets}\"/>");
            return;
        };
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(encoding, QUOTAS));
        let known = decoder.strings().len();
        let content_type = decoder.encoding().content_type();
        let _ = writeln!(
            self.out,
            "  <envelope offset=\"{at}\" record=\"{kind}\" octets=\"{}\" encoding=\"{content_type}\">",
            payload.len()
        );
        let mut state = ReaderState::new();
        let reader = if decoder.encoding() == Encoding::BinarySession {
            let (table, document) = split_table(payload).unwrap_or((payload, &[]));
            let taken = decoder.document(table).map(drop);
            for index in known..decoder.strings().len() {
                let string = escaped(decoder.strings().get(index).unwrap_or_default());
                let _ = writeln!(self.out, "    <string id=\"{}\">{string}</string>", 2 * index + 1);
            }
            let strings = Strings::with_session(decoder.strings());
            taken.map(|()| Reader::new(&mut state, document, strings, QUOTAS))
        } else {
            decoder.document(payload)
        };
        let printed = match reader {
            Ok(reader) => print(reader, &mut self.out),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = printed {
            let _ = writeln!(self.out, "    <refused>{}</refused>", escaped(&why));
        }
        let _ = self.out.write_str("  </envelope>\n");
    }
}

/// Prints a document, as far as it can be read.
fn print(mut reader: Reader<'_, '_>, out: &mut Out<impl io::Write>) -> Result<(), String> {
    let mut printer = XmlPrinter::indented(2);
    let mut lines = Indented { out, in_line: false };
    let read = loop {
        match printer.event(&mut reader, &mut lines) {
            Ok(true) if lines.out.written.is_ok() => {}
            Ok(_) => break Ok(()),
            Err(error) => break Err(error.to_string()),
        }
    };
    printer.close(&mut lines);
    if lines.in_line {
        let _ = lines.write_str("\n");
    }
    read
}

/// How an envelope is encoded whose session does not say so in this direction.
fn guess(kind: &str, payload: &[u8]) -> Encoding {
    let soap_11 = |text: &[u8]| {
        let namespace = b"schemas.xmlsoap.org/soap/envelope";
        let ascii: Vec<u8> = text.iter().copied().filter(|octet| *octet != 0).take(1000).collect();
        ascii.windows(namespace.len()).any(|window| window == namespace)
    };
    match payload {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] if soap_11(payload) => Encoding::Soap11Utf16,
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Encoding::Soap12Utf16,
        [b'<', ..] | [0xEF, 0xBB, 0xBF, ..] if soap_11(payload) => Encoding::Soap11Utf8,
        [b'<', ..] | [0xEF, 0xBB, 0xBF, ..] => Encoding::Soap12Utf8,
        _ if kind == "sized" && has_table(payload) => Encoding::BinarySession,
        _ => Encoding::Binary,
    }
}

/// Whether there is a string table, and an element behind it.
fn has_table(payload: &[u8]) -> bool {
    let Some((table, document)) = split_table(payload) else { return false };
    let mut table = &table[Int31::decode(table).map_or(0, |size| size.octets())..];
    while !table.is_empty() {
        let string =
            Int31::decode(table).ok().and_then(|size| table.get(size.octets() + size.value() as usize..));
        let Some(rest) = string else { return false };
        table = rest;
    }
    document.first().is_some_and(|octet| ELEMENTS.contains(octet))
}

/// A string table with its length before it, and the document behind it.
fn split_table(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let size = Int31::decode(payload).ok()?;
    payload.split_at_checked(size.octets() + size.value() as usize)
}

/// Text for people and for XML: markup and what a terminal obeys as character references.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for unit in text.chars() {
        match unit {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            unit if unit.is_control() => {
                let _ = write!(out, "&#x{:X};", u32::from(unit));
            }
            unit => out.push(unit),
        }
    }
    out
}
