//! What a broker says of itself, to whoever may ask: figures, and what went wrong lately.

mod common;

use std::io::Write;
use std::net::Shutdown;

use common::{
    Broker, Worker, address, answer, ask, connect, eventually, fault, free_port, preamble, serve, told,
};
use handoff::administration::Status;
use handoff::{ControlConnection, RefusedReason, Register};

fn status(broker: &Broker) -> Status {
    ControlConnection::connect_as_administrator(&broker.control()).unwrap().status().unwrap()
}

/// Asks for a Via, and is told that nobody has it.
fn finds_nobody(port: u16, via: &[u8]) {
    let mut client = connect(port);
    let size = u8::try_from(via.len()).ok().filter(|size| *size < 0x80).expect("a short Via");
    client.write_all(&[b"\0\x01\0\x01\x02\x02", &[size][..], via, b"\x03\x08"].concat()).unwrap();
    assert_eq!(told(&mut client), fault("EndpointNotFound"));
}

#[test]
fn figures_listeners_and_the_file() {
    let broker = Broker::configured("receive_timeout_seconds = 20\n", &[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "orders")]);
    let mut client = ask(port, "orders");
    serve(worker.accept(), &preamble(&address(port, "orders")), b'o');
    assert_eq!(answer(&mut client), b'o');
    let silent = connect(port);
    (&silent).write_all(b"\0").unwrap();
    eventually(|| status(&broker).accepted == 2, || broker.log());
    let status = status(&broker);
    assert_eq!((status.pid, status.version.as_str()), (broker.pid(), env!("CARGO_PKG_VERSION")));
    assert!(status.started > 1_700_000_000 && status.last_reload.is_none(), "{status:?}");
    assert!(status.configuration.as_ref().is_some_and(|file| file.starts_with('/')), "{status:?}");
    assert_eq!((status.here, status.ended("handed_over"), status.ended("relayed")), (1, 1, 0));
    assert_eq!(
        status.outcomes.values().sum::<u64>() + status.here,
        status.accepted + status.taken_back + status.returned
    );
    assert_eq!(status.holders, 1);
    assert!(status.listeners.iter().any(|listener| listener.address.port() == port), "{status:?}");
    assert_eq!(status.listeners.len() as u64, status.listening);
    let totals = &status.totals;
    assert!(totals.descriptors.most >= 64 && totals.relays.now == Some(0), "{totals:?}");
    assert!(totals.descriptors.now.is_none_or(|now| now > 5 && now < totals.descriptors.most), "{totals:?}");
    drop((worker, silent));
    eventually(|| self::status(&broker).listeners.is_empty(), || broker.log());
}

/// What a .NET developer needs who gets EndpointNotFound.
#[test]
fn vias_that_matched_nothing_with_the_likely_mistake() {
    let broker = Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "orders")]);
    let wrong = address(port, "oders");
    for _ in 0..3 {
        finds_nobody(port, wrong.as_bytes());
    }
    finds_nobody(port, b"net.tcp://h/\x1b[31m<b>\xff");
    finds_nobody(port, b"nowhere");
    let status = status(&broker);
    let [uri, hostile, typo] = &status.unmatched[..] else { panic!("{status:?}") };
    assert_eq!((typo.via.as_str(), typo.count), (wrong.as_str(), 3));
    assert_eq!(typo.peer, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(typo.local.map(|local| local.port()), Some(port));
    assert_eq!(typo.reason, "no registered address is a prefix of the Via");
    let nearest = typo.nearest.as_ref().unwrap();
    assert_eq!(
        (nearest.address.as_str(), nearest.difference.as_str()),
        (address(port, "orders").as_str(), "another path: /oders instead of /orders")
    );
    assert_eq!(hostile.via, "net.tcp://h/\u{fffd}[31m<b>\u{fffd}");
    assert_eq!((uri.via.as_str(), uri.reason.as_str()), ("nowhere", "the URI has no valid scheme"));

    // However many there are, the last twenty are kept; and what each says fits one message.
    for n in 0..30 {
        let mut client = connect(port);
        client.write_all(&preamble(&address(port, &format!("{n}/{}", "\"".repeat(1900))))).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(told(&mut client), fault("EndpointNotFound"));
    }
    let status = self::status(&broker);
    assert_eq!(status.unmatched.len(), Status::KEPT);
    assert!(status.unmatched[0].via.starts_with(&address(port, "29/")), "{:?}", status.unmatched[0]);
    assert!(status.unmatched.iter().all(|entry| entry.via.len() == 256), "{status:?}");
    drop(worker);
}

#[test]
fn refused_registrations_with_who_and_why() {
    let broker = Broker::start(&["--max-addresses-per-registration", "2"]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "orders")]);
    let mut other = ControlConnection::connect(&broker.control()).unwrap();
    for _ in 0..2 {
        other.register(&Register::new([address(port, "orders")])).unwrap_err();
    }
    other.register(&Register::new(["http://localhost/x"])).unwrap_err();
    other.register(&Register::new([1, 2, 3].map(|n| address(port, &n.to_string())))).unwrap_err();
    // No registration.
    let mut administrator = ControlConnection::connect_as_administrator(&broker.control()).unwrap();
    administrator.drain(&handoff::administration::Which::Id(99)).unwrap_err();
    let status = administrator.status().unwrap();
    let [many, scheme, conflict] = &status.refused[..] else { panic!("{status:?}") };
    assert_eq!(conflict.count, 2);
    assert_eq!(conflict.reason, Some(RefusedReason::ConflictingRegistration));
    assert_eq!((conflict.pid, conflict.uid), (Some(std::process::id()), rustix::process::getuid().as_raw()));
    assert_eq!(conflict.address, Some(address(port, "orders")));
    assert!(conflict.message.contains("is already registered by"), "{conflict:?}");
    assert_eq!(
        conflict.nearest.as_ref().map(|nearest| nearest.address.clone()),
        Some(address(port, "orders"))
    );
    assert_eq!((scheme.reason, scheme.count), (Some(RefusedReason::ProtocolUnsupported), 1));
    assert_eq!(many.address, Some(address(port, "1")), "the first of those that were asked for");
    assert!(many.message.contains("max_addresses_per_registration"), "{many:?}");
    drop(worker);
}
