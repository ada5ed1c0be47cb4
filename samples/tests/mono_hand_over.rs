//! Mono and Rust clients against Mono and Rust services that share a port: by hand-over.

mod common;

use common::{Broker, MonoProgram, Process, WAYS, free_port, sample};

#[test]
fn mono_client_and_rust_services_on_one_port() {
    let Some(calculator) = MonoProgram::compile("calculator.cs") else { return };
    let broker = Broker::start("");
    let port = free_port().to_string();
    let services = ["4381", "977"].map(|number| {
        let mut command = sample("calculator-service");
        command.args(["--port", &port, "--number", number, "--control"]).arg(broker.control());
        let service = Process::start(&mut command);
        let address = format!("net.tcp://localhost:{port}/calculator/{number}");
        assert_eq!(service.expect("Service"), format!("Service #{number} listening on {address}."));
        (service, number)
    });
    // Each way that a client may come: the service takes what the client's preamble says.
    for (_service, number) in &services {
        WAYS.iter().for_each(|way| calculator.both_clients_call(&port, number, *way));
    }
}

#[test]
fn both_clients_and_a_mono_service_under_exec() {
    let Some(calculator) = MonoProgram::compile("calculator.cs") else { return };
    let broker = Broker::start("");
    for way in WAYS {
        let port = free_port().to_string();
        let address = format!("net.tcp://localhost:{port}/calculator/7");
        let service = calculator.start_sharing(&broker, &address, &["service", way.0, &address, &address]);
        service.expect("ready");
        calculator.both_clients_call(&port, "7", way);
    }
}

#[test]
fn mono_client_learns_that_nobody_is_there() {
    let Some(calculator) = MonoProgram::compile("calculator.cs") else { return };
    let broker = Broker::start("");
    let port = free_port().to_string();
    let mut command = sample("calculator-service");
    command.args(["--port", &port, "--number", "4381", "--control"]).arg(broker.control());
    let service = Process::start(&mut command);
    service.expect("Service");
    let unknown = format!("net.tcp://localhost:{port}/calculator/1");
    let (status, lines, _) = calculator.start(["client", "net-tcp", &unknown]).finish();
    let fault = "FaultException: http://schemas.microsoft.com/ws/2006/05/framing/faults/EndpointNotFound";
    assert_eq!(lines, [fault]);
    assert_eq!(status.code(), Some(1));
}
