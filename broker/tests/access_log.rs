//! The access log: a record for each connection that has ended, as whoever reads the file sees it. Long: a record for each outcome, in both forms.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use common::access_log::{JSON, Logging, has_one, records, without};
use common::{
    Broker, Told, Worker, address, answer, ask, connect, eventually, fault, finish, free_port, preamble,
    serve, signal, tell, told,
};
use rustix::process::Signal;
use serde_json::{Value, json};

fn user() -> Value {
    let uid = rustix::process::getuid();
    let output = Command::new("id").args(["-un", &uid.as_raw().to_string()]).output().unwrap();
    match output.status.success() {
        true => String::from_utf8(output.stdout).unwrap().trim().into(),
        false => uid.as_raw().into(),
    }
}

#[test]
fn a_hand_over_says_who_got_it_and_by_which_address() {
    let logging = Logging::start(JSON, "", &[]);
    let port = free_port();
    let addresses = [address(port, "orders"), address(port, "orders/old")];
    let mut worker = Worker::register(&logging.broker, &addresses);
    let mut client = ask(port, "orders/OLD/7");
    serve(worker.accept(), &preamble(&address(port, "orders/OLD/7")), b'o');
    assert_eq!(answer(&mut client), b'o');
    let record = logging.of("handed_over");
    let expected = json!({
        "outcome": "handed_over",
        "peer": client.local_addr().unwrap().to_string(),
        "local": client.peer_addr().unwrap().to_string(),
        "via": address(port, "orders/OLD/7"),
        "address": addresses[1],
        "mode": "strong_wildcard",
        "registration": worker.id,
        "pid": std::process::id(),
        "user": user(),
    });
    let rest = without(&record, &expected);
    assert_eq!(rest.keys().collect::<Vec<_>>(), ["preamble_ms", "time", "total_ms"], "{record}");
    assert!(rest["time"].as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')), "{record}");
    let mode = std::fs::metadata(logging.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

/// What is refused because of what it says.
#[test]
fn a_refusal_says_whose_fault_it_is_and_which_fault_was_sent() {
    let logging = Logging::start(JSON, "", &[]);
    let port = free_port();
    let _worker = Worker::register(&logging.broker, &[address(port, "x")]);
    let nowhere = address(port, "nowhere");
    assert_eq!(tell(port, &preamble(&nowhere)), fault("EndpointNotFound"));
    let record = logging.of("endpoint_not_found");
    let said = json!({"via": nowhere, "blame": "initiator", "fault": "EndpointNotFound"});
    let rest = without(&record, &said);
    assert!(rest.get("address").is_none() && rest.get("registration").is_none(), "{record}");

    assert_eq!(tell(port, b"GET / HTTP/1.1\r\n\r\n"), Told::End);
    assert!(without(&logging.of("not_framing"), &json!({"blame": "initiator"})).get("fault").is_none());
    assert_eq!(tell(port, b"\0\x02\0"), fault("UnsupportedVersion"));
    without(&logging.of("malformed"), &json!({"blame": "initiator", "fault": "UnsupportedVersion"}));
    assert_eq!(tell(port, &preamble("no URI at all")), fault("EndpointNotFound"));
    without(&logging.of("invalid_via"), &json!({"via": "no URI at all", "fault": "EndpointNotFound"}));
    // It says half of what it has to say.
    let half = connect(port);
    (&half).write_all(&preamble(&nowhere)[..9]).unwrap();
    finish(&half);
    drop(half);
    without(&logging.of("closed_early"), &json!({"blame": "initiator"}));
    assert_eq!(logging.end().len(), 5);
}

#[test]
fn who_comes_and_goes_without_a_word_is_not_told() {
    let logging = Logging::start(JSON, "", &[]);
    let port = free_port();
    let _worker = Worker::register(&logging.broker, &[address(port, "x")]);
    for _ in 0..5 {
        drop(connect(port));
    }
    let ends = || logging.broker.log().matches("closed_early").count();
    eventually(|| ends() == 5, || logging.broker.log());
    assert_eq!(tell(port, &preamble("net.tcp://h/last")), fault("EndpointNotFound"));
    let outcomes: Vec<Value> = logging.end().into_iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["endpoint_not_found"]);
}

#[test]
fn a_relay_says_where_to_and_how_many_octets_went_each_way() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, relay) = (free_port(), backend.local_addr().unwrap());
    let legacy = address(port, "legacy");
    let route = format!("[[route]]\naddress = '{legacy}'\nrelay = '{relay}'");
    let logging = Logging::start(JSON, &route, &[]);
    let mut client = ask(port, "legacy/a");
    let (back_end, _) = backend.accept().unwrap();
    let sent = preamble(&address(port, "legacy/a"));
    serve(back_end.try_clone().unwrap(), &sent, b'!');
    assert_eq!(answer(&mut client), b'!');
    client.write_all(&[7; 100_000]).unwrap();
    finish(&client);
    let mut received = Vec::new();
    (&back_end).read_to_end(&mut received).unwrap();
    drop(back_end);
    assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 0);
    let record = logging.of("relayed");
    let expected = json!({
        "relay": relay.to_string(),
        "via": address(port, "legacy/a"),
        "address": legacy,
        "mode": "strong_wildcard",
        "registration": 1,
        "octets_in": sent.len() + 100_000,
        "octets_out": 1,
    });
    let rest = without(&record, &expected);
    assert!(["pid", "user", "blame", "queue_ms"].iter().all(|name| rest.get(*name).is_none()), "{record}");

    // A back-end that is not there.
    drop(backend);
    assert_eq!(told(&mut ask(port, "legacy/b")), fault("ConnectionDispatchFailed"));
    let record = logging.of("dispatch_failed");
    let expected = json!({"relay": relay.to_string(), "blame": "worker", "fault": "ConnectionDispatchFailed", "address": legacy});
    assert!(without(&record, &expected)["detail"].as_str().unwrap().contains("refused"), "{record}");
}

/// A worker that accepts nothing: too busy, then what waited gets EndpointUnavailable, with how long that took.
#[test]
fn a_worker_that_does_not_accept_is_to_blame_and_times_are_told() {
    let logging =
        Logging::start(JSON, "", &["--max-pending-connections", "1", "--receive-timeout-seconds", "0.5"]);
    let port = free_port();
    let worker = Worker::register(&logging.broker, &[address(port, "x")]);
    let waiting = [ask(port, "x"), ask(port, "x")];
    let counted = |outcome: &str| {
        let is = |record: &&Value| record["outcome"] == outcome;
        logging.records().iter().filter(is).cloned().collect::<Vec<_>>()
    };
    let mut third = ask(port, "x");
    let answered = told(&mut third);
    assert!([fault("ServerTooBusy"), fault("EndpointUnavailable")].contains(&answered), "{answered:?}");
    for mut client in waiting {
        assert_eq!(told(&mut client), fault("EndpointUnavailable"));
    }
    eventually(|| counted("endpoint_unavailable").len() >= 2, || logging.text());
    for record in counted("endpoint_unavailable") {
        let expected = json!({
            "blame": "worker", "fault": "EndpointUnavailable", "registration": worker.id, "address": address(port, "x"),
            "pid": std::process::id(),
        });
        let rest = without(&record, &expected);
        let of = |name: &str| rest[name].as_u64().unwrap();
        // It was there for as long as the worker may stand still, but for the eighth after which that is seen.
        assert!(of("queue_ms") >= 400 && of("total_ms") >= of("queue_ms"), "{record}");
    }
    if answered == fault("ServerTooBusy") {
        without(&logging.of("server_too_busy"), &json!({"blame": "worker", "fault": "ServerTooBusy"}));
    }
}

#[test]
fn a_deadline_says_how_long_it_was_waited_for() {
    let logging = Logging::start(JSON, "", &["--receive-timeout-seconds", "0.3"]);
    let port = free_port();
    let _worker = Worker::register(&logging.broker, &[address(port, "x")]);
    let mut silent = connect(port);
    silent.write_all(b"\0").unwrap();
    assert_eq!(told(&mut silent), Told::End);
    let record = logging.of("deadline_passed");
    let rest = without(&record, &json!({"blame": "initiator"}));
    assert!(rest["preamble_ms"].as_u64().is_some_and(|waited| waited >= 299), "{record}");
    assert_eq!(rest["preamble_ms"], rest["total_ms"]);
}

#[test]
fn who_drains_is_the_administrators_doing() {
    let logging = Logging::start(JSON, "", &[]);
    let port = free_port();
    let mut worker = Worker::register(&logging.broker, &[address(port, "x")]);
    worker.control.drain(&handoff::administration::Which::Id(worker.id)).unwrap();
    assert_eq!(told(&mut ask(port, "x")), fault("EndpointUnavailable"));
    let expected = json!({
        "blame": "administrator", "fault": "EndpointUnavailable", "registration": worker.id, "address": address(port, "x"),
    });
    without(&logging.of("draining"), &expected);
}

#[test]
fn what_the_broker_still_has_at_its_end_is_told() {
    let logging = Logging::start(JSON, "", &[]);
    let port = free_port();
    let _worker = Worker::register(&logging.broker, &[address(port, "x")]);
    let mut silent = connect(port);
    silent.write_all(b"\0").unwrap();
    let here = || logging.broker.log().contains("x\"");
    eventually(here, || logging.broker.log());
    eventually(|| has_one(&logging.broker), || "it is not there".to_owned());
    let records = logging.end();
    assert_eq!(records.len(), 1);
    without(&records[0], &json!({"outcome": "shut_down", "blame": "broker"}));
}

#[test]
fn only_the_outcomes_that_are_wanted_are_told() {
    let logging = Logging::start("format = 'json'\noutcomes = ['invalid_via', 'not_framing']", "", &[]);
    let port = free_port();
    let mut worker = Worker::register(&logging.broker, &[address(port, "x")]);
    let _client = ask(port, "x");
    drop(worker.accept());
    assert_eq!(tell(port, &preamble("net.tcp://h/nowhere")), fault("EndpointNotFound"));
    assert_eq!(tell(port, &preamble("no URI at all")), fault("EndpointNotFound"));
    let outcomes: Vec<Value> = logging.end().into_iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["invalid_via"]);
}

/// The Vias that a log must survive: they end no line, command no terminal, and can be read back.
#[test]
fn a_hostile_via_is_one_line_in_either_form() {
    let hostile =
        "net.tcp://h/\"a\\ b\r\n2026-11-28T00:00:00Z handed_over\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\u{0}";
    let not_utf8 = |via: &str| {
        let mut octets = preamble(via);
        let at = octets.len() - 3;
        octets[at] = 0xFF;
        octets
    };
    let long = format!("net.tcp://h/{}", "ö".repeat(1000));
    let each = |logging: &Logging| {
        let port = free_port();
        let _worker = Worker::register(&logging.broker, &[address(port, "x")]);
        for octets in [preamble(hostile), not_utf8("net.tcp://h/z?"), preamble(&long)] {
            assert_eq!(tell(port, &octets), fault("EndpointNotFound"));
        }
    };
    let logging = Logging::start(JSON, "", &["--log-level", "info"]);
    each(&logging);
    let path = logging.path();
    let records = logging_text_and_records(logging);
    assert!(records.0.bytes().all(|octet| (b' '..=b'~').contains(&octet) || octet == b'\n'), "{}", records.0);
    let vias: Vec<&Value> = records.1.iter().map(|record| &record["via"]).collect();
    let cut: String = long.chars().take(256).chain(['…']).collect();
    assert_eq!(vias, [&json!(hostile), &json!("net.tcp://h/z\u{fffd}"), &json!(cut)], "{}", path.display());
    assert_eq!(records.1[1]["via_not_utf8"], true);

    let mut logging = Logging::start("", "", &["--log-level", "info"]);
    each(&logging);
    assert!(logging.broker.terminate());
    let text = logging.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n') && !text.contains('\u{202e}'), "{text:?}");
    let shown = r#" via="net.tcp://h/\"a\\ b\r\n2026-11-28T00:00:00Z handed_over\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\0" "#;
    assert!(lines[0].contains(shown), "{}", lines[0]);
    assert!(lines[1].contains(r#" via="net.tcp://h/z\xff" "#), "{}", lines[1]);
    assert!(lines[2].contains(&format!(" via=\"{cut}\" ")), "{}", lines[2]);
    let (time, rest) = lines[0].split_once(' ').unwrap();
    assert!(
        time.ends_with('Z') && rest.starts_with("endpoint_not_found blame=initiator peer=127.0.0.1:"),
        "{}",
        lines[0]
    );
}

fn logging_text_and_records(mut logging: Logging) -> (String, Vec<Value>) {
    assert!(logging.broker.terminate());
    (logging.text(), logging.records())
}

/// All come at one moment: the broker stands still until they are there.
#[test]
fn a_flood_from_one_source_is_few_lines_and_the_right_count() {
    const CONNECTIONS: u64 = 1000;
    let logging = Logging::start(JSON, "", &["--log-level", "info"]);
    let port = free_port();
    let _worker = Worker::register(&logging.broker, &[address(port, "x")]);
    common::stop(logging.broker.pid());
    let initiators: Vec<_> = (0..CONNECTIONS).map(|_| ask(port, "nowhere")).collect();
    signal(logging.broker.pid(), Signal::CONT);
    for mut initiator in initiators {
        assert_eq!(told(&mut initiator), fault("EndpointNotFound"));
    }
    let records = logging.end();
    let told = records.iter().filter(|record| record["outcome"] == "endpoint_not_found").count() as u64;
    let suppressed: Vec<&Value> = records.iter().filter(|record| record["outcome"] == "suppressed").collect();
    let count: u64 = suppressed.iter().map(|record| record["count"].as_u64().unwrap()).sum();
    assert_eq!(told + count, CONNECTIONS, "{records:?}");
    assert_eq!(records.len() as u64, told + suppressed.len() as u64);
    assert!(!suppressed.is_empty(), "{told} of {CONNECTIONS}");
    assert!(suppressed.iter().all(|record| record["source"] == "127.0.0.1"), "{suppressed:?}");
}

/// logrotate renames, then sends SIGHUP.
#[test]
fn a_file_that_was_renamed_is_opened_anew_on_sighup() {
    let logging = Logging::start(JSON, "", &[]);
    let port = free_port();
    let _worker = Worker::register(&logging.broker, &[address(port, "x")]);
    let refused = |via: &str| assert_eq!(tell(port, &preamble(via)), fault("EndpointNotFound"));
    let old = logging.folder.path().join("access.log.1");
    let vias = |path: &Path| records(path).iter().map(|record| record["via"].clone()).collect::<Vec<_>>();
    refused("net.tcp://h/before");
    std::fs::rename(logging.path(), &old).unwrap();
    refused("net.tcp://h/between");
    eventually(
        || vias(&old) == ["net.tcp://h/before", "net.tcp://h/between"],
        || format!("{:?}", vias(&old)),
    );
    assert!(!logging.path().exists());
    signal(logging.broker.pid(), Signal::HUP);
    eventually(|| logging.path().exists(), || logging.broker.log());
    refused("net.tcp://h/after");
    eventually(|| vias(&logging.path()) == ["net.tcp://h/after"], || logging.text());
    assert_eq!(vias(&old).len(), 2);
    assert_ne!(std::fs::metadata(&old).unwrap().ino(), std::fs::metadata(logging.path()).unwrap().ino());
    // One that cannot be opened is said, and the file that is open is written on.
    std::fs::rename(logging.path(), logging.folder.path().join("access.log.2")).unwrap();
    std::fs::create_dir(logging.path()).unwrap();
    signal(logging.broker.pid(), Signal::HUP);
    eventually(|| logging.broker.log().contains("cannot be opened again"), || logging.broker.log());
    refused("net.tcp://h/still");
    let second = logging.folder.path().join("access.log.2");
    eventually(
        || vias(&second) == ["net.tcp://h/after", "net.tcp://h/still"],
        || format!("{:?}", vias(&second)),
    );
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let control = folder.path().join("control");
    for (to, why) in [
        (folder.path().join("none/access.log"), "No such file or directory"),
        (folder.path().to_owned(), "Is a directory"),
        (pipe, "it is a named pipe or a device, and nobody reads it"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        let output = command.arg("--access-log").arg(&to).arg("--control").arg(&control).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let last = said.lines().last().unwrap();
        let expected =
            format!("--access-log: error: the access log cannot be written to {} (its folder ", to.display());
        let end = last.rsplit("): ").next().unwrap();
        assert!(
            last.starts_with(&expected) && last.contains("--access-log") && end.starts_with(why),
            "{said}"
        );
        assert_eq!(output.status.code(), Some(1));
        assert!(!control.exists());
    }
}

#[test]
fn on_standard_error_records_stand_among_the_lines_of_the_log() {
    let mut broker =
        Broker::start(&["--log-level", "info", "--access-log", "stderr", "--access-log-format", "json"]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x")]);
    assert_eq!(tell(port, &preamble("net.tcp://h/nowhere")), fault("EndpointNotFound"));
    drop(worker);
    assert!(broker.terminate());
    let log = broker.log();
    let records: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(records.len(), 1, "{log}");
    assert_eq!(records[0]["via"], "net.tcp://h/nowhere");
}

#[test]
fn journald_gets_each_part_in_a_field() {
    let Some(journal) = common::Journal::open() else { return };
    let broker = journal.command(env!("CARGO_BIN_EXE_broker"));
    let mut broker = Broker::start_by(broker, &["--access-log", "journal"]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "x")]);
    let hostile = "net.tcp://h/\nPRIORITY=0\u{1b}";
    assert_eq!(tell(port, &preamble(hostile)), fault("EndpointNotFound"));
    drop(worker);
    assert!(broker.terminate());
    let records = journal.received();
    assert_eq!(records.len(), 1, "{records:?}");
    let of = |name: &str| records[0].get(name).map(String::as_str);
    assert_eq!((of("NET_TCP_OUTCOME"), of("NET_TCP_VIA")), (Some("endpoint_not_found"), Some(hostile)));
    assert_eq!((of("PRIORITY"), of("SYSLOG_IDENTIFIER")), (Some("6"), Some("broker")));
    assert_eq!((of("NET_TCP_BLAME"), of("NET_TCP_FAULT")), (Some("initiator"), Some("EndpointNotFound")));
    assert!(
        of("MESSAGE").unwrap().starts_with("endpoint_not_found blame=initiator peer=127.0.0.1:"),
        "{records:?}"
    );
}

#[test]
fn a_full_disk_is_said_once() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let broker = Broker::start(&["--access-log", "/dev/full"]);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    for _ in 0..3 {
        assert_eq!(tell(port, &preamble("net.tcp://h/nowhere")), fault("EndpointNotFound"));
    }
    let said =
        "/dev/full cannot be written: No space left on device (os error 28); lines are lost until it can be";
    eventually(|| broker.log().contains(said), || broker.log());
    assert_eq!(broker.whole_log().matches(" cannot be written: ").count(), 1, "once: {}", broker.log());
}

/// Some of a line fits, and later there is room again: what is behind it can be read.
#[test]
fn a_line_that_was_torn_spoils_no_other() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_broker")]);
    let to = ["--access-log-format", "json", "--access-log", path.to_str().unwrap(), "--log-level", "info"];
    let broker = Broker::start_by(command, &to);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    let refused = |via: &str| assert_eq!(tell(port, &preamble(via)), fault("EndpointNotFound"));
    let lines = || std::fs::read_to_string(&path).unwrap();
    // More than the service's log has, which is bounded as well.
    (0..50).for_each(|_| refused("net.tcp://h/before"));
    eventually(|| lines().lines().count() == 50, lines);
    let most = |most| {
        let pid = Pid::from_raw(broker.pid().try_into().unwrap());
        let maximum = rustix::process::getrlimit(Resource::Fsize).maximum;
        prlimit(pid, Resource::Fsize, Rlimit { current: most, maximum }).unwrap();
    };
    most(Some(std::fs::metadata(&path).unwrap().len() + 100));
    refused("net.tcp://h/torn");
    eventually(|| broker.log().contains("cannot be written: File too large"), || broker.log());
    most(None);
    refused("net.tcp://h/after");
    eventually(|| lines().contains("h/after"), lines);
    let all = lines();
    let behind: Vec<&str> = all.lines().skip(50).collect();
    assert!(behind.len() == 3 && behind[0].len() == 100, "{behind:?}");
    let records: Vec<Value> = behind[1..].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&records[0]["outcome"], &records[0]["count"]), (&json!("lost"), &json!(1)));
    assert_eq!(records[1]["via"], "net.tcp://h/after");
}

/// logrotate does that each night: it is no mistake.
#[test]
fn without_a_configuration_sighup_means_the_log_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let broker = Broker::start(&["--access-log", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    signal(broker.pid(), Signal::HUP);
    eventually(|| path.exists(), || broker.log());
    eventually(|| broker.log().contains("no configuration is read again"), || broker.log());
    assert!(!broker.whole_log().contains(" ERROR "), "{}", broker.log());
}
