//! From accept to dispatch, over real sockets and a real accept socket; broker, worker and initiators are this process.
//!
//! - `latency_of_one`: from before the initiator's write of its preamble until the worker has the socket. The write, the
//!   worker's `recvmsg` and the wake-ups between are in it, connecting and closing are not.
//! - `cost_in_batches`: the processor time of the broker's own threads, by the kernel's account, for 64 connections that
//!   come one behind the other. Nothing of the initiators' and of the worker's is in it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use broker::{Broker, Config};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use handoff::accept_socket::{Sockets, receive};
use handoff::{AcceptSocket, ControlConnection, Register};

const BATCH: usize = 64;

/// A broker with one worker, and what it takes to reach it.
struct Rig {
    _runtime: tokio::runtime::Runtime,
    _broker: Broker,
    _control: ControlConnection,
    _folder: tempfile::TempDir,
    socket: AcceptSocket,
    address: SocketAddr,
    preamble: Vec<u8>,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let mut config = Config::default();
        config.control = Some(folder.path().join("control"));
        config.max_pending_connections = 10_000;
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let broker = runtime.block_on(Broker::start(config)).expect("a broker");
        let free = TcpListener::bind("0.0.0.0:0").and_then(|socket| socket.local_addr()).expect("a port");
        let via = format!("net.tcp://localhost:{}/calc", free.port());
        let mut control = ControlConnection::connect(broker.control_path()).expect("the control socket");
        let (_, socket) = control.register(&Register::new([via.clone()])).expect("a registration");
        let size = u8::try_from(via.len()).expect("a short Via");
        let preamble = [b"\0\x01\0\x01\x02\x02", &[size][..], via.as_bytes(), b"\x03\x08\x0C"].concat();
        let address = (Ipv4Addr::LOCALHOST, free.port()).into();
        Self {
            _runtime: runtime,
            _broker: broker,
            _control: control,
            _folder: folder,
            socket,
            address,
            preamble,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("a connection")
    }

    fn say(&self, mut client: &TcpStream) {
        client.write_all(&self.preamble).expect("the preamble is sent");
    }

    fn take(&self, sockets: &mut Sockets, mut count: usize) {
        while count > 0 {
            if receive(self.socket.as_fd(), sockets).expect("the accept socket") {
                count -= sockets.drain().count();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

/// Processor time of this process's threads of the broker.
fn broker_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc").flatten().map(|task| task.path());
    let ours = tasks.filter(|task| {
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        matches!(name.trim(), "accept" | "help")
    });
    ours.map(|task| {
        let line = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        Duration::from_nanos(line.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0))
    })
    .sum()
}

fn dispatch(criterion: &mut Criterion) {
    let rig = Rig::new();
    let mut sockets = Sockets::default();
    let mut group = criterion.benchmark_group("dispatch");
    group.bench_function("latency_of_one", |bencher| {
        bencher.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    let client = rig.connect();
                    let begin = Instant::now();
                    rig.say(&client);
                    rig.take(&mut sockets, 1);
                    begin.elapsed()
                })
                .sum()
        });
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("cost_in_batches", |bencher| {
        bencher.iter_custom(|times| {
            let before = broker_time();
            for _ in 0..times {
                let clients: Vec<TcpStream> = (0..BATCH).map(|_| rig.connect()).collect();
                clients.iter().for_each(|client| rig.say(client));
                rig.take(&mut sockets, BATCH);
            }
            broker_time() - before
        });
    });
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
