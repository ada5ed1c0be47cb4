//! What the fast path costs the kernel, and who does it: counted from outside a broker process.

mod common;

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{
    Broker, Strace, Worker, address, ask, eventually, fault, free_port, installed, signal, skip, stop, told,
};
use rustix::process::Signal;

const MANY: &[&str] = &["--max-pending-connections", "2000", "--log-level", "info"];

/// Lets the broker find so many connections at once.
fn burst(broker: &Broker, port: u16, path: &str, count: usize) -> Vec<TcpStream> {
    stop(broker.pid());
    let clients = (0..count).map(|_| ask(port, path)).collect();
    signal(broker.pid(), Signal::CONT);
    clients
}

/// Calls of one name in what `strace -c` printed.
fn calls(summary: &str, name: &str) -> usize {
    let line = summary.lines().find(|line| line.ends_with(&format!(" {name}")));
    line.map_or(0, |line| line.split_ascii_whitespace().nth(3).unwrap().parse().unwrap())
}

#[test]
fn four_system_calls_a_connection_and_less_in_a_burst() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(MANY);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let count = 256;
    for together in [false, true] {
        let mut clients = vec![ask(port, "x")];
        worker.accept();
        if together {
            // Before it is traced: a traced thread may look stopped at any time.
            stop(broker.pid());
        }
        // All threads from now on.
        let strace = Strace::attach(broker.pid(), &["-c", "-f"]);
        if together {
            clients.extend((0..count).map(|_| ask(port, "x")));
            signal(broker.pid(), Signal::CONT);
        }
        for _ in 0..count {
            if !together {
                clients.push(ask(port, "x"));
            }
            worker.accept();
        }
        let text = strace.end();

        let names = ["accept4", "recvfrom", "sendmsg", "close"];
        let of = |name| calls(&text, name);
        assert_eq!(of("recvfrom"), count, "{text}");
        // Each loop may find that others took the last ones.
        assert!(of("accept4") >= count && of("accept4") <= count + 8, "{text}");
        // Now and then the loop asks how many wait, there or in the accept socket.
        let path = names.map(of).iter().sum::<usize>() + of("getsockopt") + of("ioctl");
        if together {
            assert!(of("sendmsg") <= count / 4, "{text}");
            assert!(path <= count * 7 / 2, "{text}");
        } else {
            assert!(path <= count * 4 + count / 16 + 4, "{text}");
        }
        assert_eq!(of("epoll_ctl"), 0, "{text}");
    }
}

#[test]
fn two_processors_are_used_when_one_is_not_enough() {
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        skip("second processor", "run the tests where there are two");
        return;
    }
    let broker = Broker::start(MANY);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    broker.steady_descriptors();
    let asleep = broker.wake_ups("help");
    // One at a time is no reason to wake anybody.
    for _ in 0..200 {
        let _client = ask(port, "x");
        worker.accept();
    }
    assert_eq!(broker.wake_ups("help"), asleep);
    // Whoever comes first after a burst takes a turn; with this many left the other one has its turns, too.
    eventually(
        || {
            let _clients = burst(&broker, port, "x", 1000);
            (0..1000).for_each(|_| drop(worker.accept()));
            broker.wake_ups("help") > asleep
        },
        || "no burst brought help".to_owned(),
    );
}

/// Some may be in a batch when their registration ends in the same turn.
#[test]
fn nobody_is_forgotten_when_a_registration_ends_under_load() {
    let broker = Broker::start(&["--receive-timeout-seconds", "3600", "--log-level", "info"]);
    let port = free_port();
    let _stays = Worker::register(&broker, &[address(port, "y")]);
    for _ in 0..40 {
        let worker = Worker::register(&broker, &[address(port, "x")]);
        let going = thread::scope(|scope| {
            let asking = scope.spawn(|| (0..100).map(|_| ask(port, "x")).collect::<Vec<_>>());
            thread::sleep(std::time::Duration::from_millis(1));
            drop(worker);
            asking.join().unwrap()
        });
        for mut client in going {
            assert_eq!(told(&mut client), fault("EndpointNotFound"));
        }
    }
}

#[test]
fn a_flood_to_one_address_starves_no_other() {
    let mut broker = Broker::start(&["--log-level", "info"]);
    let ports = [free_port(), free_port()];
    let _stuck = Worker::register(&broker, &[address(ports[0], "stuck")]);
    let mut beside = Worker::register(&broker, &[address(ports[0], "beside")]);
    let mut elsewhere = Worker::register(&broker, &[address(ports[1], "elsewhere")]);
    let stop = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut clients = std::collections::VecDeque::new();
            while !stop.load(Ordering::Relaxed) {
                clients.push_back(ask(ports[0], "stuck"));
                sent.fetch_add(1, Ordering::Relaxed);
                if clients.len() > 500 {
                    clients.pop_front();
                }
            }
        });
        eventually(|| sent.load(Ordering::Relaxed) > 500, || "no flood".to_owned());
        let mut passed_by: Vec<usize> = Vec::new();
        for _ in 0..100 {
            let before = sent.load(Ordering::Relaxed);
            let _one = ask(ports[0], "beside");
            beside.accept();
            let _two = ask(ports[1], "elsewhere");
            elsewhere.accept();
            passed_by.push(sent.load(Ordering::Relaxed) - before);
        }
        stop.store(true, Ordering::Relaxed);
        // Whoever waits behind a flood is passed by few of it, unless this thread has to wait for a processor: a quarter at least.
        passed_by.sort_unstable();
        println!("passed by {} and {} of the flood", passed_by[25], passed_by[99]);
        assert!(passed_by[25] < 1000, "{passed_by:?}");
    });
    let flood = sent.load(Ordering::Relaxed);
    assert!(broker.terminate());
    let refused = broker.log();
    let refused = refused.lines().rev().find_map(|line| line.split_once(" server_too_busy=")).unwrap().1;
    let refused: usize = refused.split(' ').next().unwrap().parse().unwrap();
    assert!(refused > 0 && refused <= flood, "{refused} of {flood}");
}

#[test]
fn a_broker_with_nothing_to_do_does_nothing() {
    let broker = Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let _client = ask(port, "x");
    let _taken = worker.accept();
    let threads = ["broker", "accept", "relay"];
    let wake_ups = || threads.map(|thread| broker.wake_ups(thread));
    // A queue is looked after for a while after its last connection.
    let mut before = wake_ups();
    eventually(
        || {
            thread::sleep(std::time::Duration::from_secs(2));
            std::mem::replace(&mut before, wake_ups()) == before
        },
        || "some thread never rests".to_owned(),
    );
}
