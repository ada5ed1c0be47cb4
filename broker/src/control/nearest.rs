//! Which registered address is most like one that matches nothing, and what is different: the likely mistake.

use handoff::administration::Nearest;
use router::{Host, HostNameComparison, Prefix, Via};
use strsim::levenshtein;

use crate::recent::{cleaned, cut};

/// How many letters another port is worth.
const PORT: usize = 3;

/// How much of a path is compared, in characters.
const COMPARED: usize = 96;

/// The nearest of these to a Via, or to an address that was to be registered.
pub(super) fn nearest(text: &str, registered: &[Prefix]) -> Option<Nearest> {
    let via = Via::parse(text).ok().filter(|_| text.contains("://"));
    let Some(via) = via else { return by_letters(text, registered) };
    let mut best: Option<(usize, &Prefix)> = None;
    for prefix in registered {
        let limit = best.map_or(usize::MAX, |(distance, _)| distance);
        let so_far = port_distance(&via, prefix) + host_distance(&via, prefix);
        let (asked, has) = (first_segments(via.path(), prefix.segments()), prefix.path());
        // No fewer letters are wrong than one has more than the other.
        if so_far + asked.len().min(COMPARED).abs_diff(has.len().min(COMPARED)) >= limit
            && !is_wide(asked, has)
        {
            continue;
        }
        let distance = so_far + path_distance(asked, has);
        if distance < limit {
            best = Some((distance, prefix));
        }
    }
    best.map(|(_, prefix)| Nearest::new(shown(prefix), difference(text, &via, prefix)))
}

/// Whether octets say nothing of letters.
fn is_wide(a: &str, b: &str) -> bool {
    !(a.is_ascii() && b.is_ascii())
}

fn shown(prefix: &Prefix) -> String {
    cleaned(cut(prefix.address().as_bytes()))
}

/// What is no URI has no parts.
fn by_letters(text: &str, registered: &[Prefix]) -> Option<Nearest> {
    let distance = |prefix: &&Prefix| path_distance(text, prefix.address());
    let prefix = registered.iter().min_by_key(distance)?;
    Some(Nearest::new(shown(prefix), "no net.tcp URI"))
}

fn port_distance(via: &Via<'_>, prefix: &Prefix) -> usize {
    if via.port() == prefix.port() { 0 } else { PORT }
}

/// Only where hosts are compared.
fn host_distance(via: &Via<'_>, prefix: &Prefix) -> usize {
    match (prefix.mode(), prefix.host()) {
        (HostNameComparison::Exact, Host::Name(name)) => path_distance(via.host(), name),
        (HostNameComparison::Exact, Host::Ip(ip)) => path_distance(via.host(), &ip.to_string()),
        _ => 0,
    }
}

fn path_distance(asked: &str, has: &str) -> usize {
    let short = |text: &str| text.char_indices().nth(COMPARED).map_or(text.len(), |(end, _)| end);
    levenshtein(&asked[..short(asked)], &has[..short(has)])
}

/// A Via may go on behind the address.
fn first_segments(path: &str, segments: usize) -> &str {
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    let end = ends.chain([path.len()]).nth(segments.saturating_sub(1)).unwrap_or(path.len());
    &path[..end]
}

/// In the words of whoever wrote them.
fn difference(text: &str, via: &Via<'_>, prefix: &Prefix) -> String {
    let mut said = Vec::new();
    if !via.is_net_tcp() {
        said.push("another scheme than net.tcp".to_owned());
    }
    if via.port() != prefix.port() {
        said.push(format!("another port: {} instead of {}", via.port(), prefix.port()));
    }
    if host_distance(via, prefix) > 0 {
        said.push(format!("another host: {} instead of {} (exact)", via.host(), written(prefix.address()).0));
    }
    if path_distance(first_segments(via.path(), prefix.segments()), prefix.path()) > 0 {
        let (asked, has) = (written(text).1, written(prefix.address()).1);
        said.push(match asked == has {
            true => "another path".to_owned(),
            false => format!("another path: {asked} instead of {has}"),
        });
    }
    match said.is_empty() {
        true => "the same address; it takes no connections where this one came".to_owned(),
        false => cleaned(said.join("; ").as_bytes()),
    }
}

/// Host and path as they are written.
fn written(address: &str) -> (&str, &str) {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let host =
        authority.rfind(':').filter(|_| !authority.ends_with(']')).map_or(authority, |at| &authority[..at]);
    (host, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likely_mistake_is_spelled_out() {
        let registered: Vec<Prefix> = [
            ("net.tcp://localhost:9000/orders", HostNameComparison::StrongWildcard),
            ("net.tcp://localhost:9000/billing/v1", HostNameComparison::StrongWildcard),
            ("net.tcp://srv1.example:9100/exact", HostNameComparison::Exact),
        ]
        .map(|(address, mode)| Prefix::parse(address, mode).unwrap())
        .into();
        for (asked, address, difference) in [
            ("net.tcp://a:9000/oders", 0, "another path: /oders instead of /orders"),
            ("net.tcp://a:9000/Oders/more/of/it", 0, "another path: /Oders/more/of/it instead of /orders"),
            ("net.tcp://a:9001/orders", 0, "another port: 9001 instead of 9000"),
            ("net.tcp://a/orders", 0, "another port: 808 instead of 9000"),
            ("https://a:9000/orders", 0, "another scheme than net.tcp"),
            ("net.tcp://a:9000/billing", 1, "another path: /billing instead of /billing/v1"),
            (
                "net.tcp://srv2.example:9100/exact",
                2,
                "another host: srv2.example instead of srv1.example (exact)",
            ),
            (
                "net.tcp://srv1.example:9100/exakt/\u{1b}",
                2,
                "another path: /exakt/\u{fffd} instead of /exact",
            ),
            (
                "net.tcp://srv1.example:9100/exact/x",
                2,
                "the same address; it takes no connections where this one came",
            ),
            ("localhost:9000/orders", 0, "no net.tcp URI"),
        ] {
            let expected = Nearest::new(registered[address].address(), difference);
            assert_eq!(nearest(asked, &registered), Some(expected), "{asked}");
        }
        assert_eq!(nearest("net.tcp://h/a", &[]), None);
    }
}
