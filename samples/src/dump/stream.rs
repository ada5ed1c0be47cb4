//! One direction of a connection, record by record.

use std::fmt::Write;
use std::io;

use framing_core::{Decoded, Encoding as Announced, Record};
use message_encoding::Int31;

use super::Findings;
use super::envelope::{self, Format};
use super::kind::{LIMITS, is_upgrade};
use super::out::{Out, escaped};
use super::session_strings::SessionStrings;
use super::source::{Source, Window};

/// What is known of where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the connection.
    Connection,
    /// Told by its first record.
    Unknown,
    /// Something before it is missing.
    Middle,
}

pub(super) struct Stream<'a> {
    start: Start,
    /// How the sessions' envelopes are encoded, as the other direction says it.
    from_the_other: &'a [Format],
    /// The same, as this direction says it.
    announced: Vec<Format>,
    /// How many Preamble Acks were seen.
    acknowledged: usize,
    /// Of the session at hand, once it is known.
    format: Option<Format>,
    strings: SessionStrings,
}

impl<'a> Stream<'a> {
    pub(super) fn new(start: Start, from_the_other: &'a [Format]) -> Self {
        Self {
            start,
            from_the_other,
            announced: Vec::new(),
            acknowledged: 0,
            format: None,
            strings: SessionStrings::from_the_middle(),
        }
    }

    /// Writes the records of a source from a place on, with offsets that count from there; gives what this direction says of how
    /// its sessions' envelopes are encoded.
    pub(super) fn dump(
        mut self,
        source: &dyn Source,
        begins: u64,
        out: &mut Out<impl io::Write>,
        findings: &mut Findings,
    ) -> Vec<Format> {
        let mut window = match Window::new(source, begins) {
            Ok(window) => window,
            Err(error) => {
                findings.problem(unreadable(&error));
                return Vec::new();
            }
        };
        while window.left() > 0 && !out.is_broken() {
            if let Err(why) = self.record(&mut window, begins, out, findings) {
                let at = window.position() - begins;
                let _ = writeln!(out, "  <error offset=\"{at}\">{}</error>", escaped(&why));
                findings.problem(format!("offset {at}: {why}"));
                break;
            }
        }
        self.announced
    }

    fn record(
        &mut self,
        window: &mut Window<'_>,
        begins: u64,
        out: &mut Out<impl io::Write>,
        findings: &mut Findings,
    ) -> Result<(), String> {
        let at = window.position() - begins;
        let (record, consumed) = loop {
            match Record::decode(window.octets(), &LIMITS) {
                Ok(Decoded::Complete { value, consumed }) => break (value, consumed),
                Ok(Decoded::NeedMore(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
            if !window.widen().map_err(|error| unreadable(&error))? {
                return Err("the stream ends inside a record".into());
            }
        };
        if at == 0 && self.start == Start::Unknown {
            self.start = match record {
                Record::SizedEnvelope { .. } | Record::UnsizedEnvelope => Start::Middle,
                _ => Start::Connection,
            };
        }
        if at == 0 && self.start == Start::Middle {
            let warning = "the beginning of the session is missing: strings that were sent in it are shown as unknown-string-N";
            let _ = writeln!(out, "  <warning offset=\"0\">{warning}</warning>");
            findings.warning(warning);
        }
        match record {
            Record::Version { major, minor } => {
                self.begin_session();
                out.line("version", at, &format!("{major}.{minor}"));
            }
            Record::Mode(mode) => out.line("mode", at, &mode.to_string()),
            Record::Via(via) => out.line("via", at, via),
            Record::KnownEncoding(known) => self.encoding(Announced::Known(known), at, out),
            Record::ExtensibleEncoding(content_type) => {
                self.encoding(Announced::Extensible(content_type), at, out);
            }
            Record::PreambleAck => {
                self.begin_session();
                self.format = self.from_the_other.get(self.acknowledged).cloned();
                self.acknowledged += 1;
                out.line("preamble-ack", at, "");
            }
            Record::PreambleEnd => out.line("preamble-end", at, ""),
            Record::End => out.line("end", at, ""),
            Record::Fault(fault) => out.line("fault", at, fault.uri()),
            Record::UpgradeRequest(protocol) => {
                out.line("upgrade-request", at, protocol);
                window.advance(consumed);
                return upgraded(window, begins, out);
            }
            Record::UpgradeResponse => {
                out.line("upgrade-response", at, "");
                window.advance(consumed);
                return upgraded(window, begins, out);
            }
            Record::SizedEnvelope { size } => {
                window.advance(consumed);
                let size = size as usize;
                self.envelope("sized", at, next(window, size)?, out, findings);
                window.advance(size);
                return Ok(());
            }
            Record::UnsizedEnvelope => {
                window.advance(consumed);
                let payload = chunks(window)?;
                self.envelope("unsized", at, &payload, out, findings);
                return Ok(());
            }
        }
        window.advance(consumed);
        Ok(())
    }

    /// The next session on the connection has strings of its own.
    fn begin_session(&mut self) {
        self.format = None;
        self.strings = SessionStrings::from_the_first();
    }

    fn encoding(&mut self, announced: Announced<'_>, at: u64, out: &mut Out<impl io::Write>) {
        let format = Format::announced(announced);
        out.line("encoding", at, format.content_type());
        self.announced.push(format.clone());
        self.format = Some(format);
    }

    fn envelope(
        &mut self,
        record: &str,
        at: u64,
        payload: &[u8],
        out: &mut Out<impl io::Write>,
        findings: &mut Findings,
    ) {
        let format = self.format.get_or_insert_with(|| Format::guessed(payload, record == "sized"));
        envelope::write(record, at, payload, format, &mut self.strings, out, findings);
    }
}

/// The window's next octets, so many.
fn next<'w>(window: &'w mut Window<'_>, octets: usize) -> Result<&'w [u8], String> {
    let inside = || "the stream ends inside an envelope".to_owned();
    if octets as u64 > window.left() {
        return Err(inside());
    }
    while window.octets().len() < octets {
        if !window.widen().map_err(|error| unreadable(&error))? {
            return Err(inside());
        }
    }
    Ok(&window.octets()[..octets])
}

/// The chunks of an unsized envelope.
fn chunks(window: &mut Window<'_>) -> Result<Vec<u8>, String> {
    let mut payload = Vec::new();
    loop {
        let size = loop {
            match Int31::decode(window.octets()) {
                Ok(size) => break size,
                Err(_) if window.octets().len() < LONGEST_SIZE => {}
                Err(_) => return Err("the stream ends inside an unsized envelope".into()),
            }
            if !window.widen().map_err(|error| unreadable(&error))? {
                return Err("the stream ends inside an unsized envelope".into());
            }
        };
        window.advance(size.octets());
        let size = size.value() as usize;
        if size == 0 {
            return Ok(payload);
        }
        payload.extend_from_slice(next(window, size)?);
        window.advance(size);
    }
}

/// What follows is TLS or Negotiate, and no framing until it is decrypted. Other upgrades leave the stream readable.
fn upgraded(window: &mut Window<'_>, begins: u64, out: &mut Out<impl io::Write>) -> Result<(), String> {
    if window.octets().is_empty() {
        window.widen().map_err(|error| unreadable(&error))?;
    }
    if window.octets().first().is_some_and(|next| is_upgrade(*next)) {
        out.line("upgraded", window.position() - begins, &format!("{} octets", window.left()));
        window.skip_to_end();
    }
    Ok(())
}

/// Octets of a size, at most.
const LONGEST_SIZE: usize = 5;

fn unreadable(error: &io::Error) -> String {
    format!("the file cannot be read: {error}")
}
