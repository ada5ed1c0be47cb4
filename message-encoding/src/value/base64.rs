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
    let (mut bits, mut digits, mut padding) = (0_u32, 0, 0);
    for octet in text.bytes().filter(|octet| !matches!(octet, b' ' | b'\t' | b'\r' | b'\n')) {
        let value = match octet {
            b'=' if digits >= 2 => {
                padding += 1;
                0
            }
            _ if padding > 0 => return None,
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        digits += 1;
        if digits == 4 {
            octets.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
            (bits, digits) = (0, 0);
        }
    }
    (digits == 0).then_some(octets)
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
        for bad in ["Z", "Zg=", "Zg=a", "=Zg=", "Zg==Zg==", "Zm9v=", "Zé=="] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
