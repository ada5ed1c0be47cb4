//! The control protocol to the letter, spoken without the handoff crate.

mod common;

use common::{
    Broker, Raw, Strace, Worker, address, answer, ask, eventually, fault, free_port, has_ipv6, installed,
    is_root, reason, serve, skip, told,
};
use serde_json::{Value, json};

fn register(addresses: &[String]) -> Value {
    json!({"register": {"protocol": 1, "addresses": addresses}})
}

#[test]
fn registered_comes_with_one_descriptor() {
    let broker = Broker::start(&[]);
    let mut control = Raw::connect(&broker.control());
    let port = free_port();
    let (reply, descriptors) = control.ask(&register(&[address(port, "x")]));
    let id = reply["registered"]["id"].as_u64().unwrap();
    assert_eq!(descriptors.len(), 1);
    let flags = rustix::fs::fcntl_getfl(&descriptors[0]).unwrap();
    assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    assert_eq!(
        rustix::net::sockopt::socket_type(&descriptors[0]).unwrap(),
        rustix::net::SocketType::SEQPACKET
    );
    let (reply, descriptors) = control.ask(&json!({"unregister": {"id": id}}));
    assert_eq!((reply, descriptors.len()), (json!({"unregistered": {"id": id}}), 0));
    // What ended cannot end again, and the connection is as good as new.
    assert_eq!(control.refusal(&json!({"unregister": {"id": id}})), "invalid_argument");
    assert!(control.ask(&register(&[address(port, "x")])).0["registered"]["id"].is_u64());
}

/// What is open may be less than a worker asked for.
#[test]
fn registered_says_on_which_addresses_the_broker_listens() {
    let port = free_port();
    let listening = |broker: &Broker, bound: Option<&[&str]>| {
        let mut control = Raw::connect(&broker.control());
        let addresses = [address(port, "x"), address(port, "y")];
        let (reply, _) =
            control.ask(&json!({"register": {"protocol": 1, "addresses": addresses, "bound": bound}}));
        reply["registered"]["listening"].clone()
    };
    let all = Broker::start(&[]);
    assert_eq!(
        listening(&all, Some(&["127.0.0.1", "0.0.0.0"])),
        json!([format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}")])
    );
    if has_ipv6() {
        assert_eq!(listening(&all, None), json!([format!("0.0.0.0:{port}"), format!("[::]:{port}")]));
    }
    drop(all);
    let some = Broker::start(&["--listen", "127.0.0.2"]);
    assert_eq!(listening(&some, Some(&["0.0.0.0", "::"])), json!([format!("127.0.0.2:{port}")]));
}

#[test]
fn every_reason() {
    let broker = Broker::start(&[]);
    let mut control = Raw::connect(&broker.control());
    let port = free_port();
    let good = address(port, "x");
    let long = address(port, &"x".repeat(2048));
    for (body, expected) in [
        (json!({"protocol": 2, "addresses": [good]}), "version_unsupported"),
        (json!({"protocol": 2, "addresses": ["http://x/"], "future": {}}), "version_unsupported"),
        (json!({"protocol": 0, "addresses": [good]}), "version_unsupported"),
        (json!({"protocol": 1, "addresses": [good, "http://localhost/x"]}), "protocol_unsupported"),
        (json!({"protocol": 1, "addresses": ["net.pipe://localhost/x"]}), "protocol_unsupported"),
        (json!({"protocol": 1, "addresses": [long]}), "path_too_long"),
        (
            json!({"protocol": 1, "addresses": ["net.tcp://localhost/".to_owned() + &"x".repeat(65_400)]}),
            "path_too_long",
        ),
        (json!({"protocol": 1, "addresses": []}), "invalid_argument"),
        (json!({"protocol": 1, "addresses": ["nonsense"]}), "invalid_argument"),
        (json!({"protocol": 1, "addresses": ["net.tcp://user@localhost/x"]}), "invalid_argument"),
        (json!({"protocol": 1, "addresses": ["net.tcp://localhost/x?y"]}), "invalid_argument"),
        (json!({"protocol": 1, "addresses": [good], "host_name_comparison": "loose"}), "invalid_argument"),
        (json!({"protocol": 1, "addresses": [good], "bound": []}), "invalid_argument"),
        (json!({"protocol": 1, "addresses": [good], "sockets_per_message": 0}), "invalid_argument"),
        (json!({"protocol": 1, "addresses": ["net.tcp://localhost:0/x"]}), "invalid_argument"),
        (
            json!({"protocol": 1, "addresses": [format!("net.tcp://127.0.0.1:{port}/x")], "bound": ["127.0.0.2", "::"]}),
            "invalid_argument",
        ),
        (json!({"protocol": 1, "addresses": [good, address(port, "X/")]}), "conflicting_registration"),
        (json!({"protocol": 1, "addresses": ["net.tcp://203.0.113.7:9/x"]}), "address_not_available"),
        (json!({"protocol": 1, "addresses": ["net.tcp://[fe80::5]:9/x"]}), "address_not_available"),
    ] {
        assert_eq!(control.refusal(&json!({"register": body})), expected, "{body}");
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "{body}: all or none");
    }
    for request in ["sublet", "hello"] {
        assert_eq!(control.refusal(&json!({request: {"id": 1, "via": good}})), "not_supported");
    }
    // Unknown members of a known request are ignored; the connection took no harm.
    let body = json!({"protocol": 1, "addresses": [good], "host_name_comparison": "exact", "sockets_per_message": 1000,
                      "hops": 3});
    assert!(control.ask(&json!({"register": body})).0["registered"]["id"].is_u64());
}

#[test]
fn malformed_is_answered_and_ends_the_connection() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let long =
        json!({"register": {"protocol": 1, "addresses": [address(port, "x")], "pad": "x".repeat(65_536)}});
    for octets in [
        &b"nonsense"[..],
        b"[]",
        b"{}",
        b"{\"register\": 1}",
        b"{\"register\": {\"protocol\": 1}}",
        b"{\"register\": {\"protocol\": 1, \"addresses\": [1]}}",
        b"{\"unregister\": {}}",
        b"\xff\xfe",
        long.to_string().as_bytes(),
    ] {
        let mut control = Raw::connect(&broker.control());
        let (reply, _) = control.ask(&register(&[address(port, "held")]));
        assert!(reply["registered"].is_object(), "{reply}");
        control.send(octets);
        let (reply, descriptors) = control.receive().unwrap();
        assert_eq!((reason(&reply).as_str(), descriptors.len()), ("malformed", 0));
        assert!(control.receive().is_none(), "{}", octets.escape_ascii());
        eventually(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), || broker.log());
    }
}

#[test]
fn an_unexpected_descriptor_is_malformed() {
    let broker = Broker::start(&[]);
    let before = broker.steady_descriptors();
    let mut control = Raw::connect(&broker.control());
    let file = tempfile::tempfile().unwrap();
    control.send_with(register(&[address(free_port(), "x")]).to_string().as_bytes(), &file);
    assert_eq!(reason(&control.receive().unwrap().0), "malformed");
    assert!(control.receive().is_none());
    broker.settles_at(before);
}

#[test]
fn answers_come_in_order() {
    let broker = Broker::start(&[]);
    let mut control = Raw::connect(&broker.control());
    let port = free_port();
    control.send(register(&[address(port, "a")]).to_string().as_bytes());
    control.send(b"{\"hello\": {}}");
    control.send(register(&[address(port, "a")]).to_string().as_bytes());
    control.send(register(&[address(port, "b")]).to_string().as_bytes());
    let mut next = || control.receive().unwrap();
    assert_eq!(next().1.len(), 1);
    assert_eq!(reason(&next().0), "not_supported");
    let (conflict, _) = next();
    assert_eq!(reason(&conflict), "conflicting_registration");
    assert_eq!(conflict["refused"]["address"], address(port, "a"));
    assert_eq!(next().1.len(), 1);
}

#[test]
fn all_addresses_or_none() {
    let broker = Broker::start(&[]);
    let before = broker.steady_descriptors();
    let (free, taken) = (free_port(), free_port());
    let owner = std::net::TcpListener::bind(("127.0.0.1", taken)).unwrap();
    let mut control = Raw::connect(&broker.control());
    let (reply, _) = control.ask(&register(&[address(free, "x"), address(taken, "x")]));
    assert_eq!(reason(&reply), "failed_to_listen");
    assert_eq!(reply["refused"]["address"], address(taken, "x"));
    let message = reply["refused"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("pid {}", std::process::id())), "{message}");
    assert!(message.contains(&format!("127.0.0.1:{taken}")), "{message}");
    assert!(std::net::TcpStream::connect(("127.0.0.1", free)).is_err());
    drop(owner);
    // A process that another test starts just now may still have a copy of it.
    eventually(
        || control.ask(&register(&[address(free, "x"), address(taken, "x")])).0["registered"].is_object(),
        || broker.log(),
    );
    drop(control);
    broker.settles_at(before);
}

#[test]
fn several_addresses_share_one_queue() {
    let broker = Broker::start(&[]);
    let (one, two) = (free_port(), free_port());
    let mut worker = Worker::register(&broker, &[address(one, "x"), address(two, "y")]);
    for (port, path) in [(one, "x"), (two, "y")] {
        let mut client = ask(port, path);
        serve(worker.accept(), &common::preamble(&address(port, path)), b'!');
        assert_eq!(answer(&mut client), b'!');
    }
    // Which address belongs to which port still matters.
    assert_eq!(told(&mut ask(one, "y")), fault("EndpointNotFound"));
}

#[test]
fn another_user_is_denied() {
    if !is_root() || !installed("python3") {
        return;
    }
    let broker = Broker::start(&[]);
    let script = "import socket, sys, json, os\n\
                  os.setgid(65534); os.setuid(65534)\n\
                  c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); c.connect(sys.argv[1])\n\
                  for _ in range(2):\n\
                  \x20   c.send(json.dumps({'register': {'protocol': 1, 'addresses': [sys.argv[2]]}}).encode())\n\
                  \x20   print(json.loads(c.recv(65536))['refused']['reason'])\n";
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(broker.control())
        .arg(address(free_port(), "x"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "access_denied\naccess_denied\n", "{output:?}");
    assert_eq!(broker.whole_log().matches("access denied").count(), 1, "{}", broker.log());
}

#[test]
fn a_group_has_a_name() {
    use nix::unistd::{Group, getgid, getuid};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    // Only root may give a file to a group that is not its own.
    let other = Group::from_name("daemon").unwrap().filter(|_| getuid().is_root());
    let group = other.unwrap_or_else(|| Group::from_gid(getgid()).unwrap().expect("a group with a name"));
    let broker = Broker::start(&["--control-group", &group.name]);
    let file = std::fs::metadata(broker.control()).unwrap();
    assert_eq!((file.permissions().mode() & 0o777, file.gid()), (0o660, group.gid.as_raw()));
    Worker::register(&broker, &[address(free_port(), "x")]);
}

#[test]
fn a_conflict_is_told_in_printable_characters() {
    let broker = Broker::start(&[]);
    let port = free_port();
    std::fs::write("/proc/self/comm", "a\u{1b}[31mb").unwrap();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    let (reply, _) = Raw::connect(&broker.control()).ask(&register(&[address(port, "x")]));
    let message = reply["refused"]["message"].as_str().unwrap();
    assert!(message.contains("[31mb (pid") && !message.contains(char::is_control), "{message:?}");
}

/// As in a container: the kernel tells the broker no number of a process outside.
#[test]
fn a_worker_in_another_pid_namespace_has_no_number() {
    let in_namespace = |program: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", program]);
        command
    };
    if !in_namespace("true").status().is_ok_and(|status| status.success()) {
        return skip("PID namespace", "run the tests where users may make one (unshare --user --pid)");
    }
    let mut broker = Broker::start_by(in_namespace(env!("CARGO_BIN_EXE_broker")), &[]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x")]);
    for (asked, written) in [("x", String::new()), ("X", format!(", as {}", address(port, "x")))] {
        let (reply, _) = Raw::connect(&broker.control()).ask(&register(&[address(port, asked)]));
        let said = format!(
            "{} is already registered{written} by a program in another PID namespace",
            address(port, asked)
        );
        assert_eq!(reply["refused"]["message"], said);
    }
    drop(worker);
    eventually(|| broker.log().contains("registration ended"), || broker.log());
    assert!(broker.log().contains("registered registration=1 uid=0"), "{}", broker.log());
    assert!(!broker.log().contains("pid=0") && !broker.log().contains("pid 0"), "{}", broker.log());
    // unshare does not pass a signal on.
    let children = format!("/proc/{0}/task/{0}/children", broker.pid());
    let inner = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
    common::signal(inner, rustix::process::Signal::TERM);
    assert!(broker.ends());
}

/// Connections that only wait make room for a registration; nobody waits for that but the worker who asks.
#[test]
fn a_registration_without_descriptors_is_tried_again_and_keeps_nobody() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&[]);
    let mut control = Raw::connect(&broker.control());
    // The accept socket, and the listening socket.
    for (call, times) in [("socketpair", 3), ("socket", 3)] {
        let (trace, inject) = (
            format!("trace={call},clock_nanosleep,nanosleep,ppoll"),
            format!("inject={call}:error=EMFILE:when=1..{times}"),
        );
        let strace = Strace::attach(broker.thread("registry"), &["-e", &trace, "-e", &inject]);
        let (reply, _) = control.ask(&register(&[address(free_port(), "x")]));
        let trace = strace.end();
        assert!(reply["registered"].is_object(), "{reply}");
        assert_eq!(trace.matches("(INJECTED)").count(), times, "{trace}");
        assert!(trace.lines().all(|line| line.starts_with(call)), "the registry does not sleep: {trace}");
    }
    let strace = Strace::attach(broker.thread("registry"), &["-e", "inject=socketpair:error=EMFILE"]);
    assert_eq!(control.refusal(&register(&[address(free_port(), "x")])), "registration_quota_exceeded");
    drop(strace);
}

/// It may mean to look into every process of the machine, and others wait behind each request of the registry.
#[test]
fn whose_a_port_is_the_registry_does_not_look_up() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&[]);
    let foreign = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let taken = address(foreign.local_addr().unwrap().port(), "x");
    let free = address(free_port(), "x");
    let _holder = Worker::register(&broker, std::slice::from_ref(&free));
    let strace = Strace::attach(broker.thread("registry"), &["-e", "trace=%file,%desc"]);
    let mut control = Raw::connect(&broker.control());
    let (in_use, _) = control.ask(&register(&[taken]));
    let (conflict, _) = control.ask(&register(&[free]));
    let trace = strace.end();
    let own = format!("(pid {})", std::process::id());
    for (reply, said) in [(in_use, "address already in use: "), (conflict, " is already registered by ")] {
        let message = reply["refused"]["message"].as_str().unwrap();
        assert!(message.contains(said) && message.contains(&own), "{message}");
    }
    let opened: Vec<&str> = trace.lines().filter(|line| line.starts_with("open")).collect();
    // The listening sockets alone, of which the ports are.
    assert!(opened.iter().any(|line| line.contains("\"/proc/net/tcp\"")), "{trace}");
    assert!(opened.iter().all(|line| line.contains("\"/proc/net/tcp")), "{trace}");
}
