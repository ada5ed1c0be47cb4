//! Descriptors: at their limit, and that none is lost. Alone in its program, because the limit is the process's.

mod common;

use std::fs::File;
use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use common::{DUPLEX, Raw, TEXT_END, peer, preamble};
use handoff::{ControlListener, ControlOptions, Registered, Reply, accept_pair};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use transport::{AcceptError, ListenOptions, Listener};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Takes all descriptors that are left below a low limit.
fn exhaust() -> Vec<File> {
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken
}

#[tokio::test]
async fn accept_says_so_at_the_limit_and_loses_nothing() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(128), ..limit }).unwrap();
    own_port_at_the_limit().await;
    shared_port_at_the_limit().await;
    setrlimit(Resource::Nofile, limit).unwrap();
    nothing_leaks().await;
}

async fn own_port_at_the_limit() {
    let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await.unwrap();
    let address = listener.local_addrs()[0];
    let mut raw = Raw::connect(address);
    raw.write(&preamble(DUPLEX, &common::via(address), TEXT_END));
    at_the_limit(&mut listener).await;
    drop(listener.accept().await.unwrap());
}

async fn shared_port_at_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let broker = ControlListener::bind(&control, &ControlOptions::default()).unwrap();
    let registered = tokio::task::spawn_blocking(move || {
        let worker = broker.accept().unwrap();
        worker.receive().unwrap().unwrap().unwrap();
        let (sender, accept_socket) = accept_pair().unwrap();
        worker.send(&Reply::Registered(Registered::new(1)), Some(accept_socket.as_fd())).unwrap();
        (worker, sender)
    });
    let options = ListenOptions::new("net.tcp://localhost:9000/echo").port_sharing(true).control(control);
    let mut listener = Listener::bind(options).await.unwrap();
    let (_worker, sender) = registered.await.unwrap();
    let port = TcpListener::bind(common::any()).unwrap();
    let mut clients = Vec::new();
    let mut sockets = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::connect(port.local_addr().unwrap());
        raw.write(&preamble(DUPLEX, "net.tcp://localhost:9000/echo", TEXT_END));
        clients.push(raw);
        sockets.push(port.accept().unwrap().0);
    }
    // several in one message, of which a full table would take some and lose the others
    sender.send(&sockets.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
    drop(sockets);
    at_the_limit(&mut listener).await;
    for _ in 0..8 {
        drop(listener.accept().await.unwrap());
    }
}

async fn at_the_limit(listener: &mut Listener) {
    let taken = exhaust();
    for _ in 0..3 {
        let error = listener.accept().await.unwrap_err();
        assert!(matches!(&error, AcceptError::AtLimit(_)) && error.retry_helps(), "{error:?}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("Too many open files"), "{source}");
    }
    drop(taken);
}

async fn nothing_leaks() {
    let options =
        ListenOptions::new("net.tcp://127.0.0.1:0/echo").preamble_timeout(Duration::from_millis(100));
    let listener = Listener::bind(options).await.unwrap();
    let address = listener.local_addrs()[0];
    let service = tokio::spawn(common::serve(listener));
    let before = open_descriptors();
    peer(move || {
        let whole = preamble(DUPLEX, &common::via(address), TEXT_END);
        for octets in [&b""[..], b"GET /", &[0, 9], &[0, 1, 0, 1, 7], &whole[..whole.len() - 1], &whole] {
            for half_close in [false, true] {
                let mut raw = Raw::connect(address);
                // some are closed while this one still speaks
                let _ = raw.0.write_all(octets);
                if half_close {
                    let _ = raw.0.shutdown(Shutdown::Write);
                }
            }
        }
        let silent: Vec<Raw> = (0..200).map(|_| Raw::connect(address)).collect();
        for mut raw in silent {
            raw.expect_closed();
        }
    })
    .await;
    // what was closed above is closed here a moment later
    for _ in 0..6000 {
        if open_descriptors() <= before {
            service.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} descriptors before, {} after", before, open_descriptors());
}
