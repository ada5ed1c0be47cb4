//! `broker probe` against unmodified services under `broker exec`: they answer, and have nothing to log.

mod common;

use std::process::{Command, Output};

use common::{Broker, DotNet, Service, address, free_port, programs};
use test_peers::{Mono, Process};

fn probe(options: &[&str], address: &str) -> Output {
    Command::new(programs().join("broker")).arg("probe").args(options).arg(address).output().unwrap()
}

#[track_caller]
fn acknowledged(options: &[&str], address: &str) {
    let output = probe(options, address);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("did not come"), "{output:?}");
}

/// A session without an envelope, then nothing: no exception, no reset.
fn a_dotnet_server_sees_sessions_that_end(kind: &str) {
    let Some(dotnet) = DotNet::found() else { return };
    let (broker, port) = (Broker::start(), free_port());
    let via = address(port, kind);
    let mut program = dotnet.server(kind);
    program.args(["--port", &port.to_string()]);
    let server = Process::start(&mut broker.exec_command(std::slice::from_ref(&via), &program));
    server.expect("READY");
    for _ in 0..5 {
        acknowledged(&[], &via);
    }
    let session = format!(" via {via}: 0 envelopes");
    for _ in 0..5 {
        let line = server.line().unwrap();
        assert!(line.starts_with("session of ") && line.ends_with(&session), "{line}");
    }
    acknowledged(&["--upgrade", "ssl-tls"], &via);
    acknowledged(&["--upgrade", "negotiate"], &via);
    acknowledged(&[], &via);
    server.terminate();
    let (_, lines, errors) = server.finish();
    // What asking for an upgrade costs a service; asking for none, nothing.
    let broke = |line: &&String| line.starts_with("connection of ") && line.contains(" broke: ");
    let sessions = lines.iter().filter(|line| line.ends_with(&session)).count();
    assert_eq!((lines.iter().filter(broke).count() <= 2, sessions), (true, 1), "{lines:#?}");
    assert!(!errors.iter().any(|line| line.contains("xception")), "{errors:#?}");
}

#[test]
fn kestrel() {
    a_dotnet_server_sees_sessions_that_end("kestrel");
}

#[test]
fn eventargs() {
    a_dotnet_server_sees_sessions_that_end("eventargs");
}

/// A Mono service that reads half a preamble serves nobody else.
#[test]
fn a_service_of_mono_serves_on() {
    let Some(orders) = Mono::compile(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/orders.cs")) else { return };
    let (broker, port) = (Broker::start(), free_port());
    let via = format!("net.tcp://localhost:{port}/orders");
    let mut program = orders.command();
    program.args(["service", "buffered", "orders", &via]);
    let service = Service::start(broker.exec_command(std::slice::from_ref(&via), &program));
    assert_eq!(service.first_line, "ready\n");
    for _ in 0..5 {
        acknowledged(&[], &via);
        let client = orders.command().args(["client", "buffered", &via]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&client.stdout), "orders: 3 apples\norders: 4 pears\n");
    }
}
