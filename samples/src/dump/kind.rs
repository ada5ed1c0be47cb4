//! What a file is, told by how it begins.

use framing_core::{Decoded, Limits, Record, RecordType};

use super::envelope::{begins_envelope, is_bare};
use super::session_strings::has_table;

/// The limits of a dump: as much as is in the file.
pub(super) const LIMITS: Limits = Limits {
    via: usize::MAX,
    content_type: usize::MAX,
    upgrade: usize::MAX,
    fault: usize::MAX,
    envelope: u64::MAX,
};

pub(super) enum Kind {
    /// pcap or pcapng.
    Capture,
    /// One direction of a net.tcp connection.
    Stream,
    /// An envelope without framing, as the body of an HTTP message: binary, text, or either compressed.
    Envelope,
    /// Anything else, and what it looks like.
    Other(String),
}

impl Kind {
    pub(super) fn of(octets: &[u8]) -> Self {
        match octets {
            [] => Self::Other("the file is empty".into()),
            [0xA1, 0xB2, 0xC3 | 0x3C, 0xD4 | 0x4D, ..]
            | [0xD4 | 0x4D, 0xC3 | 0x3C, 0xB2, 0xA1, ..]
            | [0x0A, 0x0D, 0x0D, 0x0A, ..] => Self::Capture,
            _ if is_stream(octets) => Self::Stream,
            _ if !is_plain_text(octets) && is_bare(octets) => Self::Envelope,
            _ => Self::Other(format!(
                "no net.tcp stream, packet capture or envelope; it looks like {}",
                looks_like(octets)
            )),
        }
    }
}

/// Whether the octets begin with a record, and with what may come behind it.
pub(super) fn is_stream(octets: &[u8]) -> bool {
    let (record, rest) = match Record::decode(octets, &LIMITS) {
        Ok(Decoded::Complete { value, consumed }) => (value, octets.get(consumed..).unwrap_or_default()),
        // A stream that is cut short begins right all the same.
        Ok(Decoded::NeedMore(_)) => return !has_table(octets),
        Err(_) => return false,
    };
    match record {
        Record::Version { .. } => matches!(rest, [] | [0x01, ..]),
        Record::UpgradeRequest(_) | Record::UpgradeResponse => {
            rest.first().is_none_or(|next| is_upgrade(*next))
        }
        Record::SizedEnvelope { size } => {
            let envelope = rest.get(..size as usize).unwrap_or(rest);
            envelope.is_empty() || begins_envelope(envelope)
        }
        _ => rest.first().is_none_or(|next| *next <= RecordType::PREAMBLE_END.0),
    }
}

/// Whether what follows an upgrade record may be the upgrade: the records of TLS and of Negotiate have these types.
pub(super) fn is_upgrade(octet: u8) -> bool {
    (0x14..=0x17).contains(&octet)
}

fn looks_like(octets: &[u8]) -> String {
    let begins = |with: &[&str]| with.iter().any(|with| octets.starts_with(with.as_bytes()));
    if begins(&["GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "CONNECT ", "HTTP/"]) {
        return "an HTTP message with its header fields: give the body alone".into();
    }
    if begins(&["PK\x03\x04"]) {
        return "a zip archive (Fiddler's .saz is one): give a message's body alone".into();
    }
    if matches!(octets, [0x16, 0x03, 0x00..=0x04, ..]) {
        return "TLS: without its keys nothing can be read".into();
    }
    if octets.starts_with(&[0x1F, 0x8B]) {
        return "a gzip archive: unpack it first".into();
    }
    if is_plain_text(octets) {
        let line = octets.split(|octet| matches!(octet, b'\r' | b'\n')).find(|line| !line.is_empty());
        let line = line.unwrap_or_default();
        return format!("text that begins with {}", line.get(..40).unwrap_or(line).escape_ascii());
    }
    let beginning: Vec<String> = octets.iter().take(8).map(|octet| format!("{octet:02X}")).collect();
    format!("something that begins with {}", beginning.join(" "))
}

/// Letters are the record types of elements, too.
fn is_plain_text(octets: &[u8]) -> bool {
    let printable = |octet: &u8| matches!(octet, b'\t' | b'\r' | b'\n' | 0x20..=0x7E);
    !octets.starts_with(b"<") && octets.iter().take(200).all(printable)
}
