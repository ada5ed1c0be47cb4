//! The access log: each way in which a connection can end has its record, and says why where the service's log does; what ends a
//! second time is told from what ends once.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use common::access_log::{JSON, Logging, has_one, without};
use common::{
    Strace, Worker, address, answer, ask, connect, eventually, fault, finish, free_port, installed,
};
use common::{preamble, serve, tell, told};
use rustix::net::sockopt;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

/// How a connection is made to end so.
struct Way {
    options: &'static [&'static str],
    /// With a worker of `x`, and a relay of `legacy` to this back-end.
    end: fn(&mut Logging, &mut Worker, &TcpListener, u16),
    /// Part of why, if that is told.
    why: Option<&'static str>,
}

fn way(outcome: &str) -> Way {
    let because = |options, why, end| Way { options, end, why: Some(why) };
    let just = |options, end| Way { options, end, why: None };
    match outcome {
        "handed_over" => just(&[], |_, worker, _, port| {
            let mut client = ask(port, "x");
            serve(worker.accept(), &preamble(&address(port, "x")), b'!');
            assert_eq!(answer(&mut client), b'!');
        }),
        "relayed" => just(&[], |_, _, back_end, port| {
            let (client, mut accepted) = relayed(back_end, port);
            finish(&client);
            assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
        }),
        "relay_broken" => just(&[], |_, _, back_end, port| {
            let (client, _accepted) = relayed(back_end, port);
            reset(client);
        }),
        "relay_idle" => just(&["--relay-idle-seconds", "0.1"], |_, _, back_end, port| {
            let (mut client, _accepted) = relayed(back_end, port);
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }),
        "closed_early" => just(&[], |_, _, _, port| {
            let mut half = connect(port);
            half.write_all(b"\0\x01").unwrap();
            finish(&half);
            assert_eq!(half.read(&mut [0]).unwrap(), 0);
        }),
        "deadline_passed" => just(&["--receive-timeout-seconds", "0.1"], |_, _, _, port| {
            assert_eq!(tell(port, b"\0"), common::Told::End);
        }),
        "crowded_out" => because(&[], "descriptors run short", |logging, _, _, port| {
            let mut waits = connect(port);
            waits.write_all(b"\0").unwrap();
            let broker = &logging.broker;
            eventually(|| has_one(broker), || broker.log());
            let limit =
                |limit| prlimit(Pid::from_raw(broker.pid().try_into().unwrap()), Resource::Nofile, limit);
            let before = limit(Rlimit {
                current: Some(0),
                maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
            });
            let _another = connect(port);
            assert_eq!(waits.read(&mut [0]).unwrap(), 0);
            limit(before.unwrap()).unwrap();
        }),
        "source_limit" => {
            because(&["--max-connections-per-source", "1"], "from 127.0.0.1", |logging, _, _, port| {
                let mut waits = connect(port);
                waits.write_all(b"\0").unwrap();
                eventually(|| has_one(&logging.broker), || logging.broker.log());
                let _another = connect(port);
                assert_eq!(waits.read(&mut [0]).unwrap(), 0);
            })
        }
        "not_framing" => because(&[], "not .NET message framing", |_, _, _, port| {
            assert_eq!(tell(port, b"GET / HTTP/1.1\r\n\r\n"), common::Told::End);
        }),
        "malformed" => because(&[], "version", |_, _, _, port| {
            assert_eq!(tell(port, b"\0\x02\0"), fault("UnsupportedVersion"));
        }),
        "invalid_via" => because(&[], "no valid scheme", |_, _, _, port| {
            assert_eq!(tell(port, &preamble("no URI at all")), fault("EndpointNotFound"));
        }),
        "endpoint_not_found" => because(&[], "no registered address", |_, _, _, port| {
            assert_eq!(told(&mut ask(port, "nowhere")), fault("EndpointNotFound"));
        }),
        "server_too_busy" => {
            because(&["--max-pending-connections", "1"], "accepts more slowly", |_, _, _, port| {
                let _waiting = [ask(port, "x"), ask(port, "x")];
                assert_eq!(told(&mut ask(port, "x")), fault("ServerTooBusy"));
            })
        }
        "endpoint_unavailable" => {
            because(&["--receive-timeout-seconds", "0.2"], "its program accepts none", |_, _, _, port| {
                assert_eq!(told(&mut ask(port, "x")), fault("EndpointUnavailable"));
            })
        }
        "draining" => just(&[], |_, worker, _, port| {
            worker.control.drain(&handoff::administration::Which::Id(worker.id)).unwrap();
            assert_eq!(told(&mut ask(port, "x")), fault("EndpointUnavailable"));
        }),
        "dispatch_failed" => because(&[], "refused", |_, _, back_end, port| {
            // Nobody listens there any more.
            rustix::net::shutdown(back_end, rustix::net::Shutdown::Both).unwrap();
            assert_eq!(told(&mut ask(port, "legacy")), fault("ConnectionDispatchFailed"));
        }),
        "shut_down" => just(&[], |logging, _, _, port| {
            let mut waits = connect(port);
            waits.write_all(b"\0").unwrap();
            eventually(|| has_one(&logging.broker), || logging.broker.log());
            assert!(logging.broker.terminate());
        }),
        other => panic!("say here how {other} comes about"),
    }
}

/// A relayed connection, at both ends.
fn relayed(back_end: &TcpListener, port: u16) -> (TcpStream, TcpStream) {
    let client = ask(port, "legacy");
    let (mut accepted, _) = back_end.accept().unwrap();
    accepted.read_exact(&mut vec![0; preamble(&address(port, "legacy")).len()]).unwrap();
    (client, accepted)
}

fn reset(client: TcpStream) {
    sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
}

/// The names are those of the counters, which the compiler asks for each outcome.
#[test]
fn each_outcome_has_a_record_and_says_why() {
    for (outcome, _) in broker::Counters::default().outcomes() {
        let Way { options, end, why } = way(outcome);
        let back_end = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free_port();
        let (legacy, relay) = (address(port, "legacy"), back_end.local_addr().unwrap());
        let route = format!("[[route]]\naddress = '{legacy}'\nrelay = '{relay}'\n");
        // At `debug` the service's log would ask why.
        let options = [options, &["--log-level", "info"]].concat();
        let mut logging = Logging::start(JSON, &route, &options);
        let mut worker = Worker::register(&logging.broker, &[address(port, "x")]);
        end(&mut logging, &mut worker, &back_end, port);
        let record = logging.of(outcome);
        let detail = record["detail"].as_str();
        match why {
            Some(why) => assert!(detail.is_some_and(|detail| detail.contains(why)), "{why}: {record}"),
            None => assert_eq!(detail, None, "{record}"),
        }
        assert_eq!(
            record["peer"].as_str().map(|peer| peer.starts_with("127.0.0.1:")),
            Some(true),
            "{record}"
        );
        drop(worker);
    }
}

/// All records, when there are so many.
fn all(logging: &Logging, count: usize) -> Vec<Value> {
    eventually(|| logging.records().len() >= count, || logging.text());
    logging.records()
}

/// What a sum over the log says: connections, and those that a worker has.
fn sums(records: &[Value]) -> (usize, usize) {
    let handed_over = records.iter().filter(|record| record["outcome"] == "handed_over").count();
    let taken_back = records.iter().filter(|record| record["taken_back"] == true).count();
    (records.len() - taken_back, handed_over - taken_back)
}

/// How a worker leaves connections behind.
struct Leaves {
    options: &'static [&'static str],
    /// `None`: it stays, and takes none.
    how: Option<fn(Worker)>,
    then: (&'static str, &'static str),
}

#[test]
fn what_is_taken_back_is_told_from_what_ends_once() {
    let not_found = ("endpoint_not_found", "EndpointNotFound");
    let unregister: fn(Worker) = |mut worker| worker.control.unregister(worker.id).unwrap();
    for Leaves { options, how, then: (outcome, name) } in [
        Leaves { options: &[], how: Some(drop), then: not_found },
        Leaves { options: &[], how: Some(unregister), then: not_found },
        Leaves {
            options: &["--receive-timeout-seconds", "0.2"],
            how: None,
            then: ("endpoint_unavailable", "EndpointUnavailable"),
        },
    ] {
        let logging = Logging::start(JSON, "", options);
        let port = free_port();
        let mut other = Worker::register(&logging.broker, &[address(port, "other")]);
        let mut worker = Some(Worker::register(&logging.broker, &[address(port, "x")]));
        let mut once = ask(port, "other");
        serve(other.accept(), &preamble(&address(port, "other")), b'!');
        assert_eq!(answer(&mut once), b'!');
        let mut left = ask(port, "x");
        all(&logging, 2);
        if let Some(leave) = how {
            leave(worker.take().unwrap());
        }
        assert_eq!(told(&mut left), fault(name));
        let records = all(&logging, 3);
        let second = logging.of(outcome);
        let rest = without(&second, &json!({"taken_back": true, "fault": name, "via": address(port, "x")}));
        // When it was accepted nobody knows any more.
        assert!(!rest.contains_key("preamble_ms") && rest.contains_key("queue_ms"), "{second}");
        let others = records.iter().filter(|record| record.get("taken_back").is_none());
        assert_eq!(others.map(|record| record["outcome"].clone()).collect::<Vec<_>>(), ["handed_over"; 2]);
        assert_eq!(sums(&records), (2, 1), "{records:?}");
        drop(worker);
    }
}

/// Another worker gets it, even if its initiator has left meanwhile.
#[test]
fn what_is_handed_over_again_is_told_so() {
    let logging = Logging::start(JSON, "", &[]);
    let port = free_port();
    let mut whole = Worker::register(&logging.broker, &[address(port, "")]);
    let first = Worker::register(&logging.broker, &[address(port, "x")]);
    let mut again = ask(port, "x");
    let gone = ask(port, "x");
    all(&logging, 2);
    reset(gone);
    drop(first);
    serve(whole.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut again), b'!');
    let records = all(&logging, 4);
    let taken_back: Vec<&Value> = records.iter().filter(|record| record["taken_back"] == true).collect();
    assert_eq!(taken_back.len(), 2, "{records:?}");
    for record in taken_back {
        without(record, &json!({"outcome": "handed_over", "registration": whole.id}));
    }
    assert_eq!(sums(&records), (2, 2), "{records:?}");
}

/// As many as are not told one by one.
#[test]
fn what_is_suppressed_says_how_much_of_it_was_taken_back() {
    const CONNECTIONS: u64 = 400;
    let mut logging = Logging::start(JSON, "", &["--max-pending-connections", "1000"]);
    let port = free_port();
    let worker = Worker::register(&logging.broker, &[address(port, "x")]);
    let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| ask(port, "x")).collect();
    eventually(|| worker.receiver.waiting().unwrap() == clients.len(), || logging.broker.log());
    drop(worker);
    for client in &mut clients {
        assert_eq!(told(client), fault("EndpointNotFound"));
    }
    assert!(logging.broker.terminate());
    let (mut ended, mut twice) = (0, 0);
    for record in logging.records() {
        let suppressed = record["outcome"] == "suppressed";
        ended += if suppressed { record["count"].as_u64().unwrap() } else { 1 };
        twice += if suppressed {
            record["taken_back"].as_u64().unwrap_or(0)
        } else {
            u64::from(record["taken_back"] == true)
        };
    }
    assert_eq!((ended, twice), (2 * CONNECTIONS, CONNECTIONS), "{}", logging.text());
}

/// What the system says of a hand-over that it refuses.
#[test]
fn a_hand_over_that_fails_says_why() {
    if !installed("strace") {
        return;
    }
    let logging = Logging::start(JSON, "", &[]);
    let port = free_port();
    let _worker = Worker::register(&logging.broker, &[address(port, "x")]);
    let inject = ["-e", "trace=sendmsg", "-e", "inject=sendmsg:error=EPERM"];
    let strace = Strace::attach(logging.broker.thread("accept"), &inject);
    assert_eq!(told(&mut ask(port, "x")), fault("ConnectionDispatchFailed"));
    drop(strace);
    let record = logging.of("dispatch_failed");
    assert!(record["detail"].as_str().is_some_and(|why| why.contains("Operation not permitted")), "{record}");
    assert!(logging.broker.whole_log().contains("Operation not permitted"), "{}", logging.broker.log());
}
