//! `broker route` as a process: on a configuration, and against a running broker.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handoff::{ControlConnection, Register};

const BROKER: &str = env!("CARGO_BIN_EXE_broker");

/// Standard output of `broker route`, which must succeed.
fn route(arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new(BROKER);
    command.arg("route").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("the broker starts");
    process.stdin.take().expect("piped").write_all(input).expect("it reads");
    let output = process.wait_with_output().expect("it ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("UTF-8")
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(control: &Path) -> Running {
    let mut command = Command::new(BROKER);
    command.arg("--control").arg(control).stderr(Stdio::null());
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
        reset: the URI has no valid scheme\n";
    assert_eq!(route(&arguments, vias), answers);
    let explained = route(&[&arguments[..4], &["net.tcp://srv1/a/b"]].concat(), b"");
    assert!(
        explained.starts_with("net.tcp://srv1/a/b\n  canonical Via: net.tcp://srv1:808/a/b\n"),
        "{explained}"
    );
}

#[test]
fn a_running_broker_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let control = folder.path().join("control");
    let _running = run(&control);
    let mut worker = ControlConnection::connect(&control).expect("a broker");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let mut register = Register::new([format!("net.tcp://localhost:{port}/Calc")]);
    register.bound = Some(vec!["127.0.0.1".parse().expect("an address")]);
    let (id, _accept_socket) = worker.register(&register).expect("registered");

    let control = control.to_str().expect("UTF-8");
    let ask =
        |ip: &str, vias: &[u8]| route(&["--control", control, "--local", &format!("{ip}:{port}"), "-"], vias);
    let vias = b"net.tcp://any/calc/add\nnet.tcp://any/\n\xFF\nnet.tcp://h/CALC";
    assert_eq!(
        ask("127.0.0.1", vias),
        format!(
            "net.tcp://localhost:{port}/Calc\nEndpointNotFound\nreset: the Via is not UTF-8\n\
             net.tcp://localhost:{port}/Calc\n"
        )
    );
    assert_eq!(
        ask("192.0.2.5", b"net.tcp://any/calc/add\n"),
        "EndpointNotFound\n",
        "it is bound to loopback"
    );
    let explained =
        route(&["--control", control, "--local", &format!("192.0.2.5:{port}"), "net.tcp://any/calc"], b"");
    assert!(explained.contains("but its program listens on other local addresses only"), "{explained}");
    worker.unregister(id).expect("unregistered");
    assert_eq!(ask("127.0.0.1", b"net.tcp://any/calc/add\n"), "EndpointNotFound\n");
}
