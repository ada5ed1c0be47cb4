//! What strangers write, wherever a terminal or a page shows it: nothing of it hides, or turns what stands beside it around.

mod common;

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::process::Command;

use common::http::{broker_with_http, get};
use common::{Raw, Worker, address, connect, eventually, fault, free_port, preamble, told};
use handoff::{ControlConnection, HandoffError, Register, misleads};
use serde_json::{Value, json};

/// Of each kind: control characters of both sets, overrides and isolates, without width, invisible letters, tags.
const HOSTILE: &str =
    "\u{1b}\u{9b}\u{202e}\u{2066}\u{200f}\u{200b}\u{feff}\u{2060}\u{3164}\u{ad}\u{fe0f}\u{2028}\u{e0041}";

#[track_caller]
fn is_visible(what: &str, said: &str) {
    let hidden: String = said.chars().filter(|c| misleads(*c) && *c != '\n').collect();
    assert_eq!(hidden.escape_unicode().to_string(), "", "{what}: {said:?}");
}

#[test]
fn nothing_of_strangers_hides() {
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let access = folder.path().join("access");
    let (broker, http) = broker_with_http(&["--access-log", access.to_str().unwrap()]);
    // The name of this program, which others are told.
    let name = "\u{202e}\u{200b}x\u{3164}";
    fs::write("/proc/self/comm", name).unwrap();
    let registered = address(port, &format!("a{}", HOSTILE.replace(char::is_control, "")));
    let worker = Worker::register(&broker, &[registered.clone(), address(port, "b")]);
    let mut other = ControlConnection::connect(&broker.control()).unwrap();
    let Err(HandoffError::Refused(refused)) = other.register(&Register::new([registered.clone()])) else {
        panic!("it is registered twice")
    };
    is_visible("a refusal", &refused.to_string());
    assert!(refused.message.contains("\\u{202e}\\u{200b}x\u{fffd} (pid "), "{refused}");
    // Not only because the library looks.
    let mut raw = Raw::connect(&broker.control());
    for request in [
        json!({"register": {"protocol": 1, "addresses": [registered]}}),
        json!({"drain": {"address": format!("{registered}/x")}}),
        json!({"log_level": {"level": HOSTILE}}),
        json!({HOSTILE: {}}),
        json!({"route": {"via": registered, "local": HOSTILE}}),
    ] {
        let (reply, _) = raw.ask(&request);
        is_visible(&request.to_string(), reply["refused"]["message"].as_str().expect("a refusal"));
    }
    let mut client = connect(port);
    client.write_all(&preamble(&address(port, &format!("nobody{HOSTILE}")))).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(told(&mut client), fault("EndpointNotFound"));

    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        let output = command.args(arguments).arg("--control").arg(broker.control()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8(said).unwrap()
    };
    let local = format!("127.0.0.1:{port}");
    let nobody = address(port, &format!("nobody{HOSTILE}"));
    for arguments in [
        &["ls"][..],
        &["ls", "--json"],
        &["watch"],
        &["route", "--local", &local, &registered],
        &["route", "--local", &local, &nobody],
        &["drain", &registered],
        &["undrain", &registered],
        &["drain", &nobody],
    ] {
        let said = run(arguments);
        assert!(said.contains("/a") || said.contains("/nobody"), "{arguments:?}: {said}");
        is_visible(&arguments.join(" "), &said);
    }
    let listed: Value = serde_json::from_str(&run(&["ls", "--json"])).unwrap();
    assert_eq!(listed[0]["addresses"][0], registered, "for programs it is what it was");
    for path in ["/", "/status.json"] {
        let page = get(http, path).body;
        assert!(page.contains("/nobody"), "{page}");
        is_visible(path, &page);
    }
    eventually(|| fs::read_to_string(&access).unwrap().contains("/nobody"), || broker.log());
    is_visible("the access log", &fs::read_to_string(&access).unwrap());
    drop(worker);
    let log = broker.whole_log();
    assert!(log.contains("/a") && log.contains("/nobody"), "{log}");
    is_visible("the log", &log);
}
