//! The lines that tell what a program cannot have, and the errors that it gets with them.

mod common;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Output, Stdio};

use common::{Broker, address, compile, free_port, installed, programs};
use test_peers::skip;

/// Binds and listens at each of the addresses `HOST PORT`; the name of the error, if there is one.
const LISTEN: &str = "import errno, os, socket, sys
kept = []
for host, port in zip(sys.argv[1::2], sys.argv[2::2]):
    family, _, _, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    s = socket.socket(family)
    kept.append(s)
    try: s.bind(where); s.listen(); print('listens')
    except OSError as error: print(errno.errorcode[error.errno])";

fn listen(mut exec: Command, listeners: &[(&str, u16)]) -> (String, String) {
    exec.args(["python3", "-c", LISTEN]);
    for (host, port) in listeners {
        exec.args([host, port.to_string().as_str()]);
    }
    said(&exec.output().unwrap())
}

fn said(output: &Output) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_literal_that_is_another_address_is_named() {
    if !installed("python3") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let Some(server) = compile("server.c", &[]) else { return };
    let other = format!("net.tcp://127.0.0.9:{port}/x");
    let both = [other.clone(), address(port, "y")];
    let (result, line) = listen(broker.exec(&both), &[("127.0.0.2", port)]);
    assert_eq!(result, "listens\n");
    assert!(line.trim_end().ends_with(&format!("; not of this IP address: {other}")), "{line}");

    let _holds = broker.serve(&[address(port, "a")], &[server.to_str().unwrap(), "any", &port.to_string()]);
    let (result, line) = listen(broker.exec(std::slice::from_ref(&other)), &[("127.0.0.2", port)]);
    assert_eq!(result, "EADDRINUSE\n");
    assert_eq!(
        line,
        format!(
            "net.tcp port sharing: 127.0.0.2:{port} is not shared, and cannot be bound beside the broker: --address \
             names {other}\n"
        )
    );
}

/// Another program shares the port that this one listens on, and its own address names another.
#[test]
fn a_port_of_the_broker_that_no_address_names_is_said() {
    if !installed("python3") {
        return;
    }
    let (broker, named, port) = (Broker::start(), free_port(), free_port());
    let Some(server) = compile("server.c", &[]) else { return };
    let _holds =
        broker.serve(&[address(port, "other")], &[server.to_str().unwrap(), "any", &port.to_string()]);
    let (result, line) = listen(broker.exec(&[address(named, "a")]), &[("127.0.0.1", port)]);
    assert_eq!(result, "EADDRINUSE\n");
    let said = format!(
        "net.tcp port sharing: port {port} is taken, and not shared: --address names port {named}; if the broker has port {port}, \
         name an address with it\n"
    );
    assert_eq!(line, said);
}

#[test]
fn one_listener_too_many_is_said() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let ports: Vec<_> = (0..65).map(|_| free_port()).collect();
    let addresses: Vec<_> = ports.iter().map(|port| address(*port, "a")).collect();
    let listeners: Vec<_> = ports.iter().map(|port| ("127.0.0.1", *port)).collect();
    let (result, lines) = listen(broker.exec(&addresses), &listeners);
    assert!(result.ends_with("listens\nEMFILE\n"), "{result}");
    let last = lines.lines().last().unwrap();
    assert!(last.ends_with("cannot be shared: a program has at most 64 shared listeners"), "{lines}");
}

/// The limit is lowered step by step, until no socket can be had.
#[test]
fn a_listener_that_has_no_room_for_its_descriptors_is_said() {
    if !installed("python3") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let program = "import errno, resource, socket, sys
s = socket.socket()
for limit in range(s.fileno() + 1, 64):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, 64))
    try: s.bind(('127.0.0.1', int(sys.argv[1]))); break
    except OSError as error: print(errno.errorcode[error.errno], limit)";
    let mut exec = broker.exec(&[address(port, "a")]);
    let (results, lines) = said(&exec.args(["python3", "-c", program, &port.to_string()]).output().unwrap());
    assert!(results.lines().count() >= 8, "{results}");
    let expected = results.lines().map(|result| {
        let limit = result.strip_prefix("EMFILE ").unwrap_or_else(|| panic!("{results}{lines}"));
        format!(
            "net.tcp port sharing: no descriptor is free: a shared listener takes eight, and this program may have \
             {limit} (`ulimit -n`, LimitNOFILE= of a unit)"
        )
    });
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn an_inherited_listener_is_said_once_by_all_the_processes_of_a_script() {
    let broker = Broker::start();
    for shell in ["bash", "dash"] {
        if !installed(shell) {
            continue;
        }
        let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = foreign.local_addr().unwrap().port();
        let mut exec = broker.exec(&[address(port, "a")]);
        exec.args([shell, "-c", "env true; (env true); exec env true"]).stdin(OwnedFd::from(foreign));
        let (_, lines) = said(&exec.output().unwrap());
        assert_eq!(lines.matches("descriptor 0, which listens on").count(), 1, "{shell}: {lines}");
    }
}

#[test]
fn a_variable_that_means_nothing_is_said_with_its_value() {
    if !installed("python3") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let good = address(port, "a");
    let listen_with = |variables: &[(&str, &str)]| {
        let mut env = Command::new("env");
        env.arg(format!("LD_PRELOAD={}", programs().join("libnet_tcp_port_sharing.so").display()));
        env.env("NET_TCP_PORT_SHARING_CONTROL", broker.control());
        env.env("NET_TCP_PORT_SHARING_ADDRESSES", &good).envs(variables.iter().copied());
        listen(env, &[("127.0.0.1", port)])
    };
    let is_shared = format!("127.0.0.1:{port} is shared");
    for (variable, value, expected) in [
        ("ADDRESSES", format!("{good}|bogus"), r#"ADDRESSES: "bogus" is no net.tcp address"#),
        ("ADDRESSES", format!("{good}|\"net.tcp://h/a\""), "is no net.tcp address"),
        ("ADDRESSES", format!("{good}|net.tcp://*:9/a"), "write localhost for * and +"),
        ("ADDRESSES", format!("{good}|{good},{good}b"), "| separates several"),
        ("WAIT", "abc".into(), "NET_TCP_PORT_SHARING_WAIT=abc is no number of seconds"),
        ("WAIT", "-5".into(), "NET_TCP_PORT_SHARING_WAIT=-5 is no number of seconds"),
        ("GRACE_SECONDS", "soon".into(), "GRACE_SECONDS=soon is no number of seconds up to 3600: 0 is taken"),
        ("GRACE_SECONDS", "3601".into(), "GRACE_SECONDS=3601 is no number of seconds up to 3600: 0 is taken"),
        (
            "HOST_NAME_COMPARISON",
            "loose".into(),
            "NET_TCP_PORT_SHARING_HOST_NAME_COMPARISON=loose is none of",
        ),
    ] {
        let variable = format!("NET_TCP_PORT_SHARING_{variable}");
        let (result, lines) = listen_with(&[(&variable, &value)]);
        assert_eq!(result, "listens\n", "{lines}");
        let [first, second] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
        assert!(first.contains(expected), "{lines}");
        assert!(second.contains(&is_shared), "{lines}");
    }
    for (quiet, lines) in [("0", 1), ("", 1), ("1", 0)] {
        let said = listen_with(&[("NET_TCP_PORT_SHARING_QUIET", quiet)]).1;
        assert_eq!(said.lines().count(), lines, "QUIET={quiet}: {said}");
    }
}

#[test]
fn a_program_that_may_accept_by_io_uring_is_told_that_it_cannot() {
    let Some(program) = compile("io_uring.c", &[]) else { return };
    let (broker, port) = (Broker::start(), free_port());
    let mut exec = broker.exec(&[address(port, "a")]);
    let (result, lines) = said(&exec.arg(&program).arg(port.to_string()).output().unwrap());
    if result == "no io_uring\n" {
        return skip("io_uring", "allow it (kernel.io_uring_disabled=0)");
    }
    assert_eq!(result, "Socket operation on non-socket\n", "{lines}");
    let [shared, ring] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
    assert!(shared.contains("is shared"), "{lines}");
    assert!(ring.contains("this program has an io_uring") && ring.contains("ENOTSOCK"), "{lines}");
}

#[test]
fn an_option_is_refused_by_name_and_with_what_to_do() {
    if !installed("python3") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let program = "import socket, sys
s = socket.create_server(('127.0.0.1', int(sys.argv[1])))
try: s.setsockopt(socket.IPPROTO_IP, 21, 255)
except OSError: pass";
    let mut exec = broker.exec(&[address(port, "a")]);
    let (_, lines) = said(&exec.args(["python3", "-c", program, &port.to_string()]).output().unwrap());
    assert!(lines.contains("IP_MINTTL is refused") && lines.contains("broker run --listen"), "{lines}");
}

/// systemd tells the process that it starts its own pid; a start script's children have it from there.
#[test]
fn a_unit_that_logs_elsewhere_than_to_the_journal_waits_for_the_broker() {
    if !installed("python3") {
        return;
    }
    for (start, waits) in [
        ("SYSTEMD_EXEC_PID=$$ INVOCATION_ID=x exec \"$@\"", true),
        ("SYSTEMD_EXEC_PID=$$ INVOCATION_ID=x \"$@\"; exit $?", true),
        ("INVOCATION_ID=x exec \"$@\"", true),
        ("SYSTEMD_EXEC_PID=4194304 INVOCATION_ID=x exec \"$@\"", false),
        ("exec \"$@\"", false),
    ] {
        let mut broker = Broker::start();
        broker.kill();
        let port = free_port();
        let exec = broker.exec(&[address(port, "a")]);
        let mut shell = Command::new("sh");
        shell.args(["-c", start, "sh"]).arg(exec.get_program()).args(exec.get_args());
        for variable in ["SYSTEMD_EXEC_PID", "INVOCATION_ID", "JOURNAL_STREAM"] {
            shell.env_remove(variable);
        }
        shell.args(["python3", "-c", LISTEN, "127.0.0.1", &port.to_string()]);
        let mut program = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(program.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.contains("waits for it, at most 15 s"), waits, "{start}: {line}");
        broker.restart();
        let (result, _) = said(&program.wait_with_output().unwrap());
        assert_eq!(result, if waits { "listens\n" } else { "EADDRNOTAVAIL\n" }, "{start}");
    }
}
