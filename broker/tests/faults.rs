//! What the system may answer and seldom does, made to happen from outside (`strace --inject`): nothing spins, nothing is lost
//! without a word, and no dead thread leaves a process behind that looks alive.

mod common;

use std::io::Write;
use std::net::TcpStream;

use common::injection::{WAITS, failed, inject};
use common::{
    Broker, Told, Worker, address, answer, ask, connect, every_connection_has_ended, fault, free_port,
    installed, preamble, serve, told,
};

/// As a security module does: the connection stays where it is.
#[test]
fn an_accept_that_keeps_failing_pauses_and_is_said_once() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let inject = inject(&broker, "accept", "accept4:error=EPERM", &format!("accept4,{WAITS}"));
    let mut client = ask(port, "x");
    failed(&inject, 8);
    let trace = inject.end();
    serve(worker.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut client), b'!');
    // Between two of them the loop has slept: an epoll_wait that ended with nothing.
    let calls: Vec<&str> = trace.lines().collect();
    let between: Vec<_> = calls.split(|line| line.contains("(INJECTED)")).collect();
    for calls in &between[1..between.len() - 1] {
        assert!(calls.iter().any(|line| line.starts_with("epoll_") && line.ends_with("= 0")), "{trace}");
    }
    assert_eq!(broker.whole_log().matches("accepting pauses").count(), 1, "{}", broker.log());
    assert!(broker.whole_log().contains("Operation not permitted"), "{}", broker.log());
}

/// Whoever is refused has its answer: it goes before anybody has to wait.
#[test]
fn without_a_descriptor_who_drains_makes_room() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let mut refused = ask(port, "y");
    assert_eq!(told(&mut refused), fault("EndpointNotFound"));
    let inject = inject(&broker, "accept", "accept4:error=EMFILE:when=1", "accept4");
    let mut client = ask(port, "x");
    serve(worker.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut client), b'!');
    failed(&inject, 1);
    drop(inject);
    assert!(!broker.whole_log().contains("accepting pauses"), "{}", broker.log());
}

/// A worker leaves its port to nobody: the process ends, and whoever supervises it starts another.
#[test]
fn a_loop_that_cannot_wait_any_more_ends_the_process() {
    if !installed("strace") {
        return;
    }
    let back_end = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for thread in ["accept", "relay"] {
        let port = free_port();
        let to = back_end.local_addr().unwrap();
        let route = format!("[[route]]\naddress = '{}'\nrelay = '{to}'\n", address(port, "relayed"));
        let mut broker = Broker::configured(&route, &[]);
        let mut worker = Worker::register(&broker, &[address(port, "x")]);
        // What is under way has its end, too.
        let mut relayed = ask(port, "relayed");
        let (mut accepted, _) = back_end.accept().unwrap();
        accepted.write_all(b"!").unwrap();
        assert_eq!(answer(&mut relayed), b'!');
        let mut parked = connect(port);
        parked.write_all(b"\0\x01").unwrap();
        let _served = ask(port, "x");
        worker.accept();

        let what = format!("{WAITS}:error=EBADF");
        let _inject = inject(&broker, thread, &what, WAITS);
        let _wakes_accept = connect(port).write_all(b"\0\x01");
        let _wakes_relay = accepted.write_all(b"!");
        assert!(!broker.ends(), "it ended with success\n{}", broker.log());
        let log = broker.log();
        let said =
            format!("broker: the broker cannot go on, the {thread} thread has ended: epoll_wait: Bad file");
        assert!(log.lines().last().unwrap().starts_with(&said), "{log}");
        every_connection_has_ended(&log);
        assert!(!broker.control().exists(), "the next finds a stale control socket");
        assert_eq!(told(&mut parked), Told::End);
    }
}

/// What waits for the worker stays until the kernel has memory again.
#[test]
fn a_shortage_of_memory_in_a_hand_over_is_waited_for() {
    if !installed("strace") {
        return;
    }
    for error in ["ENOBUFS", "ENOMEM"] {
        let mut broker = Broker::start(&[]);
        let port = free_port();
        let mut worker = Worker::register(&broker, &[address(port, "x")]);
        let inject = inject(&broker, "accept", &format!("sendmsg:error={error}"), "sendmsg");
        let mut clients: Vec<TcpStream> = (0..5).map(|_| ask(port, "x")).collect();
        failed(&inject, 8);
        drop(inject);
        worker.serve_all(&mut clients, &preamble(&address(port, "x")));
        assert!(broker.terminate());
        assert!(
            broker.log().contains("ended; connections accepted=5 handed_over=5 unfinished=0"),
            "{}",
            broker.log()
        );
    }
}

/// Without the epoll nothing would tell that the worker takes connections again.
#[test]
fn those_that_wait_for_a_full_queue_are_not_stranded_without_epoll() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&["--max-pending-connections", "2"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let inject = inject(&broker, "accept", "epoll_ctl:error=ENOMEM", "epoll_ctl");
    let mut clients: Vec<TcpStream> = (0..4).map(|_| ask(port, "x")).collect();
    failed(&inject, 3);
    worker.serve_all(&mut clients, &preamble(&address(port, "x")));
    drop(inject);
    assert_eq!(broker.log().matches("an accept socket cannot be waited for").count(), 1, "{}", broker.log());
}

/// A port that nobody looks at would be a ghost as well.
#[test]
fn a_listening_socket_that_cannot_be_waited_for_is_tried_again() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let inject = inject(&broker, "accept", "epoll_ctl:error=ENOMEM", "epoll_ctl");
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let mut client = ask(port, "x");
    failed(&inject, 4);
    drop(inject);
    serve(worker.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut client), b'!');
    assert_eq!(
        broker.log().matches("a listening socket cannot be waited for").count(),
        1,
        "{}",
        broker.log()
    );
}
