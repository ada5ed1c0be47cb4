//! One TCP connection for several services of a port, session after session, through a broker process.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use common::{Broker, DotNet, MonoProgram, Process, RESULTS, free_port, sample, until};
use handoff::ControlConnection;
use handoff::administration::{Status, Which};
use tokio::runtime::Runtime;
use transport::{AcceptError, Channel, ListenOptions, Listener};

/// No answer takes as long.
const DEADLINE: Duration = Duration::from_secs(60);

fn options(broker: &Broker, port: u16, path: &str) -> ListenOptions {
    ListenOptions::new(format!("net.tcp://localhost:{port}/{path}"))
        .port_sharing(true)
        .control(broker.control())
}

/// Sends every envelope back.
async fn echo(mut channel: Channel) {
    while let Ok(Some(envelope)) = channel.receive().await {
        channel.send(&envelope.octets).await.unwrap();
    }
    drop(channel.close().await);
}

/// Sends back how a service is called.
async fn say(mut channel: Channel, name: u8) {
    while let Ok(Some(_)) = channel.receive().await {
        channel.send(&[name]).await.unwrap();
    }
    drop(channel.close().await);
}

fn control(broker: &Broker) -> ControlConnection {
    ControlConnection::connect(&broker.control()).unwrap()
}

fn status(broker: &Broker) -> Status {
    control(broker).status().unwrap()
}

/// So many connections were accepted; so often one was given back, and handed over.
#[track_caller]
fn figures(broker: &Broker, accepted: u64, returned: u64) {
    let status = status(broker);
    let handed_over = status.outcomes["handed_over"];
    assert_eq!((status.accepted, status.returned, handed_over), (accepted, returned, accepted + returned));
}

/// What a client has sent on a connection, session by session: each preamble, and the rest.
fn sessions(mut octets: &[u8]) -> Vec<(&[u8], &[u8])> {
    fn sized(octets: &[u8]) -> usize {
        let mut size = 0;
        for (at, octet) in octets.iter().enumerate() {
            size |= usize::from(octet & 0x7f) << (7 * at);
            if octet & 0x80 == 0 {
                return at + 1 + size;
            }
        }
        panic!("no size");
    }
    let mut sessions = Vec::new();
    while !octets.is_empty() {
        let (mut at, mut preamble) = (0, 0);
        loop {
            let record = octets[at];
            at += 1;
            match record {
                0 => at += 2,
                1 | 3 => at += 1,
                2 | 6 => at += sized(&octets[at..]),
                12 => preamble = at,
                7 => break,
                other => panic!("record {other} at {at}"),
            }
        }
        let (session, rest) = octets.split_at(at);
        sessions.push(session.split_at(preamble));
        octets = rest;
    }
    sessions
}

fn recorded(name: &str) -> Vec<u8> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testvectors");
    std::fs::read(vectors.join(name).join("c2s.bin")).unwrap()
}

#[test]
fn recorded_sessions_of_pooled_connections_find_their_services() {
    let broker = Broker::start("");
    let (runtime, port) = (Runtime::new().unwrap(), free_port());
    let paths = ["calculator", "second"];
    for path in paths {
        let mut listener = runtime.block_on(Listener::bind(options(&broker, port, path))).unwrap();
        runtime.spawn(async move {
            loop {
                tokio::spawn(echo(listener.accept().await.unwrap()));
            }
        });
    }
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.set_nodelay(true).unwrap();
    // Mono keeps no connection itself, but its sessions may come on one.
    let recorded =
        ["corewcf/two-paths", "mono/calc-3-channels", "corewcf/calc-3-channels", "corewcf/two-paths"]
            .map(recorded);
    let sessions: Vec<_> = recorded.iter().flat_map(|octets| sessions(octets)).collect();
    assert_eq!(sessions.len(), 12);
    let (mut owner, mut changes) = (paths[0], 0);
    for (preamble, rest) in sessions {
        let its = if preamble.escape_ascii().to_string().contains("/second") { paths[1] } else { paths[0] };
        changes += u64::from(its != owner);
        owner = its;
        client.write_all(preamble).unwrap();
        let mut octet = [0];
        client.read_exact(&mut octet).unwrap();
        assert_eq!(octet, [11], "the Ack");
        client.write_all(rest).unwrap();
        let mut echoed = vec![0; rest.len()];
        client.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, rest);
    }
    assert_eq!(changes, 7);
    figures(&broker, 1, changes);
}

/// Two of the sample's services on one port; they do not notice.
fn with_two_services(test: impl FnOnce(&Broker, [String; 2])) {
    let broker = Broker::start("");
    let port = free_port();
    let services = ["1", "2"].map(|number| {
        let mut command = sample("calculator-service");
        command.args(["--port", &port.to_string(), "--number", number, "--control"]).arg(broker.control());
        let service = Process::start(&mut command);
        service.expect("Press");
        service
    });
    test(&broker, ["1", "2"].map(|number| format!("net.tcp://localhost:{port}/calculator/{number}")));
    for service in services {
        service.terminate();
        let (status, lines, errors) = service.finish();
        assert!(status.success());
        assert_eq!((lines, errors), (vec![], vec![]));
    }
}

#[test]
fn dotnets_client_reaches_two_services_over_one_connection() {
    let Some(dotnet) = DotNet::found() else { return };
    with_two_services(|broker, [first, second]| {
        let mut client = dotnet.client();
        client.args(["--contract", "calc", "--address", &first, "--path2", &second, "--channels", "3"]);
        let (status, lines, errors) = Process::start(&mut client).finish();
        assert_eq!(errors, [""; 0]);
        let right = lines.iter().filter(|line| line.starts_with("ok ")).count();
        assert_eq!((status.code(), right), (Some(0), 24), "{lines:#?}");
        assert_eq!(lines.last().unwrap(), "DONE, tcp connects: 1", "{lines:#?}");
        figures(broker, 1, 5);
    });
}

#[test]
fn monos_client_reaches_two_services_in_turns() {
    let Some(calculator) = MonoProgram::compile("calculator.cs") else { return };
    with_two_services(|_, [first, second]| {
        let (status, lines, errors) = calculator.start(["client", "net-tcp", &first, &second]).finish();
        let results = RESULTS.map(String::from);
        assert_eq!(lines, [&results[..], &results[..]].concat(), "{errors:?}");
        assert!(status.success());
    });
}

#[test]
fn nothing_of_a_message_of_32_is_lost_when_its_worker_stops() {
    let broker = Broker::start("");
    let (runtime, port) = (Runtime::new().unwrap(), free_port());
    // One preamble at a time, so that what is begun is known.
    let one = options(&broker, port, "x").max_pending_connections(1);
    let mut stopping = runtime.block_on(Listener::bind(one)).unwrap();
    // They come while the broker sleeps, so it finds them together and they cross together.
    broker.process.stop();
    let via = format!("net.tcp://localhost:{port}/x");
    let preamble =
        [&[0, 1, 0, 1, 2, 2, u8::try_from(via.len()).unwrap()], via.as_bytes(), &[3, 3, 12]].concat();
    let clients = (0..32).map(|_| {
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.write_all(&preamble).unwrap();
        client
    });
    let mut clients: Vec<TcpStream> = clients.collect();
    broker.process.go_on();
    for _ in 0..3 {
        let channel = runtime.block_on(stopping.accept()).unwrap();
        runtime.spawn(say(channel, b'1'));
    }
    // All are with the worker, and not in its queue: one message.
    until(|| status(&broker).outcomes.get("handed_over") == Some(&32));
    let listed = &control(&broker).list().unwrap()[0];
    assert_eq!(listed.queued, 0, "{listed:?}");

    // The next instance may come when this one drains, and this one stops.
    control(&broker).drain(&Which::Address(via.clone())).unwrap();
    let mut next = runtime.block_on(Listener::bind(options(&broker, port, "x"))).unwrap();
    runtime.spawn(async move {
        loop {
            tokio::spawn(say(next.accept().await.unwrap(), b'2'));
        }
    });
    runtime.block_on(async {
        stopping.shutdown().await;
        assert!(matches!(stopping.accept().await, Err(AcceptError::Stopped)), "nothing else was begun");
    });
    let mut served = [0, 0];
    for client in &mut clients {
        client.write_all(&[6, 1, 42, 7]).unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!((&answer[..3], answer[4]), (&[11, 6, 1][..], 7));
        served[usize::from(answer[3] - b'1')] += 1;
    }
    assert_eq!(served, [3, 29]);
    figures(&broker, 32, 29);
}

/// As WCF's clients do: a connection is used again, and where that fails, for it is the worker that has gone, a new one is made.
struct Pooled {
    port: u16,
    connection: Option<TcpStream>,
    made: usize,
}

impl Pooled {
    fn call(&mut self, path: &str) -> u8 {
        if let Some(mut used) = self.connection.take()
            && let Ok(answer) = self.session(&mut used, path)
        {
            self.connection = Some(used);
            return answer;
        }
        self.made += 1;
        let mut fresh = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        fresh.set_read_timeout(Some(DEADLINE)).unwrap();
        let answer = self.session(&mut fresh, path).expect("a new connection is served");
        self.connection = Some(fresh);
        answer
    }

    fn session(&self, stream: &mut TcpStream, path: &str) -> std::io::Result<u8> {
        let via = format!("net.tcp://localhost:{}/{path}", self.port);
        let size = u8::try_from(via.len()).unwrap();
        stream.write_all(&[&[0, 1, 0, 1, 2, 2, size], via.as_bytes(), &[3, 3, 12]].concat())?;
        let mut ack = [0];
        stream.read_exact(&mut ack)?;
        // Whoever has acknowledged a session sees it through.
        assert_eq!(ack, [11]);
        stream.write_all(&[6, 1, 42, 7]).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!((&answer[..2], answer[3]), (&[6, 1][..], 7));
        Ok(answer[2])
    }
}

#[test]
fn pooled_clients_of_two_addresses_do_not_notice_that_one_of_them_is_started_again() {
    const CLIENTS: usize = 8;
    const RESTARTS: usize = 3;
    let broker = Broker::start("");
    let (runtime, port) = (Runtime::new().unwrap(), free_port());
    let serve = |path: &'static str, name| {
        // The next instance comes before the old one goes.
        let listening = Listener::bind(options(&broker, port, path).share(true));
        let mut listener = runtime.block_on(listening).unwrap();
        let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
        let served = runtime.spawn(async move {
            let mut stopping = std::pin::pin!(stopping);
            loop {
                tokio::select! {
                    _ = &mut stopping => break,
                    channel = listener.accept() => drop(tokio::spawn(say(channel.unwrap(), name))),
                }
            }
            listener.shutdown().await;
            while let Ok(channel) = listener.accept().await {
                tokio::spawn(say(channel, name));
            }
        });
        (stop, served)
    };
    let _other = serve("y", b'y');
    let mut x = serve("x", b'0');
    let ended = std::sync::atomic::AtomicBool::new(false);
    let last = std::thread::scope(|scope| {
        let clients = [(); CLIENTS].map(|()| {
            scope.spawn(|| {
                let mut pooled = Pooled { port, connection: None, made: 0 };
                let mut last = b'0';
                while !ended.load(std::sync::atomic::Ordering::Relaxed) || last != b'0' + RESTARTS as u8 {
                    // Of two that are there it is either.
                    last = pooled.call("x");
                    assert_eq!(pooled.call("y"), b'y');
                }
                (pooled.made, last)
            })
        });
        for restart in 1..=RESTARTS {
            let before = status(&broker).returned;
            until(|| status(&broker).returned > before + 50);
            let next = serve("x", b'0' + u8::try_from(restart).unwrap());
            let (stop, served) = std::mem::replace(&mut x, next);
            stop.send(()).unwrap();
            runtime.block_on(served).unwrap();
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        clients.map(|client| client.join().unwrap())
    });
    // One that is in a session with whoever goes is used no more.
    for (made, _) in last {
        assert!(made <= 1 + RESTARTS, "{made} connections");
    }
}
