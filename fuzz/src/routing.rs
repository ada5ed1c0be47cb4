//! Oracle of router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use router::{HostNameComparison, Prefix, RouteTable, Via};

use crate::naive::{Registration, knows, registered, scan};

/// What happens to a table, one thing a line: `s`, `e` or `w` and an address registers it in that mode, `x` and an
/// address unregisters it, `k` registers and `?` looks up an address [of few letters](of_few_letters), anything else is a Via
/// that is looked up. The table answers as the naive scan does, and so does the copy of it that was taken in the middle.
pub fn via_route(octets: &[u8]) {
    let mut table = RouteTable::new();
    let mut model: Vec<Registration> = Vec::new();
    let mut before = (table.clone(), model.clone());
    let mut vias = Vec::new();
    for (value, line) in octets.split(|&octet| octet == b'\n').enumerate() {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if !knows(line) {
            continue;
        }
        let (first, address) = line.split_at_checked(1).unwrap_or_default();
        match first {
            "s" => register(&mut table, &mut model, address, HostNameComparison::StrongWildcard, value),
            "e" => register(&mut table, &mut model, address, HostNameComparison::Exact, value),
            "w" => register(&mut table, &mut model, address, HostNameComparison::WeakWildcard, value),
            "x" => {
                before = (table.clone(), model.clone());
                HostNameComparison::ALL
                    .iter()
                    .for_each(|&mode| unregister(&mut table, &mut model, address, mode));
            }
            "k" => {
                let address = of_few_letters(address);
                register(&mut table, &mut model, &address, HostNameComparison::Exact, value);
            }
            "?" => vias.push(of_few_letters(address)),
            _ => vias.push(line.to_owned()),
        }
        assert_eq!(table.len(), model.len());
    }
    for via in vias.iter().filter_map(|via| Via::parse(via).ok()).filter(Via::is_net_tcp) {
        canonical(&via);
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            for port in [via.port(), 808] {
                for (table, model) in [(&table, &model), (&before.0, &before.1)] {
                    let local = SocketAddr::new(ip, port);
                    let found = table.lookup(&via, local).ok().map(|found| (*found.value, found.segments));
                    assert_eq!(found, scan(model, &via, local), "{via:?} on {local}");
                }
            }
        }
    }
}

/// An address for any text: host, then path, of so few letters that addresses meet, among them such that are each other's
/// octets once slashes are taken off them.
fn of_few_letters(text: &str) -> String {
    let letters = |text: &str, letters: &[&str]| -> String {
        text.bytes().map(|octet| letters[usize::from(octet) % letters.len()]).collect()
    };
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let (host, path) = (letters(host, &["a", "n", "N", "ö", "乎"]), letters(path, &["a", "n", "/"]));
    format!("net.tcp://{host}:808/{path}")
}

fn register(
    table: &mut RouteTable<usize>,
    model: &mut Vec<Registration>,
    address: &str,
    mode: HostNameComparison,
    value: usize,
) {
    let Ok(prefix) = Prefix::parse(address, mode) else { return };
    match (table.register(prefix.clone(), value), find(model, &prefix)) {
        (Ok(()), None) => model.push(Registration { prefix, value }),
        (Err(conflict), Some(at)) => assert_eq!(conflict.value, model[at].value),
        (answer, at) => panic!("{answer:?}, but the model says {at:?}"),
    }
}

fn unregister(
    table: &mut RouteTable<usize>,
    model: &mut Vec<Registration>,
    address: &str,
    mode: HostNameComparison,
) {
    let Ok(prefix) = Prefix::parse(address, mode) else { return };
    let value = find(model, &prefix).map(|at| model.remove(at).value);
    assert_eq!(table.unregister(&prefix), value);
}

fn find(model: &[Registration], prefix: &Prefix) -> Option<usize> {
    let segments = registered(prefix);
    model
        .iter()
        .position(|other| other.prefix.mode() == prefix.mode() && registered(&other.prefix) == segments)
}

/// A canonical Via is canonical.
fn canonical(via: &Via<'_>) {
    let again = format!("net.tcp://{}:{}{}", via.host(), via.port(), via.wildcard_path());
    // Escapes can make it longer than a Via may be.
    if let Ok(again) = Via::parse(&again) {
        assert_eq!((again.host(), again.port()), (via.host(), via.port()));
        assert_eq!((again.path(), again.wildcard_path()), (via.wildcard_path(), via.wildcard_path()));
    }
}
