//! One envelope, whatever it is encoded with.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;

use framing_core::Encoding as Announced;
use message_encoding::Quotas;
use message_encoding::dictionary::Strings;
use message_encoding::envelope::{Decoder, MessageEncoding};
use message_encoding::event::{Reader, ReaderState};
use message_encoding::text::XmlPrinter;

use super::Findings;
use super::compression::{Compression, decompressed};
use super::out::{Indented, Out, escaped};
use super::session_strings::{SessionStrings, has_table, split_sized};

/// What an envelope may have: as much as is in the file. Only the quotas of nesting stay, so that lines do not run off.
const QUOTAS: Quotas = Quotas { max_depth: 256, ..Quotas::MAX };
/// How an element of a binary document begins.
const ELEMENTS: core::ops::RangeInclusive<u8> = 0x40..=0x77;

/// How the envelopes of a session are encoded.
#[derive(Clone, Debug)]
pub(super) struct Format {
    /// `None`: an encoding that is not read here.
    encoding: Option<MessageEncoding>,
    compression: Compression,
    content_type: String,
}

impl Format {
    /// As a preamble says it.
    pub(super) fn announced(announced: Announced<'_>) -> Self {
        let Some(content_type) = announced.content_type() else {
            return Self {
                encoding: None,
                compression: Compression::None,
                content_type: announced.to_string(),
            };
        };
        let (plain, compression) = Compression::split(content_type);
        let encoding = match Announced::from_content_type(plain) {
            Announced::Known(known) => MessageEncoding::from_known(known.0),
            Announced::Extensible(content_type) => MessageEncoding::from_content_type(content_type),
        };
        Self { encoding, compression, content_type: content_type.into() }
    }

    /// As the first envelope of a session looks, when nothing says it.
    pub(super) fn guessed(payload: &[u8], sized: bool) -> Self {
        let (compression, payload) = guess_compression(payload, sized);
        let encoding = guess(&payload, sized);
        let content_type = format!("{}{}", encoding.content_type(), compression.suffix());
        Self { encoding: Some(encoding), compression, content_type }
    }

    /// The content type, escaped by its writer.
    pub(super) fn content_type(&self) -> &str {
        &self.content_type
    }
}

/// Writes a file that is one envelope.
pub(super) fn bare(octets: &[u8], out: &mut Out<impl io::Write>, findings: &mut Findings) {
    let format = bare_format(octets);
    write("", 0, octets, &format, &mut SessionStrings::from_the_middle(), out, findings);
}

/// Writes an envelope. `record` is the kind of record that it came in.
pub(super) fn write(
    record: &str,
    at: u64,
    payload: &[u8],
    format: &Format,
    strings: &mut SessionStrings,
    out: &mut Out<impl io::Write>,
    findings: &mut Findings,
) {
    let record = if record.is_empty() { String::new() } else { format!(" record=\"{record}\"") };
    let content_type = escaped(format.content_type());
    let octets = payload.len();
    let _ =
        write!(out, "  <envelope offset=\"{at}\"{record} octets=\"{octets}\" encoding=\"{content_type}\"");
    let Some(encoding) = format.encoding else {
        let _ = out.write_str("/>\n");
        findings.warning(format!("envelopes of content type {content_type} are not decoded"));
        return;
    };
    let payload = match format.compression {
        Compression::None => Ok(Cow::Borrowed(payload)),
        compression => decompressed(payload, compression).map(Cow::Owned),
    };
    if let Ok(Cow::Owned(payload)) = &payload {
        let _ = write!(out, " decompressed=\"{}\"", payload.len());
    }
    let _ = out.write_str(">\n");
    let printed = payload.and_then(|payload| print(&payload, encoding, strings, out));
    if let Err(why) = printed {
        let _ = writeln!(out, "    <refused>{}</refused>", escaped(&why));
        findings.problem(format!("the envelope at offset {at} cannot be read: {why}"));
    }
    let _ = out.write_str("  </envelope>\n");
}

/// Prints the string table, if there is one, and the document, as far as it can be read.
fn print(
    payload: &[u8],
    encoding: MessageEncoding,
    strings: &mut SessionStrings,
    out: &mut Out<impl io::Write>,
) -> Result<(), String> {
    if encoding != MessageEncoding::BinarySession {
        let mut decoder = Decoder::new(encoding, QUOTAS);
        return print_document(decoder.document(payload).map_err(|error| error.to_string())?, out);
    }
    let (table, document) = split_sized(payload).ok_or("its string table is cut short")?;
    for (id, string) in strings.take(table, document)? {
        let string = escaped(&string);
        let _ = match id {
            Some(id) => writeln!(out, "    <string id=\"{id}\">{string}</string>"),
            None => writeln!(out, "    <string>{string}</string>"),
        };
    }
    let mut state = ReaderState::new();
    print_document(Reader::new(&mut state, document, Strings::with_session(strings.table()), QUOTAS), out)
}

fn print_document(mut reader: Reader<'_, '_>, out: &mut Out<impl io::Write>) -> Result<(), String> {
    let mut printer = XmlPrinter::indented(2);
    let mut lines = Indented { out, in_line: false };
    let read = loop {
        match printer.event(&mut reader, &mut lines) {
            Ok(true) if !lines.out.is_broken() => {}
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

/// Whether a file is an envelope without framing: its first start tag can be read.
pub(super) fn is_bare(octets: &[u8]) -> bool {
    if !begins_envelope(octets) {
        return false;
    }
    let Format { encoding: Some(encoding), compression, .. } = bare_format(octets) else { return false };
    let Ok(inside) = decompressed(octets, compression) else { return false };
    let mut out = Out::new(io::sink());
    let mut first = |mut reader: Reader<'_, '_>| {
        XmlPrinter::indented(2).event(&mut reader, &mut out).is_ok_and(|more| more)
    };
    if encoding != MessageEncoding::BinarySession {
        return Decoder::new(encoding, QUOTAS).document(&inside).is_ok_and(first);
    }
    let mut strings = SessionStrings::from_the_middle();
    let Some((table, document)) = split_sized(&inside) else { return false };
    let taken = strings.take(table, document).is_ok();
    let strings = Strings::with_session(strings.table());
    taken && first(Reader::new(&mut ReaderState::new(), document, strings, QUOTAS))
}

fn bare_format(octets: &[u8]) -> Format {
    let format = Format::guessed(octets, false);
    if format.encoding == Some(MessageEncoding::Binary) && !is_document(octets) {
        return Format::guessed(octets, true);
    }
    format
}

/// Whether these octets may be an envelope's first ones, in any encoding.
pub(super) fn begins_envelope(octets: &[u8]) -> bool {
    is_document(octets)
        || is_text(octets)
        || has_table(octets)
        || Compression::of(octets) != Compression::None
}

/// Whether a binary document begins here.
pub(super) fn is_document(octets: &[u8]) -> bool {
    octets.first().is_some_and(|octet| ELEMENTS.contains(octet))
}

/// Whether a text envelope begins here, with or without a byte order mark.
pub(super) fn is_text(octets: &[u8]) -> bool {
    matches!(octets, [b'<', ..] | [0xEF, 0xBB, 0xBF, ..] | [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..])
}

/// Deflate is told by what comes out of it, where nothing else fits.
fn guess_compression(payload: &[u8], sized: bool) -> (Compression, Cow<'_, [u8]>) {
    let fits = |octets: &[u8]| is_text(octets) || if sized { has_table(octets) } else { is_document(octets) };
    match Compression::of(payload) {
        Compression::None if fits(payload) => (Compression::None, payload.into()),
        Compression::None => match decompressed(payload, Compression::Deflate) {
            Ok(inside) if fits(&inside) => (Compression::Deflate, inside.into()),
            _ => (Compression::None, payload.into()),
        },
        compression => (compression, decompressed(payload, compression).unwrap_or_default().into()),
    }
}

/// How an envelope is encoded whose session does not say so in this direction.
fn guess(payload: &[u8], sized: bool) -> MessageEncoding {
    let soap_11 = |text: &[u8]| {
        let namespace = b"schemas.xmlsoap.org/soap/envelope";
        let ascii: Vec<u8> = text.iter().copied().filter(|octet| *octet != 0).take(1000).collect();
        ascii.windows(namespace.len()).any(|window| window == namespace)
    };
    match payload {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] if soap_11(payload) => MessageEncoding::Soap11Utf16,
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => MessageEncoding::Soap12Utf16,
        _ if is_text(payload) && soap_11(payload) => MessageEncoding::Soap11Utf8,
        _ if is_text(payload) => MessageEncoding::Soap12Utf8,
        _ if sized && has_table(payload) => MessageEncoding::BinarySession,
        _ => MessageEncoding::Binary,
    }
}
