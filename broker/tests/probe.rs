//! `broker probe`, as a health check runs it: against workers behind a broker, and against everything else that may have a port.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{Broker, PATIENCE, Worker, address, ask, eventually, free_port, preamble};
use framing_core::Fault;

fn probe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_broker")).arg("probe").args(arguments).output().unwrap()
}

/// The status, standard output and standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_owned()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Somebody who has a port, takes one connection and does this with it.
fn somebody<T: Send + 'static>(does: fn(TcpStream) -> T) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let via = format!("net.tcp://127.0.0.1:{}/x", listener.local_addr().unwrap().port());
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        does(stream)
    });
    (via, serving)
}

/// Through the encoding record, whatever the Via.
fn read_preamble(stream: &mut TcpStream) {
    let mut start = [0; 7];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(start[..6], *b"\0\x01\0\x01\x02\x02");
    let mut rest = vec![0; usize::from(start[6]) + 2];
    stream.read_exact(&mut rest).unwrap();
    assert!(rest.ends_with(&[3, 8]), "{rest:?}");
}

fn read(stream: &mut TcpStream) -> u8 {
    let mut octet = [0];
    stream.read_exact(&mut octet).unwrap();
    octet[0]
}

#[test]
fn a_service_behind_a_broker_is_asked_as_by_a_client_and_left_in_peace() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let via = address(port, "orders");
    let mut worker = Worker::register(&broker, std::slice::from_ref(&via));
    let expected = [preamble(&via), vec![0x0C]].concat();
    // WCF and CoreWCF answer End with End, Mono with the end of the stream.
    for answer in [&b"\x07"[..], b""] {
        let asked = via.clone();
        let probing = thread::spawn(move || probe(&[&asked]));
        let mut stream = worker.accept();
        let mut octets = vec![0; expected.len()];
        stream.read_exact(&mut octets).unwrap();
        assert_eq!(octets, expected);
        stream.write_all(&[0x0B]).unwrap();
        assert_eq!(read(&mut stream), 0x07, "the session is ended before the connection");
        stream.write_all(answer).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "no reset, and nothing more");
        let (status, out, error) = said(&probing.join().unwrap());
        assert_eq!((status, &*error), (Some(0), ""));
        let start = format!("{via}: acknowledged by 127.0.0.1:{port} in ");
        assert!(out.starts_with(&start) && out.ends_with(" ms\n"), "{out}");
    }
}

#[test]
fn what_a_broker_answers_is_named_with_what_to_do() {
    let broker = Broker::start(&["--max-pending-connections", "1"]);
    let port = free_port();
    let via = address(port, "orders");
    let _worker = Worker::register(&broker, std::slice::from_ref(&via));
    let control = broker.control();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        command.args(arguments).arg("--control").arg(&control).output().unwrap()
    };

    let other = address(port, "order");
    let (status, out, error) = said(&probe(&[&other]));
    assert_eq!((status, &*out), (Some(1), ""));
    let start = format!("broker probe: {other}: fault EndpointNotFound from 127.0.0.1:{port} after ");
    assert!(error.starts_with(&start), "{error}");
    // What it says to type says more.
    let route = format!("`broker route {other}`");
    assert!(error.contains(&route), "{error}");
    let words: Vec<&str> = route.trim_matches('`').split(' ').skip(1).collect();
    assert!(String::from_utf8(run(&words).stdout).unwrap().starts_with("EndpointNotFound\n"));

    assert!(run(&["drain", &via]).status.success());
    let (status, _, error) = said(&probe(&[&via]));
    assert_eq!(status, Some(1));
    assert!(
        error.contains(": fault EndpointUnavailable from ") && error.contains("broker undrain"),
        "{error}"
    );
    assert!(run(&["undrain", &via]).status.success());

    // One waits in the queue, one in the broker.
    let _waiting = [ask(port, "orders"), ask(port, "orders")];
    let listed = || String::from_utf8(run(&["ls"]).stdout).unwrap();
    eventually(|| listed().contains(" full "), listed);
    let (status, _, error) = said(&probe(&[&via]));
    assert_eq!(status, Some(1));
    assert!(error.contains(": fault ServerTooBusy from ") && error.contains("does not keep up"), "{error}");
}

#[test]
fn each_published_fault_is_named() {
    for fault in Fault::PUBLISHED {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let via = format!("net.tcp://127.0.0.1:{}/x", listener.local_addr().unwrap().port());
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            read_preamble(&mut stream);
            let uri = fault.uri().as_bytes();
            // CoreWCF says it twice.
            let record = [&[8, u8::try_from(uri.len()).unwrap()], uri].concat();
            stream.write_all(&[&record[..], &record[..]].concat()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_to_end(&mut Vec::new()).expect("no reset");
        });
        let (status, out, error) = said(&probe(&[&via]));
        assert_eq!((status, &*out), (Some(1), ""));
        assert!(
            error.contains(&format!("{via}: fault {} from 127.0.0.1:", fault.name().unwrap())),
            "{error}"
        );
        assert_eq!(error.lines().next_back().map(|line| line.starts_with("  ")), Some(true), "{error}");
        serving.join().unwrap();
    }
}

#[test]
fn whoever_is_no_service_is_told_from_one() {
    type Does = fn(TcpStream);
    let cases: [(Does, &str, &str); 5] = [
        (
            |mut stream| {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
                stream.read_to_end(&mut Vec::new()).unwrap();
            },
            "is no net.tcp service: expected PreambleAck or Fault, got 0x48 (the peer seems to speak HTTP); it sent \"HTTP/1.1 400 ",
            "Another program has this port",
        ),
        (
            |mut stream| {
                stream.write_all(b"\x1b[2J\x07").unwrap();
                stream.read_to_end(&mut Vec::new()).unwrap();
            },
            "it sent \"\\x1b[2J\\x07\"",
            "Another program has this port",
        ),
        (
            |mut stream| {
                read_preamble(&mut stream);
                assert_eq!(read(&mut stream), 0x0C);
            },
            ": closed by 127.0.0.1:",
            "--upgrade ssl-tls",
        ),
        (
            |mut stream| {
                read_preamble(&mut stream);
                // With an octet unread a close is a reset.
            },
            ": reset by 127.0.0.1:",
            "--upgrade ssl-tls",
        ),
        (
            |mut stream| {
                stream.write_all(b"\x08").unwrap();
                stream.read_to_end(&mut Vec::new()).unwrap();
            },
            ": no answer from 127.0.0.1:",
            "The port is open",
        ),
    ];
    for (does, what, means) in cases {
        let (via, serving) = somebody(does);
        let (status, out, error) = said(&probe(&["--timeout", "2", &via]));
        assert_eq!((status, &*out), (Some(1), ""), "{error}");
        let mut lines = error.lines();
        assert!(lines.next().is_some_and(|line| line.contains(what)), "{what}: {error}");
        assert!(lines.next().is_some_and(|line| line.contains(means)), "{means}: {error}");
        assert!(!error.contains('\u{1b}'));
        serving.join().unwrap();
    }
}

#[test]
fn nobody_reached_is_another_status() {
    let nobody = address(free_port(), "x");
    let (status, out, error) = said(&probe(&[&nobody]));
    assert_eq!((status, &*out), (Some(3), ""));
    assert!(error.contains(": not reached: ") && error.contains("Connection refused"), "{error}");
    assert!(error.contains("\n  The machine is there, and nobody listens on that port"), "{error}");

    // The kernel drops what asks for a place in a queue that is full.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&deaf, 0).unwrap();
    let peer = deaf.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&peer, Duration::from_millis(500)) {
        waiting.push(stream);
    }
    let (status, _, error) = said(&probe(&["--timeout", "0.5", &format!("net.tcp://{peer}/x")]));
    assert_eq!(status, Some(3));
    assert!(error.contains(&format!("not reached: {peer} does not answer\n  Nothing came back")), "{error}");

    let (status, _, error) = said(&probe(&["net.tcp://name.invalid/x"]));
    assert_eq!(status, Some(3));
    assert!(error.contains(": not reached: ") && error.contains("DNS"), "{error}");
}

#[test]
fn an_upgrade_is_asked_for_and_not_begun() {
    let (via, serving) = somebody(|mut stream| {
        read_preamble(&mut stream);
        let mut request = [0; 23];
        stream.read_exact(&mut request).unwrap();
        assert_eq!(request, *b"\x09\x15application/negotiate");
        stream.write_all(&[0x0A]).unwrap();
        stream.read(&mut [0]).unwrap()
    });
    let (status, out, error) = said(&probe(&["--upgrade", "negotiate", &via]));
    assert_eq!((status, &*error), (Some(0), ""));
    assert!(out.starts_with(&format!("{via}: application/negotiate accepted by 127.0.0.1:")), "{out}");
    assert_eq!(serving.join().unwrap(), 0, "the end of the stream, nothing before");
}

/// It has looked at no more than the preamble, and takes the session as it is.
#[test]
fn a_service_without_security_is_no_other_program() {
    for upgrade in ["ssl-tls", "negotiate"] {
        let (via, serving) = somebody(|mut stream| {
            read_preamble(&mut stream);
            assert_eq!(read(&mut stream), 0x09);
            stream.write_all(&[0x0B]).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        });
        let (status, out, error) = said(&probe(&["--upgrade", upgrade, &via]));
        assert_eq!((status, &*out), (Some(4), ""), "{error}");
        let start = format!("broker probe: {via}: acknowledged without application/{upgrade} by 127.0.0.1:");
        assert!(
            error.starts_with(&start) && error.contains("\n  The service is there and has no security"),
            "{error}"
        );
        serving.join().unwrap();
    }
}

/// A session that is acknowledged is a sign of life, whatever comes of its end.
#[test]
fn an_end_that_is_not_answered_is_said() {
    let (via, serving) = somebody(|mut stream| {
        read_preamble(&mut stream);
        assert_eq!(read(&mut stream), 0x0C);
        // And what nobody asked for.
        stream.write_all(b"\x0B\x06\x02hi").unwrap();
        assert_eq!(read(&mut stream), 0x07);
        stream.read(&mut [0]).unwrap()
    });
    let (status, out, error) = said(&probe(&["--timeout", "1", &via]));
    assert_eq!((status, &*error), (Some(0), ""));
    assert!(out.contains(": acknowledged by ") && out.ends_with("; its End did not come\n"), "{out}");
    assert_eq!(serving.join().unwrap(), 0);
}

#[test]
fn what_is_no_address_is_wrong_use() {
    for (wrong, why) in [
        ("orders", "the URI has no valid scheme; write net.tcp://HOST:PORT/PATH"),
        ("http://h:808/x", "it is no net.tcp address; write net.tcp://HOST:PORT/PATH"),
        ("net.tcp://h:0/x", "nobody can be reached at port 0"),
        ("net.tcp://user@h/x", "user information"),
    ] {
        let (status, out, error) = said(&probe(&[wrong]));
        assert_eq!((status, &*out), (Some(2), ""));
        assert!(error.contains(why), "{error}");
    }
    for wrong in ["0", "-1", "NaN", "1e9", "soon"] {
        let (status, _, error) = said(&probe(&["--timeout", wrong, "net.tcp://h/"]));
        assert_eq!(status, Some(2));
        assert!(error.contains("it must be seconds, from 0.001 to 3600") || wrong == "-1", "{error}");
    }
}
