//! What systemd is told, seen by a socket that stands for it.

mod common;

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use common::{Broker, PATIENCE, Strace, Worker, address, eventually, free_port, installed, lives, signal};
use handoff::ControlConnection;
use rustix::process::Signal;

/// Where systemd would read.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    fn starts(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command
    }

    fn try_next(&self) -> std::io::Result<Vec<String>> {
        let mut octets = [0; 4096];
        let length = self.socket.recv(&mut octets)?;
        let text = std::str::from_utf8(&octets[..length]).unwrap();
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The next message that begins like this.
    fn next(&self, first: &str) -> Vec<String> {
        loop {
            let message = self.try_next().expect("the broker tells something");
            if message[0].starts_with(first) {
                return message;
            }
        }
    }
}

#[test]
fn what_it_does_is_told() {
    let (manager, port) = (Manager::new(), free_port());
    let back_end = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = back_end.local_addr().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let route = |path: &str| format!("[[route]]\naddress = '{}'\nrelay = '{relay}'\n", address(port, path));
    std::fs::write(&file, route("x")).unwrap();
    let mut broker = Broker::spawn(manager.starts(), &["--config", file.path().to_str().unwrap()]);

    // The first that is said, and true when it is said.
    let ready = manager.try_next().unwrap();
    drop((
        TcpStream::connect(("127.0.0.1", port)).unwrap(),
        ControlConnection::connect(&broker.control()).unwrap(),
    ));
    let status = "STATUS=1 registrations and routes; 0 connections accepted, 0 here, 0 of them relayed";
    assert_eq!(ready, ["READY=1", status]);

    let worker = Worker::register(&broker, &[address(port, "w")]);
    manager.next("STATUS=2 registrations and routes; ");
    drop(worker);

    std::fs::write(&file, route("x") + &route("y")).unwrap();
    signal(broker.pid(), Signal::HUP);
    let reloading = manager.next("RELOADING=1");
    let time = reloading[1].strip_prefix("MONOTONIC_USEC=").expect("when");
    assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{reloading:?}");
    assert_eq!(manager.next("READY=1"), ["READY=1"]);
    // The log is written by another thread.
    let said = format!("static route {}", address(port, "y"));
    eventually(|| broker.log().contains(&said), || broker.log());
    // Also if the file is wrong: systemd would wait.
    std::fs::write(&file, "x").unwrap();
    signal(broker.pid(), Signal::HUP);
    manager.next("RELOADING=1");
    manager.next("READY=1");

    // Nor does it matter who asks for it.
    for (toml, applied) in [(route("z"), true), ("x".to_owned(), false)] {
        std::fs::write(&file, toml).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        let status = command.arg("reload").arg("--control").arg(broker.control()).status().unwrap();
        assert_eq!(status.success(), applied);
        let reloading = manager.next("RELOADING=1");
        assert!(reloading[1].starts_with("MONOTONIC_USEC="), "{reloading:?}");
        manager.next("READY=1");
    }

    signal(broker.pid(), Signal::TERM);
    assert_eq!(manager.next("STOPPING=1"), ["STOPPING=1"]);
    assert!(broker.ends());
}

/// After so long without a sign the manager ends it.
const WATCHDOG: Duration = Duration::from_secs(1);

/// A thread that is stuck is not answered for, whichever of them it is; then the manager does what systemd does.
#[test]
fn nobody_answers_for_a_thread_that_is_stuck() {
    if !installed("strace") {
        return;
    }
    for thread in ["accept", "relay", "registry"] {
        let manager = Manager::new();
        let mut command = manager.starts();
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        let mut broker = Broker::spawn(command, &[]);
        (0..3).for_each(|_| drop(manager.next("WATCHDOG=1")));
        // Its next system call takes long.
        let stuck = Strace::attach(broker.thread(thread), &["-e", "inject=all:delay_enter=600000000"]);
        let said = format!("the {thread} thread does not answer");
        eventually(|| broker.log().contains(&said), || broker.log());
        manager.socket.set_read_timeout(Some(WATCHDOG)).unwrap();
        // What was said before that is still there.
        let mut left = 0;
        while manager.try_next().is_ok() {
            left += 1;
            assert!(left < 50, "somebody answers for it: {}", broker.log());
        }
        signal(broker.pid(), Signal::ABORT);
        drop(stuck);
        assert!(!broker.ends(), "it was ended");
    }
}

/// From then on the manager looks at the other process, which answers for itself.
#[test]
fn the_next_broker_is_the_service() {
    let manager = Manager::new();
    let mut command = Command::new("sh");
    // As systemd says it: the watchdog is this process's.
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_broker")]);
    command.env("NOTIFY_SOCKET", manager.folder.path().join("notify"));
    command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    let mut broker = Broker::start_by(command, &[]);
    manager.next("WATCHDOG=1");
    let first = broker.first_pid();
    broker.upgrade();
    assert_eq!(manager.next("MAINPID="), [format!("MAINPID={}", broker.pid())]);
    eventually(|| !lives(first), || broker.log());
    manager.socket.set_nonblocking(true).unwrap();
    while manager.try_next().is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    (0..3).for_each(|_| drop(manager.next("WATCHDOG=1")));
    signal(broker.pid(), Signal::TERM);
    assert_eq!(manager.next("STOPPING=1"), ["STOPPING=1"]);
    assert!(broker.ends());
}

/// A manager that is not there stops nobody.
#[test]
fn who_cannot_be_told_is_named_once() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.env("NOTIFY_SOCKET", "/nowhere/notify").env("WATCHDOG_USEC", "20000");
    let broker = Broker::start_by(command, &[]);
    let said = "the service manager cannot be told anything, NOTIFY_SOCKET is \"/nowhere/notify\": ";
    eventually(|| broker.log().contains(said), || broker.log());
    Worker::register(&broker, &[address(free_port(), "x")]);
    assert_eq!(broker.log().matches(said).count(), 1, "{}", broker.log());
}
