//! Text XML: from records, and to them.
//!
//! A text document becomes records before anything else looks at it, so that there is one reader, with one set of rules and
//! quotas; a document to be sent is written as records first, each of the type that its value has: what is shorter in binary
//! for the loss of a digit or of a sign stays whole.

#[cfg(feature = "text")]
mod parse;
mod print;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

#[cfg(feature = "text")]
pub(crate) use parse::to_records;
pub(crate) use print::push_records;
pub use print::{XmlPrinter, print};

use crate::envelope::{DecodeError, Encoding};

/// The text of an envelope from its octets.
#[cfg_attr(not(feature = "text"), allow(dead_code))]
pub(crate) fn decode_characters(encoding: Encoding, octets: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    let utf16 = |octets: &[u8], unit: fn([u8; 2]) -> u16| {
        if !octets.len().is_multiple_of(2) {
            return Err(DecodeError::Characters);
        }
        let units = octets.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.map(Cow::Owned).map_err(|_| DecodeError::Characters)
    };
    match (encoding, octets) {
        (Encoding::Soap11Utf8 | Encoding::Soap12Utf8, octets) => {
            let octets = octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets);
            core::str::from_utf8(octets).map(Cow::Borrowed).map_err(|_| DecodeError::Characters)
        }
        (_, [0xFF, 0xFE, rest @ ..]) => utf16(rest, u16::from_le_bytes),
        (_, [0xFE, 0xFF, rest @ ..]) => utf16(rest, u16::from_be_bytes),
        (_, octets) => utf16(octets, u16::from_le_bytes),
    }
}

/// Appends the octets of an envelope.
pub(crate) fn encode_characters(encoding: Encoding, text: &str, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Soap11Utf8 | Encoding::Soap12Utf8 => out.extend_from_slice(text.as_bytes()),
        // Little-endian in all of them; the mark says so.
        _ => {
            out.extend_from_slice(&[0xFF, 0xFE]);
            out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        }
    }
}
