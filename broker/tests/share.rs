//! Several workers share an address: who gets which connection, and how one takes the place of another.

mod common;

use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{
    Broker, Told, Worker, address, answer, ask, connect_to, eventually, fault, free_port, installed, is_root,
    needs_ipv6, preamble, serve, told,
};
use handoff::administration::{State, Which};
use handoff::{ControlConnection, HandoffError, RefusedReason, Register};

fn sharing(port: u16, path: &str) -> Register {
    Register::new([address(port, path)]).with_share(true)
}

/// How many connections wait for each.
fn waiting(broker: &Broker, workers: &[&Worker]) -> Vec<u64> {
    workers.iter().map(|worker| broker.waiting(worker.id)).collect()
}

fn waits(broker: &Broker, workers: &[&Worker], expected: &[u64]) {
    eventually(
        || waiting(broker, workers) == expected,
        || format!("{:?} instead of {expected:?}: {}", waiting(broker, workers), broker.log()),
    );
}

fn message(result: Result<impl Sized, HandoffError>) -> String {
    match result {
        Err(HandoffError::Refused(refused)) => {
            assert_eq!(refused.reason, RefusedReason::ConflictingRegistration, "{refused}");
            refused.message
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was registered"),
    }
}

#[test]
fn a_connection_goes_to_the_one_for_which_the_fewest_wait() {
    let broker = Broker::start(&["--max-pending-connections", "4"]);
    let port = free_port();
    let mut a = Worker::register_as(&broker, sharing(port, "x"));
    let mut b = Worker::register_as(&broker, sharing(port, "x"));
    let mut clients: Vec<TcpStream> = (0..6).map(|_| ask(port, "x")).collect();
    waits(&broker, &[&a, &b], &[3, 3]);
    // One is quicker.
    let served: Vec<TcpStream> = (0..3).map(|_| b.accept()).collect();
    waits(&broker, &[&a, &b], &[3, 0]);
    clients.extend((0..2).map(|_| ask(port, "x")));
    waits(&broker, &[&a, &b], &[3, 2]);
    // What is held in the broker counts as well as what is in a queue.
    clients.extend((0..11).map(|_| ask(port, "x")));
    waits(&broker, &[&a, &b], &[8, 8]);
    assert_eq!(told(&mut ask(port, "x")), fault("ServerTooBusy"));
    for stream in served {
        serve(stream, &preamble(&address(port, "x")), b'!');
    }
    for worker in [&mut a, &mut b] {
        (0..8).for_each(|_| serve(worker.accept(), &preamble(&address(port, "x")), b'!'));
    }
    clients.iter_mut().for_each(|client| assert_eq!(answer(client), b'!'));
}

#[test]
fn where_as_many_wait_it_is_their_turn() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut workers: Vec<Worker> = (0..3).map(|_| Worker::register_as(&broker, sharing(port, "x"))).collect();
    let (mut served, via) = (Vec::new(), preamble(&address(port, "x")));
    for _ in 0..9 {
        let mut client = ask(port, "x");
        eventually(
            || {
                let taken = workers
                    .iter_mut()
                    .enumerate()
                    .find_map(|(number, worker)| Some((number, worker.receiver.try_accept().unwrap()?)));
                taken.is_some_and(|(number, socket)| {
                    let stream = TcpStream::from(socket);
                    stream.set_nonblocking(false).unwrap();
                    serve(stream, &via, b'!');
                    served.push(number);
                    true
                })
            },
            || broker.log(),
        );
        assert_eq!(answer(&mut client), b'!');
    }
    assert_eq!(served, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

/// Each turn of the loop has several connections, of which none is in a queue yet.
#[test]
fn what_is_about_to_be_sent_counts() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let a = Worker::register_as(&broker, sharing(port, "x"));
    let b = Worker::register_as(&broker, sharing(port, "x"));
    common::stop(broker.pid());
    let _clients: Vec<TcpStream> = (0..40).map(|_| ask(port, "x")).collect();
    common::signal(broker.pid(), rustix::process::Signal::CONT);
    waits(&broker, &[&a, &b], &[20, 20]);
}

#[test]
fn all_must_ask_for_it() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let _shares = Worker::register_as(&broker, sharing(port, "x"));
    let _keeps = Worker::register(&broker, &[address(port, "y")]);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let mut ask = |register: Register| message(control.register(&register));
    let said = ask(Register::new([address(port, "x")]));
    assert!(said.ends_with("; that registration shares it, and this one does not ask to (share)"), "{said}");
    let said = ask(sharing(port, "y"));
    assert!(said.ends_with("; that registration does not share it (share)"), "{said}");
    let said = ask(Register::new([address(port, "y")]));
    assert!(!said.contains("; that registration"), "{said}");
    // A list says who does.
    let shares: Vec<bool> = broker.holders().iter().map(|holder| holder.share).collect();
    assert_eq!(shares, [true, false]);
    // One that drains makes way without being asked.
    control.drain(&Which::Id(1)).unwrap();
    let (next, _socket) = control.register(&Register::new([address(port, "x")])).unwrap();
    let said = message(control.undrain(&Which::Id(1)));
    assert!(said.contains("; that registration does not share it (share)"), "{said}");
    control.unregister(next.id).unwrap();
    control.undrain(&Which::Id(1)).unwrap();
}

#[test]
fn a_worker_that_drains_itself_takes_its_queue_to_the_end() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let via = preamble(&address(port, "x"));
    let mut old = Worker::register_as(&broker, sharing(port, "x"));
    let mut first: Vec<TcpStream> = (0..3).map(|_| ask(port, "x")).collect();
    waits(&broker, &[&old], &[3]);
    let mut new = Worker::register_as(&broker, sharing(port, "x"));
    let drained = old.control.drain(&Which::Id(old.id)).unwrap();
    assert_eq!((drained.len(), drained[0].draining, drained[0].waiting), (1, true, 3));
    new.serve_in_order(&mut [ask(port, "x"), ask(port, "x")], &via);
    old.serve_in_order(&mut first, &via);
    assert_eq!(old.control.drain(&Which::Id(old.id)).unwrap()[0].waiting, 0);
    // It may change its mind, too.
    assert!(!old.control.undrain(&Which::Id(old.id)).unwrap()[0].draining);
    old.control.unregister(old.id).unwrap();
    new.serve_in_order(&mut [ask(port, "x")], &via);
}

/// Only its own: others' are an administrator's.
#[test]
fn a_worker_that_is_no_administrator_drains_what_it_holds() {
    if !is_root() || !installed("setpriv") || !installed("python3") {
        return;
    }
    const SCRIPT: &str = "
import json, socket, sys
control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
control.connect(sys.argv[1])
def ask(request):
    control.send(json.dumps(request).encode())
    return json.loads(socket.recv_fds(control, 65536, 1)[0])
own = ask({'register': {'protocol': 1, 'addresses': [sys.argv[2]]}})['registered']['id']
print(ask({'drain': {'id': own}}))
print(ask({'undrain': {'id': own}}))
print(ask({'drain': {'id': 1}}))
print(ask({'drain': {'address': sys.argv[2]}}))
";
    let broker = Broker::configured("control_group = '54322'\n", &[]);
    let port = free_port();
    let _other = Worker::register(&broker, &[address(port, "other")]);
    let worker = Command::new("setpriv")
        .env("PATH", "/usr/bin:/bin")
        .args(["--reuid=65534", "--regid=65534", "--groups=54322", "python3", "-c", SCRIPT])
        .arg(broker.control())
        .arg(address(port, "own"))
        .output()
        .unwrap();
    let said = String::from_utf8(worker.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("'drained'") && lines[0].contains("'draining': True"), "{said}");
    assert!(lines[1].contains("'drained'") && lines[1].contains("'draining': False"), "{said}");
    assert!(lines[2].contains("access_denied") && lines[3].contains("access_denied"), "{said}");
}

/// What one leaves behind the others get at once, whatever grace it asked for.
#[test]
fn those_who_are_there_get_what_one_leaves_behind() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let graceful = |paths: &[&str]| {
        let addresses: Vec<String> = paths.iter().map(|path| address(port, path)).collect();
        Register::new(addresses).with_share(true).with_grace(Duration::from_secs(600))
    };
    let via = |path: &str| preamble(&address(port, path));
    let a = Worker::register_as(&broker, graceful(&["x"]));
    let mut b = Worker::register_as(&broker, graceful(&["x"]));
    let mut clients: Vec<TcpStream> = (0..4).map(|_| ask(port, "x")).collect();
    waits(&broker, &[&a, &b], &[2, 2]);
    drop(a);
    waits(&broker, &[&b], &[4]);
    b.serve_all(&mut clients, &via("x"));
    assert_eq!(broker.holders().len(), 1);

    // Of one that has another address besides, only that waits.
    let c = Worker::register_as(&broker, graceful(&["x", "y"]));
    let mut clients: Vec<TcpStream> = (0..2).map(|_| ask(port, "x")).collect();
    waits(&broker, &[&c, &b], &[1, 1]);
    let mut other = ask(port, "y");
    waits(&broker, &[&c, &b], &[2, 1]);
    drop(c);
    waits(&broker, &[&b], &[2]);
    b.serve_all(&mut clients, &via("x"));
    let holders = broker.holders();
    let absent = holders.iter().find(|holder| holder.state == State::Absent).unwrap();
    assert_eq!(absent.addresses, [address(port, "y")]);
    // The last one is waited for like any other.
    let last = b.id;
    drop(b);
    eventually(
        || broker.holders().iter().all(|holder| holder.state == State::Absent),
        || format!("{:?}", broker.holders()),
    );
    let mut client = ask(port, "x");
    eventually(|| broker.waiting(last) == 1, || broker.log());
    let mut next = Worker::register_as(&broker, graceful(&["x", "y"]));
    let accepted = [next.accept(), next.accept()];
    for stream in accepted {
        let path = if stream.peer_addr().unwrap() == client.local_addr().unwrap() { "x" } else { "y" };
        serve(stream, &via(path), b'!');
    }
    assert_eq!((answer(&mut client), answer(&mut other)), (b'!', b'!'));
    assert_eq!(broker.holders().len(), 1);
}

/// A grace that asked for less than the old one's drain: whoever has taken its place is there.
#[test]
fn one_that_drained_for_its_successor_is_not_waited_for() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let graceful = || Register::new([address(port, "x")]).with_grace(Duration::from_secs(600));
    let mut old = Worker::register_as(&broker, graceful());
    old.control.drain(&Which::Id(old.id)).unwrap();
    let mut new = Worker::register_as(&broker, graceful());
    drop(old);
    eventually(|| broker.holders().len() == 1, || format!("{:?}", broker.holders()));
    new.serve_in_order(&mut [ask(port, "x")], &preamble(&address(port, "x")));
}

#[test]
fn bridges_are_shared_too() {
    if !needs_ipv6() {
        return;
    }
    let broker = Broker::start(&[]);
    let port = free_port();
    let four = || {
        let mut register = sharing(port, "x");
        register.bound = Some(vec!["127.0.0.1".parse().unwrap()]);
        Worker::register_as(&broker, register)
    };
    let (a, b) = (four(), four());
    // The other family is open for somebody else.
    let mut six = Register::new([address(port, "six")]);
    six.bound = Some(vec!["::1".parse().unwrap()]);
    let _six = Worker::register_as(&broker, six);
    let via = preamble(&address(port, "x"));
    let clients: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut client = connect_to("::1".parse().unwrap(), port);
            std::io::Write::write_all(&mut client, &via).unwrap();
            client
        })
        .collect();
    waits(&broker, &[&a, &b], &[4, 4]);
    drop((a, b, clients));
}

/// One instance of a service; what it has left when it ends is served.
fn serves(mut worker: Worker, via: &[u8], served: &AtomicUsize, stop: &AtomicBool) {
    let serve_all = |worker: &mut Worker| {
        // When it has unregistered, behind what is left comes the end.
        while let Ok(Some(socket)) = worker.receiver.try_accept() {
            let stream = TcpStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            serve(stream, via, b'!');
            served.fetch_add(1, Ordering::Relaxed);
        }
    };
    while !stop.load(Ordering::Relaxed) {
        serve_all(&mut worker);
        std::thread::sleep(Duration::from_millis(1));
    }
    while worker.control.drain(&Which::Id(worker.id)).unwrap()[0].waiting > 0 {
        serve_all(&mut worker);
    }
    worker.control.unregister(worker.id).unwrap();
    serve_all(&mut worker);
}

/// However a test ends, its threads do.
struct Ends<'a>(&'a AtomicBool, &'a [AtomicBool]);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.1.iter().chain([self.0]).for_each(|end| end.store(true, Ordering::Relaxed));
    }
}

#[test]
fn instances_follow_each_other_under_load_and_nobody_is_refused_nor_reset() {
    const ROUNDS: usize = 30;
    let broker = Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let via = preamble(&address(port, "x"));
    let over = AtomicBool::new(false);
    let (served, stops): (Vec<AtomicUsize>, Vec<AtomicBool>) =
        (0..=ROUNDS).map(|_| Default::default()).unzip();
    let register = || Worker::register_as(&broker, sharing(port, "x"));
    std::thread::scope(|scope| {
        let _ends = Ends(&over, &stops);
        let instance = |n: usize| {
            let worker = register();
            let (via, served, stops) = (&via, &served, &stops);
            scope.spawn(move || serves(worker, via, &served[n], &stops[n]))
        };
        let mut old = instance(0);
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0_usize;
                    while !over.load(Ordering::Relaxed) {
                        let mut client = ask(port, "x");
                        assert_eq!(told(&mut client), Told::Other("!".to_owned()), "after {answered}");
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        for n in 1..=ROUNDS {
            let new = instance(n);
            eventually(|| served[n].load(Ordering::Relaxed) > 20, || format!("{served:?}: {}", broker.log()));
            stops[n - 1].store(true, Ordering::Relaxed);
            std::mem::replace(&mut old, new).join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        stops[ROUNDS].store(true, Ordering::Relaxed);
        old.join().unwrap();
        assert_eq!(served.iter().map(|served| served.load(Ordering::Relaxed)).sum::<usize>(), answered);
    });
}
