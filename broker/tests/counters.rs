//! What is counted only grows, whatever becomes of workers and routes: Prometheus takes what falls for a restart.

mod common;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

use common::http::get;
use common::{
    Broker, PATIENCE, Python, Worker, address, answer, ask, eventually, fault, free_port, preamble, serve,
    signal, stop, told,
};
use handoff::ControlConnection;
use rustix::process::Signal;
use serde_json::Value;

/// The samples of one scrape.
type Samples = BTreeMap<String, u64>;

/// Scrapes, and looks at each counter.
struct Prometheus {
    http: u16,
    highest: Samples,
}

impl Prometheus {
    fn scrape(&mut self) -> Samples {
        let text = get(self.http, "/metrics").body;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            Some((series.to_owned(), value.parse().ok()?))
        });
        let samples: Samples = samples.collect();
        for (series, value) in &samples {
            let name = series.split('{').next().unwrap();
            if name.ends_with("_total") {
                let highest = self.highest.entry(series.clone()).or_default();
                assert!(value >= highest, "{series} falls from {highest} to {value}:\n{text}");
                *highest = *value;
            }
        }
        let [accepted, taken_back, returned, here] =
            ["accepted_total", "taken_back_total", "returned_total", "here"]
                .map(|name| samples[&connections(name)]);
        let ended = samples.iter().filter(|(series, _)| series.starts_with(&connections("ended_total{")));
        let ended = ended.map(|(_, count)| count).sum::<u64>();
        assert_eq!(accepted + taken_back + returned, ended + here, "{text}");
        samples
    }

    /// Scrapes until a sample has this value.
    fn sees(&mut self, series: &str, value: u64) {
        let end = Instant::now() + PATIENCE;
        loop {
            let samples = self.scrape();
            if samples.get(series) == Some(&value) {
                return;
            }
            assert!(Instant::now() < end, "{series} is not {value}: {samples:#?}");
        }
    }
}

fn connections(name: &str) -> String {
    format!("net_tcp_broker_connections_{name}")
}

fn ended(outcome: &str) -> String {
    connections(&format!("ended_total{{outcome=\"{outcome}\"}}"))
}

fn of_worker(name: &str, address: &str, id: u64) -> String {
    format!(
        "net_tcp_broker_{name}{{address=\"{address}\",mode=\"strong_wildcard\",kind=\"registration\",id=\"{id}\"}}"
    )
}

#[test]
fn no_total_ever_falls() {
    let [one, two] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let (port, http) = (free_port(), free_port());
    let [orders, legacy] = ["orders", "legacy"].map(|path| address(port, path));
    let route = |to: &TcpListener| {
        format!(
            "receive_timeout_seconds = 3600\n[[route]]\naddress = '{legacy}'\nrelay = '{}'\n",
            to.local_addr().unwrap()
        )
    };
    let listen = format!("127.0.0.1:{http}");
    let broker = Broker::configured(&route(&one), &["--http-listen", &listen]);
    let mut prometheus = Prometheus { http, highest: Samples::new() };
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        let output = command.args(arguments).arg("--control").arg(broker.control()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    prometheus.scrape();

    // A worker that serves, and then hangs: what waits in its queue is taken back and refused.
    let mut worker = Python::start(&broker, 'p', &orders);
    let id = 2;
    for _ in 0..3 {
        assert_eq!(answer(&mut ask(port, "orders")), b'p');
    }
    prometheus.sees(&of_worker("handed_over_total", &orders, id), 3);
    stop(worker.pid());
    let mut waiting: Vec<_> = (0..5).map(|_| ask(port, "orders")).collect();
    prometheus.sees(&of_worker("handed_over_total", &orders, id), 8);
    broker.rewrite(&route(&one).replace("3600", "0.2"));
    command(&["reload"]);
    for client in &mut waiting {
        while client.peek(&mut [0]).is_err() {
            prometheus.scrape();
        }
        assert_eq!(told(client), fault("EndpointUnavailable"));
    }
    prometheus.sees(&of_worker("taken_back_total", &orders, id), 5);
    prometheus.sees(&connections("taken_back_total"), 5);
    prometheus.sees(&ended("handed_over"), 8);
    prometheus.sees(&ended("endpoint_unavailable"), 5);
    prometheus.sees(&of_worker("handed_over_total", &orders, id), 8);
    prometheus.sees(&of_worker("refused_total", &orders, id), 5);
    broker.rewrite(&route(&one));
    command(&["reload"]);
    signal(worker.pid(), Signal::CONT);
    assert_eq!(answer(&mut ask(port, "orders")), b'p');

    // Another takes the address over from it, which drains; that one leaves with one in its queue, which goes to a third.
    command(&["drain", &orders]);
    let mut next = Worker::register(&broker, std::slice::from_ref(&orders));
    prometheus.scrape();
    worker.kill();
    prometheus.sees("net_tcp_broker_holders", 2);
    let mut client = ask(port, "orders");
    serve(next.accept(), &preamble(&orders), b'n');
    assert_eq!(answer(&mut client), b'n');
    let mut left = ask(port, "orders");
    prometheus.sees(&of_worker("handed_over_total", &orders, next.id), 2);
    command(&["drain", &orders]);
    let mut last = Worker::register(&broker, std::slice::from_ref(&orders));
    drop(next);
    serve(last.accept(), &preamble(&orders), b'l');
    assert_eq!(answer(&mut left), b'l');
    prometheus.sees(&of_worker("handed_over_total", &orders, last.id), 1);

    // A route whose relay is another, and one that goes and comes again.
    for (listener, name) in [(&one, b'1'), (&two, b'2'), (&one, b'3')] {
        broker.rewrite(&route(listener));
        command(&["reload"]);
        prometheus.scrape();
        let mut client = ask(port, "legacy");
        serve(listener.accept().unwrap().0, &preamble(&legacy), name);
        assert_eq!(answer(&mut client), name);
        prometheus.scrape();
    }
    broker.rewrite("");
    command(&["reload"]);
    prometheus.scrape();
    broker.rewrite(&route(&one));
    command(&["reload"]);
    prometheus.sees(&ended("relayed"), 3);
}

/// What the access log leaves out is counted as its records count it.
#[test]
fn what_the_access_log_leaves_out_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (port, http, file) = (free_port(), free_port(), folder.path().join("access.log"));
    let listen = format!("127.0.0.1:{http}");
    let toml = format!("[access_log]\nto = '{}'\nformat = 'json'\n", file.display());
    let broker = Broker::configured(&toml, &["--http-listen", &listen]);
    let worker = Worker::register(&broker, &[address(port, "orders")]);
    let mut prometheus = Prometheus { http, highest: Samples::new() };
    let suppressed = "net_tcp_broker_access_log_suppressed_total";
    let mut connections = 0;
    // A slow machine may not connect too often in the first second.
    while prometheus.scrape()[suppressed] == 0 {
        assert!(connections < 15_000, "none is suppressed");
        for mut client in (0..150).map(|_| ask(port, "nobody")).collect::<Vec<_>>() {
            assert_eq!(told(&mut client), fault("EndpointNotFound"));
            connections += 1;
        }
    }
    let counted = prometheus.scrape()[suppressed];
    let text = || std::fs::read_to_string(&file).unwrap();
    let records =
        || text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
    let in_records = || {
        let of = |record: &Value| record["outcome"] == "suppressed";
        records()
            .iter()
            .filter(|record| of(record))
            .map(|record| record["count"].as_u64().unwrap())
            .sum::<u64>()
    };
    eventually(|| in_records() == counted, text);
    let told = records().iter().filter(|record| record["outcome"] == "endpoint_not_found").count() as u64;
    assert_eq!((told + counted, prometheus.scrape()[suppressed]), (connections, counted));
    let status = ControlConnection::connect_as_administrator(&broker.control()).unwrap().status().unwrap();
    assert_eq!((status.logs.access_suppressed, status.logs.access_lost), (counted, 0));
    drop(worker);
}

/// Neither log has room, and nobody is told but who asks.
#[test]
fn what_logs_lose_is_counted() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let (port, http) = (free_port(), free_port());
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 2> /dev/full", "sh", env!("CARGO_BIN_EXE_broker")]);
    let listen = format!("127.0.0.1:{http}");
    let mut broker = Broker::spawn(shell, &["--access-log", "/dev/full", "--http-listen", &listen]);
    eventually(|| broker.control().exists(), || "no control socket".to_owned());
    let worker = Worker::register(&broker, &[address(port, "orders")]);
    for _ in 0..3 {
        assert_eq!(told(&mut ask(port, "nobody")), fault("EndpointNotFound"));
    }
    let mut prometheus = Prometheus { http, highest: Samples::new() };
    prometheus.sees("net_tcp_broker_log_lost_total{log=\"access\"}", 3);
    let lines = prometheus.scrape()["net_tcp_broker_log_lost_total{log=\"service\"}"];
    assert!(lines >= 6, "that it starts, and each connection: {lines}");
    drop(worker);
    assert!(broker.terminate());
}
