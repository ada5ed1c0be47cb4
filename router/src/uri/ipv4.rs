//! IPv4 hosts: `127.0.0.1`, `127.1`, `0x7f.1`, `017700000001`, `2130706433`.

use core::net::Ipv4Addr;

/// Reads an IPv4 host in any spelling System.Uri knows: one to four parts, the last one filling what is left,
/// each decimal, octal (leading `0`) or hexadecimal (`0x`).
pub(crate) fn parse(host: &str) -> Option<Ipv4Addr> {
    let mut parts = [0_u32; 4];
    let mut count = 0;
    for part in host.split('.') {
        *parts.get_mut(count)? = number(part)?;
        count += 1;
    }
    let (&last, leading) = parts.get(..count)?.split_last()?;
    let free = 32 - 8 * u32::try_from(leading.len()).ok()?;
    if leading.iter().any(|&part| part > 0xFF) || u64::from(last) >> free != 0 {
        return None;
    }
    let high = leading.iter().zip([24, 16, 8]).fold(0, |high, (part, shift)| high | part << shift);
    Some(Ipv4Addr::from(high | last))
}

fn number(part: &str) -> Option<u32> {
    let (digits, radix) = match part.strip_prefix('0') {
        None => (part, 10),
        Some("") => return Some(0),
        Some(rest) => match rest.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => (hexadecimal, 16),
            None => (rest, 8),
        },
    };
    if digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

/// The spelling that IPv6 addresses and URIs of unknown schemes may use: four decimal numbers. Only the last one
/// may begin with a zero, and only with one.
pub(crate) fn parse_plain(host: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = host.split('.');
    for (at, octet) in octets.iter_mut().enumerate() {
        let part = parts.next()?;
        let zeros = part.len() - part.trim_start_matches('0').len();
        if part.starts_with('+') || zeros > 1 || zeros == 1 && part.len() > 1 && at < 3 {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}
