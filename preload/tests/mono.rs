//! Unmodified Mono services with the default binding, which share a port without knowing it.

mod common;

use std::sync::OnceLock;

use common::{Broker, Service, free_port, wait_until};
use test_peers::Mono;

/// `None`, with a line that says so, without Mono.
fn orders() -> Option<&'static Mono> {
    static PROGRAM: OnceLock<Option<Mono>> = OnceLock::new();
    PROGRAM.get_or_init(|| Mono::compile(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/orders.cs"))).as_ref()
}

fn service(broker: &Broker, kind: &str, name: &str, address: &str) -> Service {
    let mut program = orders().unwrap().command();
    program.args(["service", kind, name, address]);
    Service::start(broker.exec_command(&[address.into()], &program))
}

fn client(kind: &str, address: &str) -> String {
    let output = orders().unwrap().command().args(["client", kind, address]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn two_services_share_a_port_and_a_third_finds_its_address_taken() {
    if orders().is_none() {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let address = |name: &str| format!("net.tcp://localhost:{port}/{name}");
    let mut first = service(&broker, "buffered", "one", &address("one"));
    let second = service(&broker, "buffered", "two", &address("two"));
    assert_eq!([&first.first_line, &second.first_line], ["ready\n"; 2]);
    let right = |name: &str| format!("{name}: 3 apples\n{name}: 4 pears\n");
    for name in ["one", "two", "one"] {
        assert_eq!(client("buffered", &address(name)), right(name));
    }
    let third = service(&broker, "buffered", "three", &address("one"));
    // Mono lets the socket's exception through; .NET makes AddressAlreadyInUseException of it
    assert!(third.first_line.starts_with("SocketException AddressAlreadyInUse:"), "{}", third.first_line);

    first.kill();
    let unknown = client("buffered", &address("one"));
    assert!(unknown.contains("EndpointNotFound"), "{unknown}");
    assert_eq!(client("buffered", &address("two")), right("two"));
    let _again = service(&broker, "buffered", "again", &address("one"));
    assert_eq!(client("buffered", &address("one")), right("again"));
}

#[test]
fn streams_and_callbacks_cross() {
    if orders().is_none() {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let address = |name: &str| format!("net.tcp://localhost:{port}/{name}");
    let _streamed = service(&broker, "streamed", "documents", &address("documents"));
    let _callback = service(&broker, "callback", "work", &address("work"));
    assert_eq!(client("callback", &address("work")), "work did it\n");
    assert_eq!(client("streamed", &address("documents")), "200000 octets, 200000 right\n");
}

#[test]
fn a_service_outlives_the_broker() {
    if orders().is_none() {
        return;
    }
    let mut broker = Broker::start();
    let port = free_port();
    let address = format!("net.tcp://localhost:{port}/a");
    let service = service(&broker, "buffered", "a", &address);
    assert_eq!(client("buffered", &address), "a: 3 apples\na: 4 pears\n");
    broker.kill();
    // Mono's own threads wake now and then
    service.rests(5);
    broker.restart();
    wait_until("it is registered again", || common::call_at([127, 0, 0, 1].into(), port, "unknown").is_ok());
    assert_eq!(client("buffered", &address), "a: 3 apples\na: 4 pears\n");
}
