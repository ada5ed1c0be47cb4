//! System.Uri and UriBuilder as Mono ships them, asked through `Judge.cs`.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::thread;

use router::{HostNameComparison, Prefix, RouteTable, Via};
use test_peers::Mono;

use crate::conflicts::CONFLICTS;
use crate::rows::SETS;
use crate::vias::{self, Random};

/// Answers to the requests, in order; `None` without Mono.
fn ask(requests: &[String]) -> Option<Vec<String>> {
    let program = Mono::compile(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/Judge.cs"))?;
    let mut judge = program
        .command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("mono is there where mcs is");
    let mut input = judge.stdin.take().expect("piped");
    let text: String = requests.iter().flat_map(|request| [request.as_str(), "\n"]).collect();
    let writer = thread::spawn(move || input.write_all(text.as_bytes()));
    let mut answers = String::new();
    judge.stdout.take().expect("piped").read_to_string(&mut answers).expect("the judge writes UTF-8");
    writer.join().expect("no panic").expect("the judge reads to the end");
    assert!(judge.wait().expect("the judge ends").success());
    let answers: Vec<String> = answers.split_terminator('\n').map(str::to_owned).collect();
    assert_eq!(answers.len(), requests.len());
    Some(answers)
}

/// Compares answers, and shows the first few that differ.
fn compare(requests: &[String], ours: &[String], same: impl Fn(&str, &str) -> bool) {
    let Some(judged) = ask(requests) else { return };
    let differences: Vec<String> = requests
        .iter()
        .zip(ours.iter().zip(&judged))
        .filter(|(_, (ours, judged))| !same(ours, judged))
        .map(|(request, (ours, judged))| format!("{request:?}\n   ours   {ours}\n   judged {judged}"))
        .collect();
    let resets = judged.iter().filter(|answer| *answer == "reset").count();
    println!("{} requests, {resets} of them answered with a reset", requests.len());
    let shown = differences.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences:\n{shown}", differences.len());
}

/// A table that answers requests as the judge does.
#[derive(Default)]
struct Asked {
    table: RouteTable<String>,
    requests: Vec<String>,
    ours: Vec<String>,
}

impl Asked {
    fn clear(&mut self) {
        self.table = RouteTable::new();
        self.requests.push("clear".into());
        self.ours.push("ok".into());
    }

    fn register(&mut self, mode: HostNameComparison, address: &str) {
        self.requests.push(format!("+ {mode} {address}"));
        self.ours.push(match Prefix::parse(address, mode) {
            Err(_) => "refused".into(),
            Ok(prefix) => match self.table.register(prefix, address.into()) {
                Ok(()) => "ok".into(),
                Err(conflict) => format!("conflict {}", conflict.value),
            },
        });
    }

    fn look_up(&mut self, local: SocketAddr, via: &str) {
        self.requests.push(format!("? {} {} {via}", local.ip(), local.port()));
        self.ours.push(match Via::parse(via) {
            Err(_) => "reset".into(),
            Ok(via) => match self.table.lookup(&via, local) {
                Ok(found) => found.value.clone(),
                Err(_) => "EndpointNotFound".into(),
            },
        });
    }
}

#[test]
fn the_rows_of_the_reference_are_as_system_uri_has_them() {
    let mut asked = Asked::default();
    for set in SETS {
        asked.clear();
        for &(_, mode, address) in set.registered {
            asked.register(mode, address);
        }
        for &(_, via, local, port, _) in set.rows {
            asked.look_up(SocketAddr::new(local.parse::<IpAddr>().expect("an address"), port), via);
        }
    }
    for &(_, (first_mode, first), (second_mode, second), _) in CONFLICTS {
        asked.clear();
        asked.register(first_mode, first);
        asked.register(second_mode, second);
    }
    compare(&asked.requests, &asked.ours, |ours, judged| ours == judged);
}

#[test]
fn random_tables_answer_as_system_uri_would() {
    let mut random = Random::new(7);
    let mut asked = Asked::default();
    for _ in 0..1000 {
        asked.clear();
        for _ in 0..random.below(12) {
            let mode = HostNameComparison::ALL[random.below(3)];
            asked.register(mode, &vias::similar(&mut random));
        }
        for _ in 0..40 {
            let mut via = vias::similar(&mut random);
            via += random.pick(&["", "", "", "/", "?", "?x=1", "/?x=1", "?/../a", "#a"]);
            let ip = random.pick(&["127.0.0.1", "192.0.2.5", "::1", "203.0.113.9"]);
            let port = *random.pick(&[&808, &9000, &9001]);
            asked.look_up(SocketAddr::new(ip.parse().expect("an address"), port), &via);
        }
    }
    compare(&asked.requests, &asked.ours, |ours, judged| ours == judged);
}

#[test]
fn a_hundred_thousand_random_vias_are_taken_apart_as_system_uri_does() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random::new(seed);
    let vias: Vec<String> = core::iter::repeat_with(|| vias::via(&mut random))
        .filter(|via| !vias::is_excluded(via))
        .take(100_000)
        .collect();
    let requests: Vec<String> = vias.iter().map(|via| format!("= {via}")).collect();
    let ours: Vec<String> = vias.iter().map(|via| taken_apart(via)).collect();
    compare(&requests, &ours, is_same);
}

pub(crate) fn taken_apart(via: &str) -> String {
    match Via::parse(via) {
        Err(_) => "reset".into(),
        Ok(via) if !via.is_net_tcp() => "other".into(),
        Ok(via) => format!("net.tcp {} {} {} {}", via.host(), via.port(), via.path(), via.wildcard_path()),
    }
}

pub(crate) fn is_same(ours: &str, judged: &str) -> bool {
    match ours {
        "reset" => judged == "reset",
        "other" => judged != "reset" && !judged.starts_with("net.tcp "),
        _ => with_large_digits(ours) == with_large_digits(judged),
    }
}

/// Escapes in capitals: ours stay as they were written, which no comparison sees.
fn with_large_digits(text: &str) -> String {
    let mut octets = text.as_bytes().to_vec();
    for at in 0..octets.len().saturating_sub(2) {
        if let [b'%', digits @ ..] = &mut octets[at..at + 3]
            && digits.iter().all(u8::is_ascii_hexdigit)
        {
            digits.make_ascii_uppercase();
        }
    }
    String::from_utf8(octets).expect("only ASCII was changed")
}

/// Vias that other generators found.
#[test]
fn vias_that_once_differed() {
    let long = |mark: &str, len| format!("a+b://{}{mark}{}:9000", "a".repeat(len), "a".repeat(len));
    let found: Vec<(String, &str)> = [
        ("net.tcp://[::1]a/..", "net.tcp [::1] 808 / /"),
        ("net.tcp://[::1]a:9000/%2E%2e/", "net.tcp [::1] 808 / /"),
        ("net.tcp://[::1]a:90a/%2E%2e#f", "net.tcp [::1] 808 / /"),
        ("net.tcp://[::1]a/..?x", "net.tcp [::1] 808 / /%3Fx"),
        ("net.tcp://[::1]a/../cd", "net.tcp [::1] 808 /c /c"),
        ("net.tcp://[::1]a/%41/../..", "net.tcp [::1] 808 / /"),
        ("net.tcp://[::1]./...", "net.tcp [::1] 808 //.. /"),
        ("net.tcp://[::1]a/../\u{E9}", "net.tcp [::1] 808 / /"),
        ("net.tcp://[::1]a/../\u{E9}/..", "reset"),
        ("net.tcp://[::1]%c3%a9/..", "reset"),
        ("net.tcp://[::1]a%2f..", "reset"),
        ("net.tcp://[::1]a^/..", "reset"),
        ("net.tcp://[::1]a%20/..", "net.tcp [::1] 808 / /"),
        ("net.tcp://[::1]././+/%5E%7C", "net.tcp [::1] 808 //+/%5E%7 //+/%5E%257"),
        ("http://[::1]a%2fb/..", "other"),
        ("ftp://[::1/64]%21/.%2e", "other"),
        ("https://[::1]a::9000/%2E%2e", "other"),
    ]
    .map(|(via, answer)| (via.to_owned(), answer))
    .into_iter()
    .chain(
        ["\u{FA2}", "\u{F75}", "\u{1DE5}", "\u{345}", "\u{2160}", "\u{24B6}", "\u{3007}"]
            .map(|mark| (long(mark, 32), "reset")),
    )
    .chain(["\u{E9}", "\u{5D0}", "\u{2183}", "\u{3042}"].map(|letter| (long(letter, 32), "other")))
    .collect();
    let ours: Vec<String> = found.iter().map(|(via, _)| taken_apart(via)).collect();
    for ((via, answer), ours) in found.iter().zip(&ours) {
        assert_eq!(ours, answer, "{via}");
    }
    let requests: Vec<String> = found.iter().map(|(via, _)| format!("= {via}")).collect();
    compare(&requests, &ours, is_same);
}
