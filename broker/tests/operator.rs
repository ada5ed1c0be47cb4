//! What an operator may do to the process.

mod common;

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use common::{Broker, Raw, Worker, address, ask, eventually, free_port};
use handoff::{AcceptSocket, ControlConnection};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

fn start(control: &std::path::Path, log: Stdio) -> Child {
    Command::new(env!("CARGO_BIN_EXE_broker")).arg("--control").arg(control).stderr(log).spawn().unwrap()
}

#[test]
fn of_several_started_at_once_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    for _ in 0..5 {
        // A broker was killed here.
        let _ = std::fs::remove_file(&control);
        drop(std::os::unix::net::UnixListener::bind(&control).unwrap());

        let mut brokers: Vec<Child> = (0..6).map(|_| start(&control, Stdio::null())).collect();
        let mut ended = 0;
        eventually(
            || {
                ended = brokers.iter_mut().filter_map(|broker| broker.try_wait().unwrap()).count();
                ended >= 5
            },
            || "more than one broker stays".to_owned(),
        );
        assert_eq!(ended, 5);
        Raw::connect(&control);
        for broker in &mut brokers {
            broker.kill().unwrap();
            broker.wait().unwrap();
        }
        let files = std::fs::read_dir(folder.path()).unwrap().flatten().map(|file| file.file_name());
        assert_eq!(files.collect::<Vec<_>>(), ["control"]);
    }
}

/// A copy of the first socket that waits.
fn peek(accept_socket: &AcceptSocket) -> OwnedFd {
    let (mut octets, mut space) = ([0], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(accept_socket, &mut [IoSliceMut::new(&mut octets)], &mut control, RecvFlags::PEEK).unwrap();
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    descriptors.next().unwrap().next().unwrap()
}

/// The worst that a worker can do with what it has not received yet: it has copies of the same open files.
#[test]
fn a_worker_that_empties_what_it_leaves_behind_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let mut broker = start(&control, Stdio::null());
    eventually(|| control.exists(), || "no control socket".to_owned());

    let (port, mut worker) = (free_port(), Raw::connect(&control));
    let register = |path| json!({"register": {"protocol": 1, "addresses": [address(port, path)]}});
    let (_, mut accept_socket) = worker.ask(&register("x"));
    let accept_socket = AcceptSocket::from(accept_socket.remove(0));
    let mut client = ask(port, "x");
    eventually(|| accept_socket.waiting().unwrap() == 1, || "nothing was handed over".to_owned());
    let copy = peek(&accept_socket);
    rustix::io::read(&copy, &mut [0; 4096]).unwrap();
    rustix::io::ioctl_fionbio(&copy, false).unwrap();
    drop((worker, accept_socket));

    let mut other = Raw::connect(&control);
    let (_, mut accept_socket) = other.ask(&register("y"));
    let accept_socket = AcceptSocket::from(accept_socket.remove(0));
    let _served = ask(port, "y");
    eventually(|| accept_socket.waiting().unwrap() == 1, || "nothing was handed over".to_owned());
    let _ = client.write_all(b"x");
    broker.kill().unwrap();
    broker.wait().unwrap();
}

/// Who reads why a broker did not start has to find that alone.
/// As a cleaner of temporary files does it.
#[test]
fn a_control_socket_that_is_removed_is_opened_again() {
    let broker = Broker::start(&[]);
    let before = Worker::register(&broker, &[address(free_port(), "before")]);
    for round in 1..=2 {
        std::fs::remove_file(broker.control()).unwrap();
        eventually(|| ControlConnection::connect(&broker.control()).is_ok(), || broker.log());
        let said =
            format!("the control socket {} was removed by another program", broker.control().display());
        // The log is written by another thread.
        eventually(|| broker.log().matches(&said).count() == round, || broker.log());
        Worker::register(&broker, &[address(free_port(), "after")]);
    }
    drop(before);
    // Another program has taken its place, in one step: that is left alone, and said once.
    let beside = broker.control().with_extension("other");
    let other = std::os::unix::net::UnixListener::bind(&beside).unwrap();
    std::fs::rename(&beside, broker.control()).unwrap();
    eventually(|| broker.log().contains("no worker finds this broker until"), || broker.log());
    eventually(|| broker.log().contains("is another program's"), || broker.log());
    drop(other);
    std::fs::remove_file(broker.control()).unwrap();
    eventually(|| ControlConnection::connect(&broker.control()).is_ok(), || broker.log());
}

#[test]
fn what_never_ran_does_not_say_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("file");
    std::fs::write(&occupied, "").unwrap();
    let (control, occupied) = (folder.path().join("control"), occupied.to_str().unwrap());
    for (arguments, said) in [
        (["--control-group", "no such group"], "there is no group \"no such group\"; `getent group` lists"),
        (["--control", occupied], "exists and is no socket"),
    ] {
        let broker = Command::new(env!("CARGO_BIN_EXE_broker"))
            .env(handoff::CONTROL_VARIABLE, &control)
            .args(arguments)
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&broker.stderr);
        assert!(!broker.status.success() && log.contains(said) && !log.contains("ended"), "{log}");
    }
}
