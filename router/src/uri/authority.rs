//! Host and port.

use alloc::borrow::Cow;
use core::fmt;
use core::net::IpAddr;

use super::scheme::Scheme;
use super::{ipv4, ipv6, name};
use crate::{HostNameComparison, ViaError};

/// The part between the scheme and the path.
pub(crate) struct HostAndPort<'a> {
    /// Canonical; empty where the scheme allows that.
    pub(crate) host: Cow<'a, str>,
    pub(crate) ip: Option<IpAddr>,
    /// `None` if the URI writes none.
    pub(crate) port: Option<u16>,
    /// How long the part is.
    pub(crate) len: usize,
}

/// Reads host and port from the beginning of `text`, the URI behind `//`.
///
/// `text` goes to the end of the URI; its first `trimmed` octets are those before white space at the end. The
/// original trims that before it looks at the host, and forgets to where it computes the port.
pub(crate) fn parse<'a>(
    text: &'a str,
    trimmed: usize,
    scheme: &Scheme,
    normalized: bool,
) -> Result<HostAndPort<'a>, ViaError> {
    let untrimmed = text;
    let text = &text[..trimmed];
    let ends_at = |from: usize, ends: &[char]| text[from..].find(ends).map_or(text.len(), |at| from + at);
    if text.is_empty() || text.starts_with(['/', '#', '?']) || scheme.share && text.starts_with('\\') {
        let empty = HostAndPort { host: Cow::Borrowed(""), ip: None, port: None, len: 0 };
        return if scheme.empty_host { Ok(empty) } else { Err(ViaError::Host) };
    }
    // An `@` as the very last character is not looked at.
    let start = match text.find(['@', '/', '\\', '?', '#']).filter(|at| at + 1 < text.len()) {
        Some(at) if scheme.user_info && text[at..].starts_with('@') => at + 1,
        _ => 0,
    };
    let host_end = |from| ends_at(from, &['/', '\\', ':', '?', '#']);
    let end = host_end(start);
    let host = &text[start..end];

    let ip_text = text[start..].strip_prefix('[');
    let (host, ip, end) = if let Some((ip, len)) = ip_text.and_then(ipv6::parse) {
        let end = start + 1 + len;
        let host = spelled(&text[start..end], format_args!("[{}]", ipv6::Canonical(ip)));
        (host, Some(IpAddr::V6(ip)), end)
    } else if let Some(ip) = if scheme.is_unknown() { ipv4::parse_plain(host) } else { ipv4_of(host) } {
        (spelled(host, format_args!("{ip}")), Some(IpAddr::V4(ip)), end)
    } else if name::is_dns(host) {
        (name::canonical(host), None, end)
    } else if scheme.computer_name && name::is_computer(host) && (!normalized || scheme.empty_host) {
        // The original loses such a name when it normalizes the URI.
        (Cow::Borrowed(if normalized { "" } else { host }), None, end)
    } else {
        return Err(match host {
            "+" => ViaError::Wildcard(HostNameComparison::StrongWildcard),
            "*" => ViaError::Wildcard(HostNameComparison::WeakWildcard),
            _ => ViaError::Host,
        });
    };

    match text[end..].bytes().next() {
        Some(b'\\') if !scheme.share => Err(ViaError::Host),
        Some(b':') if !scheme.port => Err(ViaError::NoPortAllowed),
        Some(b':') => {
            let after = ends_at(end, &['/', '?', '#']);
            check_port(&text[end + 1..after])?;
            let (port, len) = computed_port(&untrimmed[end + 1..]);
            Ok(HostAndPort { host, ip, port, len: end + 1 + len })
        }
        _ => Ok(HostAndPort { host, ip, port: None, len: end }),
    }
}

/// A host in its canonical spelling: as it is, if it is that already.
fn spelled<'a>(host: &'a str, canonical: fmt::Arguments<'_>) -> Cow<'a, str> {
    struct Rest<'a>(&'a str);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(text).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(host);
    match fmt::write(&mut rest, canonical) {
        Ok(()) if rest.0.is_empty() => Cow::Borrowed(host),
        _ => Cow::Owned(alloc::fmt::format(canonical)),
    }
}

/// Only a host that begins with a digit is tried as IPv4.
fn ipv4_of(host: &str) -> Option<core::net::Ipv4Addr> {
    if host.starts_with(|first: char| first.is_ascii_digit()) { ipv4::parse(host) } else { None }
}

fn check_port(digits: &str) -> Result<(), ViaError> {
    let mut port = 0_u32;
    for octet in digits.bytes() {
        if !octet.is_ascii_digit() {
            return Err(ViaError::Port);
        }
        port = port * 10 + u32::from(octet - b'0');
        if port > 0xFFFF {
            return Err(ViaError::Port);
        }
    }
    Ok(())
}

/// The port as the original computes it from a text that passed [`check_port`]: white space at the end of the
/// URI counts as digits of the value of the character less `0`, and the sum keeps its lowest 16 bits.
fn computed_port(text: &str) -> (Option<u16>, usize) {
    let len = text.find(['/', '?', '#']).unwrap_or(text.len());
    let port = text[..len].bytes().fold(0_u32, |port, octet| {
        let value = u32::from(octet).wrapping_sub(u32::from(b'0')) & 0xFFFF;
        port.wrapping_mul(10).wrapping_add(value)
    });
    let port = u16::try_from(port & 0xFFFF).unwrap_or(0);
    ((len > 0).then_some(port), len)
}
