//! Static routes to back-ends that cannot take descriptors.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use common::{Broker, Told, address, ask, connect, eventually, fault, free_port, preamble, skip, told};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rustix::net::{AddressFamily, SocketType};

fn route(port: u16, relay: &str) -> String {
    format!("[[route]]\naddress = '{}'\nrelay = '{relay}'\n", address(port, "legacy"))
}

/// Accepts one connection, with deadlines.
fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
    stream.set_write_timeout(Some(common::PATIENCE)).unwrap();
    stream
}

#[test]
fn the_back_end_sees_the_whole_stream() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let broker = Broker::configured(&route(port, &backend.local_addr().unwrap().to_string()), &[]);
    let named = format!(
        "static route {} (strong_wildcard): relayed to {}",
        address(port, "legacy"),
        backend.local_addr().unwrap()
    );
    assert!(broker.log().contains(&named), "{}", broker.log());
    let before = broker.steady_descriptors();
    let mut client = ask(port, "legacy/x");
    client.write_all(b"more").unwrap();
    let mut stream = accept(&backend);
    let expected = [&preamble(&address(port, "legacy/x"))[..], b"more"].concat();
    let mut octets = vec![0; expected.len()];
    stream.read_exact(&mut octets).unwrap();
    assert_eq!(octets, expected);
    // The initiator ends first, and still hears the answer.
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    stream.write_all(b"answer").unwrap();
    drop(stream);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    drop(client);
    broker.settles_at(before);
    assert_eq!(told(&mut ask(port, "other")), fault("EndpointNotFound"));
}

/// The control socket comes last: whoever sees it finds the ports of the routes open.
#[test]
fn with_the_control_socket_the_ports_of_all_routes_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.toml");
    for _ in 0..20 {
        let port = free_port();
        std::fs::write(&file, route(port, "127.0.0.1:1")).unwrap();
        let command = std::process::Command::new(env!("CARGO_BIN_EXE_broker"));
        let broker = Broker::spawn(command, &["--config", file.to_str().unwrap()]);
        // Looked for without a pause.
        eventually(|| (0..100_000).any(|_| broker.control().exists()), || broker.log());
        assert_eq!(told(&mut ask(port, "other")), fault("EndpointNotFound"));
    }
}

#[test]
fn over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend");
    let backend = UnixListener::bind(&path).unwrap();
    let port = free_port();
    let broker = Broker::configured(&route(port, &format!("unix:{}", path.display())), &[]);
    let mut client = ask(port, "legacy");
    let (mut stream, _) = backend.accept().unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    // The other half still works.
    client.write_all(b"bye").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).unwrap();
    assert!(octets.ends_with(b"bye"));
    drop(broker);
}

#[test]
fn no_back_end_is_a_failed_dispatch() {
    let (nobody, port) = (free_port(), free_port());
    let broker = Broker::configured(&route(port, &format!("127.0.0.1:{nobody}")), &[]);
    let before = broker.steady_descriptors();
    for _ in 0..20 {
        assert_eq!(told(&mut ask(port, "legacy")), fault("ConnectionDispatchFailed"));
    }
    broker.settles_at(before);
}

/// In a mount namespace of its own with another `/etc/hosts`.
#[test]
fn a_name_whose_first_address_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.3 bh\n127.0.0.4 bh\n").unwrap();
    let enter = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let in_namespace = |program: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", enter]).arg(&hosts).arg(program);
        command
    };
    let resolved = in_namespace("getent").args(["ahosts", "bh"]).output();
    if !resolved.is_ok_and(|output| output.stdout.starts_with(b"127.0.0.3 ")) {
        return skip("mount namespace", "run the tests where users may make one (unshare --user --mount)");
    }
    // A listener with room for one, which is taken: whoever else connects hears nothing.
    let silent = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&silent, &SocketAddr::from(([127, 0, 0, 3], 0))).unwrap();
    rustix::net::listen(&silent, 0).unwrap();
    let at: SocketAddr = rustix::net::getsockname(&silent).unwrap().try_into().unwrap();
    let _first = TcpStream::connect(at).unwrap();
    let backend = TcpListener::bind(("127.0.0.4", at.port())).unwrap();

    let port = free_port();
    let file = folder.path().join("broker.toml");
    std::fs::write(&file, route(port, &format!("bh:{}", at.port()))).unwrap();
    let command = in_namespace(env!("CARGO_BIN_EXE_broker"));
    let broker = Broker::start_by(command, &["--config", file.to_str().unwrap()]);
    let mut client = ask(port, "legacy");
    std::thread::spawn(move || accept(&backend).write_all(b"hello"));
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello", "{}", broker.log());
}

#[test]
fn a_reset_is_passed_on() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let broker = Broker::configured(&route(port, &backend.local_addr().unwrap().to_string()), &[]);
    let before = broker.steady_descriptors();
    let mut client = ask(port, "legacy");
    let mut stream = accept(&backend);
    stream.read_exact(&mut [0; 8]).unwrap();
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
    assert_eq!(told(&mut client), Told::Reset);

    let client = ask(port, "legacy");
    let mut stream = accept(&backend);
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    let mut octets = Vec::new();
    let error = stream.read_to_end(&mut octets).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    broker.settles_at(before);
}

fn write_in_chunks(stream: &mut TcpStream, octets: &[u8], chunk: usize) {
    for part in octets.chunks(chunk) {
        stream.write_all(part).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

/// What arrives is what was sent, in any chunks, with either side ending first.
#[test]
fn octets_survive_the_relay() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let broker = Broker::configured(&route(port, &backend.local_addr().unwrap().to_string()), &[]);
    let before = broker.steady_descriptors();
    let pattern = |size: usize| (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect::<Vec<u8>>();
    let case = (0..400_000_usize, 0..400_000_usize, 1..70_000_usize, 1..70_000_usize, any::<bool>());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    runner
        .run(&case, |(there, back, chunk_there, chunk_back, initiator_first)| {
            let mut client = connect(port);
            let sent = [preamble(&address(port, "legacy")), pattern(there)].concat();
            let expected = sent.clone();
            let answer = pattern(back);
            let reading = client.try_clone().unwrap();
            let writer = std::thread::spawn(move || {
                if initiator_first {
                    write_in_chunks(&mut client, &sent, chunk_there);
                } else {
                    for part in sent.chunks(chunk_there) {
                        client.write_all(part).unwrap();
                    }
                }
                client
            });
            let mut stream = accept(&backend);
            let from_backend = stream.try_clone().unwrap();
            let answering = std::thread::spawn({
                let answer = answer.clone();
                move || {
                    let mut stream = from_backend;
                    write_in_chunks(&mut stream, &answer, chunk_back);
                }
            });
            let reader = std::thread::spawn(move || {
                let mut reading = reading;
                let mut octets = Vec::new();
                reading.read_to_end(&mut octets).unwrap();
                octets
            });
            let mut arrived = vec![0; expected.len()];
            stream.read_exact(&mut arrived).unwrap();
            prop_assert!(arrived == expected);
            prop_assert!(reader.join().unwrap() == answer);
            answering.join().unwrap();
            let client = writer.join().unwrap();
            let _ = client.shutdown(Shutdown::Write);
            prop_assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            Ok(())
        })
        .unwrap();
    broker.settles_at(before);
}

/// Whether the kernel has a keepalive timer running for a connection from one port to another.
fn is_kept_alive(from: u16, to: u16) -> bool {
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ends = format!("0100007F:{from:04X} 0100007F:{to:04X} 01 ");
    let line = connections.lines().find(|line| line.contains(&ends));
    line.unwrap_or_else(|| panic!("{ends} in {connections}"))
        .split_ascii_whitespace()
        .nth(5)
        .unwrap()
        .starts_with("02:")
}

#[test]
fn both_legs_of_a_relay_are_kept_alive_and_no_other_connection() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let broker = Broker::configured(&route(port, &backend.local_addr().unwrap().to_string()), &[]);
    let mut client = ask(port, "legacy");
    let mut stream = accept(&backend);
    stream.read_exact(&mut vec![0; preamble(&address(port, "legacy")).len()]).unwrap();
    stream.write_all(b"!").unwrap();
    assert_eq!(common::answer(&mut client), b'!');
    let (initiator, back_end) = (client.local_addr().unwrap().port(), stream.peer_addr().unwrap().port());
    // While something is unacknowledged there is another timer.
    eventually(|| is_kept_alive(port, initiator), || "the initiator's leg".to_owned());
    eventually(
        || is_kept_alive(back_end, backend.local_addr().unwrap().port()),
        || "the back-end's leg".to_owned(),
    );
    // What is handed over is left as it came.
    let mut worker = common::Worker::register(&broker, &[address(port, "own")]);
    let mut client = ask(port, "own");
    common::serve(worker.accept(), &preamble(&address(port, "own")), b'!');
    assert_eq!(common::answer(&mut client), b'!');
    drop(client);
    let mut client = ask(port, "own");
    let stream = worker.accept();
    assert!(!rustix::net::sockopt::socket_keepalive(&stream).unwrap());
    common::serve(stream, &preamble(&address(port, "own")), b'!');
    assert_eq!(common::answer(&mut client), b'!');
}

#[test]
fn a_relay_in_which_nothing_moves_ends() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let broker = Broker::configured(
        &format!("relay_idle_seconds = 2\n{}", route(port, &backend.local_addr().unwrap().to_string())),
        &[],
    );
    let before = broker.steady_descriptors();
    let mut idle = ask(port, "legacy");
    let mut idle_back_end = accept(&backend);
    let mut busy = ask(port, "legacy");
    let mut busy_back_end = accept(&backend);
    let octets = preamble(&address(port, "legacy"));
    busy_back_end.read_exact(&mut vec![0; octets.len()]).unwrap();
    idle_back_end.read_exact(&mut vec![0; octets.len()]).unwrap();
    // In one direction is enough.
    eventually(
        || {
            busy.write_all(b"x").unwrap();
            busy_back_end.read_exact(&mut [0]).unwrap();
            broker.log().contains("outcome=relay_idle")
        },
        || broker.log(),
    );
    assert_eq!(told(&mut idle), Told::End);
    assert_eq!(idle_back_end.read(&mut [0]).unwrap(), 0);
    busy_back_end.write_all(b"y").unwrap();
    assert_eq!(common::answer(&mut busy), b'y');
    drop((busy, busy_back_end));
    broker.settles_at(before);
    assert_eq!(broker.whole_log().matches("outcome=relay_idle").count(), 1, "{}", broker.log());
}

/// Each connection would become another one, until there are no more: the first that comes back is refused.
#[test]
fn routes_in_a_circle_do_not_multiply_a_connection() {
    let (one, two) = (free_port(), free_port());
    // By name: at the start nobody knows where that leads.
    let routes = [route(one, &format!("localhost:{two}")), route(two, &format!("localhost:{one}"))].concat();
    let broker = Broker::configured(&routes, &[]);
    let before = broker.steady_descriptors();
    for _ in 0..3 {
        assert_eq!(told(&mut ask(one, "legacy")), fault("ConnectionDispatchFailed"));
    }
    broker.settles_at(before);
    let log = broker.whole_log();
    assert_eq!(log.matches("connection ended").count(), 6, "{log}");
    assert_eq!(log.matches("leads back to the broker itself").count(), 1, "{log}");
}

#[test]
fn a_circle_that_can_be_seen_is_refused_at_the_start() {
    let (one, two) = (free_port(), free_port());
    let circle = [route(one, &format!("127.0.0.2:{two}")), route(two, &format!("127.0.0.1:{one}"))].concat();
    let mut cases = vec![(circle, two)];
    // By which address this machine would be seen from elsewhere, if it has one.
    let elsewhere = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    match elsewhere {
        Ok(here) => cases.push((route(one, &format!("{}:{one}", here.ip())), one)),
        Err(_) => skip("address but loopback", "the rest of the test needs none"),
    }
    for (routes, port) in cases {
        let mut broker = Broker::spawn_configured(&routes, &[]);
        assert!(!broker.ends(), "it has started");
        let log = broker.log();
        assert!(
            log.contains("its relay leads back: ") && log.contains(&format!("localhost:{port}/legacy")),
            "{log}"
        );
    }
}
