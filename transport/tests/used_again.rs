//! A connection that is used again for another Via, with the broker's side played by the test. Long: one case after the other.

mod common;

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use common::broker::{ADDRESS, Broker, VIA, bound, bound_with};
use common::{DEADLINE, DUPLEX, Raw, TEXT_END, answer, fault, peer, preamble, serve};
use handoff::administration::{Drained, Which};
use handoff::{Refused, RefusedReason, Reply, Request, Validate};
use transport::{AcceptError, Fault, ListenOptions};

/// Another worker's, maybe.
const OTHER: &str = "net.tcp://h:9000/other";

fn refused(reason: RefusedReason) -> Reply {
    Reply::Refused(Refused::new(reason, None, "no"))
}

/// A session to its end, so that the connection can carry another one.
fn session(raw: &mut Raw, via: &str) {
    raw.write(&preamble(DUPLEX, via, TEXT_END));
    raw.write(&[6, 1, 42, 7]);
    raw.expect(&[11, 6, 1, 42, 7]);
}

/// The worker asks whose a Via is.
fn is_asked_about(broker: &Broker, via: &str, raw: &Raw) {
    let (request, none) = broker.asked();
    let asked = Validate::new(via, raw.0.peer_addr().unwrap());
    assert_eq!((request, none.is_none()), (Request::Validate(asked), true));
}

/// The worker gives a connection back.
fn gets_back(broker: &Broker, raw: &Raw) -> TcpStream {
    let (request, given) = broker.asked();
    assert_eq!(request, Request::Return { id: 1 });
    let given = given.unwrap();
    assert_eq!(given.peer_addr().unwrap(), raw.0.local_addr().unwrap());
    given.set_nonblocking(false).unwrap();
    given.set_read_timeout(Some(DEADLINE)).unwrap();
    given
}

fn expect_unread(given: &mut TcpStream, octets: &[u8]) {
    let mut there = vec![0; octets.len()];
    given.read_exact(&mut there).unwrap();
    assert_eq!(there, octets);
}

/// Whoever plays the broker and the initiator, with a service that echoes.
async fn with_a_service(
    configure: impl FnOnce(ListenOptions) -> ListenOptions,
    test: impl FnOnce(Broker) + Send + 'static,
) {
    let folder = tempfile::tempdir().unwrap();
    let (listener, broker) = bound_with(folder.path().join("control"), configure).await;
    let service = tokio::spawn(serve(listener));
    peer(move || test(broker)).await;
    service.abort();
}

#[tokio::test]
async fn the_broker_says_whose_the_next_session_is() {
    with_a_service(
        |options| options,
        |broker| {
            let mut raw = broker.connection();
            session(&mut raw, VIA);
            // Its own: served here, and the same again without a question.
            raw.write(&preamble(DUPLEX, "net.tcp://h:9000/echo/y", TEXT_END));
            is_asked_about(&broker, "net.tcp://h:9000/echo/y", &raw);
            broker.answer(&Reply::Validated { id: Some(1) });
            raw.write(&[6, 1, 1, 7]);
            raw.expect(&[11, 6, 1, 1, 7]);
            session(&mut raw, "net.tcp://h:9000/echo/y");
            // Another's: given back as it came, and not to be heard of here any more.
            let octets = preamble(DUPLEX, OTHER, TEXT_END);
            raw.write(&octets);
            is_asked_about(&broker, OTHER, &raw);
            broker.answer(&Reply::Validated { id: None });
            let mut given = gets_back(&broker, &raw);
            broker.answer(&Reply::Returned);
            expect_unread(&mut given, &octets);
            // The broker hands it over again, which makes it a fresh one.
            broker.send(given);
            session(&mut raw, VIA);
        },
    )
    .await;
}

#[tokio::test]
async fn a_via_that_comes_in_pieces_is_looked_at_until_it_is_there() {
    with_a_service(
        |options| options,
        |broker| {
            let octets = preamble(DUPLEX, OTHER, TEXT_END);
            let mut raw = broker.connection();
            session(&mut raw, VIA);
            for cut in 0..octets.len() {
                let (first, rest) = octets.split_at(cut);
                raw.write(first);
                // What it may have done by then it has.
                std::thread::sleep(Duration::from_millis(1));
                raw.write(rest);
                is_asked_about(&broker, OTHER, &raw);
                broker.answer(&Reply::Validated { id: None });
                let mut given = gets_back(&broker, &raw);
                broker.answer(&Reply::Returned);
                expect_unread(&mut given, &octets);
                broker.send(given);
                session(&mut raw, VIA);
            }
            for octet in &octets {
                raw.write(&[*octet]);
                std::thread::sleep(Duration::from_millis(1));
            }
            is_asked_about(&broker, OTHER, &raw);
            broker.answer(&Reply::Validated { id: None });
            expect_unread(&mut gets_back(&broker, &raw), &octets);
        },
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_given_back_is_reset() {
    with_a_service(
        |options| options,
        |broker| {
            let octets = preamble(DUPLEX, OTHER, TEXT_END);
            let other = || {
                let mut raw = broker.connection();
                session(&mut raw, VIA);
                raw.write(&octets);
                is_asked_about(&broker, OTHER, &raw);
                raw
            };
            // The broker does not want it.
            let mut raw = other();
            broker.answer(&Reply::Validated { id: None });
            drop(gets_back(&broker, &raw));
            broker.answer(&refused(RefusedReason::InvalidArgument));
            raw.expect_reset();
            // It is too old. It would close the control connection for a descriptor.
            let mut raw = other();
            broker.answer(&refused(RefusedReason::NotSupported));
            raw.expect_reset();
            // The next preamble was read with the end of the session before.
            let mut raw = broker.connection();
            raw.write(&preamble(DUPLEX, VIA, TEXT_END));
            raw.expect(&[11]);
            raw.write(&[&[7], &octets[..]].concat());
            raw.expect(&[7]);
            is_asked_about(&broker, OTHER, &raw);
            broker.answer(&Reply::Validated { id: None });
            raw.expect_reset();
            // It is gone, with the question or with the connection.
            let mut raw = other();
            let listening = broker.worker;
            drop(listening);
            raw.expect_reset();
        },
    )
    .await;
}

#[tokio::test]
async fn a_broker_that_goes_with_a_connection_takes_it_along() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let (listener, broker) = bound(control.clone()).await;
    let service = tokio::spawn(serve(listener));
    peer(move || {
        let mut raw = broker.connection();
        session(&mut raw, VIA);
        raw.write(&preamble(DUPLEX, OTHER, TEXT_END));
        is_asked_about(&broker, OTHER, &raw);
        broker.answer(&Reply::Validated { id: None });
        drop(gets_back(&broker, &raw));
        drop(broker);
        raw.expect_closed();
        // The next one is asked as this one was.
        let next = Broker::start(&control);
        let mut raw = next.connection();
        session(&mut raw, VIA);
        raw.write(&preamble(DUPLEX, OTHER, TEXT_END));
        is_asked_about(&next, OTHER, &raw);
        next.answer(&Reply::Validated { id: None });
        gets_back(&next, &raw);
        next.answer(&Reply::Returned);
    })
    .await;
    service.abort();
}

#[tokio::test]
async fn what_never_becomes_another_session_ends() {
    with_a_service(
        |options| options.idle_timeout(Duration::from_millis(100)),
        |broker| {
            let mut raw = broker.connection();
            session(&mut raw, VIA);
            raw.expect_fin();
        },
    )
    .await;
    let briefly = |options: ListenOptions| options.preamble_timeout(Duration::from_secs(2));
    with_a_service(briefly, |broker| {
        let used = || {
            let mut raw = broker.connection();
            session(&mut raw, VIA);
            raw
        };
        let mut raw = used();
        raw.0.shutdown(Shutdown::Write).unwrap();
        raw.expect_fin();
        // Begun and not ended, by silence and by an end.
        let mut raw = used();
        raw.write(&preamble(DUPLEX, OTHER, TEXT_END)[..9]);
        raw.expect_fin();
        let mut raw = used();
        raw.write(&preamble(DUPLEX, OTHER, TEXT_END)[..9]);
        raw.0.shutdown(Shutdown::Write).unwrap();
        raw.expect_fin();
        // No preamble at all.
        let mut raw = used();
        raw.write(b"GET / HTTP/1.1\r\n\r\n");
        raw.expect_fin();
        let mut raw = used();
        raw.write(&[0, 2, 0]);
        raw.expect(&fault(Fault::UNSUPPORTED_VERSION));
        raw.expect_fin();
    })
    .await;
}

#[tokio::test]
async fn what_was_not_begun_goes_back_when_a_listener_shuts_down() {
    let folder = tempfile::tempdir().unwrap();
    // One preamble at a time, so that what was begun is known.
    let one = |options: ListenOptions| options.max_pending_connections(1);
    let (mut listener, broker) = bound_with(folder.path().join("control"), one).await;
    let (broker, mut peers, mut used) = peer(move || {
        let used = broker.connection();
        let peers = broker.connections(32);
        (broker, peers, used)
    })
    .await;
    let used = tokio::task::spawn_blocking(move || {
        session(&mut used, VIA);
        used
    });
    answer(listener.accept().await.unwrap()).await.unwrap();
    let mut used = used.await.unwrap();
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun.push(listener.accept().await.unwrap());
    }
    let plays = peer(move || {
        let (request, _) = broker.asked();
        assert_eq!(request, Request::Drain(Which::Id(1)));
        broker.answer(&Reply::Drained(vec![Drained::new(1, ADDRESS, true)]));
        // Whether it takes anything back.
        assert!(matches!(broker.asked().0, Request::Validate(_)));
        broker.answer(&Reply::Validated { id: None });
        let octets = preamble(DUPLEX, VIA, TEXT_END);
        let mut given = Vec::new();
        for _ in 0..30 {
            let (request, connection) = broker.asked();
            assert_eq!(request, Request::Return { id: 1 });
            given.push(connection.unwrap());
            broker.answer(&Reply::Returned);
        }
        let (request, _) = broker.asked();
        assert_eq!(request, Request::Unregister { id: 1 });
        broker.answer(&Reply::Unregistered { id: 1 });
        // One waits for another session, the rest was never begun, and nothing was read.
        let whose = |peer: &Raw| {
            let address = peer.0.local_addr().unwrap();
            given.iter().find(|given| given.peer_addr().unwrap() == address).unwrap().try_clone().unwrap()
        };
        used.write(&octets);
        for raw in peers[3..].iter().chain([&used]) {
            let mut given = whose(raw);
            given.set_nonblocking(false).unwrap();
            expect_unread(&mut given, &octets);
        }
        for raw in &mut peers[..3] {
            raw.write(&[6, 1, 1, 7]);
            raw.expect(&[11, 6, 1, 1, 7]);
        }
        broker
    });
    let stops = async {
        listener.shutdown().await;
        assert!(matches!(listener.accept().await, Err(AcceptError::Stopped)));
        for channel in begun {
            tokio::spawn(answer(channel));
        }
    };
    let (broker, ()) = tokio::join!(plays, stops);
    peer(move || assert!(broker.worker.receive().unwrap().is_none(), "the registration has ended")).await;
}

/// What it gives back waits where newcomers do, so it is not to drain; and that it does not unregister leaves its address behind.
#[tokio::test]
async fn a_listener_with_grace_leaves_its_address_behind() {
    let folder = tempfile::tempdir().unwrap();
    let graceful = |options: ListenOptions| {
        options.grace(Duration::from_secs(30)).share(true).max_pending_connections(1)
    };
    let (mut listener, broker) = bound_with(folder.path().join("control"), graceful).await;
    assert_eq!((broker.register.grace_seconds, broker.register.share), (30, true));
    let broker = peer(move || {
        let _peers = broker.connections(2);
        broker
    });
    let broker = broker.await;
    let begun = listener.accept().await.unwrap();
    let plays = peer(move || {
        assert!(matches!(broker.asked().0, Request::Validate(_)));
        broker.answer(&Reply::Validated { id: Some(1) });
        assert_eq!(broker.asked().0, Request::Return { id: 1 });
        broker.answer(&Reply::Returned);
        assert!(broker.worker.receive().unwrap().is_none(), "it has left without a word");
    });
    tokio::join!(plays, listener.shutdown());
    drop(begun);
}

#[tokio::test]
async fn what_a_broker_does_not_take_back_is_served_by_a_listener_that_shuts_down() {
    for dies in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let one = |options: ListenOptions| options.max_pending_connections(1);
        let (mut listener, broker) = bound_with(folder.path().join("control"), one).await;
        let (broker, mut peers) = peer(move || {
            let peers = broker.connections(8);
            (broker, peers)
        })
        .await;
        tokio::spawn(answer(listener.accept().await.unwrap()));
        let plays = peer(move || {
            if dies {
                drop(broker);
            } else {
                // As one that knows neither request, and lets nobody but administrators drain.
                for (asked, reason) in [
                    ("drain", RefusedReason::AccessDenied),
                    ("validate", RefusedReason::NotSupported),
                    ("unregister", RefusedReason::InvalidArgument),
                ] {
                    let (request, none) = broker.asked();
                    assert!(none.is_none() && request.to_json().contains(asked), "{request:?}");
                    broker.answer(&refused(reason));
                }
                assert!(broker.worker.receive().unwrap().is_none(), "the registration has ended");
            }
            for raw in &mut peers {
                raw.write(&[6, 1, 1, 7]);
                raw.expect(&[11, 6, 1, 1, 7]);
                raw.expect_fin();
            }
        });
        let serves = async {
            listener.shutdown().await;
            for _ in 1..8 {
                tokio::spawn(answer(listener.accept().await.unwrap()));
            }
            assert!(matches!(listener.accept().await, Err(AcceptError::Stopped)));
            drop(listener);
        };
        tokio::join!(plays, serves);
    }
}

#[tokio::test]
async fn a_registration_does_not_end_before_what_waits_for_another_session_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut listener, broker) = bound(folder.path().join("control")).await;
    let used = peer(move || {
        let raw = broker.connection();
        (broker, raw)
    });
    let (broker, mut used) = used.await;
    let session = tokio::task::spawn_blocking(move || {
        session(&mut used, VIA);
        used
    });
    answer(listener.accept().await.unwrap()).await.unwrap();
    let used = session.await.unwrap();
    let plays = peer(move || {
        assert_eq!(broker.asked().0, Request::Drain(Which::Id(1)));
        broker.answer(&Reply::Drained(Vec::new()));
        assert!(matches!(broker.asked().0, Request::Validate(_)));
        broker.answer(&Reply::Validated { id: None });
        drop(gets_back(&broker, &used));
        broker.answer(&Reply::Returned);
        assert_eq!(broker.asked().0, Request::Unregister { id: 1 });
        broker.answer(&Reply::Unregistered { id: 1 });
    });
    tokio::join!(plays, listener.shutdown());
}
