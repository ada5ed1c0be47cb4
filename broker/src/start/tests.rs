use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use handoff::{ControlConnection, Register};

use super::*;

/// What is waited for here comes at once, or never.
const PATIENCE: Duration = Duration::from_secs(60);

async fn broker(folder: &tempfile::TempDir) -> Broker {
    let config = Config { control: Some(folder.path().join("control")), ..Config::default() };
    Broker::start(config).await.unwrap()
}

async fn failed(broker: &Broker) -> String {
    tokio::time::timeout(PATIENCE, broker.failed()).await.expect("nobody is told").to_string()
}

/// The registry waits for the loop when a port closes; it must not wait for one that is gone. The end of this test is half
/// of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_panics_is_told_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder).await;
    let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let path = broker.control_path().to_owned();
    let worker = tokio::task::spawn_blocking(move || {
        let mut control = ControlConnection::connect(&path).unwrap();
        control.register(&Register::new([format!("net.tcp://localhost:{port}/x")])).unwrap();
        control
    });
    let worker = worker.await.unwrap();
    // Parked when it happens.
    let mut initiator = TcpStream::connect(("127.0.0.1", port)).unwrap();
    initiator.write_all(b"\0").unwrap();
    while broker.counters().accepted() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    broker.shared.commands.send(Command::Panic);
    let said = failed(&broker).await;
    assert_eq!(said, "the broker cannot go on, the accept thread has ended: it panicked");
    drop(worker);
    // To send something to it is no mistake either.
    broker.shared.commands.send(Command::MakeRoom);
    broker.stop().await;
}

#[tokio::test]
async fn a_task_that_ends_is_told() {
    for (task, name) in
        ["the control socket's task", "the background task", "the log's task"].iter().enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker(&folder).await;
        broker.tasks[task].1.abort();
        assert!(failed(&broker).await.contains(&format!("{name} has ended: ")), "{name}");
        broker.stop().await;
    }
}

#[tokio::test]
async fn an_end_that_was_asked_for_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&folder).await;
    let shared = Arc::clone(&broker.shared);
    broker.stop().await;
    assert!(!shared.failures.is_failed());
}
