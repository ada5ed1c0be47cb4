//! Bounds of the queues: a worker that does not take its connections holds up nobody else.

mod common;

use std::net::TcpStream;
use std::process::Command;

use common::{
    Broker, Told, Worker, address, answer, ask, connect, copy_of_the_broker, eventually, fault, free_port,
    installed, is_root, preamble, serve, told,
};
use handoff::Register;

/// Connections without an answer yet, and those that were told something.
fn sort(clients: Vec<TcpStream>) -> (Vec<TcpStream>, Vec<Told>) {
    let mut waiting = Vec::new();
    let mut answered = Vec::new();
    for mut client in clients {
        client.set_nonblocking(true).unwrap();
        let is_answered = client.peek(&mut [0]).is_ok();
        client.set_nonblocking(false).unwrap();
        if is_answered {
            answered.push(told(&mut client));
        } else {
            waiting.push(client);
        }
    }
    (waiting, answered)
}

fn ended(broker: &Broker, outcome: &str) -> usize {
    broker.log().matches(&format!("outcome={outcome} ")).count()
}

#[test]
fn past_its_bounds_the_server_is_too_busy() {
    let mut broker = Broker::start(&["--max-pending-connections", "10"]);
    let port = free_port();
    let before = broker.steady_descriptors();
    let mut worker = Worker::register(&broker, &[address(port, "stuck")]);
    let mut other = Worker::register(&broker, &[address(port, "other")]);
    let clients: Vec<TcpStream> = (0..50).map(|_| ask(port, "stuck")).collect();
    // Ten in the queue, ten in the broker.
    eventually(|| ended(&broker, "server_too_busy") == 30, || broker.log());
    let (mut waiting, answered) = sort(clients);
    assert_eq!(answered, vec![fault("ServerTooBusy"); 30]);
    assert_eq!((waiting.len(), worker.receiver.waiting().unwrap()), (20, 10));
    // The other address is not affected.
    let mut client = ask(port, "other");
    serve(other.accept(), &preamble(&address(port, "other")), b'o');
    assert_eq!(answer(&mut client), b'o');
    // When the worker takes up work again, all that waited are served.
    worker.serve_all(&mut waiting, &preamble(&address(port, "stuck")));
    // It is logged a moment after the worker has it.
    eventually(|| ended(&broker, "handed_over") == 21, || broker.log());
    drop((worker, other, waiting));
    broker.settles_at(before);
    // An operator hears of it at once, once, by name, and in the end how often it was.
    assert!(broker.terminate());
    let log = broker.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("too busy, ")).collect();
    assert!(
        told.iter().all(|line| line.contains(" WARN ") && line.contains("registration 1 (\"net.tcp://")),
        "{log}"
    );
    let why =
        "its program accepts more slowly than they come, and as many wait as max_pending_connections allows";
    assert!(told[0].ends_with(&format!(":{port}/stuck\"): {why}")), "{log}");
    let more = told[1..].iter().map(|line| line.split("; ").nth(1).unwrap().split(' ').next().unwrap());
    assert_eq!(more.map(|more| more.parse::<usize>().unwrap()).sum::<usize>(), 29, "{log}");
}

/// Nobody outside can fill a log at `info` by connecting, nor a worker by taking nothing.
#[test]
fn the_log_does_not_grow_with_the_number_of_connections() {
    let mut broker = Broker::start(&[
        "--max-pending-connections",
        "50",
        "--receive-timeout-seconds",
        "1",
        "--log-level",
        "info",
    ]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x")]);
    let mut clients: Vec<TcpStream> = (0..200).map(|_| ask(port, "x")).collect();
    clients.extend((0..200).map(|_| ask(port, "nowhere")));
    clients.extend((0..200).map(|_| {
        let mut half = connect(port);
        std::io::Write::write_all(&mut half, b"\0\x01").unwrap();
        half
    }));
    let mut answers: Vec<Told> = clients.iter_mut().map(told).collect();
    answers.sort_by_key(|told| format!("{told:?}"));
    answers.dedup();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert!(broker.terminate());
    drop(worker);
    let log = broker.log();
    // Two kinds of trouble, each with a line at once and another for each few seconds that it went on.
    let lines = log.lines().filter(|line| line.contains(" WARN ")).count();
    assert!((2..=60).contains(&lines) && !log.contains(" ERROR "), "{log}");
    assert!(log.contains("no connection could be handed over for receive_timeout_seconds"), "{log}");
}

#[test]
fn a_queue_nobody_reads_is_answered_unavailable() {
    let broker = Broker::start(&["--max-pending-connections", "3", "--receive-timeout-seconds", "1"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut clients: Vec<TcpStream> = (0..6).map(|_| ask(port, "x")).collect();
    for client in &mut clients {
        assert_eq!(told(client), fault("EndpointUnavailable"));
    }
    drop(clients);
    broker.settles_at(before);
    // The registration is still there for when the worker comes back to itself.
    let mut client = ask(port, "x");
    serve(worker.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut client), b'!');
}

#[test]
fn what_waited_in_the_broker_is_dispatched_again_when_the_worker_goes() {
    let broker = Broker::start(&["--max-pending-connections", "2"]);
    let port = free_port();
    let first = Worker::register(&broker, &[address(port, "x")]);
    let mut next = Worker::register(&broker, &[address(port, "")]);
    let mut clients: Vec<TcpStream> = (0..4).map(|_| ask(port, "x")).collect();
    eventually(|| first.receiver.waiting().unwrap() == 2, || broker.log());
    drop(first);
    next.serve_all(&mut clients, &preamble(&address(port, "x")));
}

#[test]
fn they_are_served_in_the_order_of_arrival() {
    let broker = Broker::start(&["--max-pending-connections", "20"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut clients = Vec::new();
    for count in 1..=40 {
        clients.push(ask(port, "x"));
        // It has arrived when it is in the queue, or the broker has it.
        let arrived = || worker.receiver.waiting().unwrap() + broker.descriptors() - before;
        eventually(|| arrived() == count, || broker.log());
    }
    for client in &clients {
        assert_eq!(worker.accept().peer_addr().unwrap(), client.local_addr().unwrap());
    }
}

#[test]
fn no_message_carries_more_than_the_worker_asked_for() {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    for most in [1, 3, 32] {
        let broker = Broker::start(&["--max-pending-connections", "40"]);
        let port = free_port();
        let mut register = Register::new([address(port, "x")]);
        register.sockets_per_message = Some(most);
        let worker = Worker::register_as(&broker, register);
        let clients: Vec<TcpStream> = (0..80).map(|_| ask(port, "x")).collect();
        eventually(|| worker.receiver.waiting().unwrap() == 40, || broker.log());
        let mut received = Vec::new();
        let mut sizes = Vec::new();
        eventually(
            || {
                let mut octets = [0; 64];
                let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(40))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut parts = [std::io::IoSliceMut::new(&mut octets)];
                let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
                let Ok(message) = recvmsg(&worker.receiver, &mut parts, &mut control, flags) else {
                    return received.len() == 80;
                };
                let length = message.bytes;
                let sockets: Vec<_> = control
                    .drain()
                    .flat_map(|message| match message {
                        RecvAncillaryMessage::ScmRights(sockets) => sockets.collect::<Vec<_>>(),
                        _ => Vec::new(),
                    })
                    .collect();
                assert_eq!(octets[..length], vec![1; sockets.len()]);
                sizes.push(sockets.len());
                received.extend(sockets);
                received.len() == 80
            },
            || broker.log(),
        );
        assert!(sizes.iter().all(|size| *size <= usize::try_from(most).unwrap()), "{sizes:?}");
        drop(clients);
    }
}

/// Another user, who has 1,024 descriptors and no privileges: the kernel's own limits apply.
#[test]
fn a_thousand_descriptors_are_enough() {
    if !is_root() || !installed("setpriv") {
        return;
    }
    let program = copy_of_the_broker();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 1024 && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"",
            "sh",
        ])
        .arg(&program);
    let broker = Broker::start_by(
        command,
        &["--receive-timeout-seconds", "3600", "--max-connections-per-source", "0"],
    );
    std::fs::remove_file(&program).unwrap();
    let port = free_port();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let stuck: Vec<Worker> =
        names.iter().map(|name| Worker::register(&broker, &[address(port, name)])).collect();
    let mut good = Worker::register(&broker, &[address(port, "good")]);
    let mut serve_one = || {
        let mut client = ask(port, "good");
        serve(good.accept(), &preamble(&address(port, "good")), b'!');
        assert_eq!(answer(&mut client), b'!');
    };

    // Eight workers that take nothing.
    let mut clients = Vec::new();
    for _ in 0..150 {
        for name in names {
            clients.push(ask(port, name));
        }
    }
    serve_one();
    eventually(|| ended(&broker, "server_too_busy") > 0, || broker.log());
    let in_flight: usize = stuck.iter().map(|worker| worker.receiver.waiting().unwrap()).sum();
    assert!(in_flight <= 512, "{in_flight}");
    assert!(stuck.iter().all(|worker| worker.receiver.waiting().unwrap() <= 100));
    serve_one();

    // And two thousand that say nothing.
    let silent: Vec<TcpStream> = (0..1000)
        .flat_map(|_| {
            let mut half = connect(port);
            std::io::Write::write_all(&mut half, b"\0\x01").unwrap();
            [half, connect(port)]
        })
        .collect();
    serve_one();
    eventually(|| ended(&broker, "crowded_out") > 0, || broker.log());
    assert!(broker.descriptors() < 1024);
    // Workers can still register, and old ones go.
    let late = Worker::register(&broker, &[address(port, "late")]);
    serve_one();
    drop((clients, silent, stuck, late));
    serve_one();
    assert!(!broker.whole_log().contains("accepting pauses"), "{}", broker.log());
}
