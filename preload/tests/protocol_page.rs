//! The worker on the protocol's page, against the broker.

mod common;

use std::io::BufRead;
use std::process::Command;

use common::{Broker, Service, address, call, call_at, free_port, installed, preamble, wait_until};

#[test]
fn the_worker_in_python_serves_and_registers_again() {
    if !installed("python3") {
        return;
    }
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../handoff/PROTOCOL.md")).unwrap();
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut broker = Broker::start();
    let port = free_port();
    let address = address(port, "page");
    let mut python = Command::new("python3");
    python.args(["-c", program, &address]).env("NET_TCP_PORT_SHARING_CONTROL", broker.control());
    let mut service = Service::start(python);
    assert_eq!(service.first_line, "registered\n");
    let expected = format!("{} octets", preamble(&address).len());
    for _ in 0..5 {
        assert_eq!(call(port, "page"), expected);
    }
    broker.kill();
    let mut line = String::new();
    service.lines.read_line(&mut line).unwrap();
    assert!(line.starts_with("not registered: "), "{line}");
    broker.restart();
    wait_until("it is registered again", || call_at([127, 0, 0, 1].into(), port, "page").is_ok());
    assert_eq!(call(port, "page"), expected);
}
