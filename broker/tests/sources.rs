//! However many connections one host has, another has its place.

mod common;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use common::{
    Broker, PATIENCE, Told, Worker, address, answer, eventually, fault, free_port, installed, preamble,
    serve, told,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ANOTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// A connection from this host.
fn connect_from(host: Ipv4Addr, port: u16) -> TcpStream {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((host, 0))).unwrap();
    rustix::net::connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One that has begun a preamble.
fn half(host: Ipv4Addr, port: u16) -> TcpStream {
    let mut stream = connect_from(host, port);
    stream.write_all(b"\0\x01").unwrap();
    stream
}

fn ask_from(host: Ipv4Addr, port: u16, path: &str) -> TcpStream {
    let mut stream = connect_from(host, port);
    stream.write_all(&preamble(&address(port, path))).unwrap();
    stream
}

/// The rest of a preamble that [`half`] has begun.
fn goes_on(stream: &mut TcpStream, port: u16, worker: &mut Worker) {
    let octets = preamble(&address(port, "x"));
    stream.write_all(&octets[2..]).unwrap();
    serve(worker.accept(), &octets, b'!');
    assert_eq!(answer(stream), b'!');
}

fn ended(broker: &Broker, outcome: &str) -> usize {
    broker.log().matches(&format!("outcome={outcome} ")).count()
}

/// How many of them were closed.
fn at_their_end(clients: &mut [TcpStream]) -> usize {
    let over = |client: &mut TcpStream| {
        client.set_nonblocking(true).unwrap();
        let over = matches!(client.peek(&mut [0]), Ok(0));
        client.set_nonblocking(false).unwrap();
        over
    };
    clients.iter_mut().map(over).filter(|over| *over).count()
}

fn limit_descriptors(broker: &Broker, limit: u64) {
    let pid = Pid::from_raw(broker.pid().try_into().unwrap());
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
}

/// Descriptors run short: who was there first and is slow stays, and thousands of another host go.
#[test]
fn one_host_cannot_crowd_out_another() {
    let broker = Broker::start(&["--receive-timeout-seconds", "3600", "--max-connections-per-source", "0"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut slow: Vec<TcpStream> = (0..20).map(|_| half(ANOTHER, port)).collect();
    eventually(|| broker.descriptors() == before + slow.len(), || broker.log());
    limit_descriptors(&broker, 600);
    let mut silent: Vec<TcpStream> = (0..3000).map(|_| half(ONE, port)).collect();
    let there = before + slow.len() + silent.len();
    eventually(|| broker.descriptors() + ended(&broker, "crowded_out") == there, || broker.log());
    let gone = ended(&broker, "crowded_out");
    assert!(gone > 2400, "{gone}");
    eventually(|| at_their_end(&mut silent) == gone, || broker.log());
    assert_eq!(at_their_end(&mut slow), 0, "{}", broker.log());
    for client in &mut slow {
        goes_on(client, port, &mut worker);
    }
}

#[test]
fn past_its_limit_a_source_loses_its_oldest() {
    let broker = Broker::start(&["--receive-timeout-seconds", "3600", "--max-connections-per-source", "100"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut slow: Vec<TcpStream> = (0..60).map(|_| half(ANOTHER, port)).collect();
    eventually(|| broker.descriptors() == before + slow.len(), || broker.log());
    let mut silent: Vec<TcpStream> = (0..2000).map(|_| half(ONE, port)).collect();
    eventually(|| ended(&broker, "source_limit") == 1900, || broker.log());
    broker.settles_at(before + 160);
    eventually(|| at_their_end(&mut silent) == 1900, || broker.log());
    silent.retain_mut(|client| at_their_end(std::slice::from_mut(client)) == 0);
    // The log names the source and the key.
    let log = broker.whole_log();
    let line =
        log.lines().find(|line| line.contains(" WARN ") && line.contains("max_connections_per_source"));
    assert!(line.is_some_and(|line| line.contains("127.0.0.2")), "{log}");
    for client in slow.iter_mut().chain(&mut silent) {
        goes_on(client, port, &mut worker);
    }
}

#[test]
fn past_its_limit_a_source_waits_for_no_worker() {
    let broker = Broker::start(&["--max-pending-connections", "20", "--max-connections-per-source", "5"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    // Twenty are in the queue, which belongs to the worker; what waits in the broker is counted.
    let mut waiting: Vec<TcpStream> = (0..20).map(|_| ask_from(ONE, port, "x")).collect();
    eventually(|| worker.receiver.waiting().unwrap() == 20, || broker.log());
    broker.settles_at(before);
    let held = |count| eventually(|| broker.descriptors() == before + count, || broker.log());
    for count in 1..=2 {
        waiting.push(half(ONE, port));
        held(count);
    }
    for count in 3..=5 {
        waiting.push(ask_from(ONE, port, "x"));
        held(count);
    }
    for _ in 0..10 {
        assert_eq!(told(&mut ask_from(ONE, port, "x")), fault("ServerTooBusy"));
    }
    let log = broker.whole_log();
    assert!(
        log.contains("of the same source wait in the broker as max_connections_per_source allows"),
        "{log}"
    );
    // Of the two kinds the silent ones go when there are more of them.
    let silent = half(ONE, port);
    assert_eq!(told(&mut waiting[20]), Told::End);
    // Another host waits all the same.
    waiting.extend((0..5).map(|_| ask_from(ANOTHER, port, "x")));
    held(10);
    assert_eq!(told(&mut ask_from(ANOTHER, port, "x")), fault("ServerTooBusy"));
    // Whoever is served no longer counts.
    let octets = preamble(&address(port, "x"));
    waiting[21].write_all(&octets[2..]).unwrap();
    waiting.remove(20);
    worker.serve_all(&mut waiting, &octets);
    let again: Vec<TcpStream> = (0..25).map(|_| ask_from(ONE, port, "x")).collect();
    held(1 + 4);
    eventually(|| ended(&broker, "server_too_busy") == 12, || broker.log());
    drop((silent, again));
}

/// Nothing is configured: one host fills no more than a quarter of the places for those that wait for workers.
#[test]
fn one_host_leaves_places_for_those_who_wait_for_workers() {
    if !installed("setpriv") {
        return;
    }
    let broker = Broker::limited(512, &["--max-pending-connections", "20"]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut waiting: Vec<TcpStream> = (0..20).map(|_| ask_from(ONE, port, "x")).collect();
    eventually(|| worker.receiver.waiting().unwrap() == 20, || broker.log());
    broker.settles_at(before);
    // A 32nd of 512; of the queue's twenty places there are four more.
    waiting.extend((0..16).map(|_| ask_from(ONE, port, "x")));
    broker.settles_at(before + 16);
    assert_eq!(told(&mut ask_from(ONE, port, "x")), fault("ServerTooBusy"));
    waiting.extend((0..4).map(|_| ask_from(ANOTHER, port, "x")));
    broker.settles_at(before + 20);
    assert_eq!(told(&mut ask_from(ANOTHER, port, "x")), fault("ServerTooBusy"));
}

#[test]
fn a_reload_changes_how_many_of_a_source_may_wait() {
    let broker = Broker::configured("max_connections_per_source = 2\n", &[]);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut waiting: Vec<TcpStream> = (0..3).map(|_| half(ONE, port)).collect();
    eventually(|| at_their_end(&mut waiting) == 1, || broker.log());
    broker.rewrite("max_connections_per_source = 0\n");
    handoff::ControlConnection::connect(&broker.control()).unwrap().reload().unwrap();
    waiting.extend((0..20).map(|_| half(ONE, port)));
    broker.settles_at(before + 22);
    assert_eq!(ended(&broker, "source_limit"), 1, "{}", broker.log());
}
