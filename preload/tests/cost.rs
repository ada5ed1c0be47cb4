//! Instructions per `accept` and `close` with the library and without, under callgrind; system calls of an `accept` that is shared.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Broker, address, compile, free_port, installed, preamble, programs};

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

/// As many clients, one after the other, as the program accepts.
fn clients(port: u16, count: usize) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for _ in 0..count {
            let mut client = loop {
                match TcpStream::connect(("127.0.0.1", port)) {
                    Ok(client) => break client,
                    // nobody listens yet
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            };
            if client.write_all(&preamble(&address(port, "a"))).is_ok() {
                let _ = client.read(&mut [0]);
            }
        }
    })
}

#[test]
fn a_shared_accept_costs_so_many_system_calls() {
    if !installed("strace") {
        return;
    }
    let Some(program) = compile("cost.c", &["-O2"]) else { return };
    let (broker, port, count) = (Broker::start(), free_port(), 101);
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.args(["strace", "-o"]).arg(trace.path());
    exec.arg(&program).args(["served", &count.to_string(), &port.to_string()]);
    let clients = clients(port, count);
    assert!(exec.status().unwrap().success());
    clients.join().unwrap();
    let trace = std::fs::read_to_string(trace.path()).unwrap();
    let calls: Vec<_> = trace.lines().filter_map(|line| line.split_once('(')).collect();
    // from one connection's peer address to the next
    let marks: Vec<_> = (0..calls.len()).filter(|index| calls[*index].1.contains("SO_PEERNAME")).collect();
    assert_eq!(marks.len(), count);
    let each = marks.windows(2).map(|pair| {
        let names = calls[pair[0]..pair[1]].iter().map(|(name, _)| *name);
        // whether a connection waits already is chance; a debug build of std looks at what it closes
        let always = |name: &&str| !["gettid", "getpid", "recvmsg", "recvfrom", "fcntl"].contains(name);
        (names.clone().count(), names.filter(always).collect::<Vec<_>>())
    });
    let (counts, others): (Vec<_>, Vec<_>) = each.unzip();
    println!("system calls of a shared accept, the program's close among them: {counts:?}");
    assert!(others.iter().all(|others| *others == ["getsockopt", "close", "dup3", "close"]), "{others:?}");
    // two more when it finds none at first: it receives in vain, looks whether it may wait, and waits
    assert!(counts.iter().all(|count| *count <= 16), "{counts:?}");
}

#[test]
fn a_shared_accept_costs_so_many_instructions() {
    if !installed("valgrind") {
        return;
    }
    let Some(program) = compile("cost.c", &["-O2"]) else { return };
    let broker = Broker::start();
    let [few, many] = [200, 1200].map(|count| {
        let port = free_port();
        let clients = clients(port, count);
        let exec = broker.exec(&[address(port, "a")]);
        let instructions = instructions(exec, &program, "served", count, Some(port));
        clients.join().unwrap();
        instructions
    });
    let each = (many - few) as f64 / 1000.0;
    println!("instructions of a shared accept: {each}");
    // of a debug build
    assert!(each <= 20_000.0, "{each}");
}
