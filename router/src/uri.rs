//! The canonical form of an absolute URI.

use alloc::borrow::Cow;
use alloc::string::String;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ViaError;

pub(crate) struct Uri<'a> {
    pub(crate) net_tcp: bool,
    pub(crate) host: Cow<'a, str>,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) path: Cow<'a, str>,
    pub(crate) query: Option<&'a str>,
    pub(crate) fragment: bool,
}

pub(crate) fn parse(text: &str) -> Result<Uri<'_>, ViaError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ViaError::Empty);
    }
    let (scheme, rest) = text.split_once(':').ok_or(ViaError::Scheme)?;
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        || !scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
    {
        return Err(ViaError::Scheme);
    }
    let rest = rest.strip_prefix("//").ok_or(ViaError::Authority)?;
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return Err(ViaError::UserInfo);
    }
    let colon = authority.rfind(':').filter(|&at| !authority[at..].contains(']'));
    let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
    let port = match port.strip_prefix(':').unwrap_or("") {
        "" => 808,
        digits if digits.bytes().all(|c| c.is_ascii_digit()) => digits.parse().map_err(|_| ViaError::Port)?,
        _ => return Err(ViaError::Port),
    };
    let ip = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => Some(IpAddr::V6(v6.parse::<Ipv6Addr>().map_err(|_| ViaError::Host)?)),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    if host.is_empty()
        || host.starts_with('-')
        || host.contains(['*', '+', ' ', ':', '[', ']']) && ip.is_none()
    {
        return Err(ViaError::Host);
    }
    let (rest, fragment) = match rest.split_once('#') {
        Some((rest, _)) => (rest, true),
        None => (rest, false),
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let host = match ip {
        Some(IpAddr::V6(v6)) => alloc::format!("[{v6}]"),
        _ => host.to_lowercase(),
    };
    let net_tcp = scheme.eq_ignore_ascii_case("net.tcp");
    Ok(Uri { net_tcp, host: host.into(), ip, port, path: path_of(path).into(), query, fragment })
}

/// Escapes and unescapes, then removes dot segments.
fn path_of(path: &str) -> String {
    let mut escaped = String::new();
    let bytes = path.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = || core::str::from_utf8(bytes.get(at + 1..at + 3)?).ok();
        match byte {
            b'\\' => escaped.push('/'),
            b'%' => match hex().and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(octet) => {
                    match octet {
                        b'/' | b'\\' => escaped.push('/'),
                        c if c.is_ascii_alphanumeric() || b"-._~".contains(&c) => escaped.push(c.into()),
                        c => escaped.push_str(&alloc::format!("%{c:02X}")),
                    }
                    at += 2;
                }
                None => escaped.push_str("%25"),
            },
            c if c.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/[]".contains(&c) => escaped.push(c.into()),
            c => escaped.push_str(&alloc::format!("%{c:02X}")),
        }
        at += 1;
    }
    let mut kept: alloc::vec::Vec<&str> = alloc::vec::Vec::new();
    for segment in escaped.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    alloc::format!("/{}", kept.join("/"))
}
