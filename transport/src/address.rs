//! A net.tcp address: where to listen or whom to call, and which Vias lie below it. What an address is, and which Via belongs
//! to one, is the router's to say: on a port of its own a service judges as the port sharing service does.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use router::{HostNameComparison, Prefix, RouteTable, Via};

/// An address to listen on.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    prefix: Prefix,
    /// Just this one.
    table: RouteTable<()>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    Ip(IpAddr),
}

impl Address {
    /// Gives what is wrong with an address that is none.
    pub(crate) fn parse(text: &str, comparison: HostNameComparison) -> Result<Self, String> {
        let prefix = Prefix::parse(text, comparison).map_err(|error| error.to_string())?;
        let mut table = RouteTable::new();
        table.register(prefix.clone(), ()).map_err(|conflict| conflict.to_string())?;
        Ok(Self { prefix, table })
    }

    /// The address with the port that was found for it, where it names port 0.
    pub(crate) fn at_port(&self, port: u16) -> Result<Self, String> {
        let host = match self.host() {
            Host::Name(name) => name,
            Host::Ip(ip) => SocketAddr::new(ip, 0).to_string().trim_end_matches(":0").to_owned(),
        };
        Self::parse(&format!("net.tcp://{host}:{port}{}", self.prefix.path()), self.prefix.mode())
    }

    pub(crate) fn host(&self) -> Host {
        match self.prefix.host() {
            router::Host::Name(name) => Host::Name(name.to_owned()),
            router::Host::Ip(ip) => Host::Ip(ip),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.prefix.port()
    }

    /// Whether a Via belongs to this address, for a connection that a listener there has accepted.
    pub(crate) fn covers(&self, via: &str) -> bool {
        // A literal's listener accepts for that address only, and all others match any.
        let ip = match self.prefix.host() {
            router::Host::Ip(ip) => ip,
            router::Host::Name(_) => Ipv4Addr::UNSPECIFIED.into(),
        };
        let local = SocketAddr::new(ip, self.port());
        Via::parse(via).is_ok_and(|via| self.table.lookup(&via, local).is_ok())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix.address().escape_debug().fmt(f)
    }
}

/// Host and port of a service to call.
pub(crate) fn target(via: &str) -> Result<(Host, u16), String> {
    let parsed = Via::parse(via).map_err(|error| error.to_string())?;
    if !parsed.is_net_tcp() {
        return Err("the scheme is not net.tcp".into());
    }
    let host = parsed.host();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = literal.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip);
    Ok((host, parsed.port()))
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
            ("net.tcp://[::1]:65535", ip("::1"), 65535),
            ("net.tcp://[::]", ip("::"), 808),
        ] {
            let address = Address::parse(text, HostNameComparison::default()).unwrap();
            assert_eq!((address.host(), address.port()), (host.clone(), port), "{text}");
            assert_eq!(target(text), Ok((host, port)), "{text}");
            let moved = address.at_port(7).unwrap();
            assert_eq!((moved.host(), moved.port()), (address.host(), 7), "{text}");
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
            "net.tcﬀ://h/",
        ] {
            assert!(Address::parse(text, HostNameComparison::default()).is_err(), "{text}");
            assert!(target(text).is_err(), "{text}");
        }
    }
}
