//! `validate` and `return`: a connection whose session has ended goes to another worker, and whatever else a worker sends.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use common::{
    Broker, PATIENCE, Raw, Told, Worker, address, answer, ask, connect, eventually, fault, free_port,
    preamble, reason, serve, signal, told,
};
use handoff::administration::Which;
use handoff::{ControlConnection, HandoffError, RefusedReason, Register, Validate};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::json;

/// One session: the preamble of it is read, and answered.
fn session(stream: &mut TcpStream, expected: &[u8], answer: u8) {
    let mut octets = vec![0; expected.len()];
    stream.read_exact(&mut octets).unwrap();
    assert_eq!(octets.escape_ascii().to_string(), expected.escape_ascii().to_string());
    stream.write_all(&[answer]).unwrap();
}

/// What `return` is refused with, if it is.
fn refusal(returned: Result<(), HandoffError>) -> Option<RefusedReason> {
    match returned {
        Ok(()) => None,
        Err(HandoffError::Refused(refused)) => Some(refused.reason),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn one_connection_serves_two_workers_in_turns() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut workers = ["a", "b"].map(|path| Worker::register(&broker, &[address(port, path)]));
    let mut client = connect(port);
    let own = client.local_addr().unwrap();
    for turn in 0..10 {
        let [here, there] = if turn % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
        let at = turn % 2;
        client.write_all(&preamble(&address(port, here))).unwrap();
        let mut stream = workers[at].accept();
        assert_eq!(stream.peer_addr().unwrap(), own);
        session(&mut stream, &preamble(&address(port, here)), b'1');
        assert_eq!(answer(&mut client), b'1');
        // Whether the next session is its own, it asks as often as it likes.
        let local = stream.local_addr().unwrap();
        let id = workers[at].id;
        let mut whose =
            |path| workers[at].control.validate(&Validate::new(address(port, path), local)).unwrap();
        assert_eq!(
            [whose(here), whose(&format!("{here}/x")), whose(there), whose("c")],
            [Some(id), Some(id), None, None]
        );
        assert_eq!(refusal(workers[at].control.give_back(id, stream.as_fd())), None);
    }
    drop(client);
    eventually(|| broker.log().contains("outcome=closed_early"), || broker.log());
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let status = control.status().unwrap();
    assert_eq!((status.accepted, status.returned, status.here), (1, 10, 0));
    assert_eq!((status.outcomes["handed_over"], status.outcomes["closed_early"]), (10, 1));
}

#[test]
fn what_is_returned_has_its_time_for_the_preamble_and_all_that_may_come_of_one() {
    let broker = Broker::start(&["--receive-timeout-seconds", "1"]);
    let port = free_port();
    let mut a = Worker::register(&broker, &[address(port, "a")]);
    let mut b = Worker::register(&broker, &[address(port, "b")]);
    let mut returned = || {
        let mut client = ask(port, "a");
        let mut stream = a.accept();
        session(&mut stream, &preamble(&address(port, "a")), b'a');
        assert_eq!(answer(&mut client), b'a');
        // As a worker may leave it; the broker's own work with it is as with a fresh one.
        stream.set_nonblocking(false).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
        a.control.give_back(a.id, stream.as_fd()).unwrap();
        client
    };
    // Octet by octet.
    let mut slow = returned();
    for octet in preamble(&address(port, "b")) {
        slow.write_all(&[octet]).unwrap();
    }
    serve(b.accept(), &preamble(&address(port, "b")), b'b');
    assert_eq!(answer(&mut slow), b'b');
    let mut unknown = returned();
    unknown.write_all(&preamble(&address(port, "nobody"))).unwrap();
    assert_eq!(told(&mut unknown), fault("EndpointNotFound"));
    let mut garbage = returned();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(told(&mut garbage), Told::End);
    let mut gone = returned();
    gone.shutdown(Shutdown::Write).unwrap();
    assert_eq!(told(&mut gone), Told::End);
    let mut silent = returned();
    assert_eq!(told(&mut silent), Told::End);
    let mut begun = returned();
    begun.write_all(&preamble(&address(port, "b"))[..9]).unwrap();
    assert_eq!(told(&mut begun), Told::End);
    for (outcome, count) in
        [("deadline_passed", 2), ("closed_early", 1), ("not_framing", 1), ("endpoint_not_found", 1)]
    {
        let ended = format!("outcome={outcome} ");
        eventually(|| broker.log().matches(&ended).count() == count, || broker.log());
    }
}

#[test]
fn a_worker_that_drains_keeps_what_it_has_and_gets_nothing_more() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut a = Worker::register(&broker, &[address(port, "a")]);
    let mut client = ask(port, "a");
    let stream = a.accept();
    a.control.drain(&Which::Id(a.id)).unwrap();
    let asked = Validate::new(address(port, "a"), stream.local_addr().unwrap());
    assert_eq!(a.control.validate(&asked).unwrap(), None);
    // Another instance gets it as it was: nothing was read.
    let mut next = Worker::register(&broker, &[address(port, "a")]);
    assert_eq!(next.control.validate(&asked).unwrap(), Some(next.id));
    a.control.give_back(a.id, stream.as_fd()).unwrap();
    serve(next.accept(), &preamble(&address(port, "a")), b'n');
    assert_eq!(answer(&mut client), b'n');
}

/// Whichever of them has it.
#[test]
fn what_several_share_is_each_ones_own_until_it_drains() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let sharing = || Register::new([address(port, "a")]).with_share(true);
    let mut one = Worker::register_as(&broker, sharing());
    let mut two = Worker::register_as(&broker, sharing());
    let mut client = ask(port, "a");
    let stream = one.accept();
    let asked = Validate::new(address(port, "a/x"), stream.local_addr().unwrap());
    for _ in 0..4 {
        assert_eq!(one.control.validate(&asked).unwrap(), Some(one.id));
        assert_eq!(two.control.validate(&asked).unwrap(), Some(two.id));
    }
    one.control.drain(&Which::Id(one.id)).unwrap();
    assert_eq!(one.control.validate(&asked).unwrap(), None);
    assert_eq!(two.control.validate(&asked).unwrap(), Some(two.id));
    one.control.give_back(one.id, stream.as_fd()).unwrap();
    one.control.unregister(one.id).unwrap();
    serve(two.accept(), &preamble(&address(port, "a")), b'2');
    assert_eq!(answer(&mut client), b'2');
}

#[test]
fn what_is_no_connection_of_ours_is_refused_and_the_worker_stays() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "a")]);
    let mut other = Worker::register(&broker, &[address(port, "b")]);
    let before = broker.steady_descriptors();
    let mut client = ask(port, "a");
    let stream = worker.accept();
    let ours = || OwnedFd::from(stream.try_clone().unwrap());

    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let to_foreign = TcpStream::connect(foreign.local_addr().unwrap()).unwrap();
    let pair = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    );
    let unconnected =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.connect(("127.0.0.1", port)).unwrap();
    let given: Vec<(&str, OwnedFd)> = vec![
        ("a listening socket", foreign.try_clone().unwrap().into()),
        ("another port's connection", to_foreign.into()),
        ("its initiator", client.try_clone().unwrap().into()),
        ("a Unix socket", pair.unwrap().0),
        ("a Unix stream", UnixStream::connect(open_unix()).unwrap().into()),
        ("a socket that is not connected", unconnected.unwrap()),
        ("a socket for datagrams", datagrams.into()),
        ("a file", std::fs::File::open("/dev/null").unwrap().into()),
        ("a folder", std::fs::File::open("/").unwrap().into()),
        ("an event counter", rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap()),
    ];
    for (what, descriptor) in given {
        let returned = worker.control.give_back(worker.id, descriptor.as_fd());
        assert_eq!(refusal(returned), Some(RefusedReason::InvalidArgument), "{what}");
    }
    for id in [other.id, 0, u64::MAX] {
        let returned = worker.control.give_back(id, ours().as_fd());
        assert_eq!(refusal(returned), Some(RefusedReason::InvalidArgument), "{id}");
    }
    other.control.unregister(other.id).unwrap();
    assert_eq!(
        refusal(other.control.give_back(other.id, stream.as_fd())),
        Some(RefusedReason::InvalidArgument)
    );

    // Who does not keep to the form goes; others stay.
    for descriptors in [0, 2, 4] {
        let mut rude = Raw::connect(&broker.control());
        let request = json!({"return": {"id": worker.id}}).to_string();
        rude.send_with_all(request.as_bytes(), &vec![stream.as_fd(); descriptors]);
        assert_eq!(reason(&rude.receive().unwrap().0), "malformed");
        assert!(rude.receive().is_none());
    }
    // The connection is the worker's all the time, and whoever it serves notices nothing.
    serve(stream, &preamble(&address(port, "a")), b'!');
    assert_eq!(answer(&mut client), b'!');
    let mut another = ask(port, "a");
    serve(worker.accept(), &preamble(&address(port, "a")), b'!');
    assert_eq!(answer(&mut another), b'!');
    drop(other);
    broker.settles_at(before - 3);

    // One whose own end was ended cannot be served any more.
    let last = ask(port, "a");
    let stream = worker.accept();
    stream.shutdown(Shutdown::Write).unwrap();
    let returned = worker.control.give_back(worker.id, stream.as_fd());
    assert_eq!(refusal(returned), Some(RefusedReason::InvalidArgument));
    drop(last);
}

/// A path at which a stream socket listens, for as long as the test's process lives.
fn open_unix() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("used-again-{}", std::process::id()));
    std::mem::forget(std::os::unix::net::UnixListener::bind(&path).unwrap());
    path
}

/// A thousand copies of one connection, which is harmed by that, and a thousand returns of another, which is not.
#[test]
fn a_thousand_returns_in_a_row_harm_nobody_else() {
    let broker = Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "a")]);
    let mut other = Worker::register(&broker, &[address(port, "b")]);
    let before = broker.steady_descriptors();
    let mut client = ask(port, "a");
    for _ in 0..1000 {
        let stream = worker.accept();
        worker.control.give_back(worker.id, stream.as_fd()).unwrap();
    }
    serve(worker.accept(), &preamble(&address(port, "a")), b'!');
    assert_eq!(answer(&mut client), b'!');

    let mut copied = ask(port, "a");
    let stream = worker.accept();
    for _ in 0..1000 {
        // As long as nobody has been told anything on it: the first that is too many ends it.
        match refusal(worker.control.give_back(worker.id, stream.as_fd())) {
            None => {}
            Some(reason) => assert_eq!(reason, RefusedReason::InvalidArgument),
        }
    }
    assert_eq!(told(&mut copied), fault("ServerTooBusy"));
    let mut neighbour = ask(port, "b");
    serve(other.accept(), &preamble(&address(port, "b")), b'b');
    assert_eq!(answer(&mut neighbour), b'b');
    drop((client, copied, stream));
    while worker.receiver.try_accept().unwrap().is_some() {}
    broker.settles_at(before);
}

#[test]
fn without_a_descriptor_for_it_a_connection_stays_the_workers() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "a")]);
    let mut client = ask(port, "a");
    let stream = worker.accept();
    let pid = Pid::from_raw(broker.pid().try_into().unwrap());
    let own = rustix::process::getrlimit(Resource::Nofile);
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(0), maximum: own.maximum }).unwrap();
    let returned = worker.control.give_back(worker.id, stream.as_fd());
    prlimit(pid, Resource::Nofile, before).unwrap();
    assert_eq!(refusal(returned), Some(RefusedReason::RegistrationQuotaExceeded));
    worker.control.give_back(worker.id, stream.as_fd()).unwrap();
    drop(stream);
    serve(worker.accept(), &preamble(&address(port, "a")), b'!');
    assert_eq!(answer(&mut client), b'!');
}

/// It has a copy of the connection, and makes it wait: a splice from it would.
#[test]
fn a_worker_cannot_stop_the_relays_by_what_it_has_given_back() {
    let back_end = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let route = format!(
        "[[route]]\naddress = \"{}\"\nrelay = \"{}\"\n",
        address(port, "relayed"),
        back_end.local_addr().unwrap()
    );
    let broker = Broker::configured(&route, &[]);
    let mut worker = Worker::register(&broker, &[address(port, "a")]);
    let mut client = ask(port, "a");
    let mut stream = worker.accept();
    session(&mut stream, &preamble(&address(port, "a")), b'a');
    assert_eq!(answer(&mut client), b'a');
    let asked = Validate::new(address(port, "relayed"), stream.local_addr().unwrap());
    assert_eq!(worker.control.validate(&asked).unwrap(), None);
    worker.control.give_back(worker.id, stream.as_fd()).unwrap();
    let octets = preamble(&address(port, "relayed"));
    client.write_all(&octets).unwrap();
    let (mut relayed, _) = back_end.accept().unwrap();
    session(&mut relayed, &octets, b'r');
    assert_eq!(answer(&mut client), b'r');
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(None).unwrap();
    // Much, so that it would be spliced, and then nothing.
    let much = vec![7; 1 << 20];
    let reader = std::thread::spawn({
        let (mut relayed, size) = (relayed.try_clone().unwrap(), much.len());
        move || relayed.read_exact(&mut vec![0; size]).unwrap()
    });
    client.write_all(&much).unwrap();
    reader.join().unwrap();
    let mut other = ask(port, "relayed");
    let (mut served, _) = back_end.accept().unwrap();
    served.set_read_timeout(Some(PATIENCE)).unwrap();
    session(&mut served, &octets, b'o');
    assert_eq!(answer(&mut other), b'o');
    drop((stream, client, other));
}

#[test]
fn what_is_returned_to_a_broker_that_ends_is_told_of() {
    let mut broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "a")]);
    let mut client = ask(port, "a");
    let mut stream = worker.accept();
    session(&mut stream, &preamble(&address(port, "a")), b'a');
    assert_eq!(answer(&mut client), b'a');
    worker.control.give_back(worker.id, stream.as_fd()).unwrap();
    drop(stream);
    signal(broker.pid(), Signal::TERM);
    assert!(broker.ends(), "{}", broker.log());
    assert_eq!(told(&mut client), Told::End);
    let log = broker.log();
    assert!(log.contains("accepted=1 handed_over=1 shut_down=1 returned=1 unfinished=0\n"), "{log}");
}
