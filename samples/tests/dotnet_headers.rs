//! Headers, typed faults and refusals, as Microsoft's WCF client sees them.

mod common;

use common::{DotNet, Process, Shop, free_port, serve};
use message_encoding::Quotas;

#[test]
fn the_client_gets_what_the_service_means() {
    let Some(dotnet) = DotNet::found() else { return };
    let address = format!("net.tcp://localhost:{}/shop", free_port());
    let _service = serve(&address, Quotas::DEFAULT, Shop);
    for way in [
        &["--encoding", "binary"][..],
        &["--encoding", "text12"],
        &["--encoding", "text11"],
        &["--mode", "streamed"],
    ] {
        let mut client = dotnet.client();
        client.args(["--address", &address, "--contract", "shop"]).args(way);
        let (status, said, errors) = Process::start(&mut client).finish();
        assert!(status.success(), "{way:?}: {said:#?} {errors:#?}");
    }
}
