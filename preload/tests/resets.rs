//! Clients that send a whole preamble and reset: Linux gives such a connection to the program like any other, and the error
//! comes at the first read or write. A plain loop ends with an `accept` that fails.

mod common;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use common::{Broker, Service, address, call, call_at, compile, free_port, installed, preamble};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;

const RESETS: usize = 50;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Starts a server on this address, and makes as many such connections before it accepts the first; gives where they came from.
fn server(program: &[&str], host: &str, from: IpAddr) -> (Broker, Service, u16, Vec<SocketAddr>) {
    let broker = Broker::start();
    let port = free_port();
    let port_argument = port.to_string();
    let program: Vec<_> = program.iter().copied().chain([&*port_argument, host]).collect();
    let service = broker.serve(&[address(port, "a")], &program);
    service.signal(Signal::STOP);
    let peers = (0..RESETS).map(|_| reset(from, port)).collect();
    service.signal(Signal::CONT);
    (broker, service, port, peers)
}

fn reset(ip: IpAddr, port: u16) -> SocketAddr {
    let mut stream = TcpStream::connect((ip, port)).unwrap();
    stream.write_all(&preamble(&address(port, "a"))).unwrap();
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    stream.local_addr().unwrap()
}

fn in_c(mode: &str) {
    let Some(program) = compile("server.c", &[]) else { return };
    let (_broker, _service, port, _) = server(&[program.to_str().unwrap(), mode], "127.0.0.1", V4);
    assert_eq!(call(port, "a"), format!("{RESETS}\n"));
}

#[test]
fn a_blocking_accept() {
    in_c("copy");
}

#[test]
fn a_blocking_accept_with_a_receive_timeout() {
    in_c("timeout");
}

#[test]
fn edge_triggered_epoll() {
    in_c("edge");
}

#[test]
fn poll() {
    in_c("poll");
}

/// A plain loop in Python, which asks for each peer's address: `accept` shows it as without the library.
#[track_caller]
fn in_python(host: &str, from: IpAddr, shown: fn(IpAddr) -> IpAddr) {
    if !installed("python3") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service.py");
    let (_broker, _service, port, peers) = server(&["python3", script, "resets"], host, from);
    let answer = call_at(from, port, "a").unwrap();
    let seen: Vec<(IpAddr, u16)> = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer:?}"));
    let expected: Vec<_> = peers.iter().map(|peer| (shown(peer.ip()), peer.port())).collect();
    assert_eq!(seen[..RESETS], expected);
}

#[test]
fn peers_of_ipv4() {
    in_python("127.0.0.1", V4, |ip| ip);
}

#[test]
fn peers_of_ipv6() {
    in_python("::1", V6, |ip| ip);
}

#[test]
fn peers_of_ipv4_at_a_dual_stack_listener() {
    in_python("::", V4, |ip| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        ip => ip,
    });
}
