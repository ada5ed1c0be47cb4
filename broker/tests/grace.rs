//! A worker that leaves without a word: its addresses stay for a while, and the next worker gets what waits.

mod common;

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use common::{
    Broker, Python, Told, Worker, address, ask, connect_to, eventually, fault, free_port, installed, is_root,
    preamble, stop, told,
};
use handoff::administration::{Holder, State};
use handoff::{ControlConnection, HandoffError, RefusedReason, Register};
use serde_json::json;

/// Long enough not to end in a test.
const LONG: Duration = Duration::from_secs(600);

fn with_grace(port: u16, path: &str, grace: Duration) -> Register {
    Register::new([address(port, path)]).with_grace(grace)
}

fn holder(broker: &Broker, id: u64) -> Holder {
    broker.holders().into_iter().find(|holder| holder.id == id).unwrap_or_else(|| panic!("{}", broker.log()))
}

/// The broker has seen that the worker of this registration has left.
fn is_left(broker: &Broker, id: u64) {
    eventually(
        || holder(broker, id).state == State::Absent,
        || format!("{:?}\n{}", broker.holders(), broker.log()),
    );
}

/// Initiators that have come one after the other, so many wait for this holder then.
fn ask_in_order(broker: &Broker, id: u64, port: u16, path: &str, count: u64) -> Vec<TcpStream> {
    let before = broker.waiting(id);
    (1..=count)
        .map(|number| {
            let client = ask(port, path);
            eventually(|| broker.waiting(id) == before + number, || broker.log());
            client
        })
        .collect()
}

fn is_unanswered(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let nothing = client.peek(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    client.set_nonblocking(false).unwrap();
    nothing
}

fn refused(result: Result<impl Sized, HandoffError>) -> (RefusedReason, String) {
    match result {
        Err(HandoffError::Refused(refused)) => (refused.reason, refused.message),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was granted"),
    }
}

#[test]
fn the_next_gets_what_a_killed_worker_left_behind_in_its_order() {
    let broker = Broker::start(&["--max-pending-connections", "5"]);
    let port = free_port();
    let before = broker.steady_descriptors();
    let mut killed = Python::start_with(
        &broker,
        'k',
        &address(port, "x"),
        &json!({"grace_seconds": 600, "sockets_per_message": 1}),
    );
    stop(killed.pid());
    // Five in its queue, two in the broker.
    let mut clients = ask_in_order(&broker, 1, port, "x", 7);
    assert_eq!((holder(&broker, 1).queued, holder(&broker, 1).held), (5, 2));
    killed.kill();
    is_left(&broker, 1);
    // More come while nobody is there, as many as ever may.
    clients.extend(ask_in_order(&broker, 1, port, "x", 3));
    assert_eq!(told(&mut ask(port, "x")), fault("ServerTooBusy"));
    let absent = holder(&broker, 1);
    assert!(absent.grace_left_seconds.is_some_and(|left| (1..=600).contains(&left)), "{absent:?}");
    assert!(clients.iter().all(is_unanswered));

    let mut next = Worker::register(&broker, &[address(port, "x")]);
    next.serve_in_order(&mut clients, &preamble(&address(port, "x")));
    assert!(broker.holders().iter().all(|holder| holder.id == next.id), "{:?}", broker.holders());
    drop((next, clients));
    broker.settles_at(before);
}

#[test]
fn the_port_stays_open_for_those_who_come_while_nobody_is_there() {
    let broker = Broker::start(&[]);
    let port = free_port();
    drop(Worker::register_as(&broker, with_grace(port, "x", LONG)));
    is_left(&broker, 1);
    let mut clients = ask_in_order(&broker, 1, port, "x", 2);
    let mut next = Worker::register_as(&broker, with_grace(port, "x", LONG));
    next.serve_in_order(&mut clients, &preamble(&address(port, "x")));
    // And again.
    let id = next.id;
    drop(next);
    is_left(&broker, id);
    let mut clients = ask_in_order(&broker, id, port, "x", 2);
    let mut next = Worker::register(&broker, &[address(port, "x")]);
    next.serve_in_order(&mut clients, &preamble(&address(port, "x")));
}

#[test]
fn a_worker_that_unregisters_is_not_waited_for_nor_one_that_did_not_ask() {
    let broker = Broker::start(&[]);
    let ports = [free_port(), free_port()];
    let mut worker = Worker::register_as(&broker, with_grace(ports[0], "x", LONG));
    worker.control.unregister(worker.id).unwrap();
    drop(Worker::register(&broker, &[address(ports[1], "x")]));
    eventually(|| broker.holders().is_empty(), || broker.log());
    for port in ports {
        eventually(|| TcpStream::connect(("127.0.0.1", port)).is_err(), || broker.log());
    }
}

#[test]
fn a_worker_that_shuts_its_accept_socket_down_is_waited_for_too() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let worker = Worker::register_as(&broker, with_grace(port, "x", LONG));
    let mut clients = ask_in_order(&broker, 1, port, "x", 2);
    rustix::net::shutdown(worker.receiver.as_fd(), rustix::net::Shutdown::Both).unwrap();
    // Nothing more can be put there: those who come now wait in the broker.
    clients.extend(ask_in_order(&broker, 1, port, "x", 3));
    is_left(&broker, 1);
    assert_eq!((holder(&broker, 1).queued, holder(&broker, 1).held), (2, 3));
    drop(worker);
    let mut next = Worker::register(&broker, &[address(port, "x")]);
    next.serve_in_order(&mut clients, &preamble(&address(port, "x")));
}

#[test]
fn if_nobody_comes_those_who_wait_are_told_and_the_address_goes() {
    let broker = Broker::start(&[]);
    let (port, other) = (free_port(), free_port());
    // Who has a shorter address does not get what waits for a longer one.
    let mut shorter = Worker::register(&broker, &[address(port, "")]);
    let mut register = Register::new([address(port, "x"), address(other, "y")]);
    register.grace_seconds = 2;
    drop(Worker::register_as(&broker, register));
    let mut clients = vec![ask(port, "x"), ask(other, "y"), ask(port, "x")];
    for client in &mut clients {
        assert_eq!(told(client), fault("EndpointUnavailable"), "{}", broker.log());
    }
    assert!(shorter.nothing_waits());
    eventually(|| broker.holders().len() == 1, || broker.log());
    eventually(|| TcpStream::connect(("127.0.0.1", other)).is_err(), || broker.log());
    shorter.serve_in_order(&mut [ask(port, "x")], &preamble(&address(port, "x")));
    let log = broker.whole_log();
    assert!(log.contains("no other worker has come within its grace"), "{log}");
    assert!(log.contains("no other has registered the address within its grace_seconds"), "{log}");
}

/// It takes nothing for longer than a preamble may take, and that is no fault.
#[test]
fn a_worker_that_is_waited_for_does_not_stand_still() {
    let broker = Broker::start(&["--receive-timeout-seconds", "1"]);
    let (port, stuck) = (free_port(), free_port());
    drop(Worker::register_as(&broker, with_grace(port, "x", LONG)));
    is_left(&broker, 1);
    let mut waits = ask_in_order(&broker, 1, port, "x", 1);
    let _stuck = Worker::register(&broker, &[address(stuck, "x")]);
    for _ in 0..2 {
        assert_eq!(told(&mut ask(stuck, "x")), fault("EndpointUnavailable"));
    }
    assert!(is_unanswered(&waits[0]));
    let mut next = Worker::register(&broker, &[address(port, "x")]);
    next.serve_in_order(&mut waits, &preamble(&address(port, "x")));
}

#[test]
fn what_the_next_does_not_take_goes_on_waiting() {
    let broker = Broker::start(&[]);
    let (port, other) = (free_port(), free_port());
    let before = broker.steady_descriptors();
    let all = [address(port, "x"), address(port, "y"), address(other, "z")];
    drop(Worker::register_as(&broker, Register::new(all).with_grace(LONG)));
    is_left(&broker, 1);
    let mut clients: Vec<TcpStream> = Vec::new();
    for (port, path) in [(port, "x"), (port, "y"), (other, "z"), (port, "x"), (port, "y")] {
        clients.extend(ask_in_order(&broker, 1, port, path, 1));
    }
    let [x, y, z, x_again, y_again] = <[TcpStream; 5]>::try_from(clients).unwrap();

    let mut first = Worker::register(&broker, &[address(port, "x")]);
    first.serve_in_order(&mut [x, x_again], &preamble(&address(port, "x")));
    let rest = broker.holders().into_iter().find(|holder| holder.state == State::Absent).unwrap();
    assert_eq!(rest.addresses, [address(port, "y"), address(other, "z")]);
    eventually(|| broker.waiting(rest.id) == 3, || broker.log());
    assert!([&y, &y_again, &z].into_iter().all(is_unanswered));
    // Both ports are open still, and take more.
    let more = ask_in_order(&broker, rest.id, other, "z", 1).remove(0);

    let mut second = Worker::register(&broker, &[address(port, "y")]);
    second.serve_in_order(&mut [y, y_again], &preamble(&address(port, "y")));
    let mut third = Worker::register(&broker, &[address(other, "z")]);
    third.serve_in_order(&mut [z, more], &preamble(&address(other, "z")));
    assert_eq!(broker.holders().len(), 3);
    drop((first, second, third));
    broker.settles_at(before);
}

/// The successor takes no more than its past had.
#[test]
fn a_quota_counts_who_is_waited_for_and_lets_the_next_in() {
    let broker = Broker::start(&["--max-registrations-per-user", "2"]);
    let port = free_port();
    let both = Register::new([address(port, "x"), address(port, "y")]).with_grace(LONG);
    drop(Worker::register_as(&broker, both));
    is_left(&broker, 1);
    let _other = Worker::register(&broker, &[address(port, "other")]);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let (reason, message) = refused(control.register(&Register::new([address(port, "third")])));
    assert_eq!(reason, RefusedReason::RegistrationQuotaExceeded, "{message}");
    // What would leave a rest would be a third.
    let (reason, _) = refused(control.register(&Register::new([address(port, "x")])));
    assert_eq!(reason, RefusedReason::RegistrationQuotaExceeded);
    let id = holder(&broker, 1).id;
    assert_eq!(holder(&broker, id).state, State::Absent, "nothing has changed");
    let next = control.register(&Register::new([address(port, "x"), address(port, "y")])).unwrap();
    drop((next, control));
    eventually(|| broker.holders().len() == 1, || broker.log());
}

#[test]
fn another_user_does_not_get_them() {
    if !is_root() || !installed("setpriv") || !installed("python3") {
        return;
    }
    let broker = Broker::configured("control_group = '54322'\n", &[]);
    let port = free_port();
    drop(Worker::register_as(&broker, with_grace(port, "x", LONG)));
    is_left(&broker, 1);
    let mut waits = ask_in_order(&broker, 1, port, "x", 1);
    let script = include_str!("worker.py");
    let stranger = Command::new("setpriv")
        // The first on the path may be in a folder of root's.
        .env("PATH", "/usr/bin:/bin")
        .args(["--reuid=65534", "--regid=65534", "--groups=54322", "timeout", "60", "python3", "-c", script])
        .arg(broker.control())
        .args(["s", &address(port, "x")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&stranger.stdout);
    assert!(said.contains("conflicting_registration"), "{stranger:?}");
    assert!(
        said.contains("is already registered by user 0, whose worker has left: it is kept for"),
        "{said}"
    );
    assert!(is_unanswered(&waits[0]));
    let mut next = Worker::register(&broker, &[address(port, "x")]);
    next.serve_in_order(&mut waits, &preamble(&address(port, "x")));
}

#[test]
fn the_end_of_the_broker_resets_nobody_who_waits() {
    let mut broker = Broker::start(&["--max-pending-connections", "3"]);
    let port = free_port();
    drop(Worker::register_as(&broker, with_grace(port, "x", LONG)));
    is_left(&broker, 1);
    let mut clients = ask_in_order(&broker, 1, port, "x", 5);
    assert_eq!((holder(&broker, 1).queued, holder(&broker, 1).held), (3, 2));
    assert!(broker.terminate());
    for client in &mut clients {
        assert_eq!(told(client), Told::End, "{}", broker.log());
    }
    common::every_connection_has_ended(&broker.log());
}

#[test]
fn an_administrator_drains_it_and_a_route_does_not_take_its_place() {
    let broker = Broker::configured("", &[]);
    let port = free_port();
    drop(Worker::register_as(&broker, with_grace(port, "x", LONG)));
    is_left(&broker, 1);
    let mut waits = ask_in_order(&broker, 1, port, "x", 1);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let route = format!("[[route]]\naddress = '{}'\nrelay = '127.0.0.1:9'\n", address(port, "x"));
    broker.rewrite(&route);
    let reloaded = control.reload().unwrap();
    let error = reloaded.error.unwrap();
    assert!(error.contains("whose worker has left: it is kept for that user's next one"), "{error}");
    let which = handoff::administration::Which::Id(1);
    assert_eq!(control.drain(&which).unwrap()[0].waiting, 1);
    assert_eq!(told(&mut ask(port, "x")), fault("EndpointUnavailable"));
    assert_eq!(holder(&broker, 1).state, State::Draining);
    control.undrain(&which).unwrap();
    waits.extend(ask_in_order(&broker, 1, port, "x", 1));
    // Whoever comes now takes over, whether it drains or not.
    control.drain(&which).unwrap();
    let mut next = Worker::register(&broker, &[address(port, "x")]);
    next.serve_in_order(&mut waits, &preamble(&address(port, "x")));
    assert_eq!(broker.holders().len(), 1);
}

#[test]
fn a_grace_has_an_end() {
    let broker = Broker::start(&[]);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let register = |grace: u64| with_grace(free_port(), "x", Duration::from_secs(grace));
    let (reason, message) = refused(control.register(&register(3601)));
    assert_eq!(reason, RefusedReason::InvalidArgument);
    assert_eq!(message, "grace_seconds is 3601; it is at most 3600");
    control.register(&register(3600)).unwrap();
}

/// Bridges that are under way when a worker goes arrive at the next.
#[test]
fn who_comes_by_the_other_family_waits_as_well() {
    if !common::needs_ipv6() {
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let register = || {
        let mut register = with_grace(port, "x", LONG);
        register.bound = Some(vec!["127.0.0.1".parse().unwrap()]);
        register
    };
    let _six = Worker::register_as(&broker, {
        let mut register = Register::new([address(port, "six")]);
        register.bound = Some(vec!["::1".parse().unwrap()]);
        register
    });
    let worker = Worker::register_as(&broker, register());
    let id = worker.id;
    drop(worker);
    is_left(&broker, id);
    let mut client = connect_to("::1".parse().unwrap(), port);
    std::io::Write::write_all(&mut client, &preamble(&address(port, "x"))).unwrap();
    eventually(|| broker.waiting(id) == 1, || broker.log());
    let mut next = Worker::register_as(&broker, register());
    common::serve(next.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(common::answer(&mut client), b'!');
    client.shutdown(Shutdown::Both).unwrap();
}
