//! What `broker exec` asked for: read from the environment once, when the library is loaded.

use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use handoff::environment::{
    ADDRESSES_VARIABLE, HOST_NAME_COMPARISON_VARIABLE, QUIET_VARIABLE, WAIT_VARIABLE,
};

use crate::say;

static SETTINGS: OnceLock<Option<Settings>> = OnceLock::new();

/// The port of a net.tcp address that has none.
const DEFAULT_PORT: u16 = 808;

/// How long a service's `bind` waits for a broker.
const SERVICE_WAIT: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Settings {
    addresses: Vec<Address>,
    pub(crate) host_name_comparison: Option<String>,
    pub(crate) control: PathBuf,
    /// No lines while all is well.
    pub(crate) quiet: bool,
    /// How long `bind` waits for a broker.
    pub(crate) wait: Duration,
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
            quiet: env::var_os(QUIET_VARIABLE).is_some_and(|quiet| !quiet.is_empty()),
            wait: wait(),
            host_name_comparison: env::var(HOST_NAME_COMPARISON_VARIABLE)
                .ok()
                .filter(|mode| !mode.is_empty()),
            control: handoff::control_path(),
        })
    });
}

/// As asked for; else a service's, which may have been started together with the broker. Nobody waits at a terminal.
fn wait() -> Duration {
    let asked = env::var(WAIT_VARIABLE).ok().and_then(|seconds| seconds.parse().ok());
    let service = || if say::is_journal() { SERVICE_WAIT } else { Duration::ZERO };
    asked.map_or_else(service, Duration::from_secs)
}

impl Settings {
    /// What `--address` names, for people.
    pub(crate) fn authorities(&self) -> String {
        let mut ports: Vec<_> = self.addresses.iter().map(|address| address.port).collect();
        ports.sort_unstable();
        ports.dedup();
        let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
        format!("port{} {}", if ports.len() == 1 { "" } else { "s" }, ports.join(", "))
    }

    /// Whether an address has this port.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.addresses.iter().any(|address| address.port == port)
    }

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
        let (control, wait) = (PathBuf::new(), Duration::ZERO);
        Settings { addresses, host_name_comparison: None, control, quiet: false, wait }
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
