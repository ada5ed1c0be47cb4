//! HTTP: who may ask, how much and how slowly, and what is told of the broker's health.

mod common;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output};

use common::http::{broker_with_http, exchange, get, request};
use common::{Broker, Worker, address, answer, ask, eventually, free_port, preamble, serve, skip};

fn run(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.args(arguments).arg("--control").arg(control).output().unwrap()
}

#[test]
fn a_thousand_slow_clients_hold_up_nobody() {
    let (broker, http) = broker_with_http(&[]);
    let port = free_port();
    let orders = address(port, "orders");
    let mut worker = Worker::register(&broker, std::slice::from_ref(&orders));
    let before = broker.steady_descriptors();
    let slow: Vec<TcpStream> = (0..1000)
        .map(|n| {
            let mut client = TcpStream::connect(("127.0.0.1", http)).unwrap();
            let start: &[u8] = if n % 2 == 0 { b"GET / HTTP/1.1\r\nHost: " } else { b"" };
            let _ = client.write_all(start);
            client
        })
        .collect();
    for _ in 0..100 {
        let mut client = ask(port, "orders");
        serve(worker.accept(), &preamble(&orders), b'o');
        assert_eq!(answer(&mut client), b'o');
    }
    assert_eq!(get(http, "/healthz").body, "ok\n");
    assert!(get(http, "/metrics").body.contains("net_tcp_broker_connections_accepted_total 100\n"));
    // Those that made way are closed a moment later.
    eventually(
        || broker.descriptors() <= before + 64 + 8,
        || format!("{} descriptors, {before} before", broker.descriptors()),
    );
    drop(slow);
}

#[test]
fn a_head_has_a_bound() {
    let (broker, http) = broker_with_http(&[]);
    let long = format!("X-Long: {}\r\n", "x".repeat(9000));
    assert_eq!(request(http, "GET", "/", &long).status, 431);
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    assert_eq!(request(http, "GET", "/", &many).status, 431);
    // Much more than it reads: it may be cut off while it still sends.
    let mut client = TcpStream::connect(("127.0.0.1", http)).unwrap();
    let _ = client.write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(1 << 22)).as_bytes());
    drop(client);
    assert_eq!(
        exchange(TcpStream::connect(("127.0.0.1", http)).unwrap(), "\0\x01\0\x01\x02\r\n\r\n").status,
        400
    );
    assert_eq!(get(http, "/readyz").body, "ready\n");
    drop(broker);
}

/// An address of this machine that is not loopback, if it has one.
fn outside() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(ip) if !ip.is_loopback() => Some(ip),
        _ => None,
    }
}

#[test]
fn who_may_ask() {
    let Some(own) = outside() else {
        return skip("address besides loopback", "run the tests on a machine with a network");
    };
    let port = free_port();
    let ask_from_outside = || {
        let stream = TcpStream::connect((own, port)).unwrap();
        exchange(stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    };
    let toml = format!("[http]\nlisten = ['0.0.0.0:{port}']\nallow = ['198.51.100.0/24']\n");
    let broker = Broker::configured(&toml, &[]);
    let answer = ask_from_outside();
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.body,
        format!("{own} may not ask: [http] allow in the broker's configuration says who may\n")
    );
    assert_eq!(get(port, "/healthz").status, 200, "this machine may");
    drop(broker);
    let broker = Broker::configured(&toml, &["--http-allow", &own.to_string()]);
    assert_eq!(ask_from_outside().status, 200);
    drop(broker);
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.toml");
    for (toml, options, said) in [
        (
            "\n[http]\nlisten = '192.0.2.1:9808'\n",
            &[][..],
            ":3:10: error: [http] listen 192.0.2.1:9808 is not loopback",
        ),
        ("", &["--http-listen", "[::]:9808"][..], "[http] listen [::]:9808 is not loopback"),
        ("[http]\nlisten = '9808'\n", &[], ":2:10: error: \"9808\" is no IP address with a port"),
        ("[http]\nallow = ['192.0.2.0/33']\n", &[], ":2:10: error: \"192.0.2.0/33\" is no network"),
        (
            "[http]\ninterface = 9808\n",
            &[],
            "unknown key `interface` in [http]; there are listen, allow, hosts",
        ),
        (
            "[http]\nhosts = ['http://x:1/']\n",
            &[],
            ":2:10: error: \"http://x:1/\" is no name of a machine; write, for instance, status.example.com",
        ),
    ] {
        std::fs::write(&file, toml).unwrap();
        let output = run(&[&["check", "--config", file.to_str().unwrap()], options].concat());
        let why = String::from_utf8(output.stderr).unwrap();
        assert!(why.contains(said), "{toml}: {why}");
        assert_eq!(output.status.code(), Some(1), "{why}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let output = run(&["run", "--http-listen", &listen]);
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        why.contains(&format!(
            "--http-listen: error: [http] listen {listen} cannot be opened: address already in use: "
        )),
        "{why}"
    );
}

/// A route that changed, was added or is gone leaves a broker that is ready; how the reload went is on the page.
#[test]
fn a_reload_is_shown_and_leaves_it_ready() {
    let (port, http) = (free_port(), free_port());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.toml");
    let write = |routes: &[(&str, u16)]| {
        let routes = routes.iter().map(|(name, to)| {
            format!("[[route]]\naddress = '{}'\nrelay = '127.0.0.1:{to}'\n", address(port, name))
        });
        let routes: String = routes.collect();
        std::fs::write(&file, format!("[http]\nlisten = '127.0.0.1:{http}'\n{routes}")).unwrap();
    };
    write(&[("a", 1), ("b", 2)]);
    let broker = Broker::start(&["--config", file.to_str().unwrap()]);
    let reload = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        command.arg("reload").arg("--control").arg(broker.control()).output().unwrap().status.code()
    };
    assert!(get(http, "/").body.contains("<dt>Last reload</dt><dd>never</dd>"));
    assert!(!get(http, "/metrics").body.contains("last_reload"));
    write(&[("a", 3), ("c", 4)]);
    assert_eq!(reload(), Some(0));
    assert_eq!(get(http, "/readyz").body, "ready\n");
    let page = get(http, "/").body;
    assert!(page.contains(">applied</span>: ") && page.contains(file.to_str().unwrap()), "{page}");
    assert!(
        page.contains(&address(port, "c")) && !page.contains(&format!("<code>{}</code>", address(port, "b"))),
        "{page}"
    );
    std::fs::write(&file, "<b>nonsense</b>\n").unwrap();
    assert_eq!(reload(), Some(1));
    let page = get(http, "/").body;
    assert!(page.contains(">not applied</span>: ") && !page.contains("<b>nonsense"), "{page}");
    assert!(get(http, "/metrics").body.contains("\nnet_tcp_broker_last_reload_applied 0\n"));
    assert_eq!(get(http, "/readyz").body, "ready\n");
}

/// Whether workers find it is looked at, not remembered.
#[test]
fn not_ready_while_no_worker_finds_it() {
    let (broker, http) = broker_with_http(&[]);
    assert_eq!(get(http, "/readyz").status, 200);
    // Its path is somebody else's now, so that it cannot be opened again.
    let other = broker.control().with_extension("other");
    std::fs::write(&other, "").unwrap();
    std::fs::rename(&other, broker.control()).unwrap();
    eventually(|| get(http, "/readyz").status == 503, || broker.log());
    assert_eq!(get(http, "/readyz").body, "the control socket is not open\n");
    assert_eq!(get(http, "/healthz").status, 200, "its threads live");
    std::fs::remove_file(broker.control()).unwrap();
    eventually(|| get(http, "/readyz").status == 200, || broker.log());
}
