//! A net.tcp address: where to listen or whom to call, and which Vias lie below it.

use core::fmt;
use std::net::IpAddr;

/// The port of an address that names none ([MS-NMFTB] 2.1, WCF's default).
const DEFAULT_PORT: u16 = 808;

/// An address of the scheme `net.tcp`, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    text: String,
    host: Host,
    port: u16,
    segments: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    Ip(IpAddr),
}

impl Address {
    /// Gives what is wrong with an address that is none.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let scheme = text.get(..SCHEME.len()).filter(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
        let rest = scheme.and_then(|scheme| text.get(scheme.len()..));
        let rest = rest.ok_or("an address of this transport starts with net.tcp://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = parse_authority(authority)?;
        Ok(Self { text: text.to_owned(), host, port, segments: segments(path) })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether a Via names this address or something below it: by whole path segments, host and port not compared, as a
    /// WCF service looks among its own endpoints.
    pub(crate) fn covers(&self, via: &str) -> bool {
        Self::parse(via).is_ok_and(|via| via.segments.starts_with(&self.segments))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.escape_debug().fmt(f)
    }
}

const SCHEME: &str = "net.tcp://";

fn parse_authority(authority: &str) -> Result<(Host, u16), &'static str> {
    if authority.contains('@') {
        return Err("an address of the scheme net.tcp names no user");
    }
    let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((literal, port))) => {
            let literal = literal.parse().map_err(|_| "no IPv6 address between the brackets")?;
            (Host::Ip(IpAddr::V6(literal)), port)
        }
        Some(None) => return Err("the bracket is not closed"),
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let ip = host.parse().map(|ip| Host::Ip(IpAddr::V4(ip)));
            (ip.unwrap_or_else(|_| Host::Name(host.to_owned())), port)
        }
    };
    if host == Host::Name(String::new()) {
        return Err("the address names no host");
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => DEFAULT_PORT,
        Some("") => DEFAULT_PORT,
        Some(port) if port.bytes().all(|octet| octet.is_ascii_digit()) => {
            port.parse().map_err(|_| "the port is over 65535")?
        }
        _ => return Err("the port is no number"),
    };
    Ok((host, port))
}

/// The path's segments without escapes and case, so that what Microsoft's client writes (`a%20b`) equals what Mono's
/// does (`a b`).
fn segments(path: &str) -> Vec<String> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments = Vec::new();
    for segment in unescape(path).split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.to_lowercase()),
        }
    }
    segments
}

fn unescape(path: &str) -> String {
    let mut octets = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| first == b'%').and_then(hex_octet);
        octets.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&octets).into_owned()
}

fn hex_octet(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |octet: u8, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(octet << 4 | u8::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let name = |name: &str| Host::Name(name.into());
        let ip = |ip: &str| Host::Ip(ip.parse().unwrap());
        for (text, host, port) in [
            ("net.tcp://localhost:9000/calc", name("localhost"), 9000),
            ("NET.TCP://srv1", name("srv1"), 808),
            ("net.tcp://srv1:/x", name("srv1"), 808),
            ("net.tcp://127.0.0.1:1/", ip("127.0.0.1"), 1),
            ("net.tcp://[::1]:65535?q", ip("::1"), 65535),
            ("net.tcp://[::]", ip("::"), 808),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host(), address.port()), (&host, port), "{text}");
        }
        for text in [
            "",
            "localhost:9000",
            "http://localhost/",
            "net.tcp:///x",
            "net.tcp://:1/x",
            "net.tcp://u@h/",
            "net.tcp://h:70000/",
            "net.tcp://h:+1/",
            "net.tcp://[::1/",
            "net.tcp://[h]/",
            "net.tcp://[::1]9/",
            "net.tcﬀ://h/",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn vias_below_an_address() {
        let address = Address::parse("net.tcp://localhost:9000/a%20b/Calc/").unwrap();
        for via in [
            "net.tcp://h/a b/calc",
            "net.tcp://h:1/A%20B//calc/x",
            "net.tcp://h/x/../a b\\calc?q",
            "net.tcp://h/a%20b%2fcalc",
        ] {
            assert!(address.covers(via), "{via}");
        }
        for via in [
            "net.tcp://h/a b",
            "net.tcp://h/a b/calculator",
            "net.tcp://h/",
            "http://h/a b/calc",
            "",
            "net.tcp://h/a%2/%",
        ] {
            assert!(!address.covers(via), "{via}");
        }
        assert!(Address::parse("net.tcp://h").unwrap().covers("net.tcp://h/anything"));
    }
}
