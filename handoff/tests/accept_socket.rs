//! The accept socket between real processes and with real TCP connections.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use handoff::{
    AcceptReceiver, AcceptSender, AcceptSocket, ControlConnection, ControlListener, ControlOptions,
    MAX_SOCKETS, ReceiveError, Register, Registered, Reply, Request, SendError, accept_pair,
    accept_socket::{Sockets, peek, receive, receive_lowest},
};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Accepted connections and their clients' ports, which tell them apart.
fn connections(count: usize) -> (Vec<TcpStream>, Vec<OwnedFd>, Vec<u16>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |_| (TcpStream::connect(address).unwrap(), OwnedFd::from(listener.accept().unwrap().0));
    let (clients, accepted): (Vec<_>, Vec<_>) = (0..count).map(connect).unzip();
    let ports = clients.iter().map(|client| client.local_addr().unwrap().port()).collect();
    (clients, accepted, ports)
}

fn borrowed(sockets: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    sockets.iter().map(AsFd::as_fd).collect()
}

fn client_port(socket: OwnedFd) -> u16 {
    TcpStream::from(socket).peer_addr().unwrap().port()
}

/// Runs one of the `#[ignore]`d tests below in a process of its own.
fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

#[test]
fn thirty_two_sockets_cross_in_one_message_in_order_and_are_counted() {
    let (_clients, accepted, ports) = connections(MAX_SOCKETS + 2);
    let (sender, socket) = accept_pair().unwrap();
    let copy = socket.try_clone().unwrap();
    sender.send(&borrowed(&accepted[..MAX_SOCKETS])).unwrap();
    sender.send(&borrowed(&accepted[MAX_SOCKETS..])).unwrap();
    drop(accepted);
    assert_eq!([socket.waiting().unwrap(), copy.waiting().unwrap()], [34, 34]);

    let mut receiver = AcceptReceiver::new(socket);
    let first = receiver.try_accept().unwrap().unwrap();
    assert!(fcntl_getfd(&first).unwrap().contains(FdFlags::CLOEXEC));
    assert_eq!([receiver.waiting().unwrap(), copy.waiting().unwrap()], [33, 2]);
    let mut received = vec![client_port(first)];
    received.extend((1..34).map(|_| client_port(receiver.try_accept().unwrap().unwrap())));
    assert_eq!(received, ports);
    assert!(receiver.try_accept().unwrap().is_none());
    assert_eq!(receiver.waiting().unwrap(), 0);
}

#[test]
fn both_ends_are_closed_on_exec_and_do_not_block() {
    let (sender, socket) = accept_pair().unwrap();
    for end in [sender.as_fd(), socket.as_fd()] {
        assert!(fcntl_getfd(end).unwrap().contains(FdFlags::CLOEXEC));
        assert!(fcntl_getfl(end).unwrap().contains(OFlags::NONBLOCK));
    }
}

#[test]
fn a_message_holds_one_to_thirty_two() {
    let (_clients, accepted, _) = connections(1);
    let (sender, socket) = accept_pair().unwrap();
    let sockets = vec![accepted[0].as_fd(); MAX_SOCKETS + 1];
    assert!(matches!(sender.send(&sockets), Err(SendError::Io(_))));
    sender.send(&[]).unwrap();
    assert_eq!(socket.waiting().unwrap(), 0);
}

#[test]
fn a_full_queue_is_back_pressure() {
    let (_clients, accepted, _) = connections(1);
    let (sender, socket) = accept_pair().unwrap();
    let mut sent = 0;
    let full = loop {
        match sender.send(&borrowed(&accepted)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SendError::Full), "{full:?}");
    assert_eq!(socket.waiting().unwrap(), sent);
    AcceptReceiver::new(socket.try_clone().unwrap()).try_accept().unwrap().unwrap();
    sender.send(&borrowed(&accepted)).unwrap();
}

/// Status flags are the open file's: another process that has it may have changed them.
#[test]
fn an_end_that_blocks_is_not_waited_for() {
    let (_clients, accepted, _) = connections(1);
    let (sender, socket) = accept_pair().unwrap();
    for end in [sender.as_fd(), socket.as_fd()] {
        fcntl_setfl(end, OFlags::empty()).unwrap();
    }
    assert!(AcceptReceiver::new(socket.try_clone().unwrap()).try_accept().unwrap().is_none());
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let full = (0..100_000).find_map(|_| sender.send(&borrowed(&accepted)).err());
        let _ = done.send((full, sender));
    });
    let (full, _sender) = ended.recv_timeout(Duration::from_secs(60)).expect("it does not block");
    assert!(matches!(full, Some(SendError::Full)), "{full:?}");
}

#[test]
fn a_worker_that_closes_or_shuts_down_its_end_is_gone() {
    let (_clients, accepted, _) = connections(1);
    let (sender, socket) = accept_pair().unwrap();
    drop(socket);
    assert!(matches!(sender.send(&borrowed(&accepted)), Err(SendError::Gone)));

    let (sender, socket) = accept_pair().unwrap();
    let copy = socket.try_clone().unwrap();
    shutdown(&socket, Shutdown::Both).unwrap();
    assert!(matches!(sender.send(&borrowed(&accepted)), Err(SendError::Gone)));
    drop(copy);
}

#[test]
fn a_worker_sees_the_end_only_behind_what_was_sent() {
    let (_clients, accepted, ports) = connections(2);
    let (sender, socket) = accept_pair().unwrap();
    sender.send(&borrowed(&accepted)).unwrap();
    drop(sender);
    let mut receiver = AcceptReceiver::new(socket);
    for port in ports {
        assert_eq!(client_port(receiver.try_accept().unwrap().unwrap()), port);
    }
    assert!(matches!(receiver.try_accept(), Err(ReceiveError::Closed)));
}

#[test]
fn a_message_of_another_form_is_refused_and_leaks_nothing() {
    let (_clients, accepted, _) = connections(2);
    let most = [1; MAX_SOCKETS + 1];
    for (octets, sockets) in
        [(&[2][..], 1), (&[1, 1], 1), (&[1], 2), (&[1], 0), (&[1, 2], 2), (&most, MAX_SOCKETS)]
    {
        let (sender, socket) = accept_pair().unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let sockets: Vec<_> = borrowed(&accepted).into_iter().cycle().take(sockets).collect();
        if !sockets.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&sockets));
        }
        sendmsg(&sender, &[std::io::IoSlice::new(octets)], &mut control, SendFlags::empty()).unwrap();
        let mut receiver = AcceptReceiver::new(socket);
        assert!(matches!(receiver.try_accept(), Err(ReceiveError::Malformed)), "{octets:?}");
        assert!(receiver.try_accept().unwrap().is_none(), "the message is gone");
    }
}

#[test]
fn what_was_received_before_is_closed() {
    let (_clients, accepted, ports) = connections(3);
    let (sender, socket) = accept_pair().unwrap();
    sender.send(&borrowed(&accepted[..2])).unwrap();
    sender.send(&borrowed(&accepted[2..])).unwrap();
    let mut sockets = Sockets::default();
    assert!(receive(socket.as_fd(), &mut sockets).unwrap());
    assert!(receive(socket.as_fd(), &mut sockets).unwrap());
    assert_eq!(sockets.drain().map(client_port).collect::<Vec<_>>(), ports[2..]);
}

#[test]
fn a_look_leaves_the_message_queued() {
    let (_clients, accepted, ports) = connections(2);
    let (sender, socket) = accept_pair().unwrap();
    let mut sockets = Sockets::default();
    assert!(!peek(socket.as_fd(), &mut sockets).unwrap());
    sender.send(&borrowed(&accepted)).unwrap();
    for _ in 0..2 {
        assert!(peek(socket.as_fd(), &mut sockets).unwrap());
        assert_eq!(sockets.drain().map(client_port).collect::<Vec<_>>(), ports);
    }
    assert_eq!(socket.waiting().unwrap(), 2);
}

#[test]
fn accepted_sockets_can_have_the_lowest_free_descriptors() {
    assert!(child("child_that_accepts_at_the_lowest_descriptors").status().unwrap().success());
}

#[test]
#[ignore = "no other test may open a descriptor beside it"]
fn child_that_accepts_at_the_lowest_descriptors() {
    let (_clients, accepted, ports) = connections(3);
    let (sender, socket) = accept_pair().unwrap();
    let mut sockets = Sockets::default();
    assert!(!receive_lowest(socket.as_fd(), &mut sockets).unwrap(), "none waits");
    sender.send(&borrowed(&accepted)).unwrap();
    let free: Vec<_> = (0..3).map(|_| rustix::io::dup(&socket).unwrap()).collect();
    let free: Vec<_> = free.into_iter().map(|descriptor| descriptor.as_raw_fd()).collect();
    assert!(receive_lowest(socket.as_fd(), &mut sockets).unwrap());
    let received: Vec<_> = sockets.drain().collect();
    assert_eq!(received.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>(), free);
    assert!(received.iter().all(|socket| fcntl_getfd(socket).unwrap().contains(FdFlags::CLOEXEC)));
    assert_eq!(received.into_iter().map(client_port).collect::<Vec<_>>(), ports);
}

#[test]
fn threads_that_share_the_socket_get_every_connection_once() {
    const COUNT: usize = 200;
    let (_clients, accepted, mut ports) = connections(COUNT);
    let (sender, socket) = accept_pair().unwrap();
    let received = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut receiver = AcceptReceiver::new(socket.try_clone().unwrap());
                loop {
                    match receiver.try_accept() {
                        Ok(Some(socket)) => received.lock().unwrap().push(client_port(socket)),
                        Ok(None) => std::thread::yield_now(),
                        Err(ReceiveError::Closed) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        for message in accepted.chunks(3) {
            while let Err(error) = sender.send(&borrowed(message)) {
                assert!(matches!(error, SendError::Full | SendError::InFlight), "{error}");
                std::thread::yield_now();
            }
        }
        drop(sender);
    });
    let mut received = received.into_inner().unwrap();
    received.sort_unstable();
    ports.sort_unstable();
    assert_eq!(received, ports);
}

#[test]
fn at_the_descriptor_limit_nothing_is_lost() {
    assert!(child("child_at_the_descriptor_limit").status().unwrap().success());
}

#[test]
#[ignore = "changes the limit of its process"]
fn child_at_the_descriptor_limit() {
    let (_clients, accepted, ports) = connections(4);
    let (sender, socket) = accept_pair().unwrap();
    sender.send(&borrowed(&accepted[..3])).unwrap();
    sender.send(&borrowed(&accepted[3..])).unwrap();
    drop(accepted);

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    let mut filling = Vec::new();
    let full = loop {
        match rustix::io::dup(&socket) {
            Ok(descriptor) => filling.push(descriptor),
            Err(errno) => break errno,
        }
    };
    assert_eq!(full, Errno::MFILE);

    let mut receiver = AcceptReceiver::new(socket);
    for free in 0..3 {
        for _ in 0..2 {
            assert!(
                matches!(receiver.try_accept(), Err(ReceiveError::TooManyOpenFiles)),
                "{free} descriptors are free"
            );
        }
        assert_eq!(receiver.waiting().unwrap(), 4);
        filling.pop();
    }
    // exactly as many are free as the message has sockets
    let mut received: Vec<_> = (0..3).map(|_| receiver.try_accept().unwrap().unwrap()).collect();
    assert!(matches!(receiver.try_accept(), Err(ReceiveError::TooManyOpenFiles)));
    filling.pop();
    received.push(receiver.try_accept().unwrap().unwrap());
    assert_eq!(received.into_iter().map(client_port).collect::<Vec<_>>(), ports);
}

#[test]
fn descriptors_in_flight_are_limited_per_user() {
    let nobody = 65_534;
    match child("child_of_another_user").uid(nobody).gid(nobody).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => test_peers::skip(
            "way to be another user",
            &format!("run the tests as root, from where others may read them ({error})"),
        ),
    }
}

#[test]
#[ignore = "must not run as root"]
fn child_of_another_user() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    let (sender, socket) = accept_pair().unwrap();
    let sockets = [socket.as_fd(); MAX_SOCKETS];
    let refused = (0..20).find_map(|_| sender.send(&sockets).err());
    assert!(matches!(refused, Some(SendError::InFlight)), "{refused:?}");
    // received ones are no longer in flight
    AcceptReceiver::new(socket.try_clone().unwrap()).try_accept().unwrap().unwrap();
    sender.send(&sockets).unwrap();
}

#[test]
fn what_a_killed_worker_had_not_received_is_still_in_the_brokers_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let listener = ControlListener::bind(&path, &ControlOptions::default()).unwrap();
    let mut worker = child("child_worker_that_takes_one_connection");
    let mut worker = worker.env("TEST_CONTROL", &path).stdout(Stdio::piped()).spawn().unwrap();

    let peer = listener.accept().unwrap();
    assert_eq!(peer.credentials().pid, worker.id());
    let request = peer.receive().unwrap().unwrap().unwrap();
    assert!(
        matches!(request, Request::Register(register) if register.addresses == ["net.tcp://localhost:1/a"])
    );
    let (sender, socket): (AcceptSender, AcceptSocket) = accept_pair().unwrap();
    peer.send(&Reply::Registered(Registered::new(1)), Some(socket.as_fd())).unwrap();
    let (_clients, accepted, ports) = connections(3);
    for connection in accepted {
        sender.send(&[connection.as_fd()]).unwrap();
    }
    while socket.waiting().unwrap() == 3 {
        std::thread::yield_now();
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert!(peer.receive().unwrap().is_none(), "the control connection tells that the worker is dead");

    let mut recovered = Vec::new();
    socket.drain(|connection| recovered.push(client_port(connection))).unwrap();
    assert_eq!(recovered, ports[1..]);
}

#[test]
#[ignore = "is killed"]
fn child_worker_that_takes_one_connection() {
    let path = std::env::var_os("TEST_CONTROL").unwrap();
    let mut control = ControlConnection::connect(path.as_ref()).unwrap();
    let (_, socket) = control.register(&Register::new(["net.tcp://localhost:1/a"])).unwrap();
    let mut receiver = AcceptReceiver::new(socket);
    while receiver.try_accept().unwrap().is_none() {
        std::thread::yield_now();
    }
    loop {
        std::thread::park();
    }
}
