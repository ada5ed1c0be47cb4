//! From a record back to the octets it was read from.

use alloc::vec::Vec;

use super::{Inline, Prefix, Record, StringRef, Text, Width};
use crate::Int31;

impl Record<'_> {
    /// Appends the octets of the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::EndElement => out.push(0x01),
            Self::Comment(comment) => {
                out.push(0x02);
                comment.encode(out);
            }
            Self::Array => out.push(0x03),
            Self::ArrayItems { item, count } => {
                out.push(item.octet());
                count.encode(out);
            }
            Self::ArrayItem(text) => text.encode_value(out),
            Self::Attribute { prefix, local } => named(out, &ATTRIBUTES, prefix, local),
            Self::Xmlns { prefix, uri } => {
                let dictionary = matches!(uri, StringRef::Dictionary(_));
                out.push(0x08 + u8::from(prefix.is_some()) + 2 * u8::from(dictionary));
                if let Some(prefix) = prefix {
                    prefix.encode(out);
                }
                uri.encode(out);
            }
            Self::Element { prefix, local } => named(out, &ELEMENTS, prefix, local),
            Self::Text { text, end } => {
                out.push(text.record_type() + u8::from(end));
                text.encode_value(out);
            }
            Self::StartList => out.push(0xA4),
            Self::EndList { end } => out.push(0xA6 + u8::from(end)),
        }
    }
}

/// The record types of elements or attributes by prefix: short, long and lettered, each inline and dictionary.
struct Kinds {
    short: [u8; 2],
    long: [u8; 2],
    letter: [u8; 2],
}

const ATTRIBUTES: Kinds = Kinds { short: [0x04, 0x06], long: [0x05, 0x07], letter: [0x26, 0x0C] };
const ELEMENTS: Kinds = Kinds { short: [0x40, 0x42], long: [0x41, 0x43], letter: [0x5E, 0x44] };

fn named(out: &mut Vec<u8>, kinds: &Kinds, prefix: Prefix<'_>, local: StringRef<'_>) {
    let form = usize::from(matches!(local, StringRef::Dictionary(_)));
    match prefix {
        Prefix::None => out.push(kinds.short[form]),
        Prefix::PrefixLetter(letter) => out.push(kinds.letter[form] + letter.index()),
        Prefix::Inline(prefix) => {
            out.push(kinds.long[form]);
            prefix.encode(out);
        }
    }
    local.encode(out);
}

impl StringRef<'_> {
    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Inline(inline) => inline.encode(out),
            Self::Dictionary(id) => id.encode(out),
        }
    }
}

impl Inline<'_> {
    fn encode(self, out: &mut Vec<u8>) {
        Int31::encode_padded(self.octets.len(), usize::from(self.length_octets), out);
        out.extend_from_slice(self.octets);
    }
}

impl Text<'_> {
    /// Appends the value without its record type.
    pub(crate) fn encode_value(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Zero | Self::One | Self::False | Self::True | Self::Empty => {}
            Self::Int8(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Int16(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Int32(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Int64(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Float(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Double(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Decimal(value) => out.extend_from_slice(&value.to_octets()),
            Self::DateTime(value) => out.extend_from_slice(&value.to_bits().to_le_bytes()),
            Self::Chars(width, octets) | Self::Bytes(width, octets) | Self::Unicode(width, octets) => {
                // The length fits the width it was read with, or that `Width::of` gave it.
                let length = (octets.len() as u32).to_le_bytes();
                out.extend_from_slice(match width {
                    Width::One => &length[..1],
                    Width::Two => &length[..2],
                    Width::Four => &length,
                });
                out.extend_from_slice(octets);
            }
            Self::Dictionary(id) => id.encode(out),
            Self::UniqueId(value) | Self::Uuid(value) => out.extend_from_slice(&value.to_octets()),
            Self::TimeSpan(value) => out.extend_from_slice(&value.ticks().to_le_bytes()),
            Self::UInt64(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Bool(octet) => out.push(octet),
            Self::QName(prefix, local) => {
                out.push(prefix.index());
                local.encode(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PrefixLetter, Records};
    use super::*;

    #[test]
    fn every_record_type_octet_is_read_back_or_unknown() {
        let known = |kind: u8| matches!(kind, 0x01..=0x77 | 0x80..=0xA4 | 0xA6..=0xBD);
        for kind in 0..=0xFF {
            // Enough zeros for any record: empty names, id 0, prefix a, lengths 0.
            let mut octets = [0; 32];
            octets[0] = kind;
            match Record::decode(&octets) {
                Ok((record, used)) => {
                    assert!(known(kind), "{kind:02X}");
                    let mut again = Vec::new();
                    record.encode(&mut again);
                    assert_eq!(again, &octets[..used]);
                }
                Err(error) => {
                    assert!(!known(kind), "{kind:02X}");
                    assert_eq!(error, crate::RecordError::UnknownRecord(kind));
                }
            }
        }
    }

    #[test]
    fn an_array_is_read_item_by_item() {
        let octets = [0x03, 0x40, 0x01, b'i', 0x01, 0x8B, 0x82, 0x00, 1, 0, 2, 0, 0x01];
        let records: Result<Vec<_>, _> = Records::new(&octets).collect();
        let records = records.unwrap();
        assert_eq!(records[4], Record::ArrayItem(Text::Int16(1)));
        assert_eq!(records[6], Record::EndElement);
        let mut again = Vec::new();
        records.iter().for_each(|record| record.encode(&mut again));
        assert_eq!(again, octets);
    }

    #[test]
    fn an_array_has_as_many_items_as_it_says() {
        let octets = [0x03, 0x40, 0x01, b'i', 0x01, 0x8B, 0x02, 1, 0, 2, 0];
        for end in 1..=octets.len() {
            let refused = Records::new(&octets[..end]).any(|record| record.is_err());
            assert_eq!(refused, end < octets.len(), "{end} octets");
        }
    }

    #[test]
    fn letters_are_a_to_z() {
        assert_eq!(PrefixLetter::of("z").map(PrefixLetter::as_str), Some("z"));
        for no_letter in ["", "A", "aa", "é"] {
            assert_eq!(PrefixLetter::of(no_letter), None);
        }
    }
}
