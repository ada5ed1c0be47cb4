//! Instructions per `accept` and `close` of sockets that are not shared, with the library and without, under callgrind.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Broker, address, compile, free_port, installed, programs};

/// Instructions of a run.
fn instructions(mut command: Command, program: &Path, mode: &str, count: usize, port: Option<u16>) -> i64 {
    command.args(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    command.args([mode, &count.to_string()]).args(port.map(|port| port.to_string()));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let collected =
        text.lines().find_map(|line| line.split("Collected : ").nth(1)).expect("callgrind's total");
    collected.trim().parse().unwrap()
}

/// Instructions per call: the difference of two runs, so that starting does not count.
fn per_call(command: impl Fn() -> Command, program: &Path, mode: &str, port: Option<u16>) -> f64 {
    let [few, many] = [200, 1200].map(|count| instructions(command(), program, mode, count, port));
    (many - few) as f64 / 1000.0
}

#[test]
fn other_sockets_cost_one_look_up() {
    if !installed("valgrind") {
        return;
    }
    let Some(program) = compile("cost.c", &["-O2"]) else { return };
    let broker = Broker::start();
    let library = programs().join("libnet_tcp_port_sharing.so");
    for mode in ["accept", "close"] {
        let without = per_call(|| Command::new("env"), &program, mode, None);
        let unused = || {
            let mut env = Command::new("env");
            env.arg(format!("LD_PRELOAD={}", library.display()));
            env
        };
        let unused = per_call(unused, &program, mode, None);
        let port = free_port();
        let sharing = per_call(|| broker.exec(&[address(port, "a")]), &program, mode, Some(port));
        println!(
            "{mode}: {without} instructions without the library, {unused} with it, {sharing} beside a shared port"
        );
        // `accept` is counted with the `socket` and `connect` of its client, which are looked up, too
        let bound = if mode == "accept" { 90.0 } else { 30.0 };
        assert!(unused - without <= bound && sharing - without <= bound);
    }
}
