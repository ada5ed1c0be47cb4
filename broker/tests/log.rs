//! The log on standard error, and what becomes of the broker when nobody reads it.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use common::{
    Terminal, Worker, address, answer, ask, connect, eventually, free_port, preamble, serve, signal,
};
use handoff::{AcceptReceiver, ControlConnection, Register};
use rustix::process::Signal;

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
    assert!(said.lines().last().unwrap().starts_with("broker: the control socket "), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn signals_that_mean_nothing_are_answered() {
    let mut broker = common::Broker::start(&[]);
    for (kind, name) in [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        signal(broker.pid(), kind);
        eventually(|| broker.log().contains(&format!("{name} changes nothing")), || broker.log());
    }
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
