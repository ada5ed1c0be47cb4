//! What the workers of one user may hold.

mod common;

use std::process::Command;

use common::{
    Broker, Raw, Worker, address, answer, ask, eventually, free_port, installed, is_root, preamble, reason,
    serve,
};
use serde_json::json;

fn register(path: &str, port: u16) -> serde_json::Value {
    json!({"register": {"protocol": 1, "addresses": [address(port, path)]}})
}

#[test]
fn each_bound_refuses_one_more_and_names_itself() {
    let broker = Broker::start(&[
        "--max-addresses-per-registration=3",
        "--max-registrations-per-user=2",
        "--max-listeners-per-user=4",
        "--max-control-connections-per-user=2",
    ]);
    let port = free_port();
    let before = broker.steady_descriptors();
    let mut control = Raw::connect(&broker.control());
    let refused = |control: &mut Raw, request: &serde_json::Value, key: &str| {
        let (reply, descriptors) = control.ask(request);
        assert_eq!((reason(&reply).as_str(), descriptors.len()), ("registration_quota_exceeded", 0));
        let message = reply["refused"]["message"].as_str().unwrap();
        assert!(message.contains(key), "{message}");
    };
    let addresses: Vec<String> = (0..4).map(|n| address(port, &n.to_string())).collect();
    let four = json!({"register": {"protocol": 1, "addresses": addresses}});
    refused(&mut control, &four, "max_addresses_per_registration is 3");
    let bound: Vec<String> = (0..2000).map(|n| format!("127.1.{}.{}", n / 250, n % 250 + 1)).collect();
    let listeners = json!({"register": {"protocol": 1, "addresses": [address(port, "x")], "bound": bound}});
    refused(&mut control, &listeners, "2000 listeners; the broker's max_listeners_per_user is 4");
    assert!(std::net::TcpStream::connect(("127.1.0.1", port)).is_err(), "not one is open");

    let id = control.ask(&register("x", port)).0["registered"]["id"].as_u64().unwrap();
    assert!(control.ask(&register("y", port)).0["registered"].is_object(), "on the same listeners");
    refused(&mut control, &register("z", port), "max_registrations_per_user is 2");
    let _second = Raw::connect(&broker.control());
    let mut third = Raw::connect(&broker.control());
    refused(&mut third, &register("z", port), "max_control_connections_per_user is 2");
    // What is given back may be had again.
    control.ask(&json!({"unregister": {"id": id}}));
    assert!(control.ask(&register("z", port)).0["registered"].is_object());
    let log = broker.whole_log();
    assert!(log.contains("refused: pid=") && log.contains("reason=registration_quota_exceeded"), "{log}");
    drop((control, third, _second));
    broker.settles_at(before);
    assert!(Raw::connect(&broker.control()).ask(&register("x", port)).0["registered"].is_object());
}

/// A broker that may have as many files open as are usual for a service.
fn of_usual_size(arguments: &[&str]) -> Broker {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_broker")]);
    Broker::start_by(command, arguments)
}

/// Registers `x` on a port as the user nobody, and says what the reply was.
fn as_nobody(broker: &Broker, port: u16, group: u32) -> String {
    let script = "import socket, sys, json, os\n\
                  os.setgroups([int(sys.argv[3])]); os.setgid(65534); os.setuid(65534)\n\
                  c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
                  try: c.connect(sys.argv[1])\n\
                  except PermissionError: print('kept out'); sys.exit()\n\
                  c.send(json.dumps({'register': {'protocol': 1, 'addresses': [sys.argv[2]]}}).encode())\n\
                  print(*json.loads(socket.recv_fds(c, 65536, 1)[0]))\n";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(broker.control())
        .arg(address(port, "nobody"))
        .arg(group.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn can_be_nobody() -> bool {
    is_root() && installed("python3")
}

#[test]
fn forty_services_fit_and_a_runaway_leaves_room() {
    let broker = of_usual_size(&["--control-group", "4321"]);
    let port = free_port();
    let mut services: Vec<Worker> =
        (0..40).map(|n| Worker::register(&broker, &[address(port, &n.to_string())])).collect();
    // The runaway registers all it gets, each on a port of its own, on a control connection of its own.
    let mut runaway = Vec::new();
    let why = loop {
        let mut control = Raw::connect(&broker.control());
        let (reply, descriptors) = control.ask(&register("x", free_port()));
        if reply["refused"].is_object() {
            break reply;
        }
        runaway.push((control, descriptors));
        assert!(runaway.len() < 1000, "nothing bounds it");
    };
    assert_eq!(reason(&why), "registration_quota_exceeded");
    assert!(broker.descriptors() < 1024 / 2, "{}", broker.descriptors());
    let mut client = ask(port, "7");
    serve(services[7].accept(), &preamble(&address(port, "7")), b'!');
    assert_eq!(answer(&mut client), b'!');
    if can_be_nobody() {
        assert_eq!(as_nobody(&broker, port, 4321), "registered");
    }
    drop(runaway);
    eventually(
        || Raw::connect(&broker.control()).ask(&register("x", port)).0["registered"].is_object(),
        || broker.log(),
    );
}

#[test]
fn members_of_the_group_are_admitted_and_nobody_else() {
    if !can_be_nobody() {
        return;
    }
    let broker = Broker::start(&["--control-group", "4321"]);
    let port = free_port();
    assert_eq!(as_nobody(&broker, port, 4321), "registered");
    assert_eq!(as_nobody(&broker, port, 4322), "kept out");
}

#[test]
fn who_asked_and_what_became_of_it_is_logged_in_the_protocol_s_words() {
    let broker = Broker::start(&[]);
    let (port, taken) = (free_port(), free_port());
    let _owner = std::net::TcpListener::bind(("127.0.0.1", taken)).unwrap();
    let mut control = Raw::connect(&broker.control());
    for _ in 0..50 {
        assert_eq!(control.refusal(&register("x", taken)), "failed_to_listen");
    }
    let who = format!("pid={} uid={}", std::process::id(), rustix::process::getuid().as_raw());
    let refused =
        format!("refused: {who} reason=failed_to_listen address=\"{}\" message=", address(taken, "x"));
    let log = broker.whole_log();
    let first = log.lines().filter(|line| line.contains(&refused) && !line.contains(" more in "));
    assert_eq!(first.count(), 1, "{log}");

    let id = control.ask(&register("x", port)).0["registered"]["id"].as_u64().unwrap();
    control.ask(&json!({"unregister": {"id": id}}));
    let ended = |reason: &str| {
        let addresses = format!("addresses=[\"{}\"]", address(port, "x"));
        let lines: Vec<String> = broker
            .log()
            .lines()
            .filter(|line| line.contains("registration ended"))
            .map(str::to_owned)
            .collect();
        lines.iter().any(|line| line.contains(&who) && line.contains(reason) && line.contains(&addresses))
    };
    eventually(|| ended("reason=\"unregistered\""), || broker.log());
    control.ask(&register("x", port));
    drop(control);
    eventually(|| ended("reason=\"its worker has left\""), || broker.log());
    let mut control = Raw::connect(&broker.control());
    control.ask(&register("x", port));
    let mut broker = broker;
    assert!(broker.terminate());
    assert!(broker.log().contains("reason=\"the broker ends\""), "{}", broker.log());
}

#[test]
fn whoever_comes_and_goes_does_not_fill_the_log() {
    if !can_be_nobody() {
        return;
    }
    let broker = Broker::start(&[]);
    let script = "import socket, sys, os\n\
                  os.setgid(65534); os.setuid(65534)\n\
                  for _ in range(500):\n\
                  \x20   c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); c.connect(sys.argv[1]); c.close()\n";
    let status = Command::new("python3").args(["-c", script]).arg(broker.control()).status().unwrap();
    assert!(status.success());
    Worker::register(&broker, &[address(free_port(), "x")]);
    eventually(|| broker.log().contains("access denied: user 65534"), || broker.log());
    assert!(broker.whole_log().lines().count() < 30, "{}", broker.log());
}
