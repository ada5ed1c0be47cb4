//! The broker dies, and services that share a port through it go on, and say so.

mod common;

use common::{Broker, Process, RESULTS, free_port, sample};

/// What a service says of an outage.
const OUTAGE: [&str; 2] = [
    "calculator-service: the port sharing broker is gone, or has ended the registration: waits to register again",
    "calculator-service: registered again with the port sharing broker",
];

#[test]
fn services_survive_their_broker() {
    let mut broker = Broker::start("");
    let port = free_port().to_string();
    let mut services = ["1", "2"].map(|number| {
        let mut command = sample("calculator-service");
        command.args(["--port", &port, "--number", number, "--control"]).arg(broker.control());
        let service = Process::start(&mut command);
        service.expect("Press");
        service
    });
    let call = |number: &str| {
        let mut command = sample("calculator-client");
        Process::start(command.args(["--port", &port, "--number", number])).finish().1
    };
    for _ in 0..2 {
        assert_eq!(
            (call("1"), call("2")),
            (RESULTS.map(String::from).to_vec(), RESULTS.map(String::from).to_vec())
        );
        broker.kill_and_restart();
        for service in &services {
            let said = [service.error_line(), service.error_line()].map(Option::unwrap);
            assert_eq!(said, OUTAGE);
        }
        assert_eq!(
            (call("1"), call("2")),
            (RESULTS.map(String::from).to_vec(), RESULTS.map(String::from).to_vec())
        );
    }
    for service in &mut services {
        assert!(service.is_running());
    }
    for service in services {
        service.terminate();
        let (status, _, errors) = service.finish();
        assert!(status.success());
        assert_eq!(errors, [""; 0], "it has said everything");
    }
}
