//! What connections cost in the broker's own memory while they wait, while they are relayed, and afterwards.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use common::{Broker, Worker, address, ask, connect, eventually, free_port, preamble};
use rustix::process::{Resource, getrlimit};

/// Octets that belong to the process alone.
fn memory(broker: &Broker) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// As many of these connections as this process has descriptors for, keeping some.
fn affordable(wanted: usize, descriptors: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.map_or(wanted, |limit| usize::try_from(limit).unwrap());
    wanted.min((limit.saturating_sub(300)) / descriptors)
}

#[test]
fn a_waiting_connection_costs_less_than_a_kilobyte_and_nothing_afterwards() {
    let broker = Broker::start(&[
        "--receive-timeout-seconds",
        "3600",
        "--max-connections-per-source",
        "0",
        "--log-level",
        "info",
    ]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let octets = preamble(&address(port, "x"));
    let (first, rest) = octets.split_at(20);
    let count = affordable(10_000, 1);
    let idle = (broker.steady_descriptors(), memory(&broker));
    for round in 0..3 {
        let mut clients: Vec<TcpStream> = Vec::with_capacity(count);
        for _ in 0..count {
            let mut client = connect(port);
            client.write_all(first).unwrap();
            clients.push(client);
        }
        eventually(|| broker.descriptors() >= idle.0 + count, || broker.log());
        let each = memory(&broker).saturating_sub(idle.1) / count;
        assert!(each <= 1024, "{each} octets for each of {count} in round {round}");
        println!("{each} octets for each of {count}");
        for some in clients.chunks_mut(50) {
            some.iter_mut().for_each(|client| client.write_all(rest).unwrap());
            some.iter().for_each(|_| drop(worker.accept()));
        }
    }
    broker.settles_at(idle.0);
    // What is left is the room of the table, which does not grow with what passes through it.
    let left = memory(&broker).saturating_sub(idle.1) / count;
    assert!(left <= 100, "{left} octets stay for each of {count}");
}

#[test]
fn an_idle_relayed_connection_costs_little() {
    let back_end = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, to) = (free_port(), back_end.local_addr().unwrap());
    let route = format!("[[route]]\naddress = \"{}\"\nrelay = \"{to}\"\n", address(port, "x"));
    let broker = Broker::configured(&route, &["--log-level", "info"]);
    let descriptors = broker.steady_descriptors();
    let size = preamble(&address(port, "x")).len();
    let relay_one = || {
        let mut client = ask(port, "x");
        let (mut server, _) = back_end.accept().unwrap();
        server.read_exact(&mut vec![0; size]).unwrap();
        server.write_all(b"answer").unwrap();
        client.read_exact(&mut [0; 6]).unwrap();
        (client, server)
    };
    drop(relay_one());
    let before = memory(&broker);
    let count = affordable(2000, 2);
    let held: Vec<_> = (0..count).map(|_| relay_one()).collect();
    let each = memory(&broker).saturating_sub(before) / count;
    println!("{each} octets for each of {count}");
    assert!(each <= 3400, "{each}");
    thread::spawn(|| drop(held)).join().unwrap();
    broker.settles_at(descriptors);
}
