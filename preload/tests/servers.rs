//! Servers in C of every kind, loaded so that a broker that may would pack, before and after it was killed.

mod common;

use std::io::Write;

use common::{
    Broker, Service, address, assert_each_once, call, call_at, compile, free_port, installed, load,
    wait_until,
};

/// Loads a server, kills the broker, starts it again, and loads once more.
fn survives(mode: &str, flags: &[&str], wrapper: &[&str]) {
    let Some(server) = compile("server.c", flags) else { return };
    let mut broker = Broker::start();
    let port = free_port();
    let port_argument = port.to_string();
    let mut program = wrapper.to_vec();
    // it begins to accept only when connections have queued
    program.extend([server.to_str().unwrap(), mode, &port_argument, "127.0.0.1", "300"]);
    let service = broker.serve(&[address(port, mode)], &program);
    assert_each_once(load(port, mode, 40, 10), 0);

    broker.kill();
    service.rests(2);
    broker.restart();
    wait_until("the service is registered again", || {
        call_at([127, 0, 0, 1].into(), port, mode).is_ok_and(|answer| answer == "400\n")
    });
    assert_each_once(load(port, mode, 20, 5), 401);
}

#[test]
fn threads_that_block() {
    survives("threads", &[], &[]);
}

#[test]
fn children_that_block() {
    survives("prefork", &[], &[]);
}

#[test]
fn edge_triggered_epoll() {
    survives("edge", &[], &[]);
}

#[test]
fn level_triggered_epoll_that_accepts_once_per_wake_up() {
    survives("level", &[], &[]);
}

#[test]
fn exclusive_epoll() {
    survives("exclusive", &[], &[]);
}

#[test]
fn poll() {
    survives("poll", &[], &[]);
}

#[test]
fn select() {
    survives("select", &[], &[]);
}

#[test]
fn a_blocking_accept_with_a_receive_timeout() {
    survives("timeout", &[], &[]);
}

#[test]
fn copies_of_the_descriptor() {
    survives("copy", &[], &[]);
}

#[test]
fn an_exec_d_child_that_inherits_the_listener() {
    survives("exec", &[], &[]);
}

#[test]
fn an_exec_d_child_that_inherits_a_copy_of_a_listener_closed_on_exec() {
    survives("exec-copy", &[], &[]);
}

#[test]
fn a_registration_of_forked_children_outlives_each_of_them() {
    let Some(server) = compile("server.c", &[]) else { return };
    let mut broker = Broker::start();
    let (port, said) = (free_port(), tempfile::NamedTempFile::new().unwrap());
    let mut exec = broker.exec(&[address(port, "prefork")]);
    exec.arg(&server).args(["prefork", &port.to_string()]).stderr(said.reopen().unwrap());
    let service = Service::start(exec);
    let said = || std::fs::read_to_string(said.path()).unwrap();
    let children = || {
        let process = service.process.id();
        std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap()
    };
    broker.kill();
    broker.restart();
    wait_until("it is registered again", || said().contains("registered again"));
    let first = children();
    for child in first.split_ascii_whitespace() {
        let child = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
        rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
        wait_until("it is gone, and replaced", || {
            rustix::process::test_kill_process(child).is_err()
                && children().split_ascii_whitespace().count() == 4
        });
        assert!(call(port, "prefork").ends_with('\n'));
    }
    assert_eq!(said().matches("registered again").count(), 1, "{}", said());
    assert_eq!(said().matches("the broker is gone").count(), 1, "{}", said());
}

#[test]
fn without_room_for_a_thread_it_registers_when_there_is_room() {
    let Some(server) = compile("server.c", &[]) else { return };
    for mode in ["starved", "starved-epoll"] {
        let mut broker = Broker::start();
        let (port, said) = (free_port(), tempfile::NamedTempFile::new().unwrap());
        let mut exec = broker.exec(&[address(port, mode)]);
        exec.arg(&server).args([mode, &port.to_string()]).stderr(said.reopen().unwrap());
        let mut service = Service::start(exec);
        broker.kill();
        wait_until("it has seen that the broker is gone", || {
            std::fs::read_to_string(said.path()).unwrap().contains("the broker is gone")
        });
        broker.restart();
        service.process.stdin.as_mut().unwrap().write_all(b"enough\n").unwrap();
        wait_until("it is registered again", || {
            call_at([127, 0, 0, 1].into(), port, mode).is_ok_and(|answer| answer == "0\n")
        });
    }
}

#[test]
fn threads_under_address_sanitizer() {
    survives("threads", &["-fsanitize=address", "-static-libasan"], &[]);
}

#[test]
fn edge_triggered_epoll_under_address_sanitizer() {
    survives("edge", &["-fsanitize=address", "-static-libasan"], &[]);
}

/// An empty log says that nothing is wrong only if valgrind looks at the program, and at the library in it.
#[test]
fn threads_under_valgrind() {
    if !installed("valgrind") {
        return;
    }
    // with -q, it says nothing but what it finds
    let log = tempfile::NamedTempFile::new().unwrap();
    let found = || std::fs::read_to_string(log.path()).unwrap();
    let to_log = format!("--log-file={}", log.path().display());
    let valgrind = ["valgrind", "-q", &to_log];
    survives("threads", &[], &valgrind);
    assert_eq!(found(), "");

    let Some(server) = compile("server.c", &[]) else { return };
    let (broker, port, mode) = (Broker::start(), free_port(), "short-address");
    let mut program = valgrind.to_vec();
    let port_argument = port.to_string();
    program.extend([server.to_str().unwrap(), mode, &port_argument]);
    let _service = broker.serve(&[address(port, mode)], &program);
    assert_eq!(call(port, mode), "0\n");
    assert!(found().contains("Invalid write"), "{}", found());
    assert!(found().contains("net_tcp_port_sharing::accept"), "{}", found());
}
