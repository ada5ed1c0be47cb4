//! The straight line: one port, several worker processes, and what happens when they come and go.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{
    Broker, Python, Told, Worker, address, answer, ask, connect, connect_to, eventually, fault, finish,
    free_port, has_ipv6, installed, preamble, serve, signal, stop, told,
};
use handoff::{ControlConnection, HandoffError, RefusedReason, Register};
use rustix::process::Signal;

#[test]
fn two_processes_share_a_port() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let before = broker.steady_descriptors();
    let mut one = Python::start(&broker, '1', &address(port, "calculator/1"));
    let mut two = Python::start(&broker, '2', &address(port, "calculator/2"));
    for (path, name, worker) in [("calculator/1", b'1', &mut one), ("Calculator/2/x", b'2', &mut two)] {
        let via = address(port, path);
        let mut client = connect(port);
        client.write_all(&preamble(&via)).unwrap();
        assert_eq!(answer(&mut client), name);
        // The stream is whole, from the Version record on.
        let hex: String = preamble(&via).iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(worker.line(), format!("{hex} 127.0.0.1"));
        if has_ipv6() {
            let mut client = connect_to("::1".parse().unwrap(), port);
            client.write_all(&preamble(&via)).unwrap();
            assert_eq!(answer(&mut client), name);
            assert_eq!(worker.line(), format!("{hex} ::1"));
        }
    }
    assert_eq!(told(&mut ask(port, "calculator/3")), fault("EndpointNotFound"));

    // A killed worker leaves at once, the other stays, and the port closes with the last.
    one.kill();
    eventually(|| told(&mut ask(port, "calculator/1")) == fault("EndpointNotFound"), || broker.log());
    assert_eq!(answer(&mut ask(port, "calculator/2")), b'2');
    two.kill();
    eventually(|| TcpStream::connect(("127.0.0.1", port)).is_err(), || broker.log());
    broker.settles_at(before);
}

#[test]
fn a_singleton_is_routed_by_its_via_a_session_by_its_encoding() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let mut duplex = preamble(&address(port, "x"));
    duplex.truncate(duplex.len() - 2);
    let mut singleton = duplex.clone();
    singleton[4] = 1;

    let mut first = connect(port);
    first.write_all(&duplex).unwrap();
    let mut second = connect(port);
    second.write_all(&singleton).unwrap();
    serve(worker.accept(), &singleton, b's');
    assert_eq!(answer(&mut second), b's');
    assert!(worker.nothing_waits());
    first.write_all(b"\x03\x08").unwrap();
    serve(worker.accept(), &[&duplex[..], b"\x03\x08"].concat(), b'd');
    assert_eq!(answer(&mut first), b'd');
}

#[test]
fn a_preamble_in_single_octets_costs_wake_ups_in_proportion() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "slow")]);
    let octets = preamble(&address(port, "slow"));
    let before = broker.wake_ups("accept");
    let mut client = connect(port);
    client.set_nodelay(true).unwrap();
    for octet in &octets {
        client.write_all(&[*octet]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    serve(worker.accept(), &octets, b'!');
    assert_eq!(answer(&mut client), b'!');
    let wake_ups = broker.wake_ups("accept") - before;
    assert!(wake_ups <= 2 * octets.len() as u64 + 10, "{wake_ups} for {} octets", octets.len());
}

#[test]
fn what_follows_the_preamble_is_the_workers() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let mut octets = preamble(&address(port, "x"));
    octets.push(0x0c);
    octets.extend(std::iter::repeat_n(0xaa, 100_000));
    let mut client = connect(port);
    let sent = octets.clone();
    let sender = std::thread::spawn(move || {
        client.write_all(&sent).unwrap();
        finish(&client);
        answer(&mut client)
    });
    serve(worker.accept(), &octets, b'k');
    assert_eq!(sender.join().unwrap(), b'k');
}

#[test]
fn unregister_closes_the_port_and_keeps_the_connection() {
    let broker = Broker::start(&[]);
    let before = broker.steady_descriptors();
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "a"), address(port, "b")]);
    assert_eq!(told(&mut ask(port, "c")), fault("EndpointNotFound"));
    worker.control.unregister(worker.id).unwrap();
    // When the answer is here the port is closed already.
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let (registered, _accept_socket) = worker.control.register(&Register::new([address(port, "a")])).unwrap();
    assert_ne!(registered.id, worker.id);
    drop((worker, _accept_socket));
    broker.settles_at(before);
}

#[test]
fn what_a_killed_worker_left_is_served_by_the_next() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut first = Python::start(&broker, '1', &address(port, "x"));
    stop(first.pid());
    let mut clients: Vec<TcpStream> = (0..5).map(|_| ask(port, "x")).collect();
    // Another for whoever is under it; the stopped worker's connections find it when the worker is gone.
    let mut second = Worker::register(&broker, &[address(port, "")]);
    eventually(|| broker.log().matches("outcome=handed_over").count() == 5, || broker.log());
    first.kill();
    second.serve_all(&mut clients, &preamble(&address(port, "x")));
}

#[test]
fn what_a_killed_worker_left_is_answered_when_there_is_no_other() {
    let mut broker = Broker::start(&[]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x")]);
    let _other = Worker::register(&broker, &[address(port, "y")]);
    let mut client = ask(port, "x");
    eventually(|| broker.log().contains("outcome=handed_over"), || broker.log());
    drop(worker);
    assert_eq!(told(&mut client), fault("EndpointNotFound"));
    // One connection, one end: it is not among those that are handed over any more.
    assert!(broker.terminate());
    assert!(
        broker.log().contains(
            "ended; connections accepted=1 handed_over=1 endpoint_not_found=1 taken_back=1 unfinished=0\n"
        ),
        "{}",
        broker.log()
    );
}

/// The initiators' ports of the connections to `port` that a process holds.
fn held(pid: u32, port: u16) -> Vec<u16> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = descriptors.filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.display().to_string()));
    let sockets: Vec<String> = links.collect();
    let local = format!(" 0100007F:{port:04X} 0100007F:");
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let held = connections.lines().filter_map(|line| {
        let (_, from_peer) = line.split_once(&local)?;
        let inode = line.split_ascii_whitespace().nth(9)?;
        let is_held = sockets.contains(&format!("socket:[{inode}]"));
        is_held.then(|| u16::from_str_radix(&from_peer[..4], 16).unwrap())
    });
    held.collect()
}

/// Whatever a worker has not received when it is killed, another serves: a stopped worker shows what it has.
#[test]
fn killed_workers_lose_nothing_at_any_point() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let before = broker.steady_descriptors();
    let Worker { control, mut receiver, .. } = Worker::register(&broker, &[address(port, "")]);
    let ended = AtomicBool::new(false);
    let (mut lost, mut by_the_next) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                match receiver.try_accept().unwrap() {
                    Some(socket) => {
                        let stream = TcpStream::from(socket);
                        stream.set_nonblocking(false).unwrap();
                        serve(stream, &preamble(&address(port, "x")), b'0');
                    }
                    None => std::thread::sleep(std::time::Duration::from_millis(1)),
                }
            }
        });
        for round in 0..20 {
            let mut python = Python::start(&broker, '1', &address(port, "x"));
            if round == 0 {
                // This one takes none.
                stop(python.pid());
            }
            let answered = AtomicUsize::new(0);
            let (answers, held) = std::thread::scope(|scope| {
                let client = || {
                    let mut client = ask(port, "x");
                    let mut octet = [0];
                    let answer = std::io::Read::read_exact(&mut client, &mut octet).map(|()| octet[0]);
                    answered.fetch_add(1, Ordering::Relaxed);
                    (client.local_addr().unwrap().port(), answer)
                };
                let clients: Vec<_> = (0..20).map(|_| scope.spawn(client)).collect();
                while answered.load(Ordering::Relaxed) < round {
                    std::thread::yield_now();
                }
                stop(python.pid());
                let held = held(python.pid(), port);
                python.kill();
                (clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>(), held)
            });
            for (from, answer) in answers {
                match answer {
                    Ok(b'0') => by_the_next += 1,
                    Ok(b'1') => {}
                    Err(_) if held.contains(&from) => lost += 1,
                    other => {
                        panic!("{other:?} in round {round}, and the worker did not have it\n{}", broker.log())
                    }
                }
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    println!("of 400 a killed worker had {lost}, and the next served {by_the_next}");
    assert!(by_the_next > 0, "no worker was killed with connections before it");
    drop((control, receiver));
    broker.settles_at(before);
}

#[test]
fn a_worker_that_shut_its_accept_socket_down_is_gone() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x/y")]);
    let mut next = Worker::register(&broker, &[address(port, "x")]);
    rustix::net::shutdown(&worker.receiver, rustix::net::Shutdown::Both).unwrap();
    let mut client = ask(port, "x/y");
    serve(next.accept(), &preamble(&address(port, "x/y")), b'n');
    assert_eq!(answer(&mut client), b'n');
}

#[test]
fn a_second_broker_does_not_displace_the_first() {
    let mut broker = Broker::start(&[]);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_broker"))
        .arg("--control")
        .arg(broker.control())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message.matches("already runs").count(), 1, "{message}");
    assert!(message.contains(broker.control().to_str().unwrap()), "{message}");
    ControlConnection::connect(&broker.control()).unwrap();
    assert!(broker.terminate());
    assert!(!broker.control().exists());
}

#[test]
fn a_stale_control_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let mut dead =
        std::process::Command::new(env!("CARGO_BIN_EXE_broker")).arg("--control").arg(&path).spawn().unwrap();
    eventually(|| path.exists(), || "no control socket".to_owned());
    dead.kill().unwrap();
    dead.wait().unwrap();
    assert!(path.exists());
    assert!(matches!(ControlConnection::connect(&path), Err(HandoffError::NoBroker { .. })));
    let mut living =
        std::process::Command::new(env!("CARGO_BIN_EXE_broker")).arg("--control").arg(&path).spawn().unwrap();
    eventually(|| ControlConnection::connect(&path).is_ok(), || "the stale socket stays".to_owned());
    signal(living.id(), Signal::INT);
    assert!(living.wait().unwrap().success());
    assert!(!path.exists());
}

#[test]
fn conflicts_name_the_other_side() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "calc")]);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let Err(HandoffError::Refused(refused)) = control.register(&Register::new([address(port, "CALC/")]))
    else {
        panic!("the address was registered twice")
    };
    assert_eq!(refused.reason, RefusedReason::ConflictingRegistration);
    assert_eq!(refused.address, Some(address(port, "CALC/")));
    assert!(refused.message.contains(&format!("(pid {})", std::process::id())), "{}", refused.message);
    assert!(refused.message.contains(&address(port, "calc")), "{}", refused.message);
    // The connection can still be used.
    control.register(&Register::new([address(port, "other")])).unwrap();
}

#[test]
fn connections_outlive_the_broker() {
    // The end of the broker races with the end of its registrations.
    for _ in 0..20 {
        let mut broker = Broker::start(&[]);
        let port = free_port();
        let mut worker = Worker::register(&broker, &[address(port, "x")]);
        let mut client = ask(port, "x");
        let held = worker.accept();
        let mut waiting = ask(port, "x");
        eventually(|| broker.log().matches("outcome=handed_over").count() == 2, || broker.log());
        assert!(broker.terminate());
        serve(held, &preamble(&address(port, "x")), b'h');
        assert_eq!(answer(&mut client), b'h');
        // Handed over, not yet received.
        serve(worker.accept(), &preamble(&address(port, "x")), b'w');
        assert_eq!(answer(&mut waiting), b'w');
        assert_eq!(told(&mut waiting), Told::End);
    }
}
