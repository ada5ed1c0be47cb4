//! What `broker exec` asked for: read from the environment once, when the library is loaded.

use core::sync::atomic::{AtomicBool, Ordering};
use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use handoff::Register;
use handoff::environment::{
    ADDRESSES_VARIABLE, GRACE_VARIABLE, HOST_NAME_COMPARISON_VARIABLE, QUIET_VARIABLE, SHARE_VARIABLE,
    WAIT_VARIABLE,
};

use crate::{say, unit};

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
    /// How long the addresses stay when this program is gone.
    pub(crate) grace: Duration,
    /// Others may have them as well.
    pub(crate) share: bool,
    /// What of the environment means nothing.
    broken: Vec<String>,
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
        let variable = env::var_os(ADDRESSES_VARIABLE)?;
        let mut broken = Vec::new();
        let mut addresses = Vec::new();
        for text in variable.to_string_lossy().split('|') {
            match Address::parse(text) {
                Ok(address) => addresses.push(address),
                Err(why) => broken.push(format!("{ADDRESSES_VARIABLE}: {text:?} {why}")),
            }
        }
        (!addresses.is_empty()).then(|| Settings {
            addresses,
            quiet: is_on(QUIET_VARIABLE),
            wait: wait(&mut broken),
            grace: grace(&mut broken),
            share: is_on(SHARE_VARIABLE),
            host_name_comparison: host_name_comparison(&mut broken),
            control: handoff::control_path(),
            broken,
        })
    });
}

fn set(variable: &str) -> Option<String> {
    env::var_os(variable).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

fn is_on(variable: &str) -> bool {
    set(variable).is_some_and(|value| value != "0")
}

/// The broker would refuse a longer one.
fn grace(broken: &mut Vec<String>) -> Duration {
    let Some(asked) = set(GRACE_VARIABLE) else { return Duration::ZERO };
    let seconds = asked.parse().map(Duration::from_secs).ok();
    seconds.filter(|grace| *grace <= Register::LONGEST_GRACE).unwrap_or_else(|| {
        let most = Register::LONGEST_GRACE.as_secs();
        broken.push(format!("{GRACE_VARIABLE}={asked} is no number of seconds up to {most}: 0 is taken"));
        Duration::ZERO
    })
}

/// As asked for; else a service's, which may have been started together with the broker. Nobody waits at a terminal.
fn wait(broken: &mut Vec<String>) -> Duration {
    let service = || if unit::is_unit() { SERVICE_WAIT } else { Duration::ZERO };
    let Some(asked) = set(WAIT_VARIABLE) else { return service() };
    asked.parse().map(Duration::from_secs).unwrap_or_else(|_| {
        broken.push(format!("{WAIT_VARIABLE}={asked} is no number of seconds"));
        service()
    })
}

/// The broker would refuse others.
fn host_name_comparison(broken: &mut Vec<String>) -> Option<String> {
    const MODES: [&str; 3] = ["strong_wildcard", "exact", "weak_wildcard"];
    let asked = set(HOST_NAME_COMPARISON_VARIABLE)?;
    if !MODES.contains(&asked.as_str()) {
        let modes = MODES.join(", ");
        broken
            .push(format!("{HOST_NAME_COMPARISON_VARIABLE}={asked} is none of {modes}: the first is taken"));
        return None;
    }
    Some(asked)
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

    /// Once, when the program makes a listener: the programs around it, shells say, need none of it.
    pub(crate) fn say_broken(&self) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if !self.broken.is_empty() && !SAID.swap(true, Ordering::Relaxed) {
            self.broken.iter().for_each(|broken| say::line(format_args!("{broken}")));
        }
    }

    /// The addresses that a listener bound to `local` belongs to: those with its port and, if their host is a literal, its IP
    /// address. A listener on all addresses belongs to every literal of the port.
    pub(crate) fn addresses_of(&self, local: SocketAddr) -> Vec<String> {
        self.of_port(local, true)
    }

    /// Those of the port with another IP address: no connection to them comes to this listener.
    pub(crate) fn others_of_port(&self, local: SocketAddr) -> Vec<String> {
        self.of_port(local, false)
    }

    fn of_port(&self, local: SocketAddr, belongs: bool) -> Vec<String> {
        let ip = local.ip().to_canonical();
        let does = |address: &Address| ip.is_unspecified() || address.ip.is_none_or(|literal| literal == ip);
        let of_port = self.addresses.iter().filter(|address| address.port == local.port());
        of_port.filter(|address| does(address) == belongs).map(|address| address.text.clone()).collect()
    }
}

impl Address {
    /// Only the authority matters here; the rest the broker looks at. `broker exec` has checked it, but not who writes the
    /// variable by hand.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let is_scheme = |scheme: &str| scheme.eq_ignore_ascii_case("net.tcp");
        let (_, rest) =
            text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).ok_or("is no net.tcp address")?;
        if rest.contains("://") || rest.contains([' ', '\t', '\n', '"']) {
            return Err("is no net.tcp address: | separates several, and there are no spaces and quotes");
        }
        let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, ""),
        };
        if matches!(host, "*" | "+") {
            return Err("has no host: write localhost for * and +");
        }
        let port = if port.is_empty() {
            DEFAULT_PORT
        } else {
            port.parse().map_err(|_| "has no port from 1 to 65535")?
        };
        let ip = host.trim_matches(['[', ']']).parse().ok();
        // `0.0.0.0` and `[::]` mean all addresses of a family
        Ok(Self { text: text.into(), ip: ip.filter(|ip: &IpAddr| !ip.is_unspecified()), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(addresses: &[&str]) -> Settings {
        let addresses = addresses.iter().filter_map(|text| Address::parse(text).ok()).collect();
        Settings {
            addresses,
            host_name_comparison: None,
            control: PathBuf::new(),
            quiet: false,
            wait: Duration::ZERO,
            grace: Duration::ZERO,
            share: false,
            broken: Vec::new(),
        }
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
        for text in [
            "",
            "9000",
            "http://localhost:9000/",
            "\"net.tcp://localhost:9000/\"",
            "net.tcp://localhost:9000/a,net.tcp://localhost:9000/b",
            "net.tcp://localhost:9000/a b",
            "net.tcp://*:9000/",
            "net.tcp://localhost:port/",
            "net.tcp://localhost:70000/",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
