//! Static routes to back-ends that cannot take descriptors.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use common::{Broker, Told, address, ask, connect, eventually, fault, free_port, preamble, told};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

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
