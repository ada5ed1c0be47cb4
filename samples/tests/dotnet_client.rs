//! Microsoft's WCF client against the calculator service: on a port of its own, and on one that two services share.

mod common;

use common::{Broker, DotNet, Process, free_port, sample};

/// Two calculator services, and the address of each.
struct Calculators {
    _broker: Option<Broker>,
    services: [Process; 2],
    addresses: [String; 2],
}

impl Calculators {
    fn on_own_ports() -> Self {
        Self::start(None, ["1", "2"].map(|number| (free_port(), number)))
    }

    fn on_one_port() -> Self {
        let port = free_port();
        Self::start(Some(Broker::start("")), ["1", "2"].map(|number| (port, number)))
    }

    fn start(broker: Option<Broker>, places: [(u16, &str); 2]) -> Self {
        let services = places.map(|(port, number)| {
            let mut command = sample("calculator-service");
            command.args(["--port", &port.to_string(), "--number", number]);
            match &broker {
                Some(broker) => command.arg("--control").arg(broker.control()),
                None => command.arg("--no-port-sharing"),
            };
            let service = Process::start(&mut command);
            service.expect("Press");
            service
        });
        let addresses =
            places.map(|(port, number)| format!("net.tcp://localhost:{port}/calculator/{number}"));
        Self { _broker: broker, services, addresses }
    }

    /// The services go on, and never had anything to say.
    fn end_well(self) {
        for service in self.services {
            service.terminate();
            let (status, lines, errors) = service.finish();
            assert!(status.success());
            assert_eq!((lines, errors), (vec![], vec![]));
        }
    }
}

/// Runs the client; its exit status and lines.
fn run(dotnet: &DotNet, address: &str, options: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut client = dotnet.client();
    client.args(["--contract", "calc", "--address", address]).args(options);
    let (status, lines, errors) = Process::start(&mut client).finish();
    assert_eq!(errors, [""; 0]);
    (status.code(), lines)
}

/// The client gets so many right answers, over so many connections.
#[track_caller]
fn answers(dotnet: &DotNet, address: &str, options: &[&str], answers: usize, connections: usize) {
    let (status, lines) = run(dotnet, address, options);
    let right = lines.iter().filter(|line| line.starts_with("ok ")).count();
    assert_eq!((status, right), (Some(0), answers), "{options:?}: {lines:#?}");
    assert_eq!(
        lines.last().unwrap(),
        &format!("DONE, tcp connects: {connections}"),
        "{options:?}: {lines:#?}"
    );
}

/// The client gets this exception of `System.ServiceModel`.
#[track_caller]
fn throws(dotnet: &DotNet, address: &str, options: &[&str], exception: &str, message: &str) {
    let (status, lines) = run(dotnet, address, options);
    let wanted = format!("EXCEPTION client: System.ServiceModel.{exception}: {message}");
    let thrown = lines.iter().find(|line| line.starts_with("EXCEPTION")).map_or("", String::as_str);
    assert!(status == Some(1) && thrown.starts_with(&wanted), "{options:?}: {lines:#?}");
}

fn every_way_of_calling(calculators: Calculators, dotnet: &DotNet) {
    let [address, other] = &calculators.addresses;
    answers(dotnet, address, &[], 4, 1);
    answers(dotnet, other, &["--encoding", "text12"], 4, 1);
    answers(dotnet, address, &["--mode", "streamed"], 4, 1);
    answers(dotnet, other, &["--mode", "streamed", "--encoding", "text12"], 4, 1);
    // four channels at once
    answers(dotnet, address, &["--channels", "4", "--parallel"], 16, 4);
    // three sessions, one after the other
    answers(dotnet, other, &["--channels", "3"], 12, 1);
    calculators.end_well();
}

#[test]
fn every_way_of_calling_a_service_on_its_own_port() {
    let Some(dotnet) = DotNet::found() else { return };
    every_way_of_calling(Calculators::on_own_ports(), &dotnet);
}

#[test]
fn every_way_of_calling_services_on_one_port() {
    let Some(dotnet) = DotNet::found() else { return };
    every_way_of_calling(Calculators::on_one_port(), &dotnet);
}

#[test]
fn two_addresses_in_turns() {
    let Some(dotnet) = DotNet::found() else { return };
    // On one port the client takes its pooled connection for the other address too, and that service gets it.
    for (calculators, connections) in [(Calculators::on_own_ports(), 2), (Calculators::on_one_port(), 1)] {
        let [first, second] = &calculators.addresses;
        answers(&dotnet, first, &["--path2", second, "--channels", "3"], 24, connections);
        calculators.end_well();
    }
}

#[test]
fn what_a_service_does_not_have() {
    let Some(dotnet) = DotNet::found() else { return };
    for calculators in [Calculators::on_own_ports(), Calculators::on_one_port()] {
        let address = &calculators.addresses[0];
        let nobody = address.replace("calculator/1", "calculator/3");
        throws(
            &dotnet,
            &nobody,
            &[],
            "EndpointNotFoundException",
            &format!("There was no endpoint listening at {nobody} that could accept the message."),
        );
        let unknown = "no operation has the action 'http://Microsoft.ServiceModel.Samples/ICalculator/Root'";
        for mode in ["buffered", "streamed"] {
            let options = ["--contract", "unknown", "--mode", mode];
            throws(&dotnet, address, &options, "ActionNotSupportedException", unknown);
        }
        for security in ["tls", "windows"] {
            let message = format!("The requested upgrade is not supported by '{address}'.");
            throws(&dotnet, address, &["--security", security], "ProtocolException", &message);
        }
        answers(&dotnet, address, &[], 4, 1);
        calculators.end_well();
    }
}
