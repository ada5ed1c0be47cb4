//! The examples that show how a service and a client are written: against each other, and against Microsoft's client.

#![allow(dead_code, reason = "the examples' main functions")]

mod common;
#[path = "../examples/echo_client.rs"]
mod echo_client;
#[path = "../examples/echo_service.rs"]
mod echo_service;

use common::{DotNet, Process, free_port};
use tokio::runtime::Runtime;
use transport::Listener;

/// The service, as long as the runtime lasts, and its address.
fn service() -> (Runtime, String) {
    let address = format!("net.tcp://localhost:{}/echo", free_port());
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(Listener::bind(echo_service::options(&address))).unwrap();
    runtime.spawn(echo_service::accept(listener));
    (runtime, address)
}

#[test]
fn the_client_calls_the_service() {
    let (runtime, address) = service();
    let texts = ["hello", "grüß dich", "", "hello"].map(String::from);
    let replies = runtime.block_on(echo_client::echo(&address, &texts)).unwrap();
    assert_eq!(replies, texts);
    let nowhere = runtime.block_on(echo_client::echo(&format!("{address}er"), &texts)).unwrap_err();
    assert!(nowhere.to_string().contains("EndpointNotFound"), "{nowhere}");
}

#[test]
fn microsofts_client_calls_the_service() {
    let Some(dotnet) = DotNet::found() else { return };
    let (_runtime, address) = service();
    for options in [&[][..], &["--mode", "streamed"], &["--encoding", "text12"]] {
        let mut client = dotnet.client();
        client.args(["--contract", "echo", "--address", &address]).args(options);
        let (status, lines, errors) = Process::start(&mut client).finish();
        assert!(status.success(), "{options:?} {lines:?} {errors:?}");
        assert!(lines.iter().any(|line| line.contains("Blob(100000) reversed")), "{lines:?}");
    }
}
