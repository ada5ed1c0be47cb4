//! Characters: the octets of a text, and which characters XML has ([XML 1.0] sections 2.2 and 2.3).
//!
//! [XML 1.0]: https://www.w3.org/TR/xml/

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::envelope::{DecodeError, MessageEncoding};

/// The text of an envelope from its octets.
#[cfg_attr(not(feature = "text"), allow(dead_code))]
pub(crate) fn decode(encoding: MessageEncoding, octets: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    let utf16 = |octets: &[u8], unit: fn([u8; 2]) -> u16| {
        if !octets.len().is_multiple_of(2) {
            return Err(DecodeError::Characters);
        }
        let units = octets.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.map(Cow::Owned).map_err(|_| DecodeError::Characters)
    };
    match (encoding, octets) {
        (MessageEncoding::Soap11Utf8 | MessageEncoding::Soap12Utf8, octets) => {
            let octets = octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets);
            core::str::from_utf8(octets).map(Cow::Borrowed).map_err(|_| DecodeError::Characters)
        }
        (_, [0xFF, 0xFE, rest @ ..]) => utf16(rest, u16::from_le_bytes),
        (_, [0xFE, 0xFF, rest @ ..]) => utf16(rest, u16::from_be_bytes),
        (MessageEncoding::Soap11Utf16Be | MessageEncoding::Soap12Utf16Be, octets) => {
            utf16(octets, u16::from_be_bytes)
        }
        (_, octets) => utf16(octets, u16::from_le_bytes),
    }
}

/// Appends the octets of an envelope.
pub(crate) fn encode(encoding: MessageEncoding, text: &str, out: &mut Vec<u8>) {
    match encoding {
        MessageEncoding::Soap11Utf8 | MessageEncoding::Soap12Utf8 => out.extend_from_slice(text.as_bytes()),
        MessageEncoding::Soap11Utf16Be | MessageEncoding::Soap12Utf16Be => {
            out.extend_from_slice(&[0xFE, 0xFF]);
            out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        }
        // Little-endian in all others; the mark says so.
        _ => {
            out.extend_from_slice(&[0xFF, 0xFE]);
            out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        }
    }
}

/// Whether XML has this character at all, escaped or not.
#[cfg(feature = "text")]
pub(super) const fn is_character(unit: char) -> bool {
    matches!(unit, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether this is a name without a colon.
pub(super) fn is_name(name: &str) -> bool {
    let mut units = name.chars();
    units.next().is_some_and(starts_name) && units.all(|unit| starts_name(unit) || continues_name(unit))
}

const fn starts_name(unit: char) -> bool {
    matches!(unit,
        'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}' | '\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

const fn continues_name(unit: char) -> bool {
    matches!(unit, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}' | '\u{2040}')
}
