//! `outage.c`: a blocking `accept` while the broker is gone does what one does to which nobody connects.

mod common;

use std::io::{Read, Write};
use std::process::Command;

use common::{Broker, LONG, address, call, call_at, compile, free_port, preamble, rests, wait_until};
use test_peers::Process;

struct Outage {
    broker: Broker,
    program: Process,
    port: u16,
}

impl Outage {
    /// Handlers of signals are installed with `SA_RESTART` or without, and the listener has this SO_RCVTIMEO in milliseconds.
    fn begin(flags: &str, timeout: u32) -> Option<Self> {
        Self::begin_with("accept", flags, timeout)
    }

    fn begin_with(accept: &str, flags: &str, timeout: u32) -> Option<Self> {
        let file = compile("outage.c", &[])?;
        let mut broker = Broker::start();
        let port = free_port();
        let mut exec = broker.exec(&[address(port, "a")]);
        let mut program =
            Process::start(exec.arg(&file).args([&port.to_string(), flags, &timeout.to_string()]));
        program.expect("listening");
        broker.kill();
        program.enter(&format!("{accept}\n"));
        let outage = Self { broker, program, port };
        outage.is_gone();
        Some(outage)
    }

    fn is_gone(&self) {
        while !self.program.error_line().unwrap().contains("the broker is gone") {}
    }

    fn tell(&mut self, what: &str) {
        self.program.enter(&format!("{what}\n"));
    }

    #[track_caller]
    fn says(&self, expected: &str) {
        assert_eq!(self.program.line().as_deref(), Some(expected));
    }

    fn waits(&self) {
        rests(self.program.id(), 2);
    }

    /// How often the thread that registers has slept; none when it has ended.
    fn attempts(&self) -> Option<u64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.program.id())).unwrap();
        let mut statuses =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
        let status = statuses.find(|status| status.starts_with("Name:\tport sharing\n"))?;
        let slept = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        slept.unwrap().trim().parse().ok()
    }

    fn is_served(&self) {
        wait_until("it is registered again", || {
            call_at([127, 0, 0, 1].into(), self.port, "a").is_ok_and(|answer| answer == "served\n")
        });
        self.says("accepted");
    }

    /// A signal ends the wait, and the program accepts anew.
    fn is_interrupted_and_served(&mut self) {
        self.waits();
        self.tell("signal");
        self.says("signal");
        self.says("EINTR");
        self.tell("accept");
        self.broker.restart();
        self.is_served();
    }
}

#[test]
fn a_signal_whose_handler_restarts_is_not_seen() {
    let Some(mut outage) = Outage::begin("restart", 0) else { return };
    outage.waits();
    for _ in 0..20 {
        outage.tell("signal");
        outage.says("signal");
    }
    outage.broker.restart();
    outage.is_served();
}

#[test]
fn a_signal_whose_handler_does_not_restart_is_eintr() {
    let Some(mut outage) = Outage::begin("interrupt", 0) else { return };
    outage.is_interrupted_and_served();
}

/// Linux never restarts a call that has a timeout.
#[test]
fn with_a_receive_timeout_every_signal_is_eintr() {
    for flags in ["restart", "interrupt"] {
        let Some(mut outage) = Outage::begin(flags, 60_000) else { return };
        outage.is_interrupted_and_served();
    }
}

#[test]
fn the_receive_timeout_is_kept() {
    let Some(outage) = Outage::begin("restart", 20) else { return };
    outage.says("EAGAIN");
}

#[test]
fn the_thread_can_be_cancelled() {
    let Some(mut outage) = Outage::begin("restart", 0) else { return };
    outage.waits();
    outage.tell("cancel");
    outage.says("cancelled");
    outage.tell("accept");
    outage.broker.restart();
    outage.is_served();
}

#[test]
fn shutdown_wakes_it_and_ends_registering() {
    for timeout in [0, 60_000] {
        let Some(mut outage) = Outage::begin("restart", timeout) else { return };
        outage.waits();
        outage.tell("shutdown");
        outage.says("EINVAL");
        outage.broker.restart();
        outage.waits();
        outage.tell("listen");
        outage.says("listening");
        let said = outage.program.error_line();
        assert!(said.as_deref().unwrap().contains("is registered ("), "not again, and not before: {said:?}");
        outage.tell("accept");
        assert_eq!(call(outage.port, "a"), "served\n");
    }
}

#[test]
fn every_thread_that_waits_accepts_again() {
    const THREADS: usize = 4;
    let Some(mut outage) = Outage::begin_with("hold", "restart", 0) else { return };
    for _ in 1..THREADS {
        outage.tell("hold");
    }
    outage.waits();
    outage.broker.restart();
    let connect = || std::net::TcpStream::connect(("127.0.0.1", outage.port));
    let mut held = Vec::new();
    for _ in 0..THREADS {
        wait_until("it is registered again", || connect().map(|client| held.push(client)).is_ok());
        let mut client = held.last().unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.write_all(&preamble(&address(outage.port, "a"))).unwrap();
        let mut answer = [0; 7];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"served\n");
    }
}

/// With no room for the descriptors of a registration, at each of its steps, it is tried until there is.
#[test]
fn without_room_for_a_descriptor_it_registers_when_there_is_room() {
    for (limit, rooms) in [(1200, 4), (64, 8)] {
        for room in 0..rooms {
            let Some(mut outage) = Outage::begin("restart", 0) else { return };
            outage.tell(&format!("limit {limit}"));
            outage.says("limited");
            outage.tell(&format!("leave {room}"));
            outage.says("left");
            let mut before = None;
            wait_until("its thread is there", || {
                before = outage.attempts();
                before.is_some()
            });
            outage.broker.restart();
            let attempts = || outage.attempts().is_none_or(|attempts| attempts >= before.unwrap() + 3);
            wait_until("it has tried, or registered", attempts);
            if outage.attempts().is_some() {
                let said = outage.program.error_line().unwrap();
                let is_right = said.contains("; tries again") || said.contains("registered again");
                assert!(is_right && !said.contains("already registered"), "{said}");
            }
            outage.tell("leave -1");
            outage.says("left");
            outage.is_served();
        }
    }
}

/// What stands behind a listener has high numbers: below a limit that is lowered after `listen` it takes others.
#[test]
fn a_lowered_limit_of_descriptors_stops_no_registration() {
    let Some(mut outage) = Outage::begin("restart", 0) else { return };
    for limit in [64, 40, 20] {
        outage.tell(&format!("limit {limit}"));
        outage.says("limited");
        outage.broker.restart();
        outage.is_served();
        outage.broker.kill();
        outage.is_gone();
    }
    // a program that inherits the listener finds what stands behind it, too
    outage.broker.restart();
    outage.is_served();
    outage.tell("exec");
    outage.says("listening");
    outage.tell("accept");
    outage.is_served();
    outage.broker.kill();
    outage.is_gone();
    outage.broker.restart();
    outage.is_served();
}

#[test]
fn a_broker_that_refuses_is_asked_again_and_another_one_at_once() {
    let Some(mut outage) = Outage::begin("restart", 0) else { return };
    let foreign = std::net::TcpListener::bind(("127.0.0.1", outage.port)).unwrap();
    for _ in 0..2 {
        outage.broker.restart();
        let said = outage.program.error_line().unwrap();
        assert!(said.contains("address already in use"), "{said}");
        assert!(said.ends_with("; tries again, at the latest every 30 s"), "{said}");
    }
    drop(foreign);
    outage.is_served();
}

#[test]
fn shutdown_in_another_process_wakes_it_too() {
    let Some(mut outage) = Outage::begin("restart", 0) else { return };
    outage.waits();
    outage.tell("elsewhere");
    outage.says("EINVAL");
}

/// The same program on plain TCP, where nobody connects.
#[test]
fn a_plain_listener_does_the_same() {
    let Some(program) = compile("outage.c", &[]) else { return };
    for (flags, timeout, expected) in
        [("interrupt", "0", "EINTR"), ("restart", "60000", "EINTR"), ("interrupt", "60000", "EINTR")]
    {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(&program);
        command.args([&port.to_string(), flags, timeout]);
        let mut program = Process::start(&mut command);
        program.expect("listening");
        program.enter("accept\n");
        rests(program.id(), 2);
        program.enter("signal\n");
        assert_eq!([program.line().unwrap(), program.line().unwrap()], ["signal", expected]);
    }
}
