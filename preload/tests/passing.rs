//! `passing.py`, and Node's cluster: a listener that is sent to another process is one there.

mod common;

use std::process::{Command, Stdio};

use common::{Broker, Service, address, call, call_at, free_port, installed, wait_until};
use test_peers::is_root;

fn program(broker: &Broker, how: &str, port: u16) -> Option<Command> {
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.arg("python3").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/passing.py"));
    exec.args([how, &port.to_string()]);
    installed("python3").then_some(exec)
}

fn output(exec: &mut Command) -> (String, String) {
    let output = exec.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The sender has closed it then; the receiver was started without it, and has it as long as one of its descriptors is open.
#[test]
fn a_listener_that_is_sent_serves_where_it_arrives() {
    let (mut broker, port) = (Broker::start(), free_port());
    let Some(mut exec) = program(&broker, "send", port) else { return };
    let said = tempfile::NamedTempFile::new().unwrap();
    exec.stderr(said.reopen().unwrap());
    let _service = Service::start(exec);
    let answer = format!("{port} 127.0.0.1 AF_INET\n");
    assert_eq!(call(port, "a"), answer);
    broker.kill();
    broker.restart();
    wait_until("it is registered again", || {
        call_at([127, 0, 0, 1].into(), port, "a").is_ok_and(|answered| answered == answer)
    });
    let said = std::fs::read_to_string(said.path()).unwrap();
    assert_eq!(said.matches("is sent to another process, which can use it if").count(), 1, "{said}");
    assert!(said.contains("registered again"), "{said}");
}

#[test]
fn a_listener_that_comes_back_is_the_same() {
    let (broker, port) = (Broker::start(), free_port());
    let Some(exec) = program(&broker, "own", port) else { return };
    let _service = Service::start(exec);
    assert_eq!(call(port, "a"), format!("{port} 127.0.0.1 AF_INET\n"));
}

#[test]
fn a_listener_that_has_no_room_where_it_arrives_is_said() {
    let (broker, port) = (Broker::start(), free_port());
    let Some(mut exec) = program(&broker, "taken", port) else { return };
    let (result, lines) = output(&mut exec);
    assert_eq!(result, "EINVAL\n", "{lines}");
    assert!(lines.contains("a listener that another process has sent cannot be used here: "), "{lines}");
}

/// Whoever may write to a service's Unix socket is not to put descriptors in its place.
#[test]
fn what_another_user_sends_is_no_listener() {
    let (broker, port) = (Broker::start(), free_port());
    let Some(mut exec) = program(&broker, "other-user", port).filter(|_| is_root()) else { return };
    assert_eq!(output(&mut exec).0, "AF_UNIX\n");
}

/// The primary process binds, and sends the listener to its workers.
#[test]
fn node_s_cluster_without_a_schedule_serves() {
    if !installed("node") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.env("NODE_CLUSTER_SCHED_POLICY", "none").stderr(Stdio::null());
    exec.arg("node").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster.js")).arg(port.to_string());
    let _cluster = Service::start(exec);
    for _ in 0..20 {
        assert!(call(port, "a").contains("::ffff:127.0.0.1"));
    }
}
