//! An unmodified program is started again while its clients come.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Broker, Service, address, call, free_port, installed, wait_until};
use rustix::process::Signal;

/// How often it is started again.
const ROUNDS: usize = 5;

fn start(broker: &Broker, options: &[&str], port: u16) -> Service {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service.py");
    let mut command = broker.exec_with(options, &[address(port, "a")]);
    command.args(["python3", script, "stops", &port.to_string(), "127.0.0.1"]);
    Service::start(command)
}

fn stop(mut service: Service) {
    service.signal(Signal::TERM);
    assert!(service.process.wait().unwrap().success());
}

/// Clients come all the time while this goes on; whoever is not answered fails the test.
fn under_load(port: u16, restart: impl FnOnce(&dyn Fn())) {
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _ends = Ends(&over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = std::panic::catch_unwind(|| call(port, "a"));
                    let is_right = answer.as_ref().is_ok_and(|answer| answer.contains("\"number\""));
                    if !is_right {
                        over.store(true, Ordering::Relaxed);
                    }
                    assert!(is_right, "{answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let some_are_answered = || {
            let before = answered.load(Ordering::Relaxed);
            wait_until("some are answered", || {
                answered.load(Ordering::Relaxed) > before + 20 || over.load(Ordering::Relaxed)
            });
        };
        restart(&some_are_answered);
    });
}

/// However a test ends, its threads do.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn beside_itself_nobody_is_refused_and_none_reset() {
    if !installed("python3") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let mut old = start(&broker, &["--share"], port);
    under_load(port, |some_are_answered| {
        for _ in 0..ROUNDS {
            let new = start(&broker, &["--share"], port);
            some_are_answered();
            stop(std::mem::replace(&mut old, new));
        }
    });
    assert_eq!(broker.holders(), 1);
}

#[test]
fn one_after_the_other_with_grace_nobody_is_refused_and_none_reset() {
    if !installed("python3") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let graceful = ["--grace-seconds", "600"];
    let mut service = Some(start(&broker, &graceful, port));
    under_load(port, |some_are_answered| {
        for _ in 0..ROUNDS {
            some_are_answered();
            service.take().into_iter().for_each(stop);
            service = Some(start(&broker, &graceful, port));
        }
    });
    assert_eq!(broker.holders(), 1);
}

#[test]
fn who_waits_for_a_killed_program_is_served_by_its_next_start() {
    if !installed("python3") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let mut service = start(&broker, &["--grace-seconds", "600"], port);
    service.kill();
    std::thread::scope(|scope| {
        let clients = [(); 3].map(|()| scope.spawn(|| call(port, "a")));
        wait_until("they wait", || broker.waiting() == 3);
        // Also when it asks for no grace this time.
        service = start(&broker, &[], port);
        for client in clients {
            assert!(client.join().unwrap().contains("\"number\""));
        }
    });
    service.kill();
    wait_until("its registration ends", || broker.holders() == 0);
}
