//! What a program is told at `bind`, and what `broker exec` says before it runs one.

mod common;

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};

use common::{Broker, Service, address, call, compile, free_port, installed, programs};

/// Binds, and prints the name of the error.
const BIND: &str = "import errno, socket, sys
try: socket.socket().bind(('127.0.0.1', int(sys.argv[1]))); print('bound')
except OSError as error: print(errno.errorcode[error.errno])";

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn bind(mut exec: Command, port: u16) -> Output {
    exec.args(["python3", "-c", BIND, &port.to_string()]).output().unwrap()
}

#[test]
fn an_address_that_someone_else_has_is_eaddrinuse_at_bind() {
    let Some(server) = compile("server.c", &[]) else { return };
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let addresses = [address(port, "a")];
    let mut first = broker.serve(&addresses, &[server.to_str().unwrap(), "threads", &port.to_string()]);
    let second = bind(broker.exec(&addresses), port);
    assert_eq!(text(&second.stdout), "EADDRINUSE\n");
    let line = text(&second.stderr);
    assert!(line.contains(&addresses[0]) && line.contains("already registered"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    first.kill();
    assert_eq!(text(&bind(broker.exec(&addresses), port).stdout), "bound\n", "at once after a kill");
}

#[test]
fn a_port_that_another_program_has_is_eaddrinuse() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = foreign.local_addr().unwrap().port();
    assert_eq!(text(&bind(broker.exec(&[address(port, "a")]), port).stdout), "EADDRINUSE\n");
}

#[test]
fn no_broker_is_one_line_on_standard_error() {
    if !installed("python3") {
        return;
    }
    let mut broker = Broker::start();
    broker.kill();
    let port = free_port();
    let output = bind(broker.exec(&[address(port, "a")]), port);
    assert_eq!(text(&output.stdout), "EADDRNOTAVAIL\n");
    let line = text(&output.stderr);
    let control = broker.control();
    assert!(line.contains(&format!("no port sharing broker runs at {}", control.display())), "{line}");
    assert!(line.contains("systemctl enable --now net-tcp-port-sharing"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn another_user_is_eacces() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: not root");
        return;
    }
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.uid(65_534).gid(65_534);
    // the interpreter in /root is out of reach for others
    let output = exec.args(["/usr/bin/python3", "-c", BIND, &port.to_string()]).output();
    match output {
        Ok(output) if output.status.success() => assert_eq!(text(&output.stdout), "EACCES\n"),
        other => println!("skipped: no python3 that others may run ({other:?})"),
    }
}

#[test]
fn a_listener_on_another_port_is_left_alone() {
    let Some(server) = compile("server.c", &[]) else { return };
    let broker = Broker::start();
    let (shared, other) = (free_port(), free_port());
    let _service =
        broker.serve(&[address(shared, "a")], &[server.to_str().unwrap(), "threads", &other.to_string()]);
    assert_eq!(call(other, "anything"), "0\n");
    assert!(common::call_at([127, 0, 0, 1].into(), shared, "a").is_err());
}

#[test]
fn several_addresses_are_one_registration() {
    let Some(server) = compile("server.c", &[]) else { return };
    let broker = Broker::start();
    let port = free_port();
    let addresses = [address(port, "a"), address(port, "b/c"), address(free_port(), "d")];
    let _service = broker.serve(&addresses, &[server.to_str().unwrap(), "edge", &port.to_string()]);
    assert_eq!([call(port, "a"), call(port, "b/c"), call(port, "a/x")], ["0\n", "1\n", "2\n"]);
    assert!(call(port, "b").contains("EndpointNotFound"));
}

#[test]
fn exec_leaves_no_process_between_and_passes_arguments_signals_and_status_on() {
    let broker = Broker::start();
    let addresses = [address(free_port(), "a")];
    let output = broker
        .exec(&addresses)
        .args(["sh", "-c", "echo $$ $0 $1; exit 42", "--zero", "--one"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(42));
    let mut exec = broker.exec(&addresses);
    exec.args(["sh", "-c", "echo $$; exec sleep 100"]);
    let mut service = Service::start(exec);
    assert_eq!(service.first_line.trim(), service.process.id().to_string());
    let pid = rustix::process::Pid::from_child(&service.process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(service.process.wait().unwrap().signal(), Some(15));
}

fn refusal(mut exec: Command, program: &[&str]) -> (Option<i32>, String) {
    let output = exec.args(program).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), text(&output.stderr))
}

#[test]
fn what_cannot_share_is_refused_with_the_reason() {
    let broker = Broker::start();
    let exec = || broker.exec(&["net.tcp://localhost/a".into()]);
    let (code, reason) = refusal(exec(), &["/nowhere/program"]);
    assert!(code == Some(127) && reason.contains("/nowhere/program"), "{reason}");

    for (flags, expected) in [
        (&["-static"][..], "statically linked"),
        (&["-static-pie"], "statically linked"),
        (&["-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"], "musl"),
        (&["-Wl,--dynamic-linker=/lib/ld-other.so.1"], "ld-other.so.1"),
        (&["-DGO_NOTE"], "Go program"),
    ] {
        let Some(program) = compile("unsuitable.c", flags) else { return };
        let program = program.to_str().unwrap();
        let (code, reason) = refusal(exec(), &[program]);
        assert!(
            code == Some(126) && reason.contains(expected) && reason.contains(program),
            "{code:?} {reason}"
        );
        assert_eq!(reason.lines().count(), 1);

        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        std::fs::write(&script, format!("#!{program}\n")).unwrap();
        let (code, reason) = refusal(exec(), &[script.to_str().unwrap()]);
        assert!(code == Some(126) && reason.contains(expected), "behind #!: {code:?} {reason}");
        std::fs::write(&script, format!("#! /usr/bin/env -S {program} x\n")).unwrap();
        let (code, reason) = refusal(exec(), &[script.to_str().unwrap()]);
        assert!(code == Some(126) && reason.contains(expected), "behind env: {code:?} {reason}");
    }

    let Some(program) = compile("unsuitable.c", &[]) else { return };
    let program = program.to_str().unwrap();
    assert_eq!(refusal(exec(), &[program]).0, Some(7), "it runs");
    Command::new("chmod").args(["0111", program]).status().unwrap();
    assert_eq!(refusal(exec(), &[program]).0, Some(7), "it runs unread");
    if rustix::process::geteuid().is_root() {
        let mut other = exec();
        other.uid(65_534).gid(65_534);
        assert_eq!(refusal(other, &[program]).0, Some(7), "it runs unread by another user");
    }
    Command::new("chmod").args(["4755", program]).status().unwrap();
    let (code, reason) = refusal(exec(), &[program]);
    assert!(code == Some(126) && reason.contains("set-user-id"), "{code:?} {reason}");
}

#[test]
fn an_address_that_is_none_is_refused() {
    let broker = Broker::start();
    for address in ["http://localhost/a", "net.tcp://", "localhost:808"] {
        let (code, reason) = refusal(broker.exec(&[address.into()]), &["true"]);
        assert!(code == Some(1) && reason.contains(address), "{code:?} {reason}");
        let because = reason.rsplit(": ").next().unwrap_or_default();
        assert_eq!(reason.matches(because.trim()).count(), 1, "said once: {reason}");
    }
    let mut exec = Command::new(programs().join("broker"));
    exec.args(["exec", "--address", "net.tcp://h/a", "--host-name-comparison", "loose", "--", "true"]);
    assert_eq!(exec.output().unwrap().status.code(), Some(2));
}

#[test]
fn the_printed_environment_is_what_exec_gives() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| {
        let mut exec = Command::new(programs().join("broker"));
        exec.arg("exec").arg("--control").arg(broker.control());
        exec.args(["--address", "net.tcp://localhost/a", "--address", "net.tcp://localhost/b c|d"]);
        let output =
            exec.args(["--host-name-comparison", "exact"]).args(arguments).env_remove("LD_PRELOAD").output();
        text(&output.unwrap().stdout)
    };
    let printed = run(&["--print-environment"]);
    assert_eq!(printed.lines().count(), 4, "{printed}");
    assert!(
        printed
            .contains("NET_TCP_PORT_SHARING_ADDRESSES=net.tcp://localhost/a|net.tcp://localhost/b%20c%7Cd\n")
    );
    assert!(printed.contains("NET_TCP_PORT_SHARING_HOST_NAME_COMPARISON=exact\n"));
    let given = run(&["--", "env"]);
    for line in printed.lines() {
        assert!(given.lines().any(|given| given == line), "{line}");
    }
}

#[test]
fn the_library_is_found_in_the_library_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (bin, lib) = (folder.path().join("bin"), folder.path().join("lib/net-tcp-port-sharing"));
    std::fs::create_dir(&bin).unwrap();
    // Not by this process: one that another test starts meanwhile would have it open for writing, and it could not be run.
    assert!(Command::new("cp").arg(programs().join("broker")).arg(&bin).status().unwrap().success());
    let run = || {
        let mut exec = Command::new(bin.join("broker"));
        exec.args(["exec", "--print-environment", "--address", "net.tcp://h/a"])
            .env_remove("LD_PRELOAD")
            .output()
            .unwrap()
    };
    if !std::path::Path::new("/usr/lib/net-tcp-port-sharing").exists() {
        let output = run();
        assert!(
            !output.status.success()
                && text(&output.stderr).contains("libnet_tcp_port_sharing.so is in none of")
        );
    }
    std::fs::create_dir_all(&lib).unwrap();
    let library = lib.join("libnet_tcp_port_sharing.so");
    std::fs::copy(programs().join("libnet_tcp_port_sharing.so"), &library).unwrap();
    let library = library.canonicalize().unwrap();
    assert!(text(&run().stdout).starts_with(&format!("LD_PRELOAD={}\n", library.display())));
}

#[test]
fn the_mode_reaches_the_broker() {
    let Some(server) = compile("server.c", &[]) else { return };
    let broker = Broker::start();
    let port = free_port();
    let serve = |address: &str| {
        let mut exec = Command::new(programs().join("broker"));
        exec.arg("exec").arg("--control").arg(broker.control());
        exec.args(["--host-name-comparison", "exact", "--address", address, "--"]);
        exec.arg(&server).args(["threads", &port.to_string()]);
        Service::start(exec)
    };
    let mut service = serve(&format!("net.tcp://elsewhere:{port}/a"));
    assert!(call(port, "a").contains("EndpointNotFound"), "localhost is another host");
    service.kill();
    let mut service = serve(&address(port, "a"));
    assert_eq!(call(port, "a"), "0\n");
    let mut rest = String::new();
    service.kill();
    service.lines.read_to_string(&mut rest).unwrap();
}
