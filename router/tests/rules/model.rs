//! The table against the naive scan, over random tables and Vias.

use std::net::SocketAddr;

use proptest::prelude::*;
use router::{HostNameComparison, Prefix, RouteTable, Via};

use crate::naive::{Registration, registered, scan};

fn mode() -> impl Strategy<Value = HostNameComparison> {
    prop::sample::select(HostNameComparison::ALL.to_vec())
}

fn host() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "h",
        "H",
        "srv1",
        "SRV1",
        "srv1.",
        "localhost",
        "127.0.0.1",
        "127.1",
        "192.0.2.5",
        "0.0.0.0",
        "[::1]",
        "[0:0::1]",
        "[::]",
        "bücher",
        "BÜCHER",
        "straße",
        "STRASSE",
    ])
}

fn port() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", ":", ":808", ":9000", ":9000", ":09000", ":9001"])
}

/// Paths over few segments that begin alike and differ in case, escapes and slashes.
fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        "a", "A", "ab", "aB", "abc", "abcdefgh", "abcdefgH", "abcdefgi", "b", "%61", "%41b", "a%20b",
        "a%20B", "~", "%7E", "é", "%c3%a9", "%C3%A9", "É", ".", "..", "%2e%2e", "", "!", "%21", "a.b", "a-b",
        "a_b", "[", "0", "9", "@", "`", "x%3Fx=1",
    ]);
    let slash = prop::sample::select(vec!["/", "/", "/", "//", "%2F", "\\"]);
    prop::collection::vec((slash, segment), 0..6)
        .prop_map(|pairs| pairs.into_iter().flat_map(|(slash, segment)| [slash, segment]).collect::<String>())
        .prop_map(
            |path| if path.starts_with("%2F") || path.starts_with('\\') { format!("/{path}") } else { path },
        )
}

fn address() -> impl Strategy<Value = String> {
    (host(), port(), path()).prop_map(|(host, port, path)| format!("net.tcp://{host}{port}{path}"))
}

/// Exact addresses of one port whose hosts and segments are made of so few letters that they meet: letters that are each
/// other's octets once slashes are taken off them, and letters outside ASCII.
fn alike() -> impl Strategy<Value = String> {
    let text = |letters: &[&'static str]| {
        prop::collection::vec(prop::sample::select(letters.to_vec()), 1..4)
            .prop_map(|letters| letters.concat())
    };
    let segments = prop::collection::vec(text(&["a", "n"]), 0..4);
    (text(&["a", "n", "N", "ö", "\u{4E4E}"]), segments)
        .prop_map(|(host, segments)| format!("net.tcp://{host}:9000/{}", segments.join("/")))
}

fn asked() -> impl Strategy<Value = (String, SocketAddr)> {
    let end = prop::sample::select(vec!["", "", "", "?", "?x=1", "/?x=1", "?/a/../b", "#a", "/a?a#b"]);
    let ip = prop::sample::select(vec!["127.0.0.1", "192.0.2.5", "::1", "203.0.113.9"]);
    let local_port = prop::sample::select(vec![808, 9000, 9000, 9001]);
    (address(), end, ip, local_port).prop_map(|(address, end, ip, port)| {
        (format!("{address}{end}"), SocketAddr::new(ip.parse().expect("an address"), port))
    })
}

/// What happens to a table.
#[derive(Clone, Debug)]
enum Step {
    Register(String, HostNameComparison),
    Unregister(String, HostNameComparison),
    Replace(String, HostNameComparison),
}

fn step() -> impl Strategy<Value = Step> {
    let register = (address(), mode()).prop_map(|(address, mode)| Step::Register(address, mode));
    let unregister = (address(), mode()).prop_map(|(address, mode)| Step::Unregister(address, mode));
    let replace = (address(), mode()).prop_map(|(address, mode)| Step::Replace(address, mode));
    prop_oneof![6 => register, 2 => unregister, 1 => replace]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_answers_as_a_scan_does(
        steps in prop::collection::vec(step(), 0..24),
        asked in prop::collection::vec(asked(), 1..8),
    ) {
        answers_are_the_models(steps, &asked)?;
    }

    #[test]
    fn hosts_that_look_alike_are_told_apart(
        registered in prop::collection::vec(alike(), 1..24),
        asked in prop::collection::vec(alike(), 1..16),
    ) {
        let register = |address| Step::Register(address, HostNameComparison::Exact);
        let local: SocketAddr = "192.0.2.5:9000".parse().expect("an address");
        let asked: Vec<_> = asked.into_iter().map(|via| (via, local)).collect();
        answers_are_the_models(registered.into_iter().map(register).collect(), &asked)?;
    }

    #[test]
    fn parsing_never_panics_and_is_idempotent(seed in any::<u64>()) {
        let text = crate::vias::via(&mut crate::vias::Random::new(seed));
        if let Ok(via) = Via::parse(&text)
            && via.is_net_tcp()
        {
            let again = format!("net.tcp://{}:{}{}", via.host(), via.port(), via.wildcard_path());
            let again = Via::parse(&again).expect("canonical Vias are valid");
            prop_assert_eq!(again.host(), via.host());
            prop_assert_eq!(again.path(), via.wildcard_path());
            prop_assert_eq!(again.wildcard_path(), via.wildcard_path());
        }
    }
}

/// A table and a copy of it that was taken on the way.
fn answers_are_the_models(steps: Vec<Step>, asked: &[(String, SocketAddr)]) -> Result<(), TestCaseError> {
    let mut table = RouteTable::new();
    let mut model: Vec<Registration> = Vec::new();
    let mut before = (table.clone(), model.clone());
    for (value, step) in steps.into_iter().enumerate() {
        if value % 8 == 0 {
            before = (table.clone(), model.clone());
        }
        let (Step::Register(address, mode) | Step::Unregister(address, mode) | Step::Replace(address, mode)) =
            &step;
        let prefix = Prefix::parse(address, *mode).expect("valid addresses only");
        let same = |registration: &Registration| {
            registration.prefix.mode() == prefix.mode()
                && registered(&registration.prefix) == registered(&prefix)
        };
        let at = model.iter().position(same);
        prop_assert_eq!(table.get(&prefix).map(|(_, value)| *value), at.map(|at| model[at].value));
        match step {
            Step::Register(..) => match (table.register(prefix.clone(), value), at) {
                (Ok(()), None) => model.push(Registration { prefix, value }),
                (Err(conflict), Some(at)) => {
                    prop_assert_eq!(conflict.value, model[at].value);
                    prop_assert_eq!(conflict.prefix.address(), model[at].prefix.address());
                }
                (answer, at) => prop_assert!(false, "{:?}, but the model says {:?}", answer, at),
            },
            Step::Unregister(..) => {
                prop_assert_eq!(table.unregister(&prefix), at.map(|at| model.remove(at).value));
            }
            Step::Replace(..) => {
                let old = at.map(|at| core::mem::replace(&mut model[at].value, value));
                prop_assert_eq!(table.replace(&prefix, value), old);
            }
        }
        prop_assert_eq!(table.len(), model.len());
    }
    for (table, model) in [(table, model), before] {
        for (text, local) in asked {
            let Ok(via) = Via::parse(text) else { continue };
            let found = table.lookup(&via, *local).ok().map(|found| (*found.value, found.segments));
            prop_assert_eq!(found, scan(&model, &via, *local), "{} on {}", text, local);
        }
    }
    Ok(())
}

pub(crate) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}
