//! Mono and Rust clients against Mono and Rust services that share a port: by hand-over.

mod common;

use common::{Broker, MonoProgram, Process, RESULTS, WAYS, free_port, rust_client, sample};

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
    // Each way that a client may come: the service takes what the client's preamble says.
    for (_service, address) in &services {
        for (binding, options) in WAYS {
            let (status, lines, errors) = calculator.start(["client", binding, address]).finish();
            assert_eq!(lines, RESULTS, "{binding}: {errors:?}");
            assert!(status.success());
            let number = address.rsplit('/').next().unwrap();
            let (status, lines, errors) = rust_client(&port, number, options);
            assert_eq!(lines, RESULTS, "{binding}: {errors:?}");
            assert!(status.success());
        }
    }
}

#[test]
fn both_clients_and_a_mono_service_under_exec() {
    let Some(calculator) = MonoProgram::compile("calculator.cs") else { return };
    let broker = Broker::start("");
    for (binding, options) in WAYS {
        let port = free_port().to_string();
        let address = format!("net.tcp://localhost:{port}/calculator/7");
        let service = calculator.start_sharing(&broker, &address, &["service", binding, &address, &address]);
        service.expect("ready");
        let (status, lines, errors) = rust_client(&port, "7", options);
        assert_eq!(lines, RESULTS, "{binding}: {errors:?}");
        assert!(status.success());
        let (status, lines, errors) = calculator.start(["client", binding, &address]).finish();
        assert_eq!(lines, RESULTS, "{binding}: {errors:?}");
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
    let (status, lines, _) = calculator.start(["client", "net-tcp", &unknown]).finish();
    let fault = "FaultException: http://schemas.microsoft.com/ws/2006/05/framing/faults/EndpointNotFound";
    assert_eq!(lines, [fault]);
    assert_eq!(status.code(), Some(1));
}
