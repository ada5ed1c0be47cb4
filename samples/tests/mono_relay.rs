//! Unmodified Mono services behind the broker: by relay.

mod common;

use common::{Broker, MonoProgram, Process, WAYS, free_port, rust_client, sample};

/// A Mono service whose public address is at `public`, and the route that leads there.
fn service(calculator: &MonoProgram, binding: &str, public: u16, number: u16) -> (Process, String) {
    let private = free_port();
    let address = format!("net.tcp://localhost:{public}/calculator/{number}");
    let listen = format!("net.tcp://127.0.0.1:{private}/calculator/{number}");
    let process = calculator.start(["service", binding, &address, &listen]);
    let route = format!("[[route]]\naddress = \"{address}\"\nrelay = \"127.0.0.1:{private}\"\n");
    (process, route)
}

#[test]
fn both_clients_and_two_mono_services_on_one_port() {
    let Some(calculator) = MonoProgram::compile("calculator.cs") else { return };
    for way in WAYS {
        let public = free_port();
        let (first, first_route) = service(&calculator, way.0, public, 1);
        let (second, second_route) = service(&calculator, way.0, public, 2);
        first.expect("ready");
        second.expect("ready");
        let _broker = Broker::start(&format!("{first_route}{second_route}"));
        for number in ["1", "2"] {
            calculator.both_clients_call(&public.to_string(), number, way);
        }
    }
}

#[test]
fn both_clients_and_a_rust_service_behind_a_relay() {
    let Some(calculator) = MonoProgram::compile("calculator.cs") else { return };
    let (public, private) = (free_port(), free_port());
    let mut command = sample("calculator-service");
    command.args([
        "--no-port-sharing",
        "--host",
        "127.0.0.1",
        "--number",
        "7",
        "--port",
        &private.to_string(),
    ]);
    let service = Process::start(&mut command);
    service.expect("Press");
    let address = format!("net.tcp://localhost:{public}/calculator/7");
    let route = format!("[[route]]\naddress = \"{address}\"\nrelay = \"127.0.0.1:{private}\"\n");
    let _broker = Broker::start(&route);
    for way in WAYS {
        calculator.both_clients_call(&public.to_string(), "7", way);
    }
}

#[test]
fn rust_client_learns_that_nobody_is_there() {
    let public = free_port();
    let _broker = Broker::start(&format!(
        "[[route]]\naddress = \"net.tcp://localhost:{public}/calculator/4381\"\nrelay = \"127.0.0.1:1\"\n"
    ));
    let (status, lines, errors) = rust_client(&public.to_string(), "1", &[]);
    assert_eq!(lines, [""; 0]);
    assert!(errors.concat().contains("EndpointNotFound"), "{errors:?}");
    assert_eq!(status.code(), Some(1));
}
