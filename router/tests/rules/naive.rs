//! The rules written down naively, straight from docs/original.md §6.1 to §6.5: every registration is looked at.

use std::net::{IpAddr, SocketAddr};

use router::{Host, HostNameComparison, Prefix, Via};

/// What the model knows of a registration.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) prefix: Prefix,
    pub(crate) value: usize,
}

/// §6.2: host and port as the mode compares them, then the segments of the path.
fn segments(mode: HostNameComparison, host: &str, port: u16, path: &str) -> Vec<String> {
    let host = match mode {
        HostNameComparison::StrongWildcard => "+",
        HostNameComparison::Exact => host,
        HostNameComparison::WeakWildcard => "*",
    };
    let mut segments = vec![capitals(host), port.to_string()];
    segments.extend(path.split('/').filter(|segment| !segment.is_empty()).map(str::to_ascii_uppercase));
    segments
}

/// A host as an ordinal comparison that ignores case sees it: character by character, each small letter as its capital
/// (`ß` has none of one character, and `ı` is not the small letter of `I`).
fn capitals(host: &str) -> String {
    let capital = |c: char| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(upper), None) if upper < END && upper.to_lowercase().eq([c]) => upper,
            _ => c,
        }
    };
    host.chars().map(|c| if c < END { capital(c) } else { c }).collect()
}

/// Below this, tables of letters agree about case, old ones too.
const END: char = '\u{250}';

/// Whether a text has no small letter that the model does not know.
#[allow(dead_code, reason = "for the fuzz target, whose hosts nobody chooses")]
pub(crate) fn knows(text: &str) -> bool {
    text.chars().all(|c| c < END || c.to_uppercase().eq([c]))
}

/// The segments of a registered address.
pub(crate) fn registered(prefix: &Prefix) -> Vec<String> {
    let host = match prefix.host() {
        Host::Name(name) => name.to_owned(),
        Host::Ip(ip) => ip.to_string(),
    };
    segments(prefix.mode(), &host, prefix.port(), prefix.path())
}

/// §6.1: mode by mode, the longest prefix; §6.4 on each winner; no second choice inside a mode.
pub(crate) fn scan(table: &[Registration], via: &Via<'_>, local: SocketAddr) -> Option<(usize, usize)> {
    use HostNameComparison::{Exact, StrongWildcard, WeakWildcard};
    let host = via.host().trim_matches(['[', ']']);
    // One spelling for each address.
    let host = host.parse::<IpAddr>().map_or_else(|_| host.to_owned(), |ip| ip.to_string());
    for mode in [StrongWildcard, Exact, WeakWildcard] {
        let asked = match mode {
            Exact => segments(mode, &host, via.port(), via.path()),
            _ => segments(mode, &host, local.port(), via.wildcard_path()),
        };
        let longest = table
            .iter()
            .filter(|registration| registration.prefix.mode() == mode)
            .filter(|registration| asked.starts_with(&registered(&registration.prefix)))
            .max_by_key(|registration| registered(&registration.prefix).len());
        let Some(winner) = longest else { continue };
        let admitted = match winner.prefix.host() {
            Host::Name(_) => true,
            Host::Ip(IpAddr::V4(ip)) => ip.is_unspecified() || local.ip() == IpAddr::V4(ip),
            Host::Ip(IpAddr::V6(ip)) => ip.is_unspecified() || local.ip() == IpAddr::V6(ip),
        };
        if admitted {
            return Some((winner.value, registered(&winner.prefix).len() - 2));
        }
    }
    None
}
