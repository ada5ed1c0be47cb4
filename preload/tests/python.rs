//! Servers in Python, and what they see of each family.

mod common;

use std::net::IpAddr;

use common::{Broker, Service, address, call, call_at, free_port, installed, load, wait_until};

fn python(broker: &Broker, mode: &str, port: u16, path: &str, hosts: &[&str]) -> Service {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service.py");
    let port_argument = port.to_string();
    let program: Vec<_> = ["python3", script, mode, &port_argument].iter().chain(hosts).copied().collect();
    broker.serve(&[address(port, path)], &program)
}

fn member(answer: &str, name: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_else(|_| panic!("{answer:?}"));
    answer[name].as_str().map_or_else(|| answer[name].to_string(), Into::into)
}

#[track_caller]
fn assert_each_once(answers: Vec<String>, first: usize) {
    common::assert_each_once(answers.iter().map(|answer| member(answer, "number")).collect(), first);
}

const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

#[test]
fn asyncio_under_load_and_with_the_broker_killed() {
    if !installed("python3") {
        return;
    }
    let mut broker = Broker::start();
    let port = free_port();
    let service = python(&broker, "asyncio", port, "a", &["127.0.0.1"]);
    assert_each_once(load(port, "a", 40, 10), 0);
    broker.kill();
    service.rests(2);
    broker.restart();
    wait_until("it is registered again", || call_at(V4, port, "a").is_ok());
    assert_each_once(load(port, "a", 20, 5), 401);
}

#[test]
fn subprocesses_between_accepts() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let _service = python(&broker, "subprocess", port, "a", &["127.0.0.1"]);
    assert_each_once((0..20).map(|_| call(port, "a")).collect(), 0);
}

#[test]
fn a_bind_that_finds_no_descriptors_harms_no_other_listener() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let (first, second) = (free_port(), free_port());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/places.py");
    let addresses = [address(first, "a"), address(second, "a")];
    let program = ["python3", script, &first.to_string(), &second.to_string()];
    let _service = broker.serve(&addresses, &program);
    assert_eq!(call(first, "a"), "kept\n");
}

#[test]
fn a_child_that_is_passed_the_listener() {
    if !installed("python3") {
        return;
    }
    let mut broker = Broker::start();
    let port = free_port();
    let _service = python(&broker, "pass", port, "a", &["127.0.0.1"]);
    assert_each_once((0..5).map(|_| call(port, "a")).collect(), 0);
    broker.kill();
    broker.restart();
    wait_until("it is registered again", || call_at(V4, port, "a").is_ok());
    assert_each_once((0..5).map(|_| call(port, "a")).collect(), 6);
}

#[test]
fn a_service_on_127_0_0_1_answers_who_tries_ipv6_first_and_nobody_outside() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let _service = python(&broker, "asyncio", port, "a", &["127.0.0.1"]);
    assert_eq!(member(&call(port, "a"), "family"), "AF_INET");
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert!(call_at(V6, port, "a").is_err(), "nobody listens: the client goes on to IPv4 by itself");
        let _other = python(&broker, "asyncio", port, "b", &["::1"]);
        let answer = call_at(V6, port, "a").unwrap();
        assert_eq!(member(&answer, "local"), "127.0.0.1", "bridged");
    }
    for outside in outside_addresses() {
        let answer = call_at(outside, port, "a").unwrap_or_default();
        assert!(!answer.contains("number"), "{outside} reached it: {answer}");
    }
}

/// This machine's addresses that are not loopback.
fn outside_addresses() -> Vec<IpAddr> {
    let listed = std::process::Command::new("hostname").arg("-I").output();
    let listed =
        listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    listed
        .split_ascii_whitespace()
        .filter_map(|address| address.parse().ok())
        .filter(|ip: &IpAddr| ip.is_ipv4())
        .collect()
}

#[test]
fn a_listener_for_each_family_gets_its_own() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let _service = python(&broker, "asyncio", port, "a", &["127.0.0.1", "::1"]);
    for (ip, family) in [(V4, "AF_INET"), (V6, "AF_INET6"), (V4, "AF_INET")] {
        let answer = call_at(ip, port, "a").unwrap();
        assert_eq!((member(&answer, "family"), member(&answer, "local")), (family.into(), ip.to_string()));
    }
}

#[test]
fn a_dual_stack_listener_sees_mapped_addresses() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let service = python(&broker, "dual-stack", port, "a", &["::"]);
    assert_eq!(service.first_line, format!("listening ('::', {port}, 0, 0)\n"));
    sees_mapped_addresses(port);
}

#[test]
fn a_child_that_is_sent_what_a_dual_stack_listener_accepted_sees_mapped_addresses() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let _service = python(&broker, "send", port, "a", &["::"]);
    sees_mapped_addresses(port);
}

/// In Node's cluster the first process accepts, and sends its workers what it has accepted.
#[test]
fn workers_of_a_node_cluster_see_mapped_addresses() {
    if !installed("node") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster.js");
    let _service = broker.serve(&[address(port, "a")], &["node", script, &port.to_string()]);
    sees_mapped_addresses(port);
}

#[track_caller]
fn sees_mapped_addresses(port: u16) {
    let seen = |ip| {
        let answer = call_at(ip, port, "a").unwrap();
        ["family", "peer", "local"].map(|name| member(&answer, name))
    };
    assert_eq!(seen(V4), ["AF_INET6", "::ffff:127.0.0.1", "::ffff:127.0.0.1"]);
    assert_eq!(seen(V6), ["AF_INET6", "::1", "::1"]);
}
