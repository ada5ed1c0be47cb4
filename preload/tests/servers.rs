//! Servers in C of every kind, loaded so that a broker that may would pack, before and after it was killed.

mod common;

use common::{Broker, address, assert_each_once, call_at, compile, free_port, installed, load, wait_until};

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
fn threads_under_address_sanitizer() {
    survives("threads", &["-fsanitize=address", "-static-libasan"], &[]);
}

#[test]
fn edge_triggered_epoll_under_address_sanitizer() {
    survives("edge", &["-fsanitize=address", "-static-libasan"], &[]);
}

#[test]
fn threads_under_valgrind() {
    if installed("valgrind") {
        survives("threads", &[], &["valgrind", "-q", "--error-exitcode=9"]);
    }
}
