//! Whoever asks much, or nonsense, or has no right to ask: refused, bounded, and no trouble to anybody else.

mod common;

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Broker, Raw, Worker, address, answer, ask, fault, free_port, installed, is_root, preamble, serve, signal,
    stop, told,
};
use handoff::administration::State;
use handoff::{ControlConnection, Register};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Everything that an administrator may ask.
fn questions() -> [Value; 8] {
    let route = json!({"route": {"via": "net.tcp://h/a", "local": "127.0.0.1:808"}});
    [
        json!({"list": {}}),
        json!({"connections": {}}),
        json!({"status": {}}),
        json!({"reload": {}}),
        json!({"drain": {"id": 1}}),
        json!({"undrain": {"id": 1}}),
        json!({"log_level": {"level": "trace"}}),
        route,
    ]
}

/// One connection handed over and answered.
fn works(worker: &mut Worker, port: u16) {
    let mut client = ask(port, "x");
    serve(worker.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut client), b'!');
}

#[test]
fn nonsense_is_refused_in_a_message_that_fits() {
    let broker = Broker::start(&[]);
    let (port, long) = (free_port(), "\"".repeat(30_000));
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let (before, mut control) = (broker.steady_descriptors(), Raw::connect(&broker.control()));
    for (request, reason) in [
        (json!({"drain": {"id": 99}}), "invalid_argument"),
        (json!({"drain": {"address": long}}), "invalid_argument"),
        (json!({"undrain": {"address": "\u{7f}".repeat(60_000)}}), "invalid_argument"),
        (json!({"log_level": {"level": "\u{7f}".repeat(60_000)}}), "invalid_argument"),
        (json!({"lst": {}}), "not_supported"),
    ] {
        assert_eq!(control.refusal(&request), reason);
    }
    for malformed in [
        "{\"drain\": {}}".to_owned(),
        "{\"drain\": {\"id\": -1}}".to_owned(),
        "{\"list\": {}, \"reload\": {}}".to_owned(),
        format!("{{\"list\": \"{}\"}}", "x".repeat(65_536)),
        "[".repeat(65_000),
    ] {
        let mut control = Raw::connect(&broker.control());
        control.send(malformed.as_bytes());
        assert_eq!(control.receive().expect("an answer").0["refused"]["reason"], "malformed");
        assert!(control.receive().is_none(), "it is closed");
    }
    drop(control);
    broker.settles_at(before);
    works(&mut worker, port);
}

/// Whoever may register, but not administer, and asks all the same, again and again.
#[test]
fn whoever_may_not_ask_changes_nothing_and_fills_nothing() {
    if !is_root() || !installed("python3") {
        return;
    }
    let broker = Broker::start(&["--control-group", "4321"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let script = "import json, os, socket, sys\n\
                  os.setgroups([4321]); os.setgid(65534); os.setuid(65534)\n\
                  c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); c.connect(sys.argv[1])\n\
                  for _ in range(100):\n\
                  \x20   for question in json.loads(sys.argv[2]):\n\
                  \x20       c.send(json.dumps(question).encode())\n\
                  \x20       print(json.loads(c.recv(65536))['refused']['reason'])\n";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(broker.control())
        .arg(Value::from(questions().to_vec()).to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.lines().count() == 800 && said.lines().all(|line| line == "access_denied"), "{output:?}");
    works(&mut worker, port);
    broker.settles_at(before);
    let log = broker.whole_log();
    assert!(log.matches("reason=access_denied").count() < 20, "{log}");
}

/// Each knocks from a process of its own, asks what an administrator asks, and then registers something else than the others.
#[test]
fn a_stranger_with_many_processes_is_one_line_of_many() {
    if !is_root() || !installed("python3") {
        return;
    }
    let broker = Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x")]);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    control.register(&Register::new([address(port, "x")])).unwrap_err();
    let script = "import json, os, socket, sys\n\
                  os.setgroups([]); os.setgid(65534); os.setuid(65534)\n\
                  for n in range(200):\n\
                  \x20   if os.fork() > 0: os.wait(); continue\n\
                  \x20   c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); c.connect(sys.argv[1])\n\
                  \x20   for asked in json.loads(sys.argv[2]) + [json.loads(sys.argv[3] % (n % 50))]:\n\
                  \x20       c.send(json.dumps(asked).encode())\n\
                  \x20       print(json.loads(c.recv(65536))['refused']['reason'], flush=True)\n\
                  \x20   os._exit(0)\n";
    let mut run = |last: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(broker.control());
        let output = command.arg(Value::from(questions().to_vec()).to_string()).arg(last).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.lines().count() == 1800 && said.lines().all(|line| line == "access_denied"),
            "{output:?}"
        );
        control.status().unwrap().refused
    };
    // Questions are no registrations.
    let refused = run(r#"{"unregister": {"id": %s}}"#);
    assert_eq!(refused.len(), 1, "{refused:#?}");
    let refused = run(r#"{"register": {"protocol": 1, "addresses": ["net.tcp://h/y"], "x": %s}}"#);
    let [stranger, conflict] = &refused[..] else { panic!("{refused:#?}") };
    assert_eq!(
        (stranger.uid, stranger.count, stranger.address.as_deref()),
        (65534, 200, Some("net.tcp://h/y"))
    );
    assert_eq!((conflict.uid, conflict.count), (0, 1));
    // Nor do many addresses push out what is of others.
    let refused = run(r#"{"register": {"protocol": 1, "addresses": ["net.tcp://h/%s"]}}"#);
    assert!(refused.iter().any(|other| other.uid == 0), "{refused:#?}");
    drop(worker);
    let log = broker.whole_log();
    assert!(log.matches(" refused: ").count() + log.matches(" access denied: ").count() < 10, "{log}");
}

/// What was asked of a broker that was stopped does not happen when it goes on and the asker has given up.
#[test]
fn nothing_happens_for_whoever_has_gone() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    stop(broker.pid());
    for _ in 0..5 {
        let mut drain = Raw::connect(&broker.control());
        drain.send(b"{\"drain\": {\"id\": 1}}");
        let mut level = Raw::connect(&broker.control());
        level.send(b"{\"log_level\": {\"level\": \"trace\"}}");
    }
    // Who only has no more to say still waits.
    let mut waits = Raw::connect(&broker.control());
    waits.send(b"{\"list\": {}}");
    waits.says_no_more();
    signal(broker.pid(), Signal::CONT);
    assert_eq!(waits.receive().expect("an answer").0["listed"]["entries"][0]["state"], "up");
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    assert_eq!(control.list().unwrap()[0].state, State::Up);
    works(&mut worker, port);
    assert!(!broker.whole_log().contains("the log level is"), "{}", broker.log());
}

#[test]
fn a_command_without_an_answer_says_what_becomes_of_it() {
    let broker = Broker::start(&[]);
    let worker = Worker::register(&broker, &[address(free_port(), "x")]);
    stop(broker.pid());
    let start = |command: &[&str]| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_broker"));
        process.args(command).arg("--control").arg(broker.control()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let changes = [&["drain", "1"][..], &["undrain", "1"], &["reload"], &["log-level", "trace"]].map(start);
    let asks = start(&["ls"]);
    for change in changes {
        let output = change.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("has not answered for 10 s") && said.contains("drops what nobody waits for"),
            "{said}"
        );
    }
    let said = asks.wait_with_output().unwrap().stderr;
    assert!(!String::from_utf8_lossy(&said).contains("drops"), "nothing would have changed");
    signal(broker.pid(), Signal::CONT);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    assert_eq!(control.list().unwrap()[0].state, State::Up);
    drop(worker);
}

/// So many registrations, each of so many addresses of one port.
fn register_many(broker: &Broker, port: u16, count: usize, each: usize) -> ControlConnection {
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    for n in 0..count {
        let addresses = (0..each).map(|m| address(port, &format!("{n}/{m}")));
        control.register(&Register::new(addresses)).unwrap();
    }
    control
}

/// A long list is made page by page, when there is room for one: meanwhile everybody else is served.
#[test]
fn who_does_not_read_a_long_list_holds_up_nobody() {
    let broker = Broker::start(&["--max-registrations-per-user", "5000", "--log-level", "info"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let many = register_many(&broker, port, 2000, 1);
    let mut lazy: Vec<Raw> = (0..4).map(|_| Raw::connect(&broker.control())).collect();
    lazy.iter_mut().for_each(|control| control.send(b"{\"list\": {}}"));
    (0..20).for_each(|_| works(&mut worker, port));
    let mut another = Worker::register(&broker, &[address(port, "another")]);
    drop(ask(port, "another"));
    drop(another.accept());
    for mut control in lazy {
        let (mut entries, mut pages) = (0, 0);
        loop {
            let (reply, _) = control.receive().expect("a page");
            entries += reply["listed"]["entries"].as_array().expect("a list").len();
            pages += 1;
            if reply["listed"]["more"] != true {
                break;
            }
        }
        assert!(entries >= 2001 && pages > 10, "{entries} in {pages}");
    }
    drop(many);
}

/// By hand: how long the accept loop takes for an answer while 10⁵ registered addresses are listed, beside how long it takes else. (Each
/// registration takes two descriptors, of which there are 20,000 in most places: so it is 2,000 with 50 addresses each.)
#[test]
#[ignore = "a figure for people: cargo test -p broker --test askers -- --ignored --nocapture"]
fn answers_beside_a_list_of_a_hundred_thousand() {
    let broker = Broker::start(&["--max-registrations-per-user", "200000", "--log-level", "info"]);
    let port = free_port();
    let _many = register_many(&broker, port, 2000, 50);
    let measure = |while_this: &mut dyn FnMut() -> bool| {
        let mut times = Vec::new();
        while while_this() {
            let begin = Instant::now();
            assert_eq!(told(&mut ask(port, "nobody")), fault("EndpointNotFound"));
            times.push(begin.elapsed());
        }
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        (times.len(), [at(50), at(99), at(100)])
    };
    let mut left = 3000;
    let quiet = measure(&mut || {
        left -= 1;
        left > 0
    });
    let control = broker.control();
    let begin = Instant::now();
    let listing = thread::spawn(move || {
        let list = ControlConnection::connect(&control).unwrap().list().unwrap();
        list.iter().map(|holder| holder.addresses.len()).sum::<usize>()
    });
    let beside = measure(&mut || !listing.is_finished());
    let took: Duration = begin.elapsed();
    println!("{} listed in {took:?}", listing.join().unwrap());
    println!("answers, median, 99 %, longest: alone {quiet:?}; meanwhile {beside:?}");
}
