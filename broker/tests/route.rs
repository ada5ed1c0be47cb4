//! `broker route` as a process: on a configuration, and against a running broker.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handoff::{ControlConnection, Register};

const BROKER: &str = env!("CARGO_BIN_EXE_broker");

/// Standard output of `broker route`, and whether it found something for every Via.
fn route(arguments: &[&str], input: &[u8]) -> (String, bool) {
    let mut command = Command::new(BROKER);
    command.arg("route").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("the broker starts");
    process.stdin.take().expect("piped").write_all(input).expect("it reads");
    let output = process.wait_with_output().expect("it ends");
    let found = output.status.success();
    assert!(found || output.status.code() == Some(1));
    (String::from_utf8(output.stdout).expect("UTF-8"), found)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(control: &Path, more: &[&str]) -> Running {
    let mut command = Command::new(BROKER);
    command.arg("--control").arg(control).args(more).stderr(Stdio::null());
    let running = Running(command.spawn().expect("the broker starts"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while ControlConnection::connect(control).is_err() {
        assert!(Instant::now() < deadline, "no control socket");
        std::thread::sleep(Duration::from_millis(10));
    }
    running
}

#[test]
fn a_configuration_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("broker.toml");
    let toml = "[[route]]\naddress = 'net.tcp://LOCALHOST/Orders/'\nrelay = '127.0.0.1:9101'\n\
        [[route]]\naddress = 'net.tcp://srv1/a/b'\nhost_name_comparison = 'exact'\nrelay = '127.0.0.1:9102'\n";
    std::fs::write(&file, toml).expect("written");
    let arguments = ["--config", file.to_str().expect("UTF-8"), "--local", "127.0.0.1:808", "-"];
    let vias = b"net.tcp://any/orders/7\nnet.tcp://srv1:808/a/b/c?q\nnet.tcp://srv1/a\n*\n";
    let answers = "net.tcp://LOCALHOST/Orders/\nnet.tcp://srv1/a/b\nEndpointNotFound\n\
        EndpointNotFound: the URI has no valid scheme\n";
    assert_eq!(route(&arguments, vias), (answers.to_owned(), false));
    // Where a client of this machine would come from is the default.
    for options in [&arguments[..4], &arguments[..2]] {
        let (explained, found) = route(&[options, &["net.tcp://srv1/a/b"]].concat(), b"");
        assert!(found && explained.contains("accepted on: 127.0.0.1:808\n"), "{explained}");
    }
    let (explained, found) = route(&[&arguments[..2], &["net.tcp://[::1]:99/a"]].concat(), b"");
    assert!(!found && explained.starts_with("connection refused\n"), "{explained}");
    assert!(explained.contains("because: the broker does not listen on [::1]:99: "), "{explained}");
    let (explained, found) = route(&[&arguments[..4], &["net.tcp://srv1/a/b"]].concat(), b"");
    assert!(found);
    assert!(
        explained.starts_with("net.tcp://srv1/a/b\n  canonical Via: net.tcp://srv1:808/a/b\n"),
        "{explained}"
    );
    assert!(
        explained.contains("exact: host and port of the Via and 2 segments of the path match"),
        "{explained}"
    );
    let (explained, _) = route(&[&arguments[..4], &["net.tcp://any/orders/7"]].concat(), b"");
    let why = "strong_wildcard: the port of the connection and 1 segment of the path match";
    assert!(explained.contains(why), "{explained}");
}

#[test]
fn a_running_broker_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let control = folder.path().join("control");
    let _running = run(&control, &[]);
    let mut worker = ControlConnection::connect(&control).expect("a broker");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let mut register = Register::new([format!("net.tcp://localhost:{port}/Calc")]);
    register.bound = Some(vec!["127.0.0.1".parse().expect("an address")]);
    let (registered, _accept_socket) = worker.register(&register).expect("registered");

    let control = control.to_str().expect("UTF-8");
    let ask = |ip: &str, vias: &[u8]| {
        route(&["--control", control, "--local", &format!("{ip}:{port}"), "-"], vias).0
    };
    let vias = b"net.tcp://any/calc/add\nnet.tcp://any/\nnet.tcp://h/\xFF\nnet.tcp://h/CALC";
    assert_eq!(
        ask("127.0.0.1", vias),
        format!(
            "net.tcp://localhost:{port}/Calc\nEndpointNotFound\nEndpointNotFound: the Via is not UTF-8\n\
             net.tcp://localhost:{port}/Calc\n"
        )
    );
    let (explained, _) =
        route(&["--control", control, "--local", &format!("127.0.0.1:{port}"), "net.tcp://h/calc"], b"");
    let program = std::fs::read_to_string("/proc/self/comm").expect("a name");
    let who = format!(
        "handed to: {} (pid {}), registration {}",
        program.trim_end(),
        std::process::id(),
        registered.id
    );
    assert!(explained.trim_end().ends_with(&who), "{explained}");
    for ip in ["192.0.2.5", "[::1]"] {
        let refused = ask(ip, b"net.tcp://any/calc/add\n");
        assert_eq!(refused, "connection refused\n", "nobody listens there");
    }
    // The port is open there for another registration.
    let (other, _socket) =
        worker.register(&Register::new([format!("net.tcp://localhost:{port}/x")])).expect("registered");
    let (explained, found) =
        route(&["--control", control, "--local", &format!("192.0.2.5:{port}"), "net.tcp://any/calc"], b"");
    assert!(!found && explained.starts_with("EndpointNotFound\n"), "{explained}");
    assert!(explained.contains("matches, but the connection came in on 192.0.2.5"), "{explained}");
    let (explained, found) =
        route(&["--control", control, "--local", &format!("[::1]:{port}"), "net.tcp://any/calc"], b"");
    assert!(
        found && explained.contains(&format!("over a connection that the broker makes to 127.0.0.1:{port}")),
        "{explained}"
    );
    worker.unregister(other.id).expect("unregistered");
    worker.unregister(registered.id).expect("unregistered");
    assert_eq!(ask("127.0.0.1", b"net.tcp://any/calc/add\n"), "connection refused\n");
}

/// What it sends, not what another broker would.
#[test]
fn a_running_broker_says_what_it_answers_to_what_is_no_via() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = "x".repeat(70_000);
    for (compatibility, not_found, too_long) in
        [("default", "EndpointNotFound", "ViaTooLong"), ("smsvchost", "reset", "reset")]
    {
        let control = folder.path().join(compatibility);
        let file = folder.path().join("broker.toml");
        std::fs::write(&file, format!("compatibility = '{compatibility}'\n")).expect("written");
        let _running = run(&control, &["--compatibility", compatibility]);
        for source in [["--control", control.to_str().unwrap()], ["--config", file.to_str().unwrap()]] {
            for (via, answer) in [
                ("foo", format!("{not_found}: the URI has no valid scheme")),
                ("", format!("{not_found}: the URI is empty")),
                (&long, format!("{too_long}: the Via has more than 2048 octets")),
            ] {
                let (explained, found) = route(&[&source[..], &[via]].concat(), b"");
                assert!(!found && explained.starts_with(&format!("{answer}\n")), "{source:?} {explained}");
                let line = route(&[&source[..], &["-"]].concat(), format!("{via}\n").as_bytes());
                assert_eq!(line, (format!("{answer}\n"), false));
            }
        }
    }
}

/// As the status page says it, of a broker and of a file.
#[test]
fn the_likely_mistake_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (control, file) = (folder.path().join("control"), folder.path().join("broker.toml"));
    let port = test_peers::free_port();
    let orders = format!("net.tcp://localhost:{port}/orders");
    std::fs::write(&file, format!("[[route]]\naddress = '{orders}'\nrelay = '127.0.0.1:1'\n"))
        .expect("written");
    let _running = run(&control, &[]);
    let mut worker = ControlConnection::connect(&control).expect("a broker");
    let (registered, _socket) = worker.register(&Register::new([orders.clone()])).expect("registered");
    for source in [["--control", control.to_str().unwrap()], ["--config", file.to_str().unwrap()]] {
        for (via, difference) in [
            (format!("net.tcp://any:{port}/oders"), "another path: /oders instead of /orders".to_owned()),
            ("net.tcp://any:9/orders".to_owned(), format!("another port: 9 instead of {port}")),
            ("orders".to_owned(), "no net.tcp URI".to_owned()),
        ] {
            let (explained, found) = route(&[&source[..], &[&via]].concat(), b"");
            let nearest = format!("\n  nearest: {orders} ({difference})\n");
            assert!(!found && explained.contains(&nearest), "{nearest}{explained}");
        }
        let (explained, found) = route(&[&source[..], &[&orders]].concat(), b"");
        assert!(found && !explained.contains("nearest"), "{explained}");
    }
    // It drains: nothing else was meant.
    worker.drain(&handoff::administration::Which::Id(registered.id)).expect("it drains");
    let (explained, found) = route(&["--control", control.to_str().unwrap(), &orders], b"");
    assert!(
        !found && explained.starts_with("EndpointUnavailable") && !explained.contains("nearest"),
        "{explained}"
    );
}

#[test]
fn no_answer_is_neither_yes_nor_no() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in
        [&["--control", "nowhere", "net.tcp://h/"][..], &["--config", "nowhere", "net.tcp://h/"], &[]]
    {
        let output = Command::new(BROKER).arg("route").args(arguments).current_dir(folder.path()).output();
        let output = output.expect("it ends");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}
