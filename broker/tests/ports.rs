//! Which ports are open to whom, and which connections a registration may get.

mod common;

use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use common::{
    Broker, Told, Worker, address, answer, connect_to, eventually, fault, free_port, has_ipv6, preamble,
    serve, told,
};
use handoff::{ControlConnection, HandoffError, RefusedReason, Register};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn literal(ip: &str, port: u16, path: &str) -> String {
    if ip.contains(':') {
        format!("net.tcp://[{ip}]:{port}/{path}")
    } else {
        format!("net.tcp://{ip}:{port}/{path}")
    }
}

fn ask_at(at: &str, port: u16, path: &str) -> TcpStream {
    let mut stream = connect_to(ip(at), port);
    stream.write_all(&preamble(&address(port, path))).unwrap();
    stream
}

fn is_open(at: &str, port: u16) -> bool {
    TcpStream::connect_timeout(&(ip(at), port).into(), Duration::from_millis(200)).is_ok()
}

fn bound(address: String, to: &[&str]) -> Register {
    let mut register = Register::new([address]);
    register.bound = Some(to.iter().map(|text| ip(text)).collect());
    register
}

fn served(client: &mut TcpStream, worker: &mut Worker, port: u16, path: &str) -> IpAddr {
    let stream = worker.accept();
    let local = stream.local_addr().unwrap().ip();
    serve(stream, &preamble(&address(port, path)), b'!');
    assert_eq!(answer(client), b'!');
    local
}

#[test]
fn a_literal_opens_that_address_only() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[literal("127.0.0.1", port, "x")]);
    assert!(!is_open("127.0.0.2", port));
    assert!(!has_ipv6() || !is_open("::1", port));
    let mut client = ask_at("127.0.0.1", port, "x");
    assert_eq!(served(&mut client, &mut worker, port, "x"), ip("127.0.0.1"));
}

#[test]
fn listen_narrows_all() {
    let broker = Broker::start(&["--listen", "127.0.0.2", "--listen", "127.0.0.3"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    assert!(!is_open("127.0.0.1", port));
    assert!(!has_ipv6() || !is_open("::1", port));
    for at in ["127.0.0.2", "127.0.0.3"] {
        let mut client = ask_at(at, port, "x");
        assert_eq!(served(&mut client, &mut worker, port, "x"), ip(at));
    }
    drop(broker);
    let broker = Broker::configured("[listen]\naddresses = ['127.0.0.4']", &[]);
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    assert!(is_open("127.0.0.4", port) && !is_open("127.0.0.2", port));
}

/// One literal and all addresses on one port, in any order; all the while somebody connects, and is always answered.
#[test]
fn literal_and_all_in_any_order_lose_no_connection() {
    let broker = Broker::start(&[]);
    for literal_first in [true, false] {
        let port = free_port();
        let one = [literal("127.0.0.1", port, "one")];
        let all = [address(port, "all")];
        let mut control = ControlConnection::connect(&broker.control()).unwrap();
        let (first, second) = if literal_first { (&one, &all) } else { (&all, &one) };
        let (first_id, _first) = control.register(&Register::new(first.clone())).unwrap();

        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let asking = std::thread::spawn({
            let stop = std::sync::Arc::clone(&stop);
            move || {
                let mut asked = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(told(&mut ask_at("127.0.0.1", port, "nobody")), fault("EndpointNotFound"));
                    asked += 1;
                }
                asked
            }
        });
        for _ in 0..20 {
            let (id, _accept_socket) = control.register(&Register::new(second.clone())).unwrap();
            assert!(is_open("127.0.0.2", port));
            control.unregister(id).unwrap();
            // Nothing stays open that nobody asks for.
            assert_eq!(is_open("127.0.0.2", port), !literal_first);
        }
        let (second_id, mut accept_socket) = control.register(&Register::new(second.clone())).unwrap();
        control.unregister(first_id).unwrap();
        assert_eq!(is_open("127.0.0.2", port), literal_first);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(asking.join().unwrap() > 0);

        let path = if literal_first { "all" } else { "one" };
        let _client = ask_at("127.0.0.1", port, path);
        eventually(|| accept_socket.waiting().unwrap() == 1, || broker.log());
        control.unregister(second_id).unwrap();
        accept_socket = accept_socket.try_clone().unwrap();
        drop(accept_socket);
        assert!(!is_open("127.0.0.1", port));
    }
}

fn foreign_socket() -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

#[test]
fn a_foreign_listener_is_never_joined() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let foreign = foreign_socket();
    rustix::net::sockopt::set_socket_reuseport(&foreign, true).unwrap();
    rustix::net::bind(&foreign, &std::net::SocketAddr::new(ip("127.0.0.2"), port)).unwrap();
    rustix::net::listen(&foreign, 1).unwrap();

    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    control.register(&Register::new([literal("127.0.0.1", port, "x")])).unwrap();
    let Err(HandoffError::Refused(refused)) = control.register(&Register::new([address(port, "y")])) else {
        panic!("a port of another program was opened")
    };
    assert_eq!(refused.reason, RefusedReason::FailedToListen);
    assert!(refused.message.contains(&format!("(pid {})", std::process::id())), "{}", refused.message);
    drop(foreign);
    // A process that another test starts just now may still have a copy of it.
    eventually(|| control.register(&Register::new([address(port, "y")])).is_ok(), || broker.log());
    // Nor can anyone join us now.
    let foreign = foreign_socket();
    rustix::net::sockopt::set_socket_reuseport(&foreign, true).unwrap();
    for at in ["127.0.0.1", "127.0.0.2", "0.0.0.0"] {
        let joined = rustix::net::bind(&foreign, &std::net::SocketAddr::new(ip(at), port));
        assert_eq!(joined, Err(rustix::io::Errno::ADDRINUSE), "{at}");
    }
}

#[test]
fn a_bound_registration_opens_only_that() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register_as(&broker, bound(address(port, "x"), &["127.0.0.1"]));
    assert!(!is_open("127.0.0.2", port));
    assert!(!has_ipv6() || !is_open("::1", port));
    // Someone else opens everything: still only what its own listener could have accepted.
    let mut all = Worker::register(&broker, &[address(port, "all")]);
    assert_eq!(told(&mut ask_at("127.0.0.2", port, "x")), fault("EndpointNotFound"));
    let mut client = ask_at("127.0.0.1", port, "x");
    assert_eq!(served(&mut client, &mut worker, port, "x"), ip("127.0.0.1"));
    let mut client = ask_at("127.0.0.2", port, "all");
    assert_eq!(served(&mut client, &mut all, port, "all"), ip("127.0.0.2"));
}

#[test]
fn loopback_of_the_other_family_is_bridged() {
    if !has_ipv6() {
        println!("skipped: no IPv6");
        return;
    }
    let broker = Broker::start(&[]);
    let before = broker.steady_descriptors();
    let port = free_port();
    for (to, from, arrives) in [
        ("127.0.0.1", "::1", "127.0.0.1"),
        ("0.0.0.0", "::1", "127.0.0.1"),
        ("::1", "127.0.0.1", "::1"),
        ("::", "127.0.0.9", "::1"),
    ] {
        let mut worker = Worker::register_as(&broker, bound(address(port, "x"), &[to]));
        let _all = Worker::register(&broker, &[address(port, "all")]);
        let mut client = ask_at(from, port, "x");
        assert_eq!(served(&mut client, &mut worker, port, "x"), ip(arrives), "{to} from {from}");
        assert_eq!(told(&mut client), Told::End);
        drop(client);
        eventually(|| broker.log().contains("outcome=relayed"), || broker.log());
    }
    broker.settles_at(before);
}

#[test]
fn a_bridge_never_leads_to_another_program() {
    if !has_ipv6() {
        println!("skipped: no IPv6");
        return;
    }
    // Not on 127.0.0.1, says the administrator, and there another program has the port.
    let broker = Broker::start(&["--listen", "::1", "--listen", "127.0.0.2"]);
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    foreign.set_nonblocking(true).unwrap();
    let port = foreign.local_addr().unwrap().port();
    let _all = Worker::register(&broker, &[address(port, "all")]);
    let _four = Worker::register_as(&broker, bound(address(port, "x"), &["0.0.0.0"]));
    let mut client = ask_at("::1", port, "x");
    assert_eq!(told(&mut client), Told::Fault("EndpointNotFound".to_owned()));
    assert!(foreign.accept().is_err(), "the connection went to another program");
}

#[test]
fn disjoint_listeners_of_one_program_are_no_conflict() {
    if !has_ipv6() {
        println!("skipped: no IPv6");
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut four = Worker::register_as(&broker, bound(address(port, "x"), &["0.0.0.0"]));
    let mut six = Worker::register_as(&broker, bound(address(port, "x"), &["::"]));
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let third = control.register(&bound(address(port, "x"), &["127.0.0.1"]));
    assert!(
        matches!(third, Err(HandoffError::Refused(refused)) if refused.reason == RefusedReason::ConflictingRegistration)
    );
    let mut client = ask_at("127.0.0.1", port, "x");
    assert_eq!(served(&mut client, &mut four, port, "x"), ip("127.0.0.1"));
    let mut client = ask_at("::1", port, "x");
    assert_eq!(served(&mut client, &mut six, port, "x"), ip("::1"));
    // One leaves, the other stays, and takes what only it can take.
    drop(six);
    eventually(|| !is_open("::1", port), || broker.log());
    let mut client = ask_at("127.0.0.1", port, "x");
    assert_eq!(served(&mut client, &mut four, port, "x"), ip("127.0.0.1"));
}

#[test]
fn a_taken_port_is_named_with_its_owner() {
    let broker = Broker::start(&[]);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let Err(HandoffError::Refused(refused)) =
        control.register(&Register::new([literal("127.0.0.1", port, "x")]))
    else {
        panic!("a port of another program was opened")
    };
    assert_eq!(refused.reason, RefusedReason::FailedToListen);
    assert!(refused.message.starts_with("address already in use"), "{}", refused.message);
}

#[test]
fn the_default_port_is_808() {
    let broker = Broker::start(&[]);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    match control.register(&Register::new(["net.tcp://127.0.0.5/x"])) {
        Ok(_) => assert!(is_open("127.0.0.5", 808)),
        // Another program, or no right to ports below 1024: still it was 808 that was tried.
        Err(HandoffError::Refused(refused)) => {
            assert!(refused.message.contains("127.0.0.5:808"), "{}", refused.message)
        }
        Err(error) => panic!("{error}"),
    }
}
