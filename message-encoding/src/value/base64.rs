//! Octets as text: base64 ([RFC 4648] section 4), as XML shows byte strings.

use alloc::string::String;
use alloc::vec::Vec;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `octets` as base64 with padding.
pub(super) fn push(out: &mut String, octets: &[u8]) {
    out.reserve(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for digit in 0..4_u32 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            let shown = if digit as usize <= group.len() { DIGITS[value as usize] } else { b'=' };
            out.push(char::from(shown));
        }
    }
}

/// Reads base64 with padding; white space in between is skipped.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    let mut group = Group::new();
    for digit in text.bytes() {
        if let Some((full, count)) = group.push(digit)? {
            octets.extend_from_slice(&full[..count]);
        }
    }
    group.is_empty().then_some(octets)
}

/// Four digits that stand for up to three octets, as far as they have come. As in .NET, any group may be padded.
#[derive(Debug)]
pub(crate) struct Group {
    bits: u32,
    digits: usize,
    padding: usize,
}

impl Group {
    pub(crate) const fn new() -> Self {
        Self { bits: 0, digits: 0, padding: 0 }
    }

    /// Takes the next digit, or white space: the octets and how many they are if the group is full. Nothing if that is no
    /// base64.
    #[inline]
    pub(crate) fn push(&mut self, digit: u8) -> Option<Option<([u8; 3], usize)>> {
        let value = match digit {
            b' ' | b'\t' | b'\r' | b'\n' => return Some(None),
            b'=' if self.digits >= 2 => {
                self.padding += 1;
                0
            }
            _ if self.padding > 0 => return None,
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        self.bits = self.bits << 6 | u32::from(value);
        self.digits += 1;
        if self.digits < 4 {
            return Some(None);
        }
        let [_, octets @ ..] = self.bits.to_be_bytes();
        let count = 3 - self.padding;
        *self = Self::new();
        Some(Some((octets, count)))
    }

    /// Whether no group has begun.
    pub(crate) const fn is_empty(&self) -> bool {
        self.digits == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (octets, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            let mut out = String::new();
            push(&mut out, octets.as_bytes());
            assert_eq!(out, text);
            assert_eq!(decode(text).unwrap(), octets.as_bytes());
        }
        assert_eq!(decode(" Zm 9v\r\n").unwrap(), b"foo");
        assert_eq!(decode("Zg==bw==").unwrap(), b"fo");
        for bad in ["Z", "Zg=", "Zg=a", "=Zg=", "Zg===", "Zm9v=", "Zé=="] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
