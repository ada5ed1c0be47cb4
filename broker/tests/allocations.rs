//! The fast path allocates nothing: counted over everything that this process does, a broker, its worker and its
//! initiators included.

use std::alloc::System;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use handoff::accept_socket::{Sockets, receive};
use handoff::{AcceptSocket, ControlConnection, Register};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// Takes connections out of the accept socket until there were so many.
fn take(socket: &AcceptSocket, sockets: &mut Sockets, mut count: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    while count > 0 {
        assert!(Instant::now() < end, "{count} connections were not handed over");
        match receive(socket.as_fd(), sockets) {
            Ok(true) => count -= sockets.drain().count(),
            Ok(false) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_hand_over_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = broker::Config::default();
    config.control = Some(folder.path().join("control"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let broker = runtime.block_on(broker::Broker::start(config)).unwrap();
    let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let via = format!("net.tcp://localhost:{port}/x");
    let mut control = ControlConnection::connect(broker.control_path()).unwrap();
    let (_, socket) = control.register(&Register::new([via.clone()])).unwrap();
    let preamble =
        [b"\0\x01\0\x01\x02\x02", &[u8::try_from(via.len()).unwrap()][..], via.as_bytes(), b"\x03\x08"]
            .concat();

    let mut sockets = Sockets::default();
    let mut hand_over = |together: usize, pieces: usize| {
        let mut clients = [const { None::<TcpStream> }; 16];
        for client in clients.iter_mut().take(together) {
            let stream = client.insert(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap());
            for piece in preamble.chunks(preamble.len().div_ceil(pieces)) {
                stream.write_all(piece).unwrap();
                if pieces > 1 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
        take(&socket, &mut sockets, together);
    };

    // Tables get their room, and lazy statics their value.
    for _ in 0..50 {
        hand_over(1, 1);
        hand_over(16, 1);
        hand_over(1, 2);
    }
    let outcomes = broker.counters().outcomes().find(|(name, _)| *name == "handed_over").unwrap().1;
    let before = allocations();
    for _ in 0..100 {
        hand_over(1, 1);
        hand_over(16, 1);
    }
    assert_eq!(allocations() - before, 0);
    let after = broker.counters().outcomes().find(|(name, _)| *name == "handed_over").unwrap().1;
    assert_eq!(after - outcomes, 1700, "nothing was measured");

    // The counter sees the broker's threads: a registration is not free.
    let before = allocations();
    let (_, _other) = control.register(&Register::new([format!("{via}/y")])).unwrap();
    assert!(allocations() - before > 10);
    let counters = (broker.counters().accepted(), broker.counters().of(broker::Outcome::HandedOver));
    assert_eq!(counters.0, counters.1);
    // Asserts for itself that every connection has ended.
    runtime.block_on(broker.stop());
}
