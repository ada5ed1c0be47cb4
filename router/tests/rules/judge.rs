//! System.Uri and UriBuilder as Mono ships them, asked through `Judge.cs`.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use router::Via;

use crate::vias::{self, Random};

/// Answers to the requests, in order; `None` without Mono.
fn ask(requests: &[String]) -> Option<Vec<String>> {
    let directory = tempfile::tempdir().ok()?;
    let program = directory.path().join("Judge.exe");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/Judge.cs");
    let compiled = Command::new("mcs").arg(format!("-out:{}", program.display())).arg(source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut judge =
        Command::new("mono").arg(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut input = judge.stdin.take()?;
    let text: String = requests.iter().flat_map(|request| [request.as_str(), "\n"]).collect();
    let writer = thread::spawn(move || input.write_all(text.as_bytes()));
    let mut answers = String::new();
    judge.stdout.take()?.read_to_string(&mut answers).expect("the judge writes UTF-8");
    writer.join().expect("no panic").expect("the judge reads to the end");
    assert!(judge.wait().expect("the judge ends").success());
    let answers: Vec<String> = answers.split_terminator('\n').map(str::to_owned).collect();
    assert_eq!(answers.len(), requests.len());
    Some(answers)
}

fn ours(via: &str) -> String {
    match Via::parse(via) {
        Err(_) => "reset".into(),
        Ok(via) if !via.is_net_tcp() => "other".into(),
        Ok(via) => format!("net.tcp {} {} {} {}", via.host(), via.port(), via.path(), via.wildcard_path()),
    }
}

fn same(ours: &str, judged: &str) -> bool {
    match ours {
        "reset" => judged == "reset",
        "other" => judged != "reset" && !judged.starts_with("net.tcp "),
        _ => ours.to_uppercase() == judged.to_uppercase(),
    }
}

#[test]
fn a_hundred_thousand_random_vias_are_taken_apart_as_system_uri_does() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random::new(seed);
    let vias: Vec<String> =
        (0..100_000).map(|_| vias::via(&mut random)).filter(|via| !vias::is_excluded(via)).collect();
    let requests: Vec<String> = vias.iter().map(|via| format!("= {via}")).collect();
    let Some(answers) = ask(&requests) else {
        println!("skipped: no mono");
        return;
    };
    let differences: Vec<String> = vias
        .iter()
        .zip(&answers)
        .filter(|(via, judged)| !same(&ours(via), judged))
        .map(|(via, judged)| format!("{via:?}\n   ours   {}\n   judged {judged}", ours(via)))
        .collect();
    let accepted = answers.iter().filter(|answer| *answer != "reset").count();
    println!("{} Vias, {accepted} of them URIs", vias.len());
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences[..differences.len().min(25)].join("\n")
    );
}
