//! Microsoft's WCF client against the calculator service.

mod common;

use common::{DotNet, Process, free_port, sample};

#[test]
fn calls_a_service_on_its_own_port() {
    let Some(dotnet) = DotNet::found() else { return };
    let port = free_port().to_string();
    let mut service = sample("calculator-service");
    let service = Process::start(service.args(["--port", &port, "--number", "1", "--no-port-sharing"]));
    service.expect("Press");
    let mut client = dotnet.client();
    client.args(["--address", &format!("net.tcp://localhost:{port}/calculator/1")]);
    let (status, said, errors) = Process::start(&mut client).finish();
    assert!(status.success(), "{said:#?} {errors:#?}");
}
