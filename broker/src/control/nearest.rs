//! Which registered address is most like one that matches nothing, and what is different: the likely mistake.

use std::collections::BTreeMap;

use handoff::administration::Nearest;
use router::{Host, HostNameComparison, Prefix, Via};
use strsim::levenshtein;

use crate::recent::{cleaned, cut};

/// How many letters another port is worth.
const PORT: usize = 3;

/// How much of a path is compared, in characters.
const COMPARED: usize = 96;

/// How much work one may be, in pairs of letters: some hundred paths of usual length, or a hundred long ones.
const PAIRS: usize = 1 << 20;

/// Registered addresses, to be compared with many others.
pub(crate) struct Registered(Vec<(Prefix, Letters)>);

impl Registered {
    pub(crate) fn new(prefixes: Vec<Prefix>) -> Self {
        let with_letters = |prefix: Prefix| (prefix.clone(), Letters::of(prefix.path()));
        Self(prefixes.into_iter().map(with_letters).collect())
    }

    /// The nearest to a Via, or to an address that was to be registered.
    pub(crate) fn nearest(&self, text: &str) -> Option<Nearest> {
        let via = Via::parse(text).ok().filter(|_| text.contains("://"));
        let Some(via) = via else {
            let whole = Letters::of(text);
            let first =
                self.0.iter().map(|(prefix, _)| (whole.apart(&Letters::of(prefix.address())), prefix));
            let prefix = best(first.collect(), |prefix| (text, prefix.address()), |_| 0)?;
            return Some(Nearest::new(shown(prefix), "no net.tcp URI"));
        };
        let path = |prefix: &Prefix| first_segments(via.path(), prefix.segments());
        let mut asked = BTreeMap::new();
        let first = self.0.iter().map(|(prefix, letters)| {
            let asked = asked.entry(prefix.segments()).or_insert_with(|| Letters::of(path(prefix)));
            let host = usize::from(!host_is_the_same(&via, prefix));
            (port_distance(&via, prefix) + host + asked.apart(letters), prefix)
        });
        let rest = |prefix: &Prefix| port_distance(&via, prefix) + host_distance(&via, prefix);
        let prefix = best(first.collect(), |prefix| (path(prefix), prefix.path()), rest)?;
        Some(Nearest::new(shown(prefix), difference(text, &via, prefix)))
    }
}

/// The best of those of which it is known how far they are away at least. Those that are near at first sight come first, so that
/// the others need no second look, nor get one when it has become too much.
fn best<'p>(
    mut order: Vec<(usize, &'p Prefix)>,
    texts: impl Fn(&'p Prefix) -> (&'p str, &'p str),
    rest: impl Fn(&Prefix) -> usize,
) -> Option<&'p Prefix> {
    order.sort_by_key(|(least, _)| *least);
    let mut best: Option<(usize, &Prefix)> = None;
    let mut pairs = PAIRS;
    for (least, prefix) in order {
        if pairs == 0 || best.is_some_and(|(distance, _)| least >= distance) {
            break;
        }
        let (asked, has) = texts(prefix);
        pairs = pairs.saturating_sub(asked.len().min(COMPARED) * has.len().min(COMPARED));
        let distance = rest(prefix) + letters_apart(asked, has);
        if best.is_none_or(|(best, _)| distance < best) {
            best = Some((distance, prefix));
        }
    }
    best.map(|(_, prefix)| prefix)
}

/// Which letters a text has, and how many of each.
struct Letters([u8; 64]);

impl Letters {
    fn of(text: &str) -> Self {
        let mut letters = [0; 64];
        for octet in text.bytes().take(COMPARED) {
            let count: &mut u8 = &mut letters[usize::from(octet % 64)];
            *count = count.saturating_add(1);
        }
        Self(letters)
    }

    /// At least so many letters are different.
    fn apart(&self, other: &Self) -> usize {
        let (mut more, mut less) = (0, 0);
        for (ours, theirs) in self.0.iter().zip(&other.0) {
            more += usize::from(ours.saturating_sub(*theirs));
            less += usize::from(theirs.saturating_sub(*ours));
        }
        more.max(less)
    }
}

fn shown(prefix: &Prefix) -> String {
    cleaned(cut(prefix.address().as_bytes()))
}

fn port_distance(via: &Via<'_>, prefix: &Prefix) -> usize {
    if via.port() == prefix.port() { 0 } else { PORT }
}

fn host_is_the_same(via: &Via<'_>, prefix: &Prefix) -> bool {
    match (prefix.mode(), prefix.host()) {
        (HostNameComparison::Exact, Host::Name(name)) => name == via.host(),
        (HostNameComparison::Exact, Host::Ip(ip)) => ip.to_string() == via.host(),
        _ => true,
    }
}

/// Only where hosts are compared.
fn host_distance(via: &Via<'_>, prefix: &Prefix) -> usize {
    match (prefix.mode(), prefix.host()) {
        (HostNameComparison::Exact, Host::Name(name)) => letters_apart(via.host(), name),
        (HostNameComparison::Exact, Host::Ip(ip)) => letters_apart(via.host(), &ip.to_string()),
        _ => 0,
    }
}

fn letters_apart(asked: &str, has: &str) -> usize {
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
    if !host_is_the_same(via, prefix) {
        said.push(format!("another host: {} instead of {} (exact)", via.host(), written(prefix.address()).0));
    }
    if letters_apart(first_segments(via.path(), prefix.segments()), prefix.path()) > 0 {
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
        let addresses = [
            ("net.tcp://localhost:9000/orders", HostNameComparison::StrongWildcard),
            ("net.tcp://localhost:9000/billing/v1", HostNameComparison::StrongWildcard),
            ("net.tcp://srv1.example:9100/exact", HostNameComparison::Exact),
        ];
        let prefixes = addresses.map(|(address, mode)| Prefix::parse(address, mode).unwrap());
        let registered = Registered::new(prefixes.into());
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
            let expected = Nearest::new(addresses[address].0, difference);
            assert_eq!(registered.nearest(asked), Some(expected), "{asked}");
        }
        assert_eq!(Registered::new(Vec::new()).nearest("net.tcp://h/a"), None);
    }

    proptest::proptest! {
        /// What is looked at last, or not at all, is no nearer.
        #[test]
        fn no_other_is_nearer(
            paths in proptest::collection::vec("[a-d]{1,6}(/[a-dE-G]{1,4}){0,2}", 1..40),
            ports in proptest::collection::vec(1_u16..4, 40),
            asked in "[a-d]{1,6}(/[a-eE-G]{1,4}){0,2}",
        ) {
            let exact = |n: usize| if n.is_multiple_of(3) { HostNameComparison::Exact } else { HostNameComparison::default() };
            let prefixes: Vec<Prefix> = paths
                .iter()
                .zip(ports)
                .enumerate()
                .map(|(n, (path, port))| Prefix::parse(&format!("net.tcp://host{}:{port}/{path}", n % 4), exact(n)).unwrap())
                .collect();
            let text = format!("net.tcp://host1:2/{asked}");
            let via = Via::parse(&text).unwrap();
            let distance = |prefix: &Prefix| {
                let path = letters_apart(first_segments(via.path(), prefix.segments()), prefix.path());
                port_distance(&via, prefix) + host_distance(&via, prefix) + path
            };
            let least = prefixes.iter().map(distance).min();
            let nearest = Registered::new(prefixes.clone()).nearest(&text).unwrap();
            let found = prefixes.iter().filter(|prefix| prefix.address() == nearest.address);
            proptest::prop_assert_eq!(found.map(distance).min(), least);
        }
    }
}
