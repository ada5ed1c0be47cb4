//! Long, one case beside the other: `broker reload` and SIGHUP: what the file says now is what the broker does, without a restart.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::access_log::Logging;
use common::{
    Broker, Worker, address, answer, ask, connect, eventually, fault, free_port, preamble, serve, signal,
    told,
};
use handoff::{ControlConnection, HandoffError, Register};
use rustix::process::Signal;
use serde_json::Value;

fn run(broker: &Broker, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.args(arguments).arg("--control").arg(broker.control());
    command.output().expect("the broker starts")
}

/// What a reload that is applied says.
fn reload(broker: &Broker) -> Vec<String> {
    let output = run(broker, &["reload"]);
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// What one that is not says.
fn refused(broker: &Broker) -> String {
    let output = run(broker, &["reload"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let said = said.strip_prefix("broker reload: nothing has changed:").unwrap_or_else(|| panic!("{said}"));
    said.trim_start().to_owned()
}

fn list(broker: &Broker) -> Vec<Value> {
    let output = run(broker, &["ls", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A back-end that says who it is, whatever comes.
struct BackEnd {
    listener: TcpListener,
    name: u8,
}

impl BackEnd {
    fn new(name: u8) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap(), name }
    }

    fn route(&self, address: &str) -> String {
        let relay = self.listener.local_addr().unwrap();
        format!("[[route]]\naddress = '{address}'\nrelay = '{relay}'\n")
    }

    fn accept(&self) -> TcpStream {
        self.listener.accept().unwrap().0
    }

    /// Serves one connection for this address.
    fn serves(&self, port: u16, path: &str) {
        let mut client = ask(port, path);
        serve(self.accept(), &preamble(&address(port, path)), self.name);
        assert_eq!(answer(&mut client), self.name);
    }
}

#[test]
fn routes_come_change_and_go_and_relays_stay() {
    let (one, two) = (BackEnd::new(b'1'), BackEnd::new(b'2'));
    let (port, other) = (free_port(), free_port());
    let [changed, removed, added] = ["changed", "removed", "added"].map(|path| address(port, path));
    let broker = Broker::configured(&(one.route(&changed) + &one.route(&removed)), &[]);
    one.serves(port, "changed");
    let begin = |path: &str| {
        let mut client = ask(port, path);
        let mut back_end = one.accept();
        let octets = preamble(&address(port, path));
        back_end.read_exact(&mut vec![0; octets.len()]).unwrap();
        client.write_all(b"before").unwrap();
        (client, back_end)
    };
    let relays = [begin("changed"), begin("removed")];

    assert_eq!(reload(&broker), ["nothing has changed in the configuration"]);
    broker.rewrite(&(two.route(&changed) + &two.route(&added) + &two.route(&address(other, "elsewhere"))));
    let [to_one, to_two] = [&one, &two].map(|back_end| back_end.listener.local_addr().unwrap());
    let mode = "(strong_wildcard)";
    assert_eq!(
        reload(&broker),
        [
            format!("the route {removed} {mode} to {to_one} is gone"),
            format!("the route {changed} {mode} to {to_two} was the route {changed} {mode} to {to_one}"),
            format!("the route {added} {mode} to {to_two} is new"),
            format!("the route {} {mode} to {to_two} is new", address(other, "elsewhere")),
        ]
    );
    two.serves(port, "changed");
    two.serves(port, "added");
    two.serves(other, "elsewhere");
    assert_eq!(told(&mut ask(port, "removed")), fault("EndpointNotFound"));
    for (mut client, mut back_end) in relays {
        let mut octets = [0; 6];
        back_end.read_exact(&mut octets).unwrap();
        assert_eq!(&octets, b"before");
        back_end.write_all(b"after").unwrap();
        drop(back_end);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"after");
    }

    // A port that nobody needs any more is closed.
    broker.rewrite(&two.route(&changed));
    assert_eq!(reload(&broker).len(), 2);
    assert!(TcpStream::connect(("127.0.0.1", other)).is_err(), "{}", broker.log());
    two.serves(port, "changed");
    broker.rewrite("");
    reload(&broker);
    assert!(list(&broker).is_empty() && TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Counts are the address's, and what is relayed still is told with where it goes.
#[test]
fn a_changed_route_keeps_its_number_and_its_counts() {
    let (one, two) = (BackEnd::new(b'1'), BackEnd::new(b'2'));
    let port = free_port();
    let legacy = address(port, "legacy");
    let broker = Broker::configured(&(one.route(&legacy) + &one.route(&address(port, "other"))), &[]);
    let listed = || list(&broker).into_iter().find(|entry| entry["addresses"][0] == *legacy).unwrap();
    let counts = |relaying: u64, relayed: u64| {
        let has = || (&listed()["relaying"], &listed()["relayed"]) == (&relaying.into(), &relayed.into());
        eventually(has, || listed().to_string());
    };
    one.serves(port, "legacy");
    counts(0, 1);
    let relayed = ask(port, "legacy");
    let to_one = one.accept();
    counts(1, 1);
    let before = listed();

    // Also its address may be written in another way.
    let again = address(port, "Legacy");
    broker.rewrite(&(two.route(&again) + &one.route(&address(port, "other"))));
    assert_eq!(reload(&broker).len(), 1);
    let [old, new] = [&one, &two].map(|back_end| back_end.listener.local_addr().unwrap().to_string());
    let after = list(&broker).into_iter().find(|entry| entry["addresses"][0] == *again).unwrap();
    assert_eq!((&after["id"], &after["relay"]), (&before["id"], &new.as_str().into()));
    assert_eq!((&after["relaying"], &after["relayed"]), (&1.into(), &1.into()));
    let output = run(&broker, &["connections", "--json"]);
    let connections: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&connections[0]["id"], &connections[0]["relay"]), (&before["id"], &old.as_str().into()));
    let text = String::from_utf8(run(&broker, &["connections"]).stdout).unwrap();
    assert!(text.contains(&format!(" {old} ")), "{text}");
    two.serves(port, "legacy");
    drop((relayed, to_one));
    let of_new = || list(&broker).into_iter().find(|entry| entry["addresses"][0] == *again).unwrap();
    eventually(
        || (&of_new()["relaying"], &of_new()["relayed"]) == (&0.into(), &3.into()),
        || of_new().to_string(),
    );
    // The port is the address's, too.
    broker.rewrite(&one.route(&address(port, "other")));
    reload(&broker);
    assert_eq!(told(&mut ask(port, "legacy")), fault("EndpointNotFound"));
    one.serves(port, "other");
    broker.rewrite("");
    reload(&broker);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{}", broker.log());
}

#[test]
fn with_an_error_nothing_changes() {
    let one = BackEnd::new(b'1');
    let (port, new) = (free_port(), free_port());
    let kept = address(port, "kept");
    let broker = Broker::configured(&one.route(&kept), &[]);
    let file = broker.configuration().display().to_string();
    let before = list(&broker)[0]["id"].clone();

    broker.rewrite(&format!("{}max_pending_connectoins = 3\n", one.route(&address(new, "x"))));
    let said = refused(&broker);
    assert!(said.starts_with(&format!("{file}:4:1: error: unknown key `max_pending_connectoins`")), "{said}");

    // The first route could be had, the second could not: another program has its port.
    let foreign = TcpListener::bind("0.0.0.0:0").unwrap();
    let taken = address(foreign.local_addr().unwrap().port(), "taken");
    broker.rewrite(&format!(
        "compatibility = 'smsvchost'\n{}{}",
        one.route(&address(new, "x")),
        one.route(&taken)
    ));
    let said = refused(&broker);
    assert!(said.starts_with(&format!("{file}:6:11: error: the route {taken}: ")), "{said}");
    assert!(said.contains("in use"), "{said}");
    assert!(TcpStream::connect(("127.0.0.1", new)).is_err(), "it was closed again");

    // One that a worker has.
    let worker = Worker::register(&broker, &[address(port, "worker")]);
    broker.rewrite(&(one.route(&kept) + &one.route(&address(port, "Worker"))));
    let said = refused(&broker);
    let expected = format!(
        "{file}:5:11: error: the route {0}: {0} is already registered, as {1} by ",
        address(port, "Worker"),
        address(port, "worker")
    );
    assert!(said.starts_with(&expected) && said.contains(&std::process::id().to_string()), "{said}");

    // One that leads back to the broker.
    let back = format!("[[route]]\naddress = '{}'\nrelay = '127.0.0.1:{port}'\n", address(new, "kept/more"));
    broker.rewrite(&(back + &one.route(&kept)));
    let said = refused(&broker);
    assert!(
        said.starts_with(&format!("{file}:2:11: error: the route ")) && said.contains("leads back"),
        "{said}"
    );

    std::fs::remove_file(broker.configuration()).unwrap();
    let said = refused(&broker);
    assert!(said.contains(&format!("the configuration {file} cannot be read")), "{said}");
    std::fs::write(broker.configuration(), one.route(&kept)).unwrap();

    assert_eq!(list(&broker)[0]["id"], before);
    assert_eq!(told(&mut ask(port, "nobody")), fault("EndpointNotFound"), "compatibility was not changed");
    one.serves(port, "kept");
    drop(worker);
    assert_eq!(reload(&broker), ["nothing has changed in the configuration"]);
}

#[test]
fn a_route_that_drains_goes_on_draining() {
    let (one, two) = (BackEnd::new(b'1'), BackEnd::new(b'2'));
    let port = free_port();
    let [kept, changed] = ["kept", "changed"].map(|path| address(port, path));
    let broker = Broker::configured(&(one.route(&kept) + &one.route(&changed)), &[]);
    for address in [&kept, &changed] {
        assert!(run(&broker, &["drain", address]).status.success());
    }
    // A worker of the same user takes one of them over; the route is still the one that is changed and removed.
    let mut worker = Worker::register(&broker, std::slice::from_ref(&kept));
    broker.rewrite(&(two.route(&kept) + &two.route(&changed)));
    assert_eq!(reload(&broker).len(), 2);
    assert_eq!(told(&mut ask(port, "changed")), fault("EndpointUnavailable"));
    let mut client = ask(port, "kept");
    serve(worker.accept(), &preamble(&kept), b'w');
    assert_eq!(answer(&mut client), b'w');
    let states: Vec<_> = list(&broker).iter().map(|entry| entry["state"].clone()).collect();
    assert_eq!(states, ["draining", "draining", "up"], "by their addresses and numbers, which they keep");
    assert!(run(&broker, &["undrain", &changed]).status.success());
    two.serves(port, "changed");

    broker.rewrite(&two.route(&changed));
    assert_eq!(reload(&broker).len(), 1);
    let mut client = ask(port, "kept");
    serve(worker.accept(), &preamble(&kept), b'w');
    assert_eq!(answer(&mut client), b'w');
    let listed = list(&broker);
    assert!(listed.len() == 2 && listed.iter().all(|entry| entry["state"] == "up"), "{listed:?}");
}

#[test]
fn a_worker_meets_a_route_that_has_come() {
    let one = BackEnd::new(b'1');
    let port = free_port();
    let broker = Broker::configured("", &[]);
    broker.rewrite(&one.route(&address(port, "x")));
    reload(&broker);
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let Err(HandoffError::Refused(refused)) = control.register(&Register::new([address(port, "x")])) else {
        panic!("it was registered")
    };
    assert_eq!(
        refused.message,
        format!("{} is already registered by the broker's configuration", address(port, "x"))
    );
    one.serves(port, "x");
    // It has left with the route's removal.
    broker.rewrite("");
    reload(&broker);
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let mut client = ask(port, "x");
    serve(worker.accept(), &preamble(&address(port, "x")), b'w');
    assert_eq!(answer(&mut client), b'w');
}

/// Each key is applied, or named.
#[test]
fn keys_take_effect_or_need_a_restart() {
    let one = BackEnd::new(b'1');
    let port = free_port();
    let route = one.route(&address(port, "legacy"));
    let before = format!("receive_timeout_seconds = 3600\n{route}");
    let broker = Broker::configured(&before, &["--max-registrations-per-user", "7"]);
    let mut worker = Worker::register(&broker, &[address(port, "orders")]);

    // Those that wait already have the new time.
    let mut parked = connect(port);
    parked.write_all(b"\0").unwrap();
    let mut relayed = ask(port, "legacy");
    let mut back_end = one.accept();
    eventually(|| broker.log().contains("relayed to"), || broker.log());
    broker.rewrite(&format!(
        "control = '/elsewhere'\nreceive_timeout_seconds = 0.3\nrelay_idle_seconds = 0.3\nmax_pending_connections = 1\n\
         max_connections_per_source = 3\nmax_addresses_per_registration = 2\nmax_registrations_per_user = 1\ncompatibility = 'smsvchost'\n[listen]\naddresses = ['127.0.0.1']\n{route}"
    ));
    let output = run(&broker, &["reload"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "receive_timeout_seconds is 0.3, was 3600",
            "relay_idle_seconds is 0.3, was 3600",
            "max_pending_connections is 1, was 100",
            "max_connections_per_source is 3, was not set",
            "max_addresses_per_registration is 2, was not set",
            "compatibility is \"smsvchost\", was \"default\"",
            "[listen] addresses is [\"127.0.0.1\"], was not set; that needs a restart",
        ],
        "options come before the file: control and max_registrations_per_user are what they were"
    );
    let warned = String::from_utf8(output.stderr).unwrap();
    let hidden =
        ["1:11: warning: control = ", "7:30: warning: max_registrations_per_user = 1 has no effect: "];
    assert_eq!(warned.lines().count(), hidden.len(), "{warned}");
    for (warned, hidden) in warned.lines().zip(hidden) {
        assert!(warned.starts_with(&format!("{}:{hidden}", broker.configuration().display())), "{warned}");
    }
    // Nothing of a preamble, and nothing in a relay, for so long.
    assert_eq!(
        parked.read(&mut [0; 1]).map_err(|error| error.kind()),
        Err(std::io::ErrorKind::ConnectionReset)
    );
    let preamble_octets = preamble(&address(port, "legacy")).len();
    back_end.read_exact(&mut vec![0; preamble_octets]).unwrap();
    assert_eq!(back_end.read(&mut [0; 1]).unwrap_or_default(), 0);
    assert_eq!(relayed.read(&mut [0; 1]).unwrap_or_default(), 0);
    // As the original resets what has no endpoint… it is told; what is malformed is not.
    let mut malformed = connect(port);
    malformed.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(malformed.read(&mut [0; 1]).is_err(), "reset");
    let mut control = ControlConnection::connect(&broker.control()).unwrap();
    let three = Register::new(["a", "b", "c"].map(|path| address(port, path)));
    let Err(HandoffError::Refused(refused)) = control.register(&three) else { panic!("it was registered") };
    assert!(refused.message.contains("max_addresses_per_registration is 2"), "{refused:?}");

    broker.rewrite(&format!("max_pending_connections = 2\n{route}"));
    assert_eq!(reload(&broker).len(), 6);
    let waiting: Vec<_> = (0..2).map(|_| ask(port, "orders")).collect();
    eventually(
        || list(&broker).iter().any(|entry| entry["queued"] == 2 && entry["max_pending"] == 2),
        || format!("{:?}", list(&broker)),
    );
    for mut client in waiting {
        serve(worker.accept(), &preamble(&address(port, "orders")), b'o');
        assert_eq!(answer(&mut client), b'o');
    }
}

/// What waits in the broker because a queue is full has room at once.
#[test]
fn a_longer_queue_takes_what_waits() {
    let port = free_port();
    let broker = Broker::configured("max_pending_connections = 2\n", &[]);
    let worker = Worker::register(&broker, &[address(port, "x")]);
    let waiting: Vec<_> = (0..4).map(|_| ask(port, "x")).collect();
    let has = |queued: u64, held: u64| {
        move |listed: Vec<Value>| (&listed[0]["queued"], &listed[0]["held"]) == (&queued.into(), &held.into())
    };
    eventually(|| has(2, 2)(list(&broker)), || format!("{:?}", list(&broker)));
    broker.rewrite("max_pending_connections = 9\n");
    reload(&broker);
    eventually(|| has(4, 0)(list(&broker)), || format!("{:?}", list(&broker)));
    drop((waiting, worker));
}

#[test]
fn sighup_reloads_and_answers_in_the_log() {
    let one = BackEnd::new(b'1');
    let port = free_port();
    let broker = Broker::configured("", &["--log-level", "info"]);
    let says = |text: &str| eventually(|| broker.log().contains(text), || broker.log());
    signal(broker.pid(), Signal::HUP);
    says("reload: nothing has changed in the configuration");
    broker.rewrite(&format!("control_group = '0'\n{}", one.route(&address(port, "x"))));
    signal(broker.pid(), Signal::HUP);
    says(&format!("reload: the route {} (strong_wildcard) to ", address(port, "x")));
    says("reload: control_group is \"0\", was not set; that needs a restart");
    one.serves(port, "x");
    broker.rewrite("\nx");
    signal(broker.pid(), Signal::HUP);
    says(&format!("reload: nothing has changed: {}:2:2: error: ", broker.configuration().display()));
    one.serves(port, "x");
}

#[test]
fn without_a_file_there_is_nothing_to_read() {
    let broker = Broker::start(&[]);
    assert_eq!(
        refused(&broker),
        "the broker was started without --config: there is no file that it could read again\n"
    );
    let nowhere =
        Command::new(env!("CARGO_BIN_EXE_broker")).args(["reload", "--control", "/nowhere"]).output();
    assert_eq!(nowhere.unwrap().status.code(), Some(2));
}

/// More than fits a message.
#[test]
fn an_answer_of_any_length_comes_whole() {
    let (one, port) = (BackEnd::new(b'1'), free_port());
    let broker = Broker::configured("", &[]);
    let path = |n: usize| format!("{n}/{}", "x".repeat(1000));
    let routes: String = (0..200).map(|n| one.route(&address(port, &path(n)))).collect();
    broker.rewrite(&routes);
    let said = reload(&broker);
    assert_eq!(said.len(), 200);
    assert!(said.iter().enumerate().all(|(n, line)| line.contains(&address(port, &path(n)))));
    one.serves(port, &path(199));
}

/// Says so to the others if its thread panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Clients connect all the time; only those of the route that is removed are told so, and nobody is lost, reset, or another's.
#[test]
fn a_reload_under_load_touches_nobody_else() {
    let port = free_port();
    let serves = |name: u8, path: &str| {
        let back_end = BackEnd::new(name);
        let (octets, listener) = (preamble(&address(port, path)), back_end.listener.try_clone().unwrap());
        // Until the end of the process.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (mut connection, mut came) = (connection.unwrap(), vec![0; octets.len()]);
                let is_for_it = connection.read_exact(&mut came).is_ok() && came == octets;
                let _ = is_for_it.then(|| connection.write_all(&[name]));
            }
        });
        back_end.route(&address(port, path))
    };
    let (stays, comes) = (serves(b's', "stays"), serves(b'c', "comes"));
    let moves = [serves(b'm', "moves"), serves(b'n', "moves")];
    let broker = Broker::configured(&(stays.clone() + &moves[0]), &["--log-level", "info"]);
    let mut worker = Worker::register(&broker, &[address(port, "worker")]);
    let (over, asked) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 4]);
    let asks = |n: usize, path: &str, may_say: &[u8]| {
        let over = Over(&over);
        while !over.0.load(Ordering::Relaxed) {
            let mut client = ask(port, path);
            let mut octet = [0];
            client.read_exact(&mut octet).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(may_say.contains(&octet[0]), "{path}: {octet:?}");
            asked[n].fetch_add(1, Ordering::Relaxed);
        }
    };
    let served = || {
        let over = Over(&over);
        while !over.0.load(Ordering::Relaxed) {
            let mut client = ask(port, "worker");
            serve(worker.accept(), &preamble(&address(port, "worker")), b'w');
            assert_eq!(answer(&mut client), b'w');
            asked[3].fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let over = Over(&over);
        scope.spawn(|| asks(0, "stays", b"s"));
        scope.spawn(|| asks(1, "moves", b"mn"));
        // A fault begins with this octet.
        scope.spawn(|| asks(2, "comes", b"c\x08"));
        scope.spawn(served);
        for round in 0..40 {
            let comes = if round % 2 == 0 { &comes } else { "" };
            broker.rewrite(&(stays.clone() + &moves[(round + 1) % 2] + comes));
            assert_eq!(reload(&broker).len(), 2);
            let seen = || asked.each_ref().map(|count| count.load(Ordering::Relaxed));
            let before = seen();
            let more = || seen().iter().zip(before).all(|(now, before)| *now > before + 1);
            eventually(|| more() || over.0.load(Ordering::Relaxed), || broker.log());
        }
    });
    let listed = list(&broker);
    assert_eq!(listed.len(), 3, "{listed:?}");
}

/// A reload whose file the next broker could not start with is none, and says so as `broker check` does; what was so before it is no
/// reason to leave the rest undone.
#[test]
fn what_the_next_broker_could_not_start_with_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    std::fs::create_dir(path("logs")).unwrap();
    let log = format!("[access_log]\nto = '{}'\n", path("logs/access"));
    let [port, http] = [free_port(), free_port()];
    let broker = Broker::configured(&log, &[]);
    let file = broker.configuration().display().to_string();
    for (toml, expected) in [
        (
            "control_group = 'no such group'\n".to_owned(),
            vec!["1:17: error: control_group: there is no group".to_owned()],
        ),
        (
            format!("[http]\nlisten = '{taken}'\n[access_log]\nto = '{}'\n", path("logs")),
            vec![
                format!("2:10: error: [http] listen {taken} cannot be opened: address already in use: "),
                format!("4:6: error: the access log cannot be written to {}", path("logs")),
            ],
        ),
        (
            format!(
                "[http]\nlisten = '127.0.0.1:{port}'\n[[route]]\naddress = 'net.tcp://h:{port}/x'\nrelay = '192.0.2.1:1'\n"
            ),
            vec![format!(
                "2:10: error: [http] listen 127.0.0.1:{port} cannot be opened: the route at line 4"
            )],
        ),
        (
            "adress = 1\n[htp]\n".to_owned(),
            vec!["1:1: error: unknown key `adress`".to_owned(), "2:2: error: unknown key `htp`".to_owned()],
        ),
    ] {
        broker.rewrite(&toml);
        let said = refused(&broker);
        let said: Vec<&str> = said.lines().collect();
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(&format!("{file}:{expected}")), "{expected}\n{said}");
        }
    }
    // What is its own is in nobody's way.
    broker.rewrite(&format!("{log}[[route]]\naddress = 'net.tcp://h:{port}/x'\nrelay = '192.0.2.1:1'\n"));
    assert_eq!(reload(&broker).len(), 1);
    broker.rewrite(&format!("{log}[http]\nlisten = ['127.0.0.1:{http}', '127.0.0.1:{port}']\n"));
    assert_eq!(
        reload(&broker),
        [
            format!("the route net.tcp://h:{port}/x (strong_wildcard) to 192.0.2.1:1 is gone"),
            format!(
                "[http] listen is [\"127.0.0.1:{http}\", \"127.0.0.1:{port}\"], was not set; that needs a restart"
            ),
        ]
    );
    // The folder has gone since; that is said, and the rest is done.
    std::fs::remove_dir_all(path("logs")).unwrap();
    broker.rewrite(&format!("max_pending_connections = 7\n{log}"));
    let output = run(&broker, &["reload"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let warned = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "{file}:3:6: warning: the access log cannot be written to {} (its folder",
        path("logs/access")
    );
    assert!(warned.starts_with(&expected) && warned.lines().count() == 1, "{warned}");
    assert_eq!(output.stdout, b"max_pending_connections is 7, was 100\n");
}

/// What may be meant otherwise is said, on standard error and in the log.
#[test]
fn a_reload_warns() {
    let broker = Broker::configured("", &["--receive-timeout-seconds", "10"]);
    let file = broker.configuration().display().to_string();
    let warned = |toml: &str| {
        broker.rewrite(toml);
        let output = run(&broker, &["reload"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let [said, warned] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        (said, warned)
    };
    let nothing = "nothing has changed in the configuration\n";
    let hidden = format!(
        "{file}:1:27: warning: receive_timeout_seconds = 20 has no effect: the option --receive-timeout-seconds says 10\n"
    );
    assert_eq!(warned("receive_timeout_seconds = 20\n"), (nothing.to_owned(), hidden.clone()));
    let log = hidden.replacen(&file, &format!("reload: {file}"), 1);
    eventually(|| broker.log().contains(log.trim_end()), || broker.log());
    // It is said when it is new.
    assert_eq!(warned("receive_timeout_seconds = 20\n"), (nothing.to_owned(), String::new()));
    assert_eq!(warned("receive_timeout_seconds = 10\n"), (nothing.to_owned(), String::new()));
    let idle = format!("{file}:2:9: warning: [http] allow does nothing without [http] listen\n");
    let changed = "[http] allow is [\"192.0.2.0/24\"], was not set; that needs a restart\n";
    assert_eq!(warned("[http]\nallow = ['192.0.2.0/24']\n"), (changed.to_owned(), idle));
}

/// For whoever reads what a reload did, the route is still there.
#[test]
fn a_route_with_another_mode_has_changed() {
    let port = free_port();
    let route = |mode: &str| {
        format!(
            "[[route]]\naddress = 'net.tcp://h:{port}/x'\nhost_name_comparison = '{mode}'\nrelay = '192.0.2.1:1'\n"
        )
    };
    let broker = Broker::configured(&route("exact"), &[]);
    broker.rewrite(&route("weak_wildcard"));
    let said = format!(
        "the route net.tcp://h:{port}/x (weak_wildcard) to 192.0.2.1:1 was the route net.tcp://h:{port}/x (exact) to 192.0.2.1:1"
    );
    assert_eq!(reload(&broker), [said]);
    assert_eq!(list(&broker)[0]["host_name_comparison"], "weak_wildcard");
}

/// How much of one source the access log tells is the operator's, without a restart; 0 is no limit.
#[test]
fn what_the_access_log_tells_of_one_source_is_changed() {
    const CONNECTIONS: usize = 300;
    let settings = |per_source| format!("format = 'json'\nper_source = {per_source}");
    let logging = Logging::start(&settings(0), "", &[]);
    let port = free_port();
    let _worker = Worker::register(&logging.broker, &[address(port, "x")]);
    let connect = |path: &str| {
        common::stop(logging.broker.pid());
        let initiators: Vec<_> = (0..CONNECTIONS).map(|_| ask(port, path)).collect();
        signal(logging.broker.pid(), Signal::CONT);
        for mut initiator in initiators {
            assert_eq!(told(&mut initiator), fault("EndpointNotFound"));
        }
    };
    connect("before");
    let file = logging.broker.configuration();
    let changed = std::fs::read_to_string(file).unwrap().replace(&settings(0), &settings(1));
    logging.broker.rewrite(&changed);
    assert_eq!(reload(&logging.broker), ["[access_log] per_source is 1, was 0"]);
    connect("after");
    let records = logging.end();
    let told = |path: &str| {
        let via = format!("net.tcp://localhost:{port}/{path}");
        records.iter().filter(|record| record["via"] == via.as_str()).count()
    };
    let suppressed: u64 = records.iter().filter_map(|record| record["count"].as_u64()).sum();
    assert_eq!(told("before"), CONNECTIONS);
    assert!(told("after") < CONNECTIONS, "{}", told("after"));
    assert_eq!(told("after") as u64 + suppressed, CONNECTIONS as u64);
}
