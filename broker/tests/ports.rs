//! Which ports are open to whom, and which connections a registration may get. Long: one case after the other.

mod common;

use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream};

use common::{
    Broker, Told, Worker, address, answer, connect_to, eventually, fault, free_port, has_ipv6, needs_ipv6,
    preamble, serve, told,
};
use handoff::{AcceptSocket, ControlConnection, HandoffError, RefusedReason, Register, Registered};

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
    match TcpStream::connect((ip(at), port)) {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => false,
        Err(error) => panic!("{at}: {error}"),
    }
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
        let (former, _first) = control.register(&Register::new(first.clone())).unwrap();

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
            let (again, _accept_socket) = control.register(&Register::new(second.clone())).unwrap();
            assert!(is_open("127.0.0.2", port));
            control.unregister(again.id).unwrap();
            // Nothing stays open that nobody asks for.
            assert_eq!(is_open("127.0.0.2", port), !literal_first);
        }
        let (latter, mut accept_socket) = control.register(&Register::new(second.clone())).unwrap();
        control.unregister(former.id).unwrap();
        assert_eq!(is_open("127.0.0.2", port), literal_first);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(asking.join().unwrap() > 0);

        let path = if literal_first { "all" } else { "one" };
        let _client = ask_at("127.0.0.1", port, path);
        eventually(|| accept_socket.waiting().unwrap() == 1, || broker.log());
        control.unregister(latter.id).unwrap();
        accept_socket = accept_socket.try_clone().unwrap();
        drop(accept_socket);
        assert!(!is_open("127.0.0.1", port));
    }
}

/// Each order in which two registrations can come and go, until one is left alone with nobody having been without both: who
/// connects before a step and speaks behind it is answered.
#[test]
fn who_connects_before_a_step_is_answered_behind_it() {
    let broker = Broker::start(&[]);
    let before = broker.steady_descriptors();
    // Bit n: whether the nth step is the literal's, and not that of all addresses.
    for order in 0..1_u32 << 6 {
        let port = free_port();
        let addresses = [address(port, "all"), literal("127.0.0.1", port, "one")];
        let mut control = ControlConnection::connect(&broker.control()).unwrap();
        let mut held: [Option<(Registered, AcceptSocket)>; 2] = [None, None];
        for step in 0..6 {
            let which = usize::from(order >> step & 1 == 1);
            let silent = held.iter().any(Option::is_some).then(|| connect_to(ip("127.0.0.1"), port));
            match held[which].take() {
                Some((registered, _)) => control.unregister(registered.id).unwrap(),
                None => {
                    let register = Register::new([addresses[which].clone()]);
                    held[which] = Some(control.register(&register).unwrap());
                }
            }
            let [all, one] = [0, 1].map(|which| held[which].is_some());
            assert_eq!(is_open("127.0.0.1", port), all || one, "order {order:b}, step {step}");
            assert_eq!(is_open("127.0.0.2", port), all, "order {order:b}, step {step}");
            if !all && !one {
                break;
            }
            for mut client in silent.into_iter().chain([connect_to(ip("127.0.0.1"), port)]) {
                client.write_all(&preamble(&address(port, "nobody"))).unwrap();
                assert_eq!(told(&mut client), fault("EndpointNotFound"), "order {order:b}, step {step}");
            }
            for at in ["127.0.0.1", "0.0.0.0"] {
                let joined = foreign_bind(at, port).map(drop);
                assert_eq!(joined, Err(rustix::io::Errno::ADDRINUSE), "order {order:b}, step {step}, {at}");
            }
        }
    }
    broker.settles_at(before);
}

/// An address gets no socket of its own beside "all", and when "all" leaves there may be none to be had.
#[test]
fn an_address_outlives_all_without_a_free_descriptor() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let (all, accept_socket) = control.register(&Register::new([address(port, "all")])).unwrap();
    let mut worker = Worker::register(&broker, &[literal("127.0.0.1", port, "one")]);
    drop(accept_socket);
    broker.steady_descriptors();
    let pid = Pid::from_raw(i32::try_from(broker.pid()).unwrap());
    let own = rustix::process::getrlimit(Resource::Nofile);
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(0), maximum: own.maximum }).unwrap();
    control.unregister(all.id).unwrap();
    prlimit(pid, Resource::Nofile, before).unwrap();
    let mut client = ask_at("127.0.0.1", port, "one");
    assert_eq!(served(&mut client, &mut worker, port, "one"), ip("127.0.0.1"));
    worker.control.unregister(worker.id).unwrap();
    assert!(!is_open("127.0.0.1", port) && !is_open("127.0.0.2", port));
}

/// It closes a moment later, though an address that it covered is still wanted.
#[test]
fn the_socket_for_all_does_not_stay_when_it_was_left() {
    let broker = Broker::start(&[]);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let one = |port| Register::new([literal("127.0.0.1", port, "one")]);
    let (alone, accept_socket) = control.register(&one(free_port())).unwrap();
    let before = broker.steady_descriptors();
    control.unregister(alone.id).unwrap();
    drop(accept_socket);
    let port = free_port();
    let (all, accept_socket) = control.register(&Register::new([address(port, "all")])).unwrap();
    let _one = control.register(&one(port)).unwrap();
    control.unregister(all.id).unwrap();
    drop(accept_socket);
    broker.settles_at(before);
}

/// Whoever connects as soon as the port is open finds what it was opened for.
#[test]
fn a_port_opens_with_its_registration() {
    let broker = Broker::start(&[]);
    for _ in 0..100 {
        let port = free_port();
        let asking = std::thread::spawn(move || {
            let mut client = loop {
                match TcpStream::connect((ip("127.0.0.1"), port)) {
                    Ok(client) => break client,
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
                }
            };
            client.set_read_timeout(Some(common::PATIENCE)).unwrap();
            client.write_all(&preamble(&address(port, "x"))).unwrap();
            let mut octet = [0];
            std::io::Read::read_exact(&mut client, &mut octet).unwrap();
            octet[0]
        });
        let mut worker = Worker::register(&broker, &[address(port, "x")]);
        eventually(|| worker.receiver.waiting().unwrap() == 1 || asking.is_finished(), || broker.log());
        assert!(!asking.is_finished(), "{}", broker.log());
        serve(worker.accept(), &preamble(&address(port, "x")), b'!');
        assert_eq!(asking.join().unwrap(), b'!');
    }
}

#[test]
fn an_address_of_another_machine_is_refused_also_beside_all() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let _all = Worker::register(&broker, &[address(port, "all")]);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let Err(HandoffError::Refused(refused)) =
        control.register(&Register::new([literal("203.0.113.7", port, "x")]))
    else {
        panic!("it was registered")
    };
    assert_eq!(refused.reason, RefusedReason::AddressNotAvailable);
    assert_eq!(refused.message, "203.0.113.7 is no address of this machine (`ip address` lists them)");
}

/// Like another program of this user that would share the port.
fn foreign_bind(at: &str, port: u16) -> rustix::io::Result<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
    let foreign = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseport(&foreign, true)?;
    // Else it would find the port reserved, whatever the broker does.
    sockopt::set_socket_reuseaddr(&foreign, true)?;
    bind(&foreign, &std::net::SocketAddr::new(ip(at), port))?;
    Ok(foreign)
}

#[test]
fn a_foreign_listener_is_never_joined() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let foreign = foreign_bind("127.0.0.2", port).unwrap();
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
    for at in ["127.0.0.1", "127.0.0.2", "0.0.0.0"] {
        assert_eq!(foreign_bind(at, port).map(drop), Err(rustix::io::Errno::ADDRINUSE), "{at}");
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
    if !needs_ipv6() {
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
        let mut all = Worker::register(&broker, &[address(port, "all")]);
        let mut client = ask_at(from, port, "x");
        assert_eq!(served(&mut client, &mut worker, port, "x"), ip(arrives), "{to} from {from}");
        assert_eq!(told(&mut client), Told::End);
        drop(client);
        eventually(|| broker.log().contains("outcome=relayed"), || broker.log());
        for worker in [&mut worker, &mut all] {
            worker.control.unregister(worker.id).unwrap();
        }
    }
    broker.settles_at(before);
}

#[test]
fn a_bridge_never_leads_to_another_program() {
    if !needs_ipv6() {
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
    if !needs_ipv6() {
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
fn no_port_is_opened_to_be_closed() {
    let broker = Broker::start(&["--listen", "127.0.0.9", "--listen", "0.0.0.0", "--listen", "127.0.0.1"]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.log().matches("listening on ").count();
    drop(worker);
    eventually(|| broker.log().contains(&format!("closed 0.0.0.0:{port}")), || broker.log());
    eventually(|| !is_open("127.0.0.9", port) && !is_open("127.0.0.1", port), || broker.log());
    assert_eq!(broker.log().matches("listening on ").count(), before, "{}", broker.log());
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
    assert!(!is_open("127.0.0.5", 808), "another program has port 808");
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    match control.register(&Register::new(["net.tcp://127.0.0.5/x"])) {
        Ok(_) => assert!(is_open("127.0.0.5", 808)),
        Err(HandoffError::Refused(refused)) => {
            // No right to ports below 1024: still it was 808 that was tried.
            assert_eq!(refused.reason, RefusedReason::PortNotPermitted, "{}", refused.message);
            assert!(refused.message.contains("127.0.0.5:808"), "{}", refused.message)
        }
        Err(error) => panic!("{error}"),
    }
}

/// Connects to a local address, asks for this Via, and is served by whom it belongs to.
fn reaches(worker: &mut Worker, ip: &str, port: u16, via: &str) {
    let mut client = connect_to(ip.parse().unwrap(), port);
    client.write_all(&preamble(via)).unwrap();
    serve(worker.accept(), &preamble(via), b'!');
    assert_eq!(answer(&mut client), b'!');
}

#[test]
fn one_path_of_one_port_on_two_local_addresses() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let register = |ip: &str, path: &str, bound: bool| {
        let mut register = Register::new([format!("net.tcp://{ip}:{port}/{path}")]);
        register.bound = bound.then(|| vec![ip.parse().unwrap()]);
        Worker::register_as(&broker, register)
    };
    for bound in [true, false] {
        let mut first = register("127.0.0.1", "svc", bound);
        let mut second = register("127.0.0.2", "svc", bound);
        for _ in 0..2 {
            for (worker, ip) in [(&mut first, "127.0.0.1"), (&mut second, "127.0.0.2")] {
                reaches(worker, ip, port, &format!("net.tcp://{ip}:{port}/svc/x"));
            }
        }
        // The second stays what it is when the first has gone.
        drop(first);
        eventually(|| TcpStream::connect(("127.0.0.1", port)).is_err(), || broker.log());
        reaches(&mut second, "127.0.0.2", port, &format!("net.tcp://127.0.0.2:{port}/svc"));
        drop(second);
        eventually(|| TcpStream::connect(("127.0.0.2", port)).is_err(), || broker.log());
    }
}

#[test]
fn a_longer_address_that_listens_elsewhere_hides_nothing() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let register = |path: &str, ip: &str| {
        let mut register = Register::new([address(port, path)]);
        register.bound = Some(vec![ip.parse().unwrap()]);
        Worker::register_as(&broker, register)
    };
    let mut longer = register("a/b", "127.0.0.1");
    let mut shorter = register("a", "127.0.0.2");
    reaches(&mut longer, "127.0.0.1", port, &address(port, "a/b/c"));
    reaches(&mut shorter, "127.0.0.2", port, &address(port, "a/b/c"));
}

/// What an administrator does for a service that listens on IPv4 beside one that listens on both: the port is open in IPv4 only,
/// and a client that tries IPv6 first is refused by the kernel and goes on to IPv4.
#[test]
fn a_broker_that_listens_on_one_family_only_lets_clients_fall_back() {
    if !needs_ipv6() {
        return;
    }
    let broker = Broker::start(&["--listen", "0.0.0.0"]);
    let port = free_port();
    let mut four = Worker::register_as(&broker, bound(address(port, "four"), &["0.0.0.0"]));
    let mut both = Worker::register_as(&broker, bound(address(port, "both"), &["0.0.0.0", "::"]));
    assert!(!is_open("::1", port));
    for (path, worker) in [("four", &mut four), ("both", &mut both)] {
        let mut client = ask_at("127.0.0.1", port, path);
        assert_eq!(served(&mut client, worker, port, path), ip("127.0.0.1"));
    }
}

#[test]
fn a_listen_address_that_is_not_here_is_said_at_the_start() {
    let broker = Broker::start(&["--listen", "203.0.113.7", "--listen", "127.0.0.1"]);
    let log = broker.log();
    assert!(log.contains("listen: 203.0.113.7 is no address of this machine"), "{log}");
    assert!(!log.contains("listen: 127.0.0.1"), "{log}");
}
