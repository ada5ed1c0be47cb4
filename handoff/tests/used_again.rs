//! `validate` and `return`: what is asked about a connection whose session has ended, and the connection that comes with it.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use handoff::{
    ControlConnection, ControlListener, ControlOptions, ControlPeer, HandoffError, Refused, RefusedReason,
    Reply, Request, Validate,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

fn pair() -> (tempfile::TempDir, ControlConnection, ControlPeer) {
    let folder = tempfile::tempdir().unwrap();
    let listener = ControlListener::bind(&folder.path().join("control"), &ControlOptions::default()).unwrap();
    let worker = ControlConnection::connect(listener.path()).unwrap();
    let peer = listener.accept().unwrap();
    (folder, worker, peer)
}

/// A connection, and its initiator.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let initiator = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, initiator)
}

fn asked() -> Validate {
    Validate::new("net.tcp://h:9000/b", "192.0.2.1:9000".parse().unwrap())
}

fn send_raw(socket: impl AsFd, octets: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, &[IoSlice::new(octets)], &mut control, SendFlags::empty()).unwrap();
}

fn refused() -> Reply {
    Reply::Refused(Refused::new(RefusedReason::NotSupported, None, "no"))
}

#[test]
fn a_via_is_asked_about_and_a_connection_given_back() {
    let (_folder, mut worker, peer) = pair();
    let (given, initiator) = connection();
    let address = initiator.local_addr().unwrap();
    let broker = std::thread::spawn(move || {
        for reply in
            [Reply::Validated { id: Some(7) }, Reply::Validated { id: None }, refused(), Reply::Returned]
        {
            let (request, none) = peer.receive_with_connection().unwrap().unwrap().unwrap();
            assert_eq!((request, none.is_none()), (Request::Validate(asked()), true));
            peer.send(&reply, None).unwrap();
        }
        for reply in [Reply::Returned, refused(), Reply::Validated { id: None }] {
            let (request, given) = peer.receive_with_connection().unwrap().unwrap().unwrap();
            assert_eq!(request, Request::Return { id: 7 });
            let given = TcpStream::from(given.expect("a connection"));
            assert_eq!(given.peer_addr().unwrap(), address);
            peer.send(&reply, None).unwrap();
        }
    });
    assert_eq!(worker.validate(&asked()).unwrap(), Some(7));
    assert_eq!(worker.validate(&asked()).unwrap(), None);
    assert!(matches!(worker.validate(&asked()), Err(HandoffError::Refused(_))));
    assert!(matches!(worker.validate(&asked()), Err(HandoffError::Malformed(_))));
    worker.give_back(7, given.as_fd()).unwrap();
    assert!(matches!(worker.give_back(7, given.as_fd()), Err(HandoffError::Refused(_))));
    assert!(matches!(worker.give_back(7, given.as_fd()), Err(HandoffError::Malformed(_))));
    broker.join().unwrap();
    assert!(matches!(worker.give_back(7, given.as_fd()), Err(HandoffError::Closed)));
}

#[test]
fn a_return_has_one_descriptor_and_no_other_request_has_any() {
    let (_folder, worker, peer) = pair();
    let (given, _initiator) = connection();
    let unregister = br#"{"unregister": {"id": 1}}"#;
    let returned = br#"{"return": {"id": 1}}"#;
    for (octets, count, said) in [
        (&returned[..], 0, "`return` carries one descriptor"),
        (returned, 2, "`return` carries one descriptor"),
        (returned, 4, "`return` carries one descriptor"),
        (unregister, 1, "only `return` carries a descriptor"),
        (br#"{"out_of_cheese": {}}"#, 1, "only `return` carries a descriptor"),
    ] {
        send_raw(&worker, octets, &vec![given.as_fd(); count]);
        let malformed = peer.receive_with_connection().unwrap().unwrap().unwrap_err().to_string();
        assert_eq!(malformed, format!("malformed message: {said}"));
    }
    send_raw(&worker, returned, &[given.as_fd()]);
    assert!(peer.receive().unwrap().unwrap().is_err(), "one that takes nothing back");
    send_raw(&worker, returned, &[given.as_fd()]);
    assert!(matches!(peer.receive_with_connection(), Ok(Some(Ok((Request::Return { id: 1 }, Some(_)))))));
}

/// Whoever asked is to be told, and keeps its registrations.
#[test]
fn a_connection_for_which_there_is_no_descriptor_is_missing() {
    let Ok(this) = std::env::var("TEST_WITHOUT_DESCRIPTORS") else {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "a_connection_for_which_there_is_no_descriptor_is_missing"]);
        assert!(child.env("TEST_WITHOUT_DESCRIPTORS", "1").status().unwrap().success());
        return;
    };
    assert_eq!(this, "1");
    let (_folder, mut worker, peer) = pair();
    let (given, _initiator) = connection();
    let worker = std::thread::spawn(move || worker.give_back(7, given.as_fd()));
    // Not before it is there: it is received when no descriptor is free.
    rustix::event::poll(&mut [rustix::event::PollFd::new(&peer, rustix::event::PollFlags::IN)], None)
        .unwrap();
    let (_, hard) = rustix_limit();
    let free = rustix::io::dup(&peer).unwrap();
    let limit = u64::from(std::os::fd::AsRawFd::as_raw_fd(&free).unsigned_abs());
    set_limit(limit, hard);
    drop(free);
    let received = peer.receive_with_connection();
    set_limit(hard, hard);
    assert!(matches!(received, Ok(Some(Ok((Request::Return { id: 7 }, None))))), "{received:?}");
    peer.send(&refused(), None).unwrap();
    assert!(matches!(worker.join().unwrap(), Err(HandoffError::Refused(_))));
}

fn rustix_limit() -> (Option<u64>, u64) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    (limit.current, limit.maximum.unwrap_or(1 << 20))
}

fn set_limit(current: u64, maximum: u64) {
    let limit = rustix::process::Rlimit { current: Some(current), maximum: Some(maximum) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
}

#[cfg(feature = "tokio")]
#[test]
fn the_same_under_tokio() {
    use handoff::tokio::{AsyncControlConnection, AsyncControlListener};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let both = async {
        let path = folder.path().join("control");
        let listener = ControlListener::bind(&path, &ControlOptions::default()).unwrap();
        let listener = AsyncControlListener::new(listener).unwrap();
        let mut worker = AsyncControlConnection::connect(&path).await.unwrap();
        let peer = listener.accept().await.unwrap();
        let (given, initiator) = connection();
        let broker = async {
            let (request, none) = peer.receive_with_connection().await.unwrap().unwrap().unwrap();
            assert_eq!((request, none.is_none()), (Request::Validate(asked()), true));
            peer.send(&Reply::Validated { id: None }, None).await.unwrap();
            let (request, given) = peer.receive_with_connection().await.unwrap().unwrap().unwrap();
            assert_eq!(request, Request::Return { id: 7 });
            peer.send(&Reply::Returned, None).await.unwrap();
            TcpStream::from(given.unwrap())
        };
        let asking = async {
            assert_eq!(worker.validate(&asked()).await.unwrap(), None);
            worker.give_back(7, given.as_fd()).await.unwrap();
        };
        let (given, ()) = tokio::join!(broker, asking);
        assert_eq!(given.peer_addr().unwrap(), initiator.local_addr().unwrap());
        let broker = async {
            assert!(peer.receive().await.unwrap().unwrap().is_err(), "one that takes nothing back");
            peer.send(&refused(), None).await.unwrap();
        };
        let (refused, ()) = tokio::join!(worker.give_back(7, given.as_fd()), broker);
        assert!(matches!(refused, Err(HandoffError::Refused(_))));
    };
    runtime.block_on(async {
        tokio::time::timeout(std::time::Duration::from_secs(60), both).await.expect("in time");
    });
}
