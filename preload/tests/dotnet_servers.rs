//! Unmodified .NET servers of every style under `broker exec`, and Microsoft's WCF client.

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use common::{Broker, DotNet, LONG, address, call, free_port, preamble, wait_until};
use test_peers::Process;

/// Shows something with a server of each style.
macro_rules! each_style {
    ($show:ident) => {
        mod $show {
            macro_rules! style {
                ($kind:ident) => {
                    #[test]
                    fn $kind() {
                        super::$show(stringify!($kind));
                    }
                };
            }
            style!(tcplistener);
            style!(blocking);
            style!(poll);
            style!(eventargs);
            style!(kestrel);
        }
    };
}

each_style!(sessions_of_a_service_that_stops_and_starts);
each_style!(a_service_is_waited_for_however_it_ends);
each_style!(a_broker_is_killed_and_started_again);
each_style!(fifty_clients_reset);

/// A server of some style that shares a port.
struct Shared {
    dotnet: DotNet,
    broker: Broker,
    kind: &'static str,
    port: u16,
    server: Process,
}

impl Shared {
    /// `None` without .NET.
    fn start(kind: &'static str) -> Option<Self> {
        Self::start_with(kind, |_| {})
    }

    fn start_with(kind: &'static str, configure: impl Fn(&mut Command)) -> Option<Self> {
        let dotnet = DotNet::found()?;
        let (broker, port) = (Broker::start(), free_port());
        let server = serve(&dotnet, &broker, kind, port, &[], configure);
        Some(Self { dotnet, broker, kind, port, server })
    }

    /// The client's way to the server, with nothing in between: `localhost` would be tried over IPv6 first.
    fn address(&self) -> String {
        format!("net.tcp://127.0.0.1:{}/{}", self.port, self.kind)
    }

    fn client(&self, options: &[&str]) -> Process {
        client(&self.dotnet, &self.address(), options)
    }

    /// The client gets so many right answers, over so many connections.
    #[track_caller]
    fn answers(&self, options: &[&str], answers: usize, connections: usize) {
        succeeds(self.client(options), answers, connections);
    }

    /// Waits until somebody answers there.
    fn is_back(&self) {
        wait_until("the server is registered", || Session::open(self.port, self.kind).is_ok());
    }
}

fn serve(
    dotnet: &DotNet,
    broker: &Broker,
    kind: &str,
    port: u16,
    options: &[&str],
    configure: impl Fn(&mut Command),
) -> Process {
    let mut program = dotnet.server(kind);
    program.args(["--port", &port.to_string()]);
    configure(&mut program);
    let server = Process::start(&mut broker.exec_command_with(options, &[address(port, kind)], &program));
    server.expect("READY");
    server
}

fn client(dotnet: &DotNet, address: &str, options: &[&str]) -> Process {
    let mut command = dotnet.client();
    Process::start(command.args(["--contract", "mirror", "--address", address]).args(options))
}

#[track_caller]
fn succeeds(client: Process, answers: usize, connections: usize) {
    let (status, lines, errors) = client.finish();
    let right = lines.iter().filter(|line| line.starts_with("ok ")).count();
    assert_eq!((status.code(), right), (Some(0), answers), "{lines:#?} {errors:#?}");
    assert_eq!(lines.last().unwrap(), &format!("DONE, tcp connects: {connections}"), "{lines:#?}");
}

#[track_caller]
fn finds_nobody(client: Process) {
    let (status, lines, _) = client.finish();
    let exception = "EXCEPTION client: System.ServiceModel.EndpointNotFoundException: There was no endpoint";
    assert!(lines.iter().any(|line| line.starts_with(exception)), "{lines:#?}");
    assert_eq!(status.code(), Some(1));
}

/// A session without WCF.
struct Session(TcpStream);

impl Session {
    fn open(port: u16, path: &str) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(LONG))?;
        stream.write_all(&[&preamble(&address(port, path))[..], &[12]].concat())?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        match answer {
            [11] => Ok(Self(stream)),
            [other] => Err(std::io::Error::other(format!("record {other}"))),
        }
    }

    fn exchange(&mut self) {
        self.0.write_all(b"\x06\x05hello").unwrap();
        let mut answer = [0; 7];
        self.0.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"\x06\x05hello");
    }
}

fn sessions_of_a_service_that_stops_and_starts(kind: &'static str) {
    let Some(mut shared) = Shared::start(kind) else { return };
    // Another service keeps the port open.
    let mut control = handoff::ControlConnection::connect(&shared.broker.control()).unwrap();
    let register = handoff::Register::new(vec![address(shared.port, "other")]);
    let _other = control.register(&register).unwrap();
    // three sessions, one after the other on one connection
    shared.answers(&["--channels", "3", "--bytes", "10000"], 12, 1);
    let session = shared.server.expect("session of 127.0.0.1:");
    assert!(session.ends_with(&format!("via {}: 4 envelopes", shared.address())), "{session}");
    // four at once
    shared.answers(&["--channels", "4", "--parallel", "--encoding", "text12"], 16, 4);
    shared.answers(&["--mode", "streamed", "--bytes", "10000"], 4, 1);

    shared.server.terminate();
    wait_until("the server ends", || !shared.server.is_running());
    wait_until("its registration ends", || call(shared.port, kind).contains("EndpointNotFound"));
    finds_nobody(shared.client(&[]));
    shared.server = serve(&shared.dotnet, &shared.broker, kind, shared.port, &[], |_| {});
    shared.answers(&[], 4, 1);
}

/// Clients that come while it is gone get their answers when it is back, and notice nothing but the time.
fn a_service_is_waited_for_however_it_ends(kind: &'static str) {
    let Some(mut shared) = Shared::start(kind) else { return };
    let graceful = ["--grace-seconds", "600"];
    shared.server.terminate();
    wait_until("it ends", || !shared.server.is_running());
    wait_until("its registration ends", || shared.broker.holders() == 0);
    shared.server = serve(&shared.dotnet, &shared.broker, kind, shared.port, &graceful, |_| {});
    for killed in [true, false] {
        shared.answers(&[], 4, 1);
        if killed {
            shared.server.kill()
        } else {
            shared.server.terminate()
        }
        wait_until("it ends", || !shared.server.is_running());
        let clients = [(); 2].map(|()| shared.client(&[]));
        wait_until("they wait", || shared.broker.waiting() == 2);
        shared.server = serve(&shared.dotnet, &shared.broker, kind, shared.port, &graceful, |_| {});
        clients.into_iter().for_each(|client| succeeds(client, 4, 1));
    }
}

fn a_broker_is_killed_and_started_again(kind: &'static str) {
    let Some(mut shared) = Shared::start(kind) else { return };
    let mut open = shared.client(&["--step", "--calls", "3"]);
    let call = |open: &mut Process| {
        open.enter("\n");
        open.expect("ok ");
    };
    call(&mut open);
    shared.broker.kill();
    call(&mut open);
    shared.broker.restart();
    shared.is_back();
    call(&mut open);
    open.enter("\n");
    succeeds(open, 0, 1);
    shared.answers(&["--channels", "2"], 8, 1);
    assert!(shared.server.is_running());
}

/// A client may be gone before the server accepts its connection: Linux hands it over all the same, and the server learns of it
/// when it reads.
fn fifty_clients_reset(kind: &'static str) {
    let Some(mut shared) = Shared::start(kind) else { return };
    let mut control = handoff::ControlConnection::connect(&shared.broker.control()).unwrap();
    let (_, other) = control.register(&handoff::Register::new(vec![address(shared.port, "other")])).unwrap();
    let mut other = handoff::AcceptReceiver::new(other);
    let connect = |path: &str| {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.port)).unwrap();
        client.write_all(&preamble(&address(shared.port, path))).unwrap();
        client
    };
    let reset = |client: TcpStream| {
        rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO)).unwrap();
    };

    shared.server.stop();
    let clients: Vec<_> = (0..50).map(|_| connect(kind)).collect();
    // When a later one has arrived elsewhere, and another one after that, these have left the broker.
    for _ in 0..2 {
        let marker = connect("other");
        wait_until("the marker arrives", || other.try_accept().unwrap().is_some());
        drop(marker);
    }
    clients.into_iter().for_each(reset);
    shared.server.go_on();
    shared.answers(&[], 4, 1);
    // and while it accepts
    (0..50).for_each(|_| reset(connect(kind)));
    shared.answers(&["--channels", "2"], 8, 1);
    assert!(shared.server.is_running());
    shared.server.kill();
    let (_, said, errors) = shared.server.finish();
    assert!(!said.iter().any(|line| line.contains("accept failed")), "{said:#?}");
    // the library's own line is all
    let [shared] = &errors[..] else { panic!("{errors:#?}") };
    assert!(shared.ends_with("is registered (registration 1)"), "{shared}");
}

#[test]
fn of_two_listeners_one_is_shared() {
    let second = free_port();
    let Some(mut shared) = Shared::start_with("two", |two| {
        two.args(["--second", &second.to_string()]);
    }) else {
        return;
    };
    shared.server.expect("READY");
    shared.answers(&[], 4, 1);
    succeeds(client(&shared.dotnet, &format!("net.tcp://127.0.0.1:{second}/own"), &[]), 4, 1);
    shared.broker.kill();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, shared.port)).is_err(), "it was the broker's");
    Session::open(second, "own").unwrap().exchange();
    shared.broker.restart();
    shared.is_back();
    shared.answers(&[], 4, 1);
}

#[test]
fn http_beside_it_is_left_alone() {
    let http = free_port();
    let Some(mut shared) = Shared::start_with("kestrel", |kestrel| {
        kestrel.args(["--http", &http.to_string()]);
    }) else {
        return;
    };
    shared.broker.kill();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, http)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("plain HTTP"), "{answer}");
}

/// What the server and the client negotiate is theirs: the broker has seen nothing but the preamble.
#[test]
fn tls_and_windows() {
    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(users.path(), "TESTDOM:alice:secret\n").unwrap();
    for kind in ["blocking", "kestrel"] {
        let configure = |command: &mut Command| {
            command.env("NTLM_USER_FILE", users.path());
        };
        let Some(shared) = Shared::start_with(kind, configure) else { return };
        let upgraded = |options: &[&str], session: &str| {
            let mut client = shared.dotnet.client();
            configure(&mut client);
            client.args(["--contract", "mirror", "--channels", "2", "--address", &shared.address()]);
            succeeds(Process::start(client.args(options)), 8, 1);
            while !shared.server.expect("upgraded").contains(session) {}
        };
        let tls = ["--security", "tls", "--dns", "localhost"];
        upgraded(&tls, "Tls12");
        upgraded(&[&tls[..], &["--tlsversion", "1.3", "--mode", "streamed"]].concat(), "Tls13");
        if ntlm() {
            let alice =
                ["--security", "windows", "--user", "alice", "--password", "secret", "--domain", "TESTDOM"];
            upgraded(&alice, r"NTLM TESTDOM\alice signed=True encrypted=True");
        }
    }
}

/// Whether there is Windows authentication without a domain.
fn ntlm() -> bool {
    let there = std::path::Path::new("/etc/gss/mech.d/mech.ntlmssp.conf").exists();
    if !there {
        test_peers::skip("gss-ntlmssp", "apt install gss-ntlmssp");
    }
    there
}
