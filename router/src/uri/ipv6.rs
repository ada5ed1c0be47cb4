//! IPv6 hosts, in brackets: `[::1]`, `[fe80::1%eth0]`, `[::ffff:192.0.2.5]`, `[::1/64]`.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::ipv4;

/// Finds the IPv6 address that a text begins with; the opening bracket is already gone.
///
/// Returns the address without scope and prefix length, and the length of the text up to and including the
/// closing bracket.
pub(crate) fn parse(text: &str) -> Option<(Ipv6Addr, usize)> {
    let close = valid(text.as_bytes())?;
    Some((Ipv6Addr::from(numbers(text.as_bytes().get(..close)?)), close + 1))
}

/// Where the closing bracket of a valid address is.
fn valid(text: &[u8]) -> Option<usize> {
    let mut groups = 0;
    let mut digits = 0;
    let mut compressed = false;
    let mut embedded = false;
    let mut prefix = false;
    let mut expecting = true;
    let mut group_at = 0;
    let mut at = 0;
    let close = loop {
        let &octet = text.get(at)?;
        if if prefix { octet.is_ascii_digit() } else { octet.is_ascii_hexdigit() } {
            digits += 1;
            expecting = false;
            at += 1;
            continue;
        }
        if digits > 4 {
            return None;
        }
        if digits != 0 {
            groups += 1;
            group_at = at - digits;
        }
        let mut mark = octet;
        if mark == b'%' {
            // A scope runs to the bracket, or to a prefix length.
            at += 1 + text.get(at + 1..)?.iter().position(|octet| matches!(octet, b']' | b'/'))?;
            mark = *text.get(at)?;
        }
        match mark {
            b']' => break at,
            b':' if at > 0 && text.get(at - 1) == Some(&b':') => {
                if compressed {
                    return None;
                }
                compressed = true;
                expecting = false;
            }
            b':' => expecting = true,
            b'/' => {
                if groups == 0 || prefix {
                    return None;
                }
                prefix = true;
                expecting = true;
            }
            b'.' => {
                if embedded {
                    return None;
                }
                embedded = true;
                groups += 1;
                let rest = text.get(group_at..)?;
                let end =
                    rest.iter().position(|octet| matches!(octet, b']' | b'/' | b'%')).unwrap_or(rest.len());
                ipv4::parse_plain(core::str::from_utf8(rest.get(..end)?).ok()?)?;
                at = group_at + end - 1;
            }
            _ => return None,
        }
        digits = 0;
        at += 1;
    };
    let full = 8 + usize::from(prefix);
    let counted = if compressed { groups < full } else { groups == full };
    (counted && !expecting && digits <= 4 && (!prefix || matches!(digits, 1 | 2))).then_some(close)
}

/// The eight groups of a valid address.
fn numbers(text: &[u8]) -> [u16; 8] {
    let end = text.iter().position(|octet| matches!(octet, b'%' | b'/')).unwrap_or(text.len());
    let text = text.get(..end).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default();
    let (front, back) = text.split_once("::").unwrap_or((text, ""));
    let (mut numbers, len) = side(front);
    let (back, back_len) = side(back);
    // Groups behind a `::` that stands for nothing are lost: the original's shift has no room.
    if len.max(1) + back_len < 8 {
        for (to, group) in numbers.iter_mut().rev().zip(back.iter().take(back_len).rev()) {
            *to = *group;
        }
    }
    numbers
}

fn side(text: &str) -> ([u16; 8], usize) {
    let mut numbers = [0; 8];
    let mut len = 0;
    let mut push = |number: u16| {
        if let Some(place) = numbers.get_mut(len) {
            *place = number;
            len += 1;
        }
    };
    for group in text.split(':').filter(|_| !text.is_empty()) {
        if let Some(v4) = ipv4::parse_plain(group) {
            let [a, b, c, d] = v4.octets();
            push(u16::from_be_bytes([a, b]));
            push(u16::from_be_bytes([c, d]));
        } else {
            push(u16::from_str_radix(group, 16).unwrap_or(0));
        }
    }
    (numbers, len)
}

/// An IPv6 address as System.Uri spells it: the first longest run of at least two zeros left out, and the last two
/// groups as IPv4 in the addresses that carry one.
pub(crate) struct Canonical(pub(crate) Ipv6Addr);

impl fmt::Display for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.0.segments();
        let embedded = match groups {
            [0, 0, 0, 0, 0, 0 | 0xFFFF, high, _] | [0, 0, 0, 0, 0xFFFF, 0, high, _] if high != 0 => true,
            [_, _, _, _, 0, 0x5EFE, ..] => true,
            _ => false,
        };
        let zeros = longest_zeros(&groups);
        let mut at = 0;
        while let Some(group) = groups.get(at) {
            if embedded && at == 6 {
                let [.., a, b, c, d] = self.0.octets();
                return write!(f, ":{}", Ipv4Addr::new(a, b, c, d));
            }
            if zeros.contains(&at) {
                f.write_str(if zeros.end == 8 { "::" } else { ":" })?;
                at = zeros.end;
                continue;
            }
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{group:x}")?;
            at += 1;
        }
        Ok(())
    }
}

fn longest_zeros(groups: &[u16; 8]) -> core::ops::Range<usize> {
    let mut longest = 0..0;
    for from in 0..8 {
        let len = groups.iter().skip(from).take_while(|&&group| group == 0).count();
        if len > longest.len() && len >= 2 {
            longest = from..from + len;
        }
    }
    longest
}
