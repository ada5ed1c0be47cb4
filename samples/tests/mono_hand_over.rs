//! A Mono client against the Rust calculator service, whose port is shared: by hand-over.

mod common;

use common::{Broker, MonoProgram, Process, RESULTS, free_port, sample};

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
        (service, address)
    });
    for (_service, address) in &services {
        let (status, lines, errors) = calculator.start(["client", "text", address]).finish();
        assert_eq!(lines, RESULTS, "{errors:?}");
        assert!(status.success());
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
    let (status, lines, _) = calculator.start(["client", "text", &unknown]).finish();
    let fault = "FaultException: http://schemas.microsoft.com/ws/2006/05/framing/faults/EndpointNotFound";
    assert_eq!(lines, [fault]);
    assert_eq!(status.code(), Some(1));
}
