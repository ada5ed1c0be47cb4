//! On a port of its own a service judges a Via as the port sharing service does on a shared one, by the router's rules.

mod common;

use std::net::SocketAddr;

use common::{DUPLEX, Raw, TEXT_END, fault, peer, preamble};
use router::{Prefix, RouteTable, Via};
use transport::{Fault, HostNameComparison, ListenOptions, Listener};

/// What the broker asks for a connection that came in at this address.
fn is_routed(registered: &str, comparison: HostNameComparison, via: &str, local: SocketAddr) -> bool {
    let mut table = RouteTable::new();
    table.register(Prefix::parse(registered, comparison).unwrap(), ()).unwrap();
    Via::parse(via).is_ok_and(|via| table.lookup(&via, local).is_ok())
}

async fn judged(host: &str, comparison: HostNameComparison, vias: &'static [(&'static str, bool)]) {
    let at_port = |port: u16| format!("net.tcp://{host}:{port}/a%20b/Calc");
    let options = ListenOptions::new(at_port(0)).host_name_comparison(comparison);
    let listener = Listener::bind(options).await.unwrap();
    let port = listener.local_addrs()[0].port();
    let registered = at_port(port);
    let service = tokio::spawn(common::serve(listener));
    peer(move || {
        for (via, mine) in vias {
            let via = via.replace("PORT", &port.to_string());
            let mut raw = Raw::connect(([127, 0, 0, 1], port).into());
            let local = raw.0.peer_addr().unwrap();
            assert_eq!(is_routed(&registered, comparison, &via, local), *mine, "shared port: {via:?}");
            raw.write(&preamble(DUPLEX, &via, TEXT_END));
            let answer = if *mine { vec![11] } else { fault(Fault::ENDPOINT_NOT_FOUND) };
            raw.expect(&answer);
        }
        // No Via, in both places.
        let mut raw = Raw::connect(([127, 0, 0, 1], port).into());
        raw.write(b"\0\x01\0\x01\x02\x02\x0fnet.tcp://h/a\xff\xfe\x03\x03\x0c");
        raw.expect(&fault(Fault::ENDPOINT_NOT_FOUND));
    })
    .await;
    service.abort();
}

#[tokio::test]
async fn by_path_and_any_host_and_port() {
    judged(
        "localhost",
        HostNameComparison::StrongWildcard,
        &[
            ("net.tcp://localhost:PORT/a%20b/Calc", true),
            ("net.tcp://h:1/A%20B//calc/x", true),
            (" net.tcp://h/a b/calc", true),
            ("net.tcp://h/a b/calc ", true),
            ("net.tcp://h/x/../a b\\calc", true),
            ("net.tcp://h/a%20b%2fcalc", true),
            ("net.tcp://h/%61%20b/c%61lc/?q", true),
            ("net.tcp://h/a%20b/calc#f", true),
            ("net.tcp://h/a%20b/calc?q", false),
            ("net.tcp://h/a b/calc\u{E9}", false),
            ("net.tcp://h/a b/calculator", false),
            ("net.tcp://h/a%2520b/calc", false),
            ("net.tcp://h/a b", false),
            ("net.tcp://u@h/a b/calc", false),
            ("net.tcp://h:70000/a b/calc", false),
            ("net.tcp://h\\a b\\calc", false),
            ("http://h/a b/calc", false),
            ("calc", false),
        ],
    )
    .await;
}

#[tokio::test]
async fn by_host_and_port_where_they_count() {
    judged(
        "srv1",
        HostNameComparison::Exact,
        &[
            ("net.tcp://srv1:PORT/a b/calc", true),
            ("net.tcp://SRV1:PORT/a b/calc/x", true),
            ("net.tcp://srv2:PORT/a b/calc", false),
            ("net.tcp://srv1./a b/calc", false),
            ("net.tcp://srv1/a b/calc", false),
        ],
    )
    .await;
}

#[tokio::test]
async fn by_the_address_that_is_listened_on() {
    judged(
        "127.0.0.1",
        HostNameComparison::StrongWildcard,
        &[("net.tcp://h/a b/calc", true), ("net.tcp://[::1]:PORT/a b/calc", true), ("net.tcp://h/a", false)],
    )
    .await;
}
