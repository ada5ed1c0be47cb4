//! One broker is followed by the next: nothing of what it has is lost, and nobody is refused. Long: each thing that it has.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::{
    Broker, Told, Worker, address, answer, ask, connect, eventually, fault, free_port, lives, preamble,
    serve, signal, told,
};
use handoff::ControlConnection;
use handoff::administration::{Holder, State, Upgrade, Which};
use rustix::process::Signal;

fn administrator(broker: &Broker) -> ControlConnection {
    ControlConnection::connect(&broker.control()).unwrap()
}

fn holder(broker: &Broker, id: u64) -> Holder {
    administrator(broker).list().unwrap().into_iter().find(|holder| holder.id == id).unwrap()
}

fn places(broker: &Broker, place: handoff::administration::Place) -> usize {
    administrator(broker).connections().unwrap().iter().filter(|connection| connection.place == place).count()
}

/// In the order in which they connected.
fn serve_in_order(worker: &mut Worker, clients: &mut [TcpStream], expected: &[u8]) {
    for client in clients {
        serve(worker.accept(), expected, b'!');
        assert_eq!(answer(client), b'!');
    }
}

#[test]
fn everything_is_passed_on() {
    let port = free_port();
    let mut broker = Broker::start(&["--max-pending-connections", "2"]);
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let drains = Worker::register(&broker, &[address(port, "y")]);
    administrator(&broker).drain(&Which::Id(drains.id)).unwrap();
    let expected = preamble(&address(port, "x"));

    // Two in the queue, two held, one that has begun its preamble, one that is refused and does not close.
    let mut clients: Vec<TcpStream> = Vec::new();
    for waiting in 1..=4 {
        clients.push(ask(port, "x"));
        eventually(|| holder(&broker, worker.id).waiting() == waiting, || broker.log());
    }
    let mut slow = connect(port);
    slow.write_all(&expected[..9]).unwrap();
    let mut refused = ask(port, "y");
    assert_eq!(answer(&mut refused), 8, "a fault");
    let there = handoff::administration::Place::Preamble;
    eventually(|| places(&broker, there) == 1, || broker.log());
    let before = administrator(&broker).status().unwrap();

    let first = broker.first_pid();
    broker.upgrade();
    eventually(|| !lives(first), || broker.log());

    let after = administrator(&broker).status().unwrap();
    assert_eq!(after.pid, broker.pid());
    assert_eq!((after.accepted, after.here, after.outcomes), (before.accepted, before.here, before.outcomes));
    assert!(after.uptime_seconds >= before.uptime_seconds && after.started == before.started);
    let listed = holder(&broker, worker.id);
    assert_eq!((listed.queued, listed.held, listed.pid), (2, 2, Some(std::process::id())));
    assert_eq!(holder(&broker, drains.id).state, State::Draining);
    assert_eq!(places(&broker, there), 1);

    // As many as may still wait: none.
    assert_eq!(told(&mut ask(port, "x")), fault("ServerTooBusy"));
    serve_in_order(&mut worker, &mut clients, &expected);
    slow.write_all(&expected[9..]).unwrap();
    serve_in_order(&mut worker, &mut [slow], &expected);
    drop(refused);

    // The control connection is the same, and what it holds ends with it.
    let another = handoff::Register::new([address(port, "z")]);
    let (registered, _socket) = worker.control.register(&another).unwrap();
    assert!(registered.id > drains.id, "no number is given away twice");
    let mut waits = ask(port, "x");
    eventually(|| worker.receiver.waiting().unwrap() == 1, || broker.log());
    worker.control.unregister(worker.id).unwrap();
    assert_eq!(told(&mut waits), fault("EndpointNotFound"));
    drop(worker);
    drop(drains);
    eventually(|| TcpStream::connect(("127.0.0.1", port)).is_err(), || broker.log());
    // Descriptors of the old one would keep it open.
    assert!(TcpListener::bind(("0.0.0.0", port)).is_ok(), "{}", broker.log());
}

#[test]
fn the_command_says_who_serves_and_so_does_the_log() {
    let mut broker = Broker::start(&[]);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["upgrade", "--control"])
        .arg(broker.control())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let pid = said.strip_prefix("process ").and_then(|said| said.split(' ').next()).expect(&said);
    assert!(said.contains(&format!(" serves, version {}; accepting paused for ", env!("CARGO_PKG_VERSION"))));
    broker.is_followed_by(pid.parse().unwrap());
    // By a signal.
    signal(broker.pid(), Signal::USR2);
    let serves = || {
        let log = broker.log();
        let said = log.rsplit("INFO upgrade: process ").next()?.split(',').next()?.parse::<u32>().ok();
        said.filter(|pid| *pid != broker.pid() && lives(*pid) && log.matches(" INFO ready").count() == 3)
    };
    eventually(|| serves().is_some(), || broker.log());
    let successor = serves().unwrap();
    let first = broker.first_pid();
    eventually(|| !lives(first), || broker.log());
    broker.is_followed_by(successor);
    Worker::register(&broker, &[address(free_port(), "x")]);
    assert!(!broker.log().contains("was removed by another program"), "the path stays: {}", broker.log());
}

/// A back-end, a broker with a route to it, and an established relay: the client, and the back-end's end.
fn relayed(arguments: &[&str]) -> (Broker, u16, TcpListener, TcpStream, TcpStream) {
    let (port, back_end) = (free_port(), TcpListener::bind("127.0.0.1:0").unwrap());
    let to = back_end.local_addr().unwrap();
    let toml = format!("[[route]]\naddress = '{}'\nrelay = '{to}'\n", address(port, "r"));
    let broker = Broker::configured(&toml, arguments);
    let client = ask(port, "r");
    let (mut there, _) = back_end.accept().unwrap();
    read_preamble(&mut there, port);
    (broker, port, back_end, client, there)
}

/// What is left of one that relays when it has ended.
#[test]
fn a_broker_whose_relays_have_ended_leaves_no_descriptor_behind() {
    let (mut broker, port, back_end, client, there) = relayed(&[]);
    let ends = |broker: &Broker, client: TcpStream, there: TcpStream| {
        drop((client, there));
        eventually(|| administrator(broker).status().unwrap().here == 0, || broker.log());
    };
    ends(&broker, client, there);
    // The first has none before it.
    let before = broker.steady_descriptors();
    let client = ask(port, "r");
    let (mut there, _) = back_end.accept().unwrap();
    read_preamble(&mut there, port);
    let lingers = broker.pid();
    broker.upgrade();
    assert!(lives(lingers), "{}", broker.log());
    ends(&broker, client, there);
    eventually(|| !lives(lingers), || broker.log());
    broker.settles_at(before);
}

fn read_preamble(there: &mut TcpStream, port: u16) {
    let mut octets = vec![0; preamble(&address(port, "r")).len()];
    there.read_exact(&mut octets).unwrap();
}

fn copied(client: &mut TcpStream, there: &mut TcpStream) {
    client.write_all(b"?").unwrap();
    there.read_exact(&mut [0]).unwrap();
    there.write_all(b"!").unwrap();
    assert_eq!(answer(client), b'!');
}

#[test]
fn a_relay_stays_in_the_old_process_and_is_counted_in_the_new_one() {
    let (mut broker, port, back_end, mut client, mut there) = relayed(&[]);
    let first = broker.first_pid();
    let id = administrator(&broker).list().unwrap()[0].id;
    broker.upgrade();
    copied(&mut client, &mut there);
    let second = broker.pid();
    let mut new = ask(port, "r");
    let (mut new_there, _) = back_end.accept().unwrap();
    read_preamble(&mut new_there, port);
    // Once more: both are other processes' then.
    broker.upgrade();
    copied(&mut client, &mut there);
    copied(&mut new, &mut new_there);
    assert!(lives(first) && lives(second));
    let listed = holder(&broker, id);
    assert_eq!((listed.relaying, listed.relayed), (2, 0), "the number of the route is the same");
    assert_eq!(administrator(&broker).status().unwrap().here, 2);

    drop((client, there));
    eventually(|| holder(&broker, id).relaying == 1 && holder(&broker, id).relayed == 1, || broker.log());
    let listed = holder(&broker, id);
    let octets = preamble(&address(port, "r")).len() as u64 + 2;
    assert_eq!((listed.octets_in, listed.octets_out), (octets, 2));
    eventually(|| !lives(first), || broker.log());
    assert!(lives(second));
    // The end of the last ends the other, too.
    assert!(broker.terminate());
    eventually(|| !lives(second), || broker.log());
    assert!(matches!(told(&mut new), Told::End | Told::Reset));
    let end = broker.log();
    let counts = end.lines().rev().find(|line| line.contains(" ended; connections ")).unwrap();
    assert!(counts.ends_with("accepted=2 relayed=1 shut_down=1 unfinished=0"), "{end}");
}

#[test]
fn relays_linger_no_longer_than_they_may() {
    let (mut broker, _, _, mut client, mut there) = relayed(&["--relay-linger-seconds", "0.1"]);
    let first = broker.first_pid();
    broker.upgrade();
    eventually(|| !lives(first), || broker.log());
    assert!(matches!(told(&mut client), Told::End | Told::Reset));
    assert!(matches!(there.read(&mut [0]), Ok(0) | Err(_)));
    eventually(|| administrator(&broker).status().unwrap().outcomes["shut_down"] == 1, || broker.log());
}

#[test]
fn relays_of_a_process_that_is_killed_have_ended() {
    let (mut broker, _, _, mut client, _there) = relayed(&[]);
    let first = broker.first_pid();
    broker.upgrade();
    signal(first, Signal::KILL);
    assert!(matches!(told(&mut client), Told::End | Told::Reset));
    let status = || administrator(&broker).status().unwrap();
    eventually(|| status().outcomes["shut_down"] == 1 && status().here == 0, || broker.log());
    assert_eq!(administrator(&broker).list().unwrap()[0].relaying, 0);
}

/// What a relay's back-end does not take is the new one's to refuse: it has the table, and the log.
#[test]
fn a_connection_that_cannot_be_relayed_comes_back() {
    let port = free_port();
    // Nobody accepts, and no more may wait: whoever connects is kept waiting by the kernel.
    let back_end =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&back_end, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&back_end, 0).unwrap();
    let back_end = TcpListener::from(back_end);
    let to = back_end.local_addr().unwrap();
    let _fill = TcpStream::connect(to).unwrap();
    let toml = format!("[[route]]\naddress = '{}'\nrelay = '{to}'\n", address(port, "r"));
    let mut broker = Broker::configured(&toml, &[]);
    let mut client = ask(port, "r");
    let relayed = handoff::administration::Place::Relayed;
    eventually(|| places(&broker, relayed) == 1, || broker.log());
    let first = broker.first_pid();
    broker.upgrade();
    // Refused at the next attempt of the kernel.
    drop(back_end);
    assert_eq!(told(&mut client), fault("ConnectionDispatchFailed"));
    eventually(|| !lives(first), || broker.log());
    assert_eq!(administrator(&broker).status().unwrap().outcomes["dispatch_failed"], 1);
}

/// A next broker that speaks and then does this.
fn fake(folder: &std::path::Path, then: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("fake");
    let text = format!(
        "#!/usr/bin/env python3\nimport json, os, signal, socket, time\nold = socket.socket(fileno=0)\ndef say(what): \
         old.send(json.dumps(what).encode())\ndef hello(form): say({{'hello': {{'manifest': form, 'version': '9.9', 'pid': \
         os.getpid()}}}})\n{then}\n"
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_next_broker_that_fails_changes_nothing() {
    let port = free_port();
    let broker = Broker::start(&[]);
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let folder = tempfile::tempdir().unwrap();
    let expected = preamble(&address(port, "x"));
    let text = folder.path().join("text");
    std::fs::write(&text, "no program").unwrap();
    let mut asked = administrator(&broker);
    let mut fails = |binary: &std::path::Path, why: &str| {
        let mut slow = connect(port);
        slow.write_all(&expected[..9]).unwrap();
        let mut waits = ask(port, "x");
        eventually(|| worker.receiver.waiting().unwrap() == 1, || broker.log());
        let upgraded = asked.upgrade(&Upgrade::to(Some(binary.to_owned()))).unwrap();
        let error = upgraded.error.unwrap_or_default();
        assert!(error.contains(why), "{}: {error:?}", binary.display());
        let mut new = ask(port, "x");
        serve_in_order(&mut worker, std::slice::from_mut(&mut waits), &expected);
        serve_in_order(&mut worker, std::slice::from_mut(&mut new), &expected);
        slow.write_all(&expected[9..]).unwrap();
        serve_in_order(&mut worker, std::slice::from_mut(&mut slow), &expected);
    };
    fails(&folder.path().join("nothing"), "cannot be started: No such file or directory");
    fails(&text, "cannot be started: Permission denied");
    fails("/bin/false".as_ref(), "it has ended (exit status: 1)");
    for (then, why) in [
        ("hello(99)", "it is version 9.9, which takes over what is written down in form 99"),
        ("say({'failed': {'why': 'no cheese'}})", "it cannot begin: no cheese"),
        ("say({'cheese': 1})", "it is no broker: it says Unknown"),
        ("old.send(b'x' * 1000)", "it is no broker: it says Unknown"),
        ("hello(1)\nos.kill(os.getpid(), signal.SIGKILL)", "it has ended (signal: 9 (SIGKILL))"),
        ("hello(1)\nold.recv(1)\nos.kill(os.getpid(), signal.SIGKILL)", "it has ended (signal: 9 (SIGKILL))"),
        (
            "hello(1)\nwhile len(old.recv(65536)) > 0: time.sleep(600)",
            "it was not ready in time, and was killed",
        ),
        (
            "hello(1)\nold.recv(65536)\nold.recv(65536)\nsay('go')\ntime.sleep(600)",
            "it says Go in place of being ready",
        ),
        ("hello(1)\nold.recv(65536)\nsay({'failed': {'why': 'no cheese'}})", "it cannot begin: no cheese"),
    ] {
        fails(&fake(folder.path(), then), why);
    }
    // It never says a word.
    fails(&fake(folder.path(), "time.sleep(600)"), "it was not ready in time, and was killed");
    assert_eq!(broker.log().matches("this broker goes on as if nothing had been").count(), 13);
    assert!(broker.control().exists());
}

#[test]
fn a_configuration_that_is_wrong_changes_nothing() {
    let kept = format!("[[route]]\naddress = '{}'\nrelay = '127.0.0.1:1'\n", address(free_port(), "x"));
    let broker = Broker::configured(&kept, &[]);
    broker.rewrite("relay_idle_seconds = -7\n");
    let said = administrator(&broker).upgrade(&Upgrade::default()).unwrap().error.unwrap();
    let place = format!("it cannot begin: {}:1:", broker.configuration().display());
    assert!(said.starts_with(&place) && said.contains("relay_idle_seconds is -7"), "{said}");
    // A port that somebody else has.
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let denied = format!("[[route]]\naddress = '{}'\nrelay = '127.0.0.1:1'\n", address(port, "x"));
    // The one before it comes with a port of the old one.
    broker.rewrite(&(kept + &denied));
    let said = administrator(&broker).upgrade(&Upgrade::default()).unwrap().error.unwrap();
    assert!(said.contains("address already in use"), "{said}");
    Worker::register(&broker, &[address(free_port(), "x")]);
}

/// Routes and ports that the configuration says otherwise now.
#[test]
fn the_next_broker_does_what_the_configuration_says_now() {
    let [kept, gone, new] = [(); 3].map(|()| free_port());
    let route = |port| format!("[[route]]\naddress = '{}'\nrelay = '127.0.0.1:1'\n", address(port, "r"));
    let mut broker = Broker::configured(&(route(kept) + &route(gone)), &[]);
    let ids = |broker: &Broker| -> Vec<(u64, String)> {
        let listed = administrator(broker).list().unwrap();
        listed.into_iter().map(|holder| (holder.id, holder.addresses[0].clone())).collect()
    };
    assert_eq!(ids(&broker), [(1, address(kept, "r")), (2, address(gone, "r"))]);
    administrator(&broker).drain(&Which::Id(1)).unwrap();
    broker.rewrite(&(route(new) + &route(kept)));
    broker.upgrade();
    assert_eq!(ids(&broker), [(1, address(kept, "r")), (3, address(new, "r"))]);
    assert_eq!(holder(&broker, 1).state, State::Draining);
    drop(connect(new));
    eventually(|| TcpStream::connect(("127.0.0.1", gone)).is_err(), || broker.log());
}

/// The program is slow to begin: what happens meanwhile.
fn slow_program(folder: &std::path::Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("slow");
    let text = format!(
        "#!/bin/sh\ntouch {0}/begun\nwhile [ ! -e {0}/go ]; do sleep 0.01; done\nexec {1} \"$@\"\n",
        folder.display(),
        env!("CARGO_BIN_EXE_broker")
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_second_upgrade_is_told_that_one_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let slow = slow_program(folder.path());
    let mut broker = Broker::start(&[]);
    let mut asked = administrator(&broker);
    let upgraded = thread::spawn(move || asked.upgrade(&Upgrade::to(Some(slow))).unwrap());
    eventually(|| folder.path().join("begun").exists(), || broker.log());
    let second = administrator(&broker).upgrade(&Upgrade::default()).unwrap();
    assert_eq!(second.error.as_deref(), Some("an upgrade is under way already"));
    // Everything else goes on.
    let worker = Worker::register(&broker, &[address(free_port(), "x")]);
    std::fs::write(folder.path().join("go"), "").unwrap();
    let upgraded = upgraded.join().unwrap();
    assert_eq!(upgraded.error, None);
    broker.is_followed_by(upgraded.pid.unwrap());
    assert_eq!(holder(&broker, worker.id).id, worker.id);
}

#[test]
fn an_end_comes_before_an_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let slow = slow_program(folder.path());
    let mut broker = Broker::start(&[]);
    let mut asked = administrator(&broker);
    let upgraded = thread::spawn(move || asked.upgrade(&Upgrade::to(Some(slow))));
    eventually(|| folder.path().join("begun").exists(), || broker.log());
    assert!(broker.terminate());
    let _ = upgraded.join().unwrap();
    assert!(broker.log().contains("goes on as if nothing had been: this broker ends"), "{}", broker.log());
}

/// The old one is killed before it has passed anything on: the new one has nothing, and ends.
#[test]
fn a_next_broker_without_the_one_before_ends() {
    let folder = tempfile::tempdir().unwrap();
    let slow = slow_program(folder.path());
    let mut broker = Broker::start(&[]);
    let mut asked = administrator(&broker);
    let upgraded = thread::spawn(move || asked.upgrade(&Upgrade::to(Some(slow))));
    eventually(|| folder.path().join("begun").exists(), || broker.log());
    signal(broker.pid(), Signal::KILL);
    assert!(upgraded.join().unwrap().is_err());
    assert!(!broker.ends(), "it was killed");
    std::fs::write(folder.path().join("go"), "").unwrap();
    let said = "the broker before this one has not passed everything on: it has ended";
    eventually(|| broker.log().contains(said), || broker.log());
}

/// A worker that does not read its answers is not waited for.
#[test]
fn who_does_not_read_its_answer_registers_again() {
    let mut broker = Broker::start(&[]);
    let port = free_port();
    // Long answers, of which the socket takes some.
    let addresses: Vec<String> = (0..400).map(|n| address(port, &format!("{n:0>100}"))).collect();
    let mut deaf = common::Raw::connect(&broker.control());
    let (reply, _descriptors) =
        deaf.ask(&serde_json::json!({"register": {"protocol": 1, "addresses": addresses}}));
    assert!(reply["registered"]["id"].is_u64(), "{reply}");
    for _ in 0..20 {
        deaf.send(b"{\"list\": {}}");
    }
    let other = Worker::register(&broker, &[address(port, "x")]);
    let mut waits = ask(port, &format!("{:0>100}", 7));
    eventually(|| administrator(&broker).list().unwrap()[0].queued == 1, || broker.log());
    // Until all of it rests, and the next answer waits for room.
    broker.steady_descriptors();
    broker.upgrade();
    // What it had left is looked at again.
    assert_eq!(told(&mut waits), fault("EndpointNotFound"));
    let listed = administrator(&broker).list().unwrap();
    assert_eq!(listed.iter().map(|holder| holder.id).collect::<Vec<_>>(), [other.id]);
    while deaf.receive().is_some() {}
}

/// A worker that has left comes back to the next broker.
#[test]
fn a_grace_goes_on() {
    let port = free_port();
    let mut broker = Broker::start(&[]);
    let grace = handoff::Register::new([address(port, "x")]).with_grace(std::time::Duration::from_secs(600));
    let past = Worker::register_as(&broker, grace);
    let id = past.id;
    let mut waits = ask(port, "x");
    eventually(|| past.receiver.waiting().unwrap() == 1, || broker.log());
    drop(past);
    eventually(|| holder(&broker, id).state == State::Absent, || broker.log());
    broker.upgrade();
    assert_eq!(holder(&broker, id).state, State::Absent);
    let mut new = ask(port, "x");
    eventually(|| holder(&broker, id).waiting() == 2, || broker.log());
    let mut next = Worker::register(&broker, &[address(port, "x")]);
    let expected = preamble(&address(port, "x"));
    serve_in_order(&mut next, std::slice::from_mut(&mut waits), &expected);
    serve_in_order(&mut next, std::slice::from_mut(&mut new), &expected);
}

/// Nobody comes: the time goes on, too.
#[test]
fn a_grace_ends_in_the_next_broker() {
    let port = free_port();
    let mut broker = Broker::start(&[]);
    let grace = handoff::Register::new([address(port, "x")]).with_grace(std::time::Duration::from_secs(2));
    let past = Worker::register_as(&broker, grace);
    let mut waits = ask(port, "x");
    eventually(|| past.receiver.waiting().unwrap() == 1, || broker.log());
    let id = past.id;
    drop(past);
    eventually(|| holder(&broker, id).state == State::Absent, || broker.log());
    broker.upgrade();
    assert_eq!(told(&mut waits), fault("EndpointUnavailable"));
    eventually(|| TcpStream::connect(("127.0.0.1", port)).is_err(), || broker.log());
}

/// A worker that listens on the other family only is reached by a relay of the broker to itself.
#[test]
fn a_bridge_stays_and_new_ones_are_made() {
    if !common::needs_ipv6() {
        return;
    }
    let port = free_port();
    let mut broker = Broker::start(&[]);
    let mut register = handoff::Register::new([address(port, "x")]);
    register.bound = Some(vec!["127.0.0.1".parse().unwrap()]);
    let other = handoff::Register::new([address(port, "y")]);
    let _open = Worker::register_as(&broker, other);
    let mut worker = Worker::register_as(&broker, register);
    let bridged = || {
        let mut client = common::connect_to("::1".parse().unwrap(), port);
        client.write_all(&preamble(&address(port, "x"))).unwrap();
        client
    };
    let mut old = bridged();
    let mut there = worker.accept();
    there.read_exact(&mut vec![0; preamble(&address(port, "x")).len()]).unwrap();
    broker.upgrade();
    copied(&mut old, &mut there);
    let mut new = bridged();
    serve_in_order(&mut worker, std::slice::from_mut(&mut new), &preamble(&address(port, "x")));
    drop((old, there, new));
    let here = || administrator(&broker).status().unwrap().here;
    eventually(|| here() == 0, || broker.log());
}

#[test]
fn http_is_answered_all_the_while() {
    let (mut broker, http) = common::http::broker_with_http(&[]);
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // The port is never closed. One that the old process has begun may end with it.
                let mut stream = TcpStream::connect(("127.0.0.1", http)).expect("it listens");
                let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let _ = stream.read_to_end(&mut Vec::new());
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..5 {
            let before = asked.load(Ordering::Relaxed);
            eventually(|| asked.load(Ordering::Relaxed) > before + 3, || broker.log());
            broker.upgrade();
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(common::http::get(http, "/healthz").status, 200);
    let pid = broker.pid();
    eventually(|| lives(pid), || broker.log());
}

/// What a relay in the old process ends with is told where it would have been, and the next broker's file is the same.
#[test]
fn the_access_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access");
    let (mut broker, port, back_end, client, there) = relayed(&["--access-log", file.to_str().unwrap()]);
    let first = broker.first_pid();
    broker.upgrade();
    drop((client, there));
    eventually(|| !lives(first), || broker.log());
    let client = ask(port, "r");
    let (mut there, _) = back_end.accept().unwrap();
    read_preamble(&mut there, port);
    drop((client, there));
    let records = || std::fs::read_to_string(&file).unwrap();
    eventually(|| records().matches(" relayed ").count() == 2, records);
    assert_eq!(records().lines().count(), 2, "{}", records());
}

#[test]
fn nothing_is_left_of_those_before() {
    let (mut broker, _) = common::http::broker_with_http(&[]);
    let worker = Worker::register(&broker, &[address(free_port(), "x")]);
    let mut descriptors = Vec::new();
    for _ in 0..4 {
        broker.upgrade();
        descriptors.push(broker.steady_descriptors());
    }
    assert!(descriptors.iter().all(|count| *count == descriptors[0]), "{descriptors:?}");
    drop(worker);
}

/// A broker that is the first process of a container ends all others with itself.
#[test]
fn the_first_process_is_followed_by_none() {
    if !common::is_root() || !common::installed("unshare") {
        return;
    }
    let mut command = std::process::Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", env!("CARGO_BIN_EXE_broker")]);
    let broker = Broker::start_by(command, &[]);
    let said = administrator(&broker).upgrade(&Upgrade::default()).unwrap().error.unwrap();
    assert!(said.contains("this broker is process 1"), "{said}");
    // The broker itself is a child of what was started.
    let task = format!("/proc/{0}/task/{0}/children", broker.first_pid());
    let child: u32 = std::fs::read_to_string(task).unwrap().trim().parse().unwrap();
    signal(child, Signal::TERM);
    let mut broker = broker;
    assert!(broker.ends(), "{}", broker.log());
}

#[test]
fn a_hundred_upgrades_lose_nobody() {
    let port = free_port();
    let mut broker = Broker::start(&["--log-level", "info"]);
    let expected = preamble(&address(port, "x"));
    let (over, left, served) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(0));
    let begun = std::time::Instant::now();
    let upgrades: usize = std::env::var("UPGRADES").map_or(100, |upgrades| upgrades.parse().unwrap());
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let mut pauses: Vec<u64> = thread::scope(|scope| {
        let (over, left, served, expected) = (&over, &left, &served, &expected);
        scope.spawn(move || {
            while !left.load(Ordering::Relaxed) {
                match worker.receiver.try_accept().unwrap() {
                    Some(socket) => {
                        let mut stream = TcpStream::from(socket);
                        stream.set_nonblocking(false).unwrap();
                        let mut octets = vec![0; expected.len()];
                        stream.read_exact(&mut octets).unwrap();
                        stream.write_all(b"!").unwrap();
                    }
                    None => thread::sleep(std::time::Duration::from_micros(200)),
                }
            }
        });
        let clients: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let mut client = connect(port);
                        // Half of them in two pieces, which is parked between.
                        let (first, rest) = expected.split_at(if n % 2 == 0 { expected.len() } else { 7 });
                        client.write_all(first).unwrap();
                        thread::yield_now();
                        client.write_all(rest).unwrap();
                        assert_eq!(answer(&mut client), b'!', "nobody is refused");
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let pauses = (0..upgrades)
            .map(|_| {
                // Some have come since the last one.
                let before = served.load(Ordering::Relaxed);
                eventually(|| served.load(Ordering::Relaxed) > before + 8, || broker.log());
                broker.upgrade()
            })
            .collect();
        let before = served.load(Ordering::Relaxed);
        eventually(|| served.load(Ordering::Relaxed) > before + 100, || broker.log());
        over.store(true, Ordering::Relaxed);
        // The worker goes last: it serves whoever is still here.
        clients.into_iter().for_each(|client| client.join().unwrap());
        left.store(true, Ordering::Relaxed);
        pauses
    });
    pauses.sort_unstable();
    let of = |part: usize| pauses[(pauses.len() - 1) * part / 100];
    println!(
        "{upgrades} upgrades, {} connections, {:.0} a second: accepting paused for {} µs (median), {} (99 %), {} (longest)",
        served.load(Ordering::Relaxed),
        served.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64(),
        of(50),
        of(99),
        of(100)
    );
    let status = administrator(&broker).status().unwrap();
    let served = u64::try_from(served.into_inner()).unwrap();
    assert_eq!((status.accepted, status.outcomes["handed_over"], status.here), (served, served, 0));
}
