//! When the system has not enough: few descriptors, or an answer that says so to any call that may get one (`strace --inject`).
//! Nothing ends, spins or stays paused, and each connection has its end (which is asserted when a [`Broker`] is dropped).

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use common::injection::{WAITS, failed, inject};
use common::{
    Broker, Strace, Worker, address, answer, ask, connect, eventually, fault, free_port, installed, preamble,
    serve, told,
};
use handoff::{ControlConnection, HandoffError, Register};

/// Makes a call of a thread fail until it is dropped.
fn fails(broker: &Broker, thread: &str, call: &str, error: &str) -> Strace {
    inject(broker, thread, &format!("{call}:error={error}"), &format!("{call},{WAITS}"))
}

/// Between two calls that have failed the thread has slept until its time had come.
fn does_not_spin(trace: &str) {
    let calls: Vec<&str> = trace.lines().collect();
    let between: Vec<_> = calls.split(|line| line.contains("(INJECTED)")).collect();
    for calls in &between[1..between.len() - 1] {
        assert!(calls.iter().any(|line| line.starts_with("epoll_") && line.ends_with("= 0")), "{trace}");
    }
}

fn is_served(worker: &mut Worker, client: &mut TcpStream, port: u16) {
    serve(worker.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(client), b'!');
}

fn serves(worker: &mut Worker, port: u16) {
    is_served(worker, &mut ask(port, "x"), port);
}

#[test]
fn accept4_that_fails_pauses_and_goes_on() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
        let inject = fails(&broker, "accept", "accept4", error);
        let mut client = ask(port, "x");
        failed(&inject, 5);
        does_not_spin(&inject.end());
        is_served(&mut worker, &mut client, port);
        serves(&mut worker, port);
    }
}

/// One connection is tried again and again, until the kernel takes it.
#[test]
fn sendmsg_that_fails_is_tried_again() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    for error in ["ETOOMANYREFS", "ENOBUFS", "ENOMEM"] {
        let inject = fails(&broker, "accept", "sendmsg", error);
        let mut client = ask(port, "x");
        failed(&inject, 5);
        does_not_spin(&inject.end());
        is_served(&mut worker, &mut client, port);
    }
}

/// What cannot be waited for is told so; the next can.
#[test]
fn epoll_ctl_that_fails_ends_who_would_wait() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    for error in ["ENOMEM", "ENOSPC"] {
        let inject = fails(&broker, "accept", "epoll_ctl", error);
        let mut half = connect(port);
        half.write_all(b"\0\x01").unwrap();
        assert_eq!(told(&mut half), fault("ConnectionDispatchFailed"));
        // One that is refused has its answer before anybody would have to wait.
        assert_eq!(told(&mut ask(port, "nowhere")), fault("EndpointNotFound"));
        serves(&mut worker, port);
        assert!(inject.injected() >= 1, "{}", inject.output());
        drop((half, inject));
        broker.settles_at(before);
        let mut half = connect(port);
        let octets = preamble(&address(port, "x"));
        half.write_all(&octets[..2]).unwrap();
        broker.settles_at(before + 1);
        half.write_all(&octets[2..]).unwrap();
        is_served(&mut worker, &mut half, port);
    }
}

/// What a worker has left is taken back when there is room for it.
#[test]
fn recvmsg_that_fails_leaves_nobody_in_a_queue() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut next = Worker::register(&broker, &[address(port, "")]);
    for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
        let first = Worker::register(&broker, &[address(port, "x")]);
        let mut clients: Vec<TcpStream> = (0..5).map(|_| ask(port, "x")).collect();
        eventually(|| first.receiver.waiting().unwrap() == 5, || broker.log());
        let inject = fails(&broker, "accept", "recvmsg", error);
        drop(first);
        failed(&inject, 5);
        does_not_spin(&inject.end());
        next.serve_all(&mut clients, &preamble(&address(port, "x")));
    }
}

/// The worker is told, and the next time it succeeds.
#[test]
fn socketpair_that_fails_refuses_a_registration() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&[]);
    for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
        let port = free_port();
        let inject = fails(&broker, "registry", "socketpair", error);
        let mut control = ControlConnection::connect(&broker.control()).unwrap();
        let refused = control.register(&Register::new([address(port, "x")]));
        assert!(matches!(refused, Err(HandoffError::Refused(_))), "{error}: {refused:?}");
        drop(inject);
        serves(&mut Worker::register(&broker, &[address(port, "x")]), port);
    }
}

/// Octets are copied where there is no pipe for them, and a relay that the kernel breaks has its end.
#[test]
fn relays_go_on_without_pipes() {
    if !installed("strace") {
        return;
    }
    const OCTETS: usize = 4 << 20;
    let back_end = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let (via, to) = (address(port, "x"), back_end.local_addr().unwrap());
    let broker = Broker::configured(&format!("[[route]]\naddress = '{via}'\nrelay = '{to}'\n"), &[]);
    let before = broker.steady_descriptors();
    let relayed = || {
        let client = ask(port, "x");
        let (mut server, _) = back_end.accept().unwrap();
        server.read_exact(&mut vec![0; preamble(&via).len()]).unwrap();
        (client, server)
    };
    // How many octets come of those that are sent.
    let copies = |(mut client, mut server): (TcpStream, TcpStream)| {
        let sends = std::thread::spawn(move || drop(client.write_all(&vec![7; OCTETS])));
        let mut octets = Vec::new();
        let _ = server.read_to_end(&mut octets);
        drop(server);
        sends.join().unwrap();
        octets.len()
    };
    for (call, error) in [("pipe2", "EMFILE"), ("pipe2", "ENFILE"), ("fcntl", "EPERM"), ("splice", "ENOMEM")]
    {
        let pair = relayed();
        let inject = fails(&broker, "relay", call, error);
        let came = copies(pair);
        assert!(call == "splice" || came == OCTETS, "{call} {error}: {came}");
        drop(inject);
        broker.settles_at(before);
        assert_eq!(copies(relayed()), OCTETS, "after {call} {error}");
    }
}

/// A broker that can have no more descriptors than so many.
fn limited(descriptors: usize) -> Broker {
    Broker::limited(descriptors, &["--receive-timeout-seconds", "3600", "--log-level", "info"])
}

#[test]
fn few_descriptors_are_enough_for_whoever_says_something() {
    if !installed("setpriv") {
        return;
    }
    for descriptors in [64, 256] {
        let broker = limited(descriptors);
        let port = free_port();
        let mut worker = Worker::register(&broker, &[address(port, "x")]);
        let before = broker.steady_descriptors();
        serves(&mut worker, port);
        let count = 3 * descriptors;
        let half = |_| {
            let mut half = connect(port);
            half.write_all(b"\0\x01").unwrap();
            half
        };
        let silent: Vec<TcpStream> = (0..count).map(half).collect();
        for _ in 0..20 {
            serves(&mut worker, port);
        }
        assert!(broker.descriptors() <= descriptors, "{}", broker.descriptors());
        // Whoever is refused is answered; those that drain go when others come.
        for _ in 0..20 {
            assert_eq!(told(&mut ask(port, "nowhere")), fault("EndpointNotFound"));
        }
        // A queue that nobody reads, and more than it takes.
        let waiting: Vec<TcpStream> = (0..count).map(|_| ask(port, "x")).collect();
        eventually(|| worker.receiver.waiting().unwrap() > 0, || broker.log());
        assert!(broker.descriptors() <= descriptors, "{}", broker.descriptors());
        drop((silent, waiting));
        while let Some(socket) = worker.receiver.try_accept().unwrap() {
            drop(socket);
        }
        drop(worker);
        let mut worker = Worker::register(&broker, &[address(port, "x")]);
        // What waited in the broker, and has gone, may come first.
        let mut client = ask(port, "x");
        let accepted = loop {
            let accepted = worker.accept();
            if accepted.peer_addr().ok() == client.local_addr().ok() {
                break accepted;
            }
        };
        serve(accepted, &preamble(&address(port, "x")), b'!');
        assert_eq!(answer(&mut client), b'!');
        broker.settles_at(before);
    }
}
