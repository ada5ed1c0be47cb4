//! What an administrator asks a running broker: `broker ls`, `connections`, `drain`, `undrain`, each as a process.

mod common;

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use common::http::{broker_with_http, get};
use common::{
    Broker, Raw, Worker, address, answer, ask, connect, eventually, fault, free_port, preamble, serve, told,
};
use handoff::administration::List;
use handoff::{ControlConnection, Register};
use serde_json::Value;

/// `broker COMMAND --control …`.
fn run(broker: &Broker, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.args(arguments).arg("--control").arg(broker.control());
    command.output().expect("the broker starts")
}

/// Standard output of one that succeeds.
fn said(broker: &Broker, arguments: &[&str]) -> String {
    let output = run(broker, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(broker: &Broker, command: &str) -> Vec<Value> {
    serde_json::from_str(&said(broker, &[command, "--json"])).expect("JSON")
}

fn states(broker: &Broker) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    json(broker, "ls").iter().map(|entry| (text(&entry["addresses"][0]), text(&entry["state"]))).collect()
}

#[test]
fn ls_shows_who_has_what_and_how_it_goes() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, relay) = (free_port(), backend.local_addr().unwrap());
    let toml = format!("[[route]]\naddress = '{}'\nrelay = '{relay}'\n", address(port, "legacy"));
    let broker = Broker::configured(&toml, &["--max-pending-connections", "4"]);
    let mut worker = Worker::register(&broker, &[address(port, "orders"), address(port, "more")]);

    let mut served = ask(port, "orders");
    serve(worker.accept(), &preamble(&address(port, "orders")), b'o');
    assert_eq!(answer(&mut served), b'o');
    let relayed = ask(port, "legacy");
    let (back_end, _) = backend.accept().unwrap();
    let waiting: Vec<_> = (0..3).map(|_| ask(port, "orders")).collect();
    let figures = |broker: &Broker| {
        let listed = json(broker, "ls");
        let orders =
            listed.iter().find(|entry| entry["addresses"][0] == address(port, "orders")).unwrap().clone();
        let legacy = listed.iter().find(|entry| entry["relay"] == relay.to_string()).unwrap().clone();
        (orders, legacy)
    };
    eventually(|| figures(&broker).0["queued"] == 3 && figures(&broker).1["relaying"] == 1, || broker.log());
    let (orders, legacy) = figures(&broker);
    assert_eq!(
        (&orders["handed_over"], &orders["max_pending"], &orders["state"]),
        (&4.into(), &4.into(), &"up".into())
    );
    assert_eq!(orders["addresses"], serde_json::json!([address(port, "orders"), address(port, "more")]));
    assert_eq!(orders["pid"], std::process::id());
    assert_eq!(orders["uid"], rustix::process::getuid().as_raw());
    assert!(orders["program"].as_str().is_some_and(|name| name.starts_with("administration")), "{orders}");
    assert_eq!((&legacy["state"], &legacy["handed_over"]), (&"up".into(), &0.into()));

    let table = said(&broker, &["ls"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].trim_start().starts_with("ID ADDRESS"), "{table}");
    assert!(lines[1].contains("/legacy") && lines[1].contains(&format!("→ {relay}")), "{table}");
    assert!(
        lines[2].contains(&format!("{} +1", address(port, "orders"))) && lines[2].contains(" 3/4 "),
        "{table}"
    );
    assert!(!table.contains('\u{1b}'), "no colours but on a terminal");

    // A full queue, then what is refused.
    let more: Vec<_> = (0..6).map(|_| ask(port, "orders")).collect();
    eventually(|| figures(&broker).0["refused"] == 1, || format!("{}", figures(&broker).0));
    let (orders, _) = figures(&broker);
    assert_eq!(
        (&orders["queued"], &orders["held"], &orders["state"]),
        (&4.into(), &4.into(), &"full".into())
    );
    assert_eq!((&orders["max_pending"], &orders["max_held"]), (&4.into(), &4.into()));
    let table = said(&broker, &["ls"]);
    assert!(table.contains(" full ") && table.contains(" 4/4+4/4 "), "{table}");
    said(&broker, &["drain", &address(port, "orders")]);
    let (orders, _) = figures(&broker);
    assert_eq!(
        (&orders["state"], &orders["states"]),
        (&"draining".into(), &serde_json::json!(["draining", "full"]))
    );
    assert!(said(&broker, &["ls"]).contains(" drain,full "), "{}", said(&broker, &["ls"]));
    drop((waiting, more, relayed, back_end, worker));
    eventually(|| json(&broker, "ls").len() == 1, || broker.log());
    eventually(|| figures_of_relay(&broker) == (0, 1), || broker.log());
}

fn figures_of_relay(broker: &Broker) -> (u64, u64) {
    let listed = json(broker, "ls");
    (listed[0]["relaying"].as_u64().unwrap(), listed[0]["relayed"].as_u64().unwrap())
}

/// A message has 64 KiB; what does not fit comes in the next.
#[test]
fn a_list_of_any_length_comes_whole() {
    let broker = Broker::start(&["--max-registrations-per-user", "1000"]);
    let port = free_port();
    let long = |n: usize| address(port, &format!("{n}/{}", "x".repeat(1900)));
    let many: Vec<String> = (0..30).map(long).collect();
    let workers = [
        Worker::register(&broker, &many[..1]),
        // In one message it would not fit.
        Worker::register(&broker, &many[1..29]),
        Worker::register(&broker, &many[29..]),
    ];
    let mut others = ControlConnection::connect(&broker.control()).unwrap();
    let kept: Vec<_> = (0..300)
        .map(|n| others.register(&Register::new([address(port, &format!("few{n}"))])).unwrap())
        .collect();
    let listed = json(&broker, "ls");
    assert_eq!(listed.len(), 303);
    let mut all: Vec<String> = listed
        .iter()
        .flat_map(|entry| entry["addresses"].as_array().unwrap())
        .map(|address| address.as_str().unwrap().to_owned())
        .collect();
    let mut expected: Vec<String> =
        many.into_iter().chain((0..300).map(|n| address(port, &format!("few{n}")))).collect();
    all.sort_unstable();
    expected.sort_unstable();
    assert!(all == expected, "{} of {}", all.len(), expected.len());
    drop((workers, kept));
}

#[test]
fn connections_shows_what_the_broker_still_has() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, relay) = (free_port(), backend.local_addr().unwrap());
    let toml = format!("[[route]]\naddress = '{}'\nrelay = '{relay}'\n", address(port, "legacy"));
    let broker = Broker::configured(&toml, &["--max-pending-connections", "1"]);
    assert_eq!(
        said(&broker, &["connections"]),
        "none; what was handed over belongs to the workers and is not listed\n"
    );
    let worker = Worker::register(&broker, &[address(port, "orders")]);
    let mut silent = connect(port);
    std::io::Write::write_all(&mut silent, &preamble(&address(port, "orders"))[..9]).unwrap();
    let waiting: Vec<_> = (0..2).map(|_| ask(port, "orders")).collect();
    let relayed = ask(port, "legacy");
    let (mut back_end, _) = backend.accept().unwrap();
    std::io::Write::write_all(&mut back_end, b"answer").unwrap();
    let refused = ask(port, "nobody");
    let of = |place: &str| {
        let all = json(&broker, "connections");
        all.into_iter().filter(|entry| entry["place"] == place).collect::<Vec<_>>()
    };
    let octets = preamble(&address(port, "legacy")).len();
    let complete = || {
        let relayed = of("relayed");
        of("preamble").len() == 1
            && of("held").len() == 1
            && of("refused").len() == 1
            && relayed.len() == 1
            && relayed[0]["octets_out"] == 6
            && relayed[0]["octets_in"] == octets
    };
    eventually(complete, || said(&broker, &["connections"]));
    let parked = &of("preamble")[0];
    assert_eq!(parked["peer"], silent.local_addr().unwrap().to_string());
    assert_eq!(parked["octets_in"], 9);
    assert_eq!(of("relayed")[0]["relay"], relay.to_string());
    let table = said(&broker, &["connections"]);
    assert!(table.ends_with("1 held, 1 preamble, 1 refused, 1 relayed; what was handed over belongs to the workers and is not listed\n"), "{table}");
    drop((waiting, relayed, refused, worker));
}

#[test]
fn who_drains_gets_no_new_connections_and_keeps_its_old() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let orders = address(port, "orders");
    let mut old = Worker::register(&broker, std::slice::from_ref(&orders));
    let mut waits = ask(port, "orders");
    eventually(|| json(&broker, "ls")[0]["queued"] == 1, || broker.log());
    let drained = said(&broker, &["drain", &orders]);
    assert_eq!(drained, format!("1 {orders}: drains; 1 wait for it, 0 are relayed\n"));
    assert_eq!(states(&broker), [(orders.clone(), "draining".to_owned())]);
    assert!(
        said(&broker, &["ls"]).contains("draining: by an administrator or its worker, not in the file"),
        "{}",
        said(&broker, &["ls"])
    );
    assert_eq!(told(&mut ask(port, "orders")), fault("EndpointUnavailable"));
    let output = run(&broker, &["route", "--local", &format!("127.0.0.1:{port}"), &orders]);
    let why = String::from_utf8(output.stdout).unwrap();
    assert!(why.starts_with(&format!("EndpointUnavailable: {orders} drains, by an administrator")), "{why}");
    // What waits for it is not yet served.
    let output = run(&broker, &["drain", "1", "--wait", "1"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(why, format!("broker drain: {orders} still has 1 in its queue after 1 s\n"));
    serve(old.accept(), &preamble(&orders), b'a');
    assert_eq!(answer(&mut waits), b'a');
    assert!(said(&broker, &["drain", "1", "--wait", "60"]).ends_with("0 wait for it, 0 are relayed\n"));

    // It can be taken back, and then nobody else may have the address.
    said(&broker, &["undrain", "1"]);
    let mut again = ask(port, "orders");
    serve(old.accept(), &preamble(&orders), b'b');
    assert_eq!(answer(&mut again), b'b');
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    assert!(control.register(&Register::new([orders.clone()])).is_err());

    // The next one may register beside one that drains, and gets what comes.
    said(&broker, &["drain", &orders]);
    let mut new = Worker::register(&broker, std::slice::from_ref(&orders));
    let mut client = ask(port, "orders");
    serve(new.accept(), &preamble(&orders), b'n');
    assert_eq!(answer(&mut client), b'n');
    assert!(old.nothing_waits());
    let output = run(&broker, &["undrain", "1"]);
    assert_eq!(output.status.code(), Some(2));
    let why = String::from_utf8(output.stderr).unwrap();
    assert!(why.contains(&format!("{orders} is already registered")), "{why}");
    drop(old);
    eventually(|| states(&broker).len() == 1, || broker.log());
    let mut client = ask(port, "orders");
    serve(new.accept(), &preamble(&orders), b'n');
    assert_eq!(answer(&mut client), b'n');
}

/// What `drain --wait` comes to once somebody does this meanwhile.
fn waits_until(broker: &Broker, id: &str, this: impl FnOnce()) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.args(["drain", id, "--wait", "18446744073709551615", "--control"]).arg(broker.control());
    let waits = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let drains = || json(broker, "ls").iter().any(|entry| entry["state"] == "draining");
    eventually(drains, || broker.log());
    this();
    let output = waits.wait_with_output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_ends_the_wait_is_said() {
    let broker = Broker::start(&["--max-pending-connections", "2"]);
    let port = free_port();
    let orders = address(port, "orders");
    let old = Worker::register(&broker, std::slice::from_ref(&orders));
    let waiting: Vec<_> = (0..3).map(|_| ask(port, "orders")).collect();
    let counts = || {
        json(&broker, "ls")
            .iter()
            .map(|entry| (entry["queued"].clone(), entry["held"].clone()))
            .collect::<Vec<_>>()
    };
    eventually(|| counts() == [(2.into(), 1.into())], || broker.log());
    let output = run(&broker, &["drain", "1", "--wait", "0"]);
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        why,
        format!("broker drain: {orders} still has 2 in its queue, 1 held in the broker after 0 s\n")
    );
    said(&broker, &["undrain", "1"]);
    // Somebody else's undrain stays.
    let (status, _, why) = waits_until(&broker, "1", || drop(said(&broker, &["undrain", "1"])));
    assert_eq!(
        (status, why),
        (
            Some(1),
            format!("broker drain: {orders} takes connections again: somebody has undrained it meanwhile\n")
        )
    );
    assert_eq!(states(&broker), [(orders.clone(), "full".to_owned())]);
    // What a worker leaves behind is no success.
    let (status, out, why) = waits_until(&broker, "1", || drop(old));
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(why.starts_with(&format!("broker drain: {orders} has ended with ")), "{why}");
    assert!(why.ends_with("went to another registration of the address, or was refused\n"), "{why}");
    drop(waiting);
    // With nothing that waits it is.
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let toml = format!("[[route]]\naddress = '{orders}'\nrelay = '{}'\n", backend.local_addr().unwrap());
    let broker = Broker::configured(&toml, &[]);
    let relayed = ask(port, "orders");
    let (back_end, _) = backend.accept().unwrap();
    let (status, out, why) = waits_until(&broker, &orders, || drop((relayed, back_end)));
    assert_eq!(
        (status, out, why),
        (Some(0), format!("1 {orders}: drains; 0 wait for it, 0 are relayed\n"), String::new())
    );
}

/// Whoever looks ten times a second asks for no more than is needed.
#[test]
fn a_part_of_the_list_may_be_asked_for() {
    let broker = Broker::start(&["--max-registrations-per-user", "1000"]);
    let port = free_port();
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let kept: Vec<_> = (0..600)
        .map(|n| control.register(&Register::new([address(port, &format!("{n}"))])).unwrap())
        .collect();
    let mut raw = Raw::connect(&broker.control());
    let mut listed = |asked: Value| {
        let (reply, _) = raw.ask(&serde_json::json!({ "list": asked }));
        let entries = reply["listed"]["entries"].as_array().unwrap();
        (
            entries.iter().map(|entry| entry["id"].as_u64().unwrap()).collect::<Vec<_>>(),
            reply["listed"]["more"] == true,
        )
    };
    assert_eq!(listed(serde_json::json!({"id": 300})), (vec![300], false));
    assert_eq!(listed(serde_json::json!({"id": 3000})), (vec![], false));
    assert_eq!(listed(serde_json::json!({"most": 3})), (vec![1, 2, 3], false));
    assert_eq!(listed(serde_json::json!({"most": 0})), (vec![], false));
    assert_eq!(control.list_of(List::first(599)).unwrap().len(), 599);
    assert_eq!(control.list_of(List::first(601)).unwrap().len(), 600);
    let view = said(&broker, &["watch"]);
    assert!(view.lines().count() < 520 && view.contains("\nand 100 more: `broker ls`\n"), "{view}");
    drop(kept);
}

#[test]
fn a_worker_that_takes_nothing_is_stuck_until_it_does() {
    let (broker, http) = broker_with_http(&["--receive-timeout-seconds", "0.5"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "stuck")]);
    let mut client = ask(port, "stuck");
    assert_eq!(told(&mut client), fault("EndpointUnavailable"));
    assert_eq!(states(&broker)[0].1, "stuck");
    assert!(said(&broker, &["ls"]).contains("\ntaken back: 1 of those handed over"), "{}", broker.log());

    // That it drains does not hide it.
    said(&broker, &["drain", "1"]);
    let listed = &json(&broker, "ls")[0];
    let both = serde_json::json!(["draining", "stuck"]);
    assert_eq!((&listed["state"], &listed["states"]), (&"draining".into(), &both));
    let table = said(&broker, &["ls"]);
    assert!(table.contains(" drain,stuck ") && table.contains("\ndraining: by an administrator"), "{table}");
    let page = get(http, "/").body;
    assert!(page.contains("<b>1</b><span class=\"soft\">of them taken back</span>"), "{page}");
    assert!(page.contains(">draining</span> <span class=\"state stuck\">stuck</span>"), "{page}");
    said(&broker, &["undrain", "1"]);
    assert_eq!(json(&broker, "ls")[0]["states"], serde_json::json!(["stuck"]));

    let mut client = ask(port, "stuck");
    serve(worker.accept(), &preamble(&address(port, "stuck")), b'u');
    assert_eq!(answer(&mut client), b'u');
    assert_eq!(states(&broker)[0].1, "up");
}

#[test]
fn mistakes_are_named() {
    let broker = Broker::start(&[]);
    let output = run(&broker, &["drain", "net.tcp://localhost:808/nobody"]);
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), why.as_str()),
        (
            Some(2),
            "broker drain: nobody has \"net.tcp://localhost:808/nobody\"; `broker ls` shows who has what\n"
        )
    );
    let output = run(&broker, &["drain", "99"]);
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(why, "broker drain: nobody has the number 99; `broker ls` shows who has what\n");
    let nowhere = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["ls", "--control", "/nowhere/control"])
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("/nowhere/control"));
}
