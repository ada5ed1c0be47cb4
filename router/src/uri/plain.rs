//! The way for what clients send: a net.tcp URI that is canonical as it is, read once.

use super::{DEFAULT_PORT, path};

/// A net.tcp URI in its canonical form, without a query or a fragment.
pub(crate) struct Plain<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) path: &'a str,
}

/// Letters of names: `a` to `z`.
const LETTER: u8 = 1;
/// What names and paths can have besides: digits, `-` and `_`.
const NAME: u8 = 2;
/// What stays as it is in a path, whatever is around it.
const PATH: u8 = 4;

static KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut kinds = [0; 256];
    let mut octet: u8 = 0;
    while octet < 0x80 {
        let mut kind = 0;
        if octet.is_ascii_lowercase() {
            kind |= LETTER;
        }
        if octet.is_ascii_digit() || matches!(octet, b'-' | b'_') {
            kind |= NAME;
        }
        if path::is_plain(octet) {
            kind |= PATH;
        }
        kinds[octet as usize] = kind;
        octet += 1;
    }
    kinds
}

/// How many octets at the beginning are of one of these kinds.
#[inline]
fn span(octets: &[u8], of: u8) -> usize {
    octets.iter().position(|&octet| KINDS[usize::from(octet)] & of == 0).unwrap_or(octets.len())
}

/// Takes a plain URI apart. `None` does not say that it is not canonical.
#[inline]
pub(crate) fn plain(text: &str) -> Option<Plain<'_>> {
    let rest = text.strip_prefix("net.tcp://")?;
    let (host, rest) = rest.split_at_checked(host_len(rest.as_bytes())?)?;
    let (port, path) = match rest.strip_prefix(':') {
        Some(rest) => port(rest)?,
        None => (DEFAULT_PORT, rest),
    };
    let path = if path.is_empty() { "/" } else { path };
    is_plain_path(path.as_bytes()).then_some(Plain { host, port, path })
}

/// The length of a canonical name of at most 63 octets whose labels begin with a letter.
#[inline]
fn host_len(octets: &[u8]) -> Option<usize> {
    let mut len = 0;
    loop {
        let rest = octets.get(len..)?;
        let label = span(rest, LETTER | NAME);
        if KINDS[usize::from(*rest.first()?)] & LETTER == 0 {
            return None;
        }
        len += label;
        match octets.get(len) {
            Some(b'.') => len += 1,
            None | Some(b':' | b'/') if len <= 63 && octets.get(..len) != Some(b"loopback") => {
                return Some(len);
            }
            _ => return None,
        }
    }
}

/// Reads the port that a text begins with, if one to five digits and the path or nothing follow.
#[inline]
fn port(text: &str) -> Option<(u16, &str)> {
    let mut port = 0_u32;
    let mut len = 0;
    for octet in text.bytes().take(6) {
        let digit = octet.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        port = port * 10 + u32::from(digit);
        len += 1;
    }
    let port = u16::try_from(port).ok().filter(|_| len > 0)?;
    Some((port, text.get(len..)?))
}

/// Whether a path is plain, looked at in blocks, which compilers turn into vector instructions.
#[inline]
fn is_plain_path(path: &[u8]) -> bool {
    let [b'/', next @ ..] = path else { return false };
    let Some(last) = path.last_chunk() else { return is_plain_octet_by_octet(path) };
    // The last block may overlap the one before.
    let blocks = path.as_chunks().0.iter();
    let (plain, dot) = blocks.fold((is_plain_block(last), has_dot(last)), |(plain, dot), block| {
        (plain & is_plain_block(block), dot | has_dot(block))
    });
    let pair = |(octet, next): (&u8, &u8)| (*octet == b'/') & (*next == b'.');
    let dots = dot && path.iter().zip(next).fold(false, |pairs, octets| pairs | pair(octets));
    plain && !dots || is_plain_octet_by_octet(path)
}

/// Whether each octet is a letter, a digit or one of `-./_~`.
#[inline]
fn is_plain_block(block: &[u8; 16]) -> bool {
    block.iter().fold(true, |plain, &octet| {
        let letter = (octet | 0x20).wrapping_sub(b'a') < 26;
        let digit = octet.wrapping_sub(b'-') < 13;
        plain & (letter | digit | (octet == b'_') | (octet == b'~'))
    })
}

#[inline]
fn has_dot(block: &[u8; 16]) -> bool {
    block.iter().fold(false, |dot, &octet| dot | (octet == b'.'))
}

fn is_plain_octet_by_octet(path: &[u8]) -> bool {
    let mut rest = path;
    loop {
        rest = match rest {
            [] => return true,
            [b'/', b'.', ..] => return false,
            [b'/', rest @ ..] | [b'.', rest @ ..] => rest,
            // What a normalized URI unescapes is not plain: this one may be normalized.
            [b'%', digits @ ..] if path::is_kept(digits, true) => digits.get(2..).unwrap_or_default(),
            _ => return false,
        };
        rest = rest.get(span(rest, PATH)..).unwrap_or_default();
    }
}
