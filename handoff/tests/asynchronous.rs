//! The same two sockets under tokio.
#![cfg(feature = "tokio")]

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use handoff::tokio::{AsyncControlConnection, AsyncControlListener, AsyncControlPeer};
use handoff::{
    ControlListener, ControlOptions, HandoffError, Refused, RefusedReason, Register, Registered, Reply,
    Request, Route, Routed, accept_pair,
};

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.expect("in time") })
}

async fn pair(folder: &tempfile::TempDir) -> (AsyncControlConnection, AsyncControlPeer) {
    let listener = ControlListener::bind(&folder.path().join("control"), &ControlOptions::default()).unwrap();
    let listener = AsyncControlListener::new(listener).unwrap();
    let worker = AsyncControlConnection::connect(listener.path()).await.unwrap();
    let peer = listener.accept().await.unwrap();
    assert!(!listener.is_displaced());
    std::fs::rename(listener.path(), folder.path().join("elsewhere")).unwrap();
    assert!(listener.is_displaced());
    std::fs::rename(folder.path().join("elsewhere"), listener.path()).unwrap();
    listener.remove();
    assert!(!worker.path().exists());
    (worker, peer)
}

#[test]
fn a_worker_registers_accepts_and_sees_the_broker_go() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let (mut worker, peer) = pair(&folder).await;
        assert_eq!(peer.credentials().pid, std::process::id());
        let (sender, kept) = accept_pair().unwrap();
        let broker = async {
            let request = peer.receive().await.unwrap().unwrap().unwrap();
            assert_eq!(request, Request::Register(Register::new(["a"])));
            peer.send(&Reply::Registered(Registered::new(5)), Some(kept.as_fd())).await.unwrap();
        };
        let register = Register::new(["a"]);
        let (registered, ()) = tokio::join!(worker.register(&register), broker);
        let (Registered { id, .. }, mut accept_socket) = registered.unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        let sending = async {
            tokio::task::yield_now().await;
            sender.send(&[connection.as_fd(), connection.as_fd()]).unwrap();
        };
        let (accepted, ()) = tokio::join!(accept_socket.accept(), sending);
        let accepted = TcpStream::from(accepted.unwrap());
        assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
        accept_socket.accept().await.unwrap();

        let waiting = tokio::time::timeout(Duration::from_millis(20), worker.closed()).await;
        assert!(waiting.is_err(), "the broker is there");
        assert!(!peer.has_ended());
        let broker = async {
            let request = peer.receive().await.unwrap().unwrap().unwrap();
            assert_eq!(request, Request::Unregister { id });
            peer.send(&Reply::Unregistered { id }, None).await.unwrap();
        };
        let (unregistered, ()) = tokio::join!(worker.unregister(id), broker);
        unregistered.unwrap();
        drop(peer);
        worker.closed().await;
        drop((sender, kept));
        assert_eq!(accept_socket.accept().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
    });
}

#[test]
fn the_broker_sees_a_worker_end_while_it_looks_at_another() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let (mut worker, peer) = pair(&folder).await;
        let refused = Refused::new(RefusedReason::AccessDenied, None, "no");
        let broker = async {
            peer.receive().await.unwrap().unwrap().unwrap();
            peer.send(&Reply::Refused(refused.clone()), None).await.unwrap();
        };
        let register = Register::new(["a"]);
        let (answer, ()) = tokio::join!(worker.register(&register), broker);
        assert!(matches!(answer, Err(HandoffError::Refused(answer)) if answer == refused));
        assert!(!peer.has_ended());
        drop(worker);
        assert!(peer.has_ended());
        assert!(peer.receive().await.unwrap().is_none());
    });
}

#[test]
fn a_route_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let (mut worker, peer) = pair(&folder).await;
        let route = Route::new("net.tcp://h:9000/a", "192.0.2.5:9000".parse().unwrap());
        let routed = Routed::to("net.tcp://h:9000/", "as registered");
        let refused = Refused::new(RefusedReason::AccessDenied, None, "no");
        for reply in
            [Reply::Routed(routed.clone()), Reply::Refused(refused.clone()), Reply::Unregistered { id: 1 }]
        {
            let broker = async {
                let request = peer.receive().await.unwrap().unwrap().unwrap();
                assert_eq!(request, Request::Route(route.clone()));
                peer.send(&reply, None).await.unwrap();
            };
            let (answer, ()) = tokio::join!(worker.route(&route), broker);
            match reply {
                Reply::Routed(_) => assert_eq!(answer.unwrap(), routed),
                Reply::Refused(_) => {
                    assert!(matches!(answer, Err(HandoffError::Refused(answer)) if answer == refused));
                }
                _ => assert!(matches!(answer, Err(HandoffError::Malformed(_)))),
            }
        }
    });
}

#[test]
fn waiting_for_the_end_takes_no_message_away() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let (mut worker, peer) = pair(&folder).await;
        peer.send(&Reply::Unregistered { id: 1 }, None).await.unwrap();
        worker.closed().await;
        worker.unregister(1).await.unwrap();
    });
}
