//! The log on standard error, and what becomes of the broker when nobody reads it. Long: each way in which nobody reads it.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use common::{
    Terminal, Worker, address, answer, ask, connect, eventually, free_port, preamble, serve, signal,
};
use handoff::{AcceptReceiver, ControlConnection, Register};
use rustix::process::Signal;
use serde_json::{Value, json};

fn broker(control: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.args(["--log-level", "debug", "--control"]).arg(control);
    command
}

fn start(control: &Path) -> Child {
    let child = broker(control).stderr(Stdio::piped()).spawn().unwrap();
    eventually(|| control.exists(), || "no control socket".to_owned());
    child
}

/// A service at `x` of a port, in this process.
struct Service {
    port: u16,
    control: ControlConnection,
    accept_socket: AcceptReceiver,
}

impl Service {
    fn register(control: &Path) -> Self {
        let port = free_port();
        let mut control = ControlConnection::connect(control).unwrap();
        let (_, accept_socket) = control.register(&Register::new([address(port, "x")])).unwrap();
        Self { port, control, accept_socket: AcceptReceiver::new(accept_socket) }
    }

    /// One connection there and back.
    fn works(&mut self) {
        let mut client = ask(self.port, "x");
        let mut connection = None;
        eventually(
            || {
                connection = self.accept_socket.try_accept().unwrap();
                connection.is_some()
            },
            || "nothing was handed over".to_owned(),
        );
        let connection = std::net::TcpStream::from(connection.unwrap());
        connection.set_nonblocking(false).unwrap();
        serve(connection, &preamble(&address(self.port, "x")), b'!');
        assert_eq!(answer(&mut client), b'!');
    }
}

/// Makes it say so many lines of three hundred octets. A pipe holds 64 KiB, its own queue 1 MiB.
fn flood(port: u16, times: usize) {
    let via = "y".repeat(1900);
    for _ in 0..times {
        let mut client = connect(port);
        client.write_all(&preamble(&via)).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn a_reader_that_stalls_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let mut broker = start(&control);
    let _stalled: ChildStderr = broker.stderr.take().unwrap();
    let mut service = Service::register(&control);
    flood(service.port, 500);
    service.works();
    let mut another = Service::register(&control);
    another.works();
    drop(service.control);
    eventually(
        || std::net::TcpStream::connect(("127.0.0.1", service.port)).is_err(),
        || "still open".to_owned(),
    );
    signal(broker.id(), Signal::TERM);
    assert!(broker.wait().unwrap().success());
    assert!(!control.exists());
}

#[test]
fn what_a_slow_reader_misses_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let mut broker = start(&control);
    let log = broker.stderr.take().unwrap();
    let mut service = Service::register(&control);
    flood(service.port, 6000);
    service.works();
    let mut log = BufReader::new(log);
    let mut line = String::new();
    while !line.contains("log lines lost") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the log ended");
    }
    assert!(line.contains(" WARN "), "{line}");
    signal(broker.id(), Signal::TERM);
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(broker.wait().unwrap().success());
    assert!(rest.contains("ending: SIGTERM"), "{rest}");
}

#[test]
fn a_reader_that_has_gone_ends_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let mut broker = start(&control);
    drop(broker.stderr.take());
    let mut service = Service::register(&control);
    flood(service.port, 3);
    service.works();
    signal(broker.id(), Signal::TERM);
    assert!(broker.wait().unwrap().success());
}

#[test]
fn why_it_does_not_start_is_said_last() {
    let first = common::Broker::start(&[]);
    let output = broker(&first.control()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().last().unwrap().starts_with("--control: error: the control socket "), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_signal_that_means_nothing_is_answered() {
    let mut broker = common::Broker::start(&[]);
    signal(broker.pid(), Signal::USR1);
    eventually(|| broker.log().contains("SIGUSR1 changes nothing"), || broker.log());
    Worker::register(&broker, &[address(free_port(), "x")]);
    assert!(broker.terminate());
}

/// What a broker says at a terminal until it is ended, with this in its environment.
fn at_a_terminal(environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let terminal = Terminal::start(broker(&control).env_remove("NO_COLOR").envs(environment.iter().copied()));
    eventually(|| terminal.said().contains("ready"), || terminal.said());
    signal(terminal.id(), Signal::INT);
    let (status, said) = terminal.finish();
    assert!(status.success(), "{said}");
    said
}

#[test]
fn colours_at_a_terminal_unless_they_are_not_wanted() {
    let said = at_a_terminal(&[]);
    assert!(said.contains("\u{1b}[32m INFO\u{1b}[0m") && !said.contains("tracing"), "{said}");
    for (value, colours) in [("1", false), ("0", false), ("", true)] {
        let said = at_a_terminal(&[("NO_COLOR", value)]);
        assert_eq!(said.contains('\u{1b}'), colours, "NO_COLOR={value}: {said}");
        assert!(!said.contains("tracing"), "{said}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["help"],
        &["run", "--help"],
        &["exec", "--help"],
        &["route", "--help"],
        &["log-level", "--help"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_broker")).args(arguments).output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    if !common::installed("script") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let line = format!("exec {} --control {}", env!("CARGO_BIN_EXE_broker"), control.display());
    // `script` is the terminal of what it starts.
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--command", &line, "/dev/null"]);
    let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    eventually(|| control.exists(), || "no control socket".to_owned());
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    eventually(|| !control.exists(), || "it stays".to_owned());
}

/// Each line of such a log.
fn objects(log: &str) -> Vec<Value> {
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn json_is_one_object_a_line_whatever_is_logged() {
    let mut broker = common::Broker::start(&["--log-format", "json"]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x")]);
    let hostile = "net.tcp://h/\"\n\u{1b}[31m\u{9b}\u{202e}}";
    assert_eq!(common::tell(port, &preamble(hostile)), common::fault("EndpointNotFound"));
    drop(worker);
    assert!(broker.terminate());
    let log = broker.log();
    assert!(log.bytes().all(|octet| (b' '..=b'~').contains(&octet) || octet == b'\n'), "{log}");
    let objects = objects(&log);
    let of = |message: &str| {
        let found = objects.iter().find(|object| object["message"] == message);
        found.unwrap_or_else(|| panic!("no {message:?}: {log}"))
    };
    assert_eq!(of("ready")["level"], "INFO");
    assert!(
        of("ready")["time"].as_str().is_some_and(|time| time.ends_with('Z') && time.len() == 27),
        "{log}"
    );
    let registered = &of("registered")["fields"];
    assert_eq!((&registered["pid"], &registered["registration"]), (&std::process::id().into(), &1.into()));
    let ended = of("connection ended");
    assert_eq!(
        (&ended["level"], &ended["fields"]["outcome"]),
        (&"DEBUG".into(), &"endpoint_not_found".into())
    );
    assert!(ended["fields"]["via"].as_str().is_some_and(|via| via.contains("\\u{1b}[31m")), "{ended}");
}

#[test]
fn why_it_does_not_start_is_an_object_too() {
    let first = common::Broker::start(&[]);
    let output = broker(&first.control()).args(["--log-format", "json"]).output().unwrap();
    let said = objects(&String::from_utf8(output.stderr).unwrap());
    let last = said.last().unwrap();
    assert_eq!(last["level"], "ERROR");
    assert!(last["message"].as_str().unwrap().starts_with("--control: error: the control socket "), "{last}");
}

/// A broker with standard error in a file of which `JOURNAL_STREAM` says that it is journald's, and a journald of ours.
fn with_a_journal(arguments: &[&str], is_its: bool) -> Option<(Vec<BTreeMap<String, String>>, String)> {
    let folder = tempfile::tempdir().unwrap();
    let journal = common::Journal::open()?;
    let path = folder.path().join("log");
    let log = std::fs::File::create(&path).unwrap();
    let (device, inode) = log.metadata().map(|file| (file.dev(), file.ino())).unwrap();
    let stream = format!("{device}:{}", if is_its { inode } else { inode + 1 });
    let control = folder.path().join("control");
    let mut broker = journal.command(env!("CARGO_BIN_EXE_broker"));
    broker.env("JOURNAL_STREAM", stream).arg("--control").arg(&control).args(arguments).stderr(log);
    let mut broker = broker.spawn().unwrap();
    eventually(|| control.exists(), || std::fs::read_to_string(&path).unwrap());
    let control = ControlConnection::connect(&control).unwrap();
    drop(control);
    signal(broker.id(), Signal::TERM);
    assert!(broker.wait().unwrap().success());
    Some((journal.received(), std::fs::read_to_string(&path).unwrap()))
}

#[test]
fn journald_gets_its_own_protocol_where_standard_error_is_its() {
    let Some((records, log)) = with_a_journal(&[], true) else { return };
    assert_eq!(log, "");
    let ready = records.iter().find(|record| record["MESSAGE"] == "ready").expect("it is there");
    assert_eq!((&*ready["PRIORITY"], &*ready["SYSLOG_IDENTIFIER"]), ("6", "broker"));
    assert!(records.iter().any(|record| record["MESSAGE"] == "ending: SIGTERM"), "{records:?}");
}

#[test]
fn journald_gets_nothing_where_it_is_not_or_another_format_is_asked_for() {
    for (arguments, is_its) in [(&[][..], false), (&["--log-format", "text"], true)] {
        let Some((records, log)) = with_a_journal(arguments, is_its) else { return };
        assert!(records.is_empty() && log.contains(" INFO ready"), "{records:?} {log}");
    }
}

/// journald may begin anew; what it was not there for is counted.
#[test]
fn what_journald_did_not_take_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let Some(journal) = common::Journal::open() else { return };
    let control = folder.path().join("control");
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let (device, inode) = log.metadata().map(|file| (file.dev(), file.ino())).unwrap();
    let mut broker = journal.command(env!("CARGO_BIN_EXE_broker"));
    broker.env("JOURNAL_STREAM", format!("{device}:{inode}")).arg("--control").arg(&control).stderr(log);
    let mut broker = broker.spawn().unwrap();
    eventually(|| control.exists(), || "no control socket".to_owned());
    let mut messages = Vec::new();
    // Lines are written a moment after they are logged, and nothing tells when one could not be.
    eventually(
        || {
            journal.hide(true);
            drop(Service::register(&control));
            journal.hide(false);
            drop(Service::register(&control));
            messages.extend(journal.received().into_iter().map(|record| record["MESSAGE"].clone()));
            messages.iter().any(|message| message.ends_with(" lost: journald did not take them"))
        },
        || "no loss is told".to_owned(),
    );
    signal(broker.id(), Signal::TERM);
    assert!(broker.wait().unwrap().success());
}

/// Who may register may not do this.
#[test]
fn a_worker_of_another_user_does_not_change_the_level() {
    if !common::is_root() || !common::installed("python3") {
        return;
    }
    let broker = common::Broker::start(&["--control-group", "65534"]);
    let script = "import socket, sys, json, os\n\
                  os.setgid(65534); os.setuid(65534)\n\
                  c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); c.connect(sys.argv[1])\n\
                  c.send(json.dumps({'log_level': {'level': 'off'}}).encode())\n\
                  print(json.loads(c.recv(65536))['refused']['reason'])\n";
    let output = Command::new("python3").args(["-c", script]).arg(broker.control()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "access_denied\n", "{output:?}");
    assert!(!broker.whole_log().contains("the log level is"));
}

/// `broker log-level …`, and what it says.
fn set_level(broker: &common::Broker, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.arg("log-level").args(arguments).arg("--control").arg(broker.control()).output().unwrap()
}

fn level_is_set(broker: &common::Broker, arguments: &[&str]) -> String {
    let output = set_level(broker, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_level_is_changed_while_the_broker_runs() {
    let broker = common::Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    let refused = |path: &str| {
        let via = address(port, path);
        assert_eq!(common::tell(port, &preamble(&via)), common::fault("EndpointNotFound"));
        broker.whole_log().contains(&via)
    };
    assert!(!refused("first"));
    assert_eq!(level_is_set(&broker, &["debug"]), "the log level is debug, was info\n");
    assert!(refused("second"));
    let user = rustix::process::getuid().as_raw();
    let said = format!("the log level is debug, was info; asked by user {user}, ");
    assert!(broker.log().contains(&said), "{}", broker.log());
    assert_eq!(level_is_set(&broker, &["info"]), "the log level is info, was debug\n");
    assert!(!refused("third"));
    // For a time.
    assert_eq!(
        level_is_set(&broker, &["debug", "--for", "1h"]),
        "the log level is debug for 3600 s, was info\n"
    );
    assert!(refused("fourth"));
    assert_eq!(
        level_is_set(&broker, &["trace", "--for", "1s"]),
        "the log level is trace for 1 s, was debug\n"
    );
    eventually(
        || broker.log().contains("the log level is info again, was trace for a time"),
        || broker.log(),
    );
    assert!(!refused("fifth"));
}

#[test]
fn a_level_that_makes_no_sense_is_refused() {
    let broker = common::Broker::start(&[]);
    for (arguments, said) in [
        (&["loud"][..], "loud"),
        (&["debug", "--for", "10"], "write a number and s, m or h, such as 10m; at most 24 h"),
        (&["debug", "--for", "25h"], "at most 24 h"),
        (&[], "<LEVEL>"),
    ] {
        let output = set_level(&broker, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(said), "{told}");
    }
    let mut raw = common::Raw::connect(&broker.control());
    for body in [
        json!({"level": "loud"}),
        json!({"level": "debug", "for_seconds": 0}),
        json!({"level": "debug", "for_seconds": 86_401}),
    ] {
        assert_eq!(raw.refusal(&json!({"log_level": body})), "invalid_argument", "{body}");
    }
    assert!(!broker.whole_log().contains("the log level is"));
}
