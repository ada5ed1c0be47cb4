//! What `broker exec` asked for: read from the environment once, when the library is loaded.

use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::OnceLock;

use handoff::environment::{ADDRESSES_VARIABLE, HOST_NAME_COMPARISON_VARIABLE};

static SETTINGS: OnceLock<Option<Settings>> = OnceLock::new();

/// The port of a net.tcp address that has none.
const DEFAULT_PORT: u16 = 808;

#[derive(Debug)]
pub(crate) struct Settings {
    addresses: Vec<Address>,
    pub(crate) host_name_comparison: Option<String>,
    pub(crate) control: PathBuf,
}

/// One `--address`.
#[derive(Debug)]
struct Address {
    text: String,
    /// The host, if it is a literal.
    ip: Option<IpAddr>,
    port: u16,
}

/// None in a process that shares nothing.
pub(crate) fn settings() -> Option<&'static Settings> {
    SETTINGS.get().and_then(Option::as_ref)
}

/// Reads the environment.
pub(crate) fn load() {
    SETTINGS.get_or_init(|| {
        let addresses = env::var(ADDRESSES_VARIABLE).ok()?;
        let addresses: Vec<_> = addresses.split('|').filter_map(Address::parse).collect();
        (!addresses.is_empty()).then(|| Settings {
            addresses,
            host_name_comparison: env::var(HOST_NAME_COMPARISON_VARIABLE)
                .ok()
                .filter(|mode| !mode.is_empty()),
            control: handoff::control_path(),
        })
    });
}

impl Settings {
    /// The addresses that a listener bound to `local` belongs to: those with its port and, if their host is a literal, its IP
    /// address. A listener on all addresses belongs to every literal of the port.
    pub(crate) fn addresses_of(&self, local: SocketAddr) -> Vec<String> {
        let ip = local.ip().to_canonical();
        let belongs = |address: &&Address| {
            address.port == local.port()
                && (ip.is_unspecified() || address.ip.is_none_or(|literal| literal == ip))
        };
        self.addresses.iter().filter(belongs).map(|address| address.text.clone()).collect()
    }
}

impl Address {
    /// `broker exec` has checked the address; here only its authority matters.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '\\', '?', '#']).next()?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, ""),
        };
        let port = if port.is_empty() { DEFAULT_PORT } else { port.parse().ok()? };
        let ip = host.trim_matches(['[', ']']).parse().ok();
        // `0.0.0.0` and `[::]` mean all addresses of a family
        Some(Self { text: text.into(), ip: ip.filter(|ip: &IpAddr| !ip.is_unspecified()), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(addresses: &[&str]) -> Settings {
        let addresses = addresses.iter().filter_map(|text| Address::parse(text)).collect();
        Settings { addresses, host_name_comparison: None, control: PathBuf::new() }
    }

    #[test]
    fn a_listener_belongs_to_the_addresses_of_its_port_and_literal() {
        let all = [
            "net.tcp://localhost/a",
            "net.tcp://localhost:9000/b",
            "NET.TCP://127.0.0.1:9000/c",
            "net.tcp://[::1]:9000/d",
            "net.tcp://[::1]/e",
            "net.tcp://0.0.0.0:9000/f",
        ];
        let settings = settings(&all);
        for (local, expected) in [
            ("127.0.0.1:808", &all[0..1]),
            ("[::]:808", &[all[0], all[4]]),
            ("127.0.0.1:9000", &[all[1], all[2], all[5]]),
            ("[::ffff:127.0.0.1]:9000", &[all[1], all[2], all[5]]),
            ("192.0.2.1:9000", &[all[1], all[5]]),
            ("[::1]:9000", &[all[1], all[3], all[5]]),
            ("0.0.0.0:9000", &[all[1], all[2], all[3], all[5]]),
            ("127.0.0.1:9001", &[]),
            ("127.0.0.1:0", &[]),
        ] {
            assert_eq!(settings.addresses_of(local.parse().unwrap()), expected, "{local}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in ["", "9000", "net.tcp://localhost:port/", "net.tcp://localhost:70000/"] {
            assert!(Address::parse(text).is_none(), "{text}");
        }
    }
}
