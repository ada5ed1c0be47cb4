//! Unmodified Mono services behind the broker: by relay.

mod common;

use common::{Broker, MonoProgram, Process, RESULTS, free_port, sample};

/// A Mono service whose public address is at `public`, and the route that leads there.
fn service(calculator: &MonoProgram, binding: &str, public: u16, number: u16) -> (Process, String, String) {
    let private = free_port();
    let address = format!("net.tcp://localhost:{public}/calculator/{number}");
    let listen = format!("net.tcp://127.0.0.1:{private}/calculator/{number}");
    let process = calculator.start(["service", binding, &address, &listen]);
    let route = format!("[[route]]\naddress = \"{address}\"\nrelay = \"127.0.0.1:{private}\"\n");
    (process, address, route)
}

#[test]
fn rust_client_and_mono_service() {
    let Some(calculator) = MonoProgram::compile("calculator.cs") else { return };
    let public = free_port();
    let (service, _, route) = service(&calculator, "text", public, 4381);
    service.expect("ready");
    let _broker = Broker::start(&route);
    let client = |number: &str| {
        let mut command = sample("calculator-client");
        Process::start(command.args(["--number", number, "--port", &public.to_string()])).finish()
    };
    let (status, lines, errors) = client("4381");
    assert_eq!(lines, RESULTS, "{errors:?}");
    assert!(status.success());

    let (status, lines, errors) = client("1");
    assert_eq!(lines, [""; 0]);
    assert!(errors.concat().contains("EndpointNotFound"), "{errors:?}");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn mono_client_and_two_mono_services_on_one_port() {
    let Some(calculator) = MonoProgram::compile("calculator.cs") else { return };
    let public = free_port();
    let (first, first_address, first_route) = service(&calculator, "net-tcp", public, 1);
    let (second, second_address, second_route) = service(&calculator, "net-tcp", public, 2);
    first.expect("ready");
    second.expect("ready");
    let _broker = Broker::start(&format!("{first_route}{second_route}"));
    for address in [&first_address, &second_address] {
        let (status, lines, errors) = calculator.start(["client", "net-tcp", address]).finish();
        assert_eq!(lines, RESULTS, "{errors:?}");
        assert!(status.success());
    }
}
