//! The control socket: its file, who may use it, and what both ends make of each other's messages.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use handoff::{
    ControlConnection, ControlListener, ControlOptions, ControlPeer, HandoffError, MAX_MESSAGE, Malformed,
    Refused, RefusedReason, Register, Registered, Reply, Request, accept_pair,
};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

fn listen() -> (tempfile::TempDir, ControlListener) {
    let folder = tempfile::tempdir().unwrap();
    let listener = ControlListener::bind(&folder.path().join("control"), &ControlOptions::default()).unwrap();
    (folder, listener)
}

/// A worker and the broker's end of its connection.
fn pair() -> (tempfile::TempDir, ControlConnection, ControlPeer) {
    let (folder, listener) = listen();
    let worker = ControlConnection::connect(listener.path()).unwrap();
    let peer = listener.accept().unwrap();
    (folder, worker, peer)
}

fn send_raw(socket: impl AsFd, octets: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, &[IoSlice::new(octets)], &mut control, SendFlags::empty()).unwrap();
}

fn malformed(peer: &ControlPeer) -> Malformed {
    peer.receive().unwrap().expect("a request").expect_err("a malformed request")
}

/// How many descriptors of this process are this socket; other tests open and close others meanwhile.
fn copies(socket: impl AsFd) -> usize {
    let name = format!("socket:[{}]", rustix::fs::fstat(socket).unwrap().st_ino);
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    descriptors
        .filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == name.as_str()))
        .count()
}

#[test]
fn the_file_has_the_mode_and_group_asked_for_and_nothing_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/control");
    // only root may give a file to a group that is not its own
    let own = folder.path().metadata().unwrap().gid();
    let group = if rustix::process::geteuid().is_root() { own + 1 } else { own };
    let options = ControlOptions::default().with_group(group);
    assert_eq!(options.group, Some(group));
    let listener = ControlListener::bind(&path, &options).unwrap();
    let file = path.metadata().unwrap();
    assert_eq!((file.permissions().mode() & 0o7777, file.gid()), (0o660, group));
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    listener.remove();
    assert!(!path.exists());
}

#[test]
fn one_broker_listens_at_a_path() {
    let (_folder, first) = listen();
    let path = first.path().to_owned();
    let second = ControlListener::bind(&path, &ControlOptions::default());
    assert!(matches!(second, Err(HandoffError::AlreadyRunning { .. })), "{second:?}");
    first.accept().unwrap(); // the second one's question whether somebody listens
    ControlConnection::connect(&path).unwrap();
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

    drop(first); // as after a kill, the file stays
    assert!(matches!(ControlConnection::connect(&path), Err(HandoffError::NoBroker { .. })));
    let next = ControlListener::bind(&path, &ControlOptions::default()).unwrap();
    ControlConnection::connect(&path).unwrap();
    drop(next);

    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    let taken = ControlListener::bind(&path, &ControlOptions::default());
    assert!(matches!(taken, Err(HandoffError::NoSocket { .. })), "{taken:?}");
    assert!(path.is_file());
}

#[test]
fn a_removed_path_of_another_broker_stays() {
    let (_folder, first) = listen();
    let path = first.path().to_owned();
    assert!(!first.is_displaced());
    std::fs::remove_file(&path).unwrap();
    assert!(first.is_displaced());
    let second = ControlListener::bind(&path, &ControlOptions::default()).unwrap();
    assert!(first.is_displaced() && !second.is_displaced());
    first.remove();
    assert!(path.exists());
    second.remove();
}

#[test]
fn no_broker_is_told_with_what_to_do() {
    let error = ControlConnection::connect(Path::new("/nowhere/control")).unwrap_err().to_string();
    assert!(error.contains("no port sharing broker runs at /nowhere/control"), "{error}");
    assert!(error.ends_with("`broker run --control /nowhere/control` starts one"), "{error}");
}

#[test]
fn the_kernel_says_who_the_worker_is() {
    let (_folder, _worker, peer) = pair();
    let credentials = peer.credentials();
    assert_eq!(credentials.pid, std::process::id());
    assert_eq!(credentials.uid, rustix::process::geteuid().as_raw());
    assert_eq!(credentials.gid, rustix::process::getegid().as_raw());
}

#[test]
fn the_files_mode_keeps_others_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("control");
    let _listener = ControlListener::bind(&path, &ControlOptions::default().with_group(0)).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_of_another_user", "--ignored"]).env("TEST_CONTROL", &path);
    match command.uid(65_534).gid(65_534).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => test_peers::skip(
            "way to be another user",
            &format!("run the tests as root, from where others may read them ({error})"),
        ),
    }
}

/// In a folder as /tmp is, where only its owner may remove a file.
#[test]
fn a_socket_that_another_user_has_left_behind_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let path = folder.path().join("control");
    drop(ControlListener::bind(&path, &ControlOptions::default()).unwrap());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_that_may_not_remove", "--ignored"]).env("TEST_CONTROL", &path);
    match command.uid(65_534).gid(65_534).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => test_peers::skip(
            "way to be another user",
            &format!("run the tests as root, from where others may read them ({error})"),
        ),
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else stays");
}

#[test]
#[ignore = "runs as another user"]
fn child_that_may_not_remove() {
    let path = std::env::var_os("TEST_CONTROL").unwrap();
    let bound = ControlListener::bind(path.as_ref(), &ControlOptions::default());
    let Err(HandoffError::Io(error)) = bound else { panic!("{bound:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
#[ignore = "runs as another user"]
fn child_of_another_user() {
    let path = std::env::var_os("TEST_CONTROL").unwrap();
    let denied = ControlConnection::connect(path.as_ref());
    assert!(matches!(denied, Err(HandoffError::AccessDenied { .. })), "{denied:?}");
}

#[test]
fn a_registration_is_answered_with_a_descriptor_or_a_reason() {
    let (_folder, mut worker, peer) = pair();
    let broker = std::thread::spawn(move || {
        let (_sender, socket) = accept_pair().unwrap();
        let refused = Refused::new(RefusedReason::FailedToListen, None, "port 1");
        for (reply, descriptor) in [
            (Reply::Registered(Registered::new(3)), Some(socket.as_fd())),
            (Reply::Registered(Registered::new(4)), None),
            (Reply::Refused(refused.clone()), None),
            (Reply::Refused(refused), None),
            (Reply::Unregistered { id: 3 }, None),
            (Reply::Unregistered { id: 3 }, None),
            (Reply::Unregistered { id: 3 }, None),
        ] {
            assert!(matches!(
                peer.receive(),
                Ok(Some(Ok(Request::Register(_) | Request::Unregister { .. })))
            ));
            peer.send(&reply, descriptor).unwrap();
        }
    });
    let register = Register::new(["net.tcp://localhost:1/a"]);
    assert_eq!(worker.register(&register).unwrap().0.id, 3);
    assert!(matches!(worker.register(&register), Err(HandoffError::DescriptorMissing)));
    let Err(HandoffError::Refused(refused)) = worker.register(&register) else { panic!() };
    assert_eq!((refused.reason, refused.to_string().as_str()), (RefusedReason::FailedToListen, "port 1"));
    assert!(matches!(worker.unregister(3), Err(HandoffError::Refused(_))));
    worker.unregister(3).unwrap();
    assert!(matches!(worker.unregister(4), Err(HandoffError::Malformed(_))), "answers another request");
    assert!(matches!(worker.register(&register), Err(HandoffError::Malformed(_))));
    broker.join().unwrap();
    assert!(matches!(worker.register(&register), Err(HandoffError::Closed)));
}

#[test]
fn a_broker_that_does_not_answer_is_left_after_the_timeout() {
    let (folder, mut worker, _peer) = pair();
    worker.set_timeout(Some(Duration::from_millis(20))).unwrap();
    let error = worker.register(&Register::new(["a"])).unwrap_err();
    assert!(matches!(error, HandoffError::NoAnswer { .. }), "{error:?}");
    let path = folder.path().join("control");
    let said =
        format!("the port sharing broker at {} has not answered for 0 s: is it stopped", path.display());
    assert!(error.to_string().starts_with(&said), "{error}");
    // what cannot even be sent is no silence of the broker's
    let error = worker.register(&Register::new(["a".repeat(10_000_000)])).unwrap_err();
    assert!(
        matches!(&error, HandoffError::Io(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error())),
        "{error:?}"
    );
}

#[test]
fn a_path_that_is_too_long_is_named_with_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x".repeat(110));
    let octets = path.as_os_str().len();
    let bound = ControlListener::bind(&path, &ControlOptions::default()).unwrap_err();
    let connected = ControlConnection::connect(&path).unwrap_err();
    for error in [bound, connected] {
        let HandoffError::PathTooLong { path: named, longest } = &error else { panic!("{error:?}") };
        assert_eq!(named, &path);
        let said = format!(" has {octets} octets, and at most {longest} are possible; name a shorter one");
        assert!(error.to_string().contains(&said), "{error}");
    }
    let of = |octets: usize| folder.path().join("x".repeat(octets - folder.path().as_os_str().len() - 1));
    let connected = |path: &Path| ControlConnection::connect(path);
    assert!(matches!(connected(&of(109)), Err(HandoffError::PathTooLong { longest: 108, .. })));
    assert!(matches!(connected(&of(108)), Err(HandoffError::NoBroker { .. })));
}

#[test]
fn another_program_s_socket_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let bound = ControlListener::bind(&path, &ControlOptions::default()).unwrap_err();
    let connected = ControlConnection::connect(&path).unwrap_err();
    for error in [bound, connected] {
        assert!(matches!(&error, HandoffError::OtherSocket { path: named } if *named == path), "{error:?}");
        let said = format!("the socket {} is another program's, ", path.display());
        assert!(error.to_string().starts_with(&said), "{error}");
    }
    assert!(path.exists(), "it is left alone");
}

#[test]
fn over_long_messages_and_unexpected_descriptors_are_malformed() {
    let (_folder, worker, peer) = pair();
    assert_eq!(copies(&worker), 1);
    for count in 1..=4 {
        send_raw(&worker, br#"{"unregister": {"id": 1}}"#, &vec![worker.as_fd(); count]);
        malformed(&peer);
    }
    assert_eq!(copies(&worker), 1, "they were closed");
    send_raw(&worker, &[b' '; MAX_MESSAGE + 1], &[]);
    assert_eq!(malformed(&peer).to_string(), "malformed message: over 65536 octets");
    let mut longest = br#"{"unregister": {"id": 1}}"#.to_vec();
    longest.resize(MAX_MESSAGE, b' ');
    send_raw(&worker, &longest, &[]);
    assert_eq!(peer.receive().unwrap(), Some(Ok(Request::Unregister { id: 1 })));
    send_raw(&worker, b"GET / HTTP/1.1\r\n", &[]);
    malformed(&peer);
    drop(worker);
    assert_eq!(peer.receive().unwrap(), None);
}

/// Each finds a socket that nobody listens on, and all but one must find the one that was faster.
#[test]
fn of_many_that_start_at_once_one_listens_and_is_found() {
    const STARTERS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    for round in 0..300 {
        let path = folder.path().join(round.to_string());
        drop(ControlListener::bind(&path, &ControlOptions::default()).unwrap());
        let together = std::sync::Barrier::new(STARTERS);
        let bound: Vec<_> = std::thread::scope(|scope| {
            let start = |_| {
                scope.spawn(|| {
                    together.wait();
                    ControlListener::bind(&path, &ControlOptions::default())
                })
            };
            let starters: Vec<_> = (0..STARTERS).map(start).collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        let alive = bound.iter().filter(|bound| bound.is_ok()).count();
        let refused =
            bound.iter().filter(|bound| matches!(bound, Err(HandoffError::AlreadyRunning { .. }))).count();
        assert_eq!((alive, refused), (1, STARTERS - 1), "round {round}: {bound:?}");
        assert!(ControlConnection::connect(&path).is_ok(), "round {round}");
    }
}

#[test]
fn an_answer_to_a_route_is_what_was_asked_for_or_an_error() {
    let (_folder, mut worker, peer) = pair();
    let route = handoff::Route::new("net.tcp://h/a", "192.0.2.1:808".parse().unwrap());
    let broker = std::thread::spawn(move || {
        let mut routed = handoff::Routed::default();
        routed.address = Some("net.tcp://localhost/a".to_owned());
        let refused = Refused::new(RefusedReason::AccessDenied, None, "not you");
        for reply in [Reply::Routed(routed), Reply::Refused(refused), Reply::Unregistered { id: 1 }] {
            let request = peer.receive().unwrap().unwrap().unwrap();
            assert!(matches!(request, Request::Route(asked) if asked.via == "net.tcp://h/a"));
            peer.send(&reply, None).unwrap();
        }
    });
    assert_eq!(worker.route(&route).unwrap().address.as_deref(), Some("net.tcp://localhost/a"));
    assert!(matches!(
        worker.route(&route),
        Err(HandoffError::Refused(refused)) if refused.reason == RefusedReason::AccessDenied
    ));
    assert!(matches!(worker.route(&route), Err(HandoffError::Malformed(_))));
    broker.join().unwrap();
}
