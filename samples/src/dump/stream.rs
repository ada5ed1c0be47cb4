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
    octets: &'a [u8],
    position: usize,
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
    pub(super) fn new(octets: &'a [u8], start: Start, from_the_other: &'a [Format]) -> Self {
        Self {
            octets,
            position: 0,
            start,
            from_the_other,
            announced: Vec::new(),
            acknowledged: 0,
            format: None,
            strings: SessionStrings::from_the_middle(),
        }
    }

    /// Writes the records; gives what this direction says of how its sessions' envelopes are encoded.
    pub(super) fn dump(mut self, out: &mut Out<impl io::Write>, findings: &mut Findings) -> Vec<Format> {
        while self.position < self.octets.len() && !out.is_broken() {
            if let Err(why) = self.record(out, findings) {
                let at = self.position;
                let _ = writeln!(out, "  <error offset=\"{at}\">{}</error>", escaped(&why));
                findings.problem(format!("offset {at}: {why}"));
                break;
            }
        }
        self.announced
    }

    fn record(&mut self, out: &mut Out<impl io::Write>, findings: &mut Findings) -> Result<(), String> {
        let at = self.position;
        let rest = &self.octets[at..];
        let (record, consumed) = match Record::decode(rest, &LIMITS) {
            Ok(Decoded::Complete { value, consumed }) => (value, consumed),
            Ok(Decoded::NeedMore(_)) => return Err("the stream ends inside a record".into()),
            Err(error) => return Err(error.to_string()),
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
        self.position += consumed;
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
                self.upgraded(out);
            }
            Record::UpgradeResponse => {
                out.line("upgrade-response", at, "");
                self.upgraded(out);
            }
            Record::SizedEnvelope { size } => {
                let payload = self.take(size as usize)?;
                self.envelope("sized", at, payload, out, findings);
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
                self.envelope("unsized", at, &payload, out, findings);
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

    /// The next session on the connection has strings of its own.
    fn begin_session(&mut self) {
        self.format = None;
        self.strings = SessionStrings::from_the_first();
    }

    fn encoding(&mut self, announced: Announced<'_>, at: usize, out: &mut Out<impl io::Write>) {
        let format = Format::announced(announced);
        out.line("encoding", at, format.content_type());
        self.announced.push(format.clone());
        self.format = Some(format);
    }

    /// What follows is TLS or Negotiate, and no framing until it is decrypted. Other upgrades leave the stream readable.
    fn upgraded(&mut self, out: &mut Out<impl io::Write>) {
        let rest = self.octets.get(self.position..).unwrap_or_default();
        if rest.first().is_some_and(|next| is_upgrade(*next)) {
            out.line("upgraded", self.position, &format!("{} octets", rest.len()));
            self.position = self.octets.len();
        }
    }

    fn envelope(
        &mut self,
        record: &str,
        at: usize,
        payload: &[u8],
        out: &mut Out<impl io::Write>,
        findings: &mut Findings,
    ) {
        let format = self.format.get_or_insert_with(|| Format::guessed(payload, record == "sized"));
        envelope::write(record, at, payload, format, &mut self.strings, out, findings);
    }
}
