//! A shared port, with the broker's side played by the test.

mod common;

use common::broker::{ADDRESS, Broker, VIA, bound, bound_with, options};
use common::{DEADLINE, DUPLEX, TEXT_END, fault, peer, preamble, serve};
use handoff::{ControlListener, ControlOptions, Refused, RefusedReason, Reply, Request};
use transport::{
    AcceptError, Fault, HandoffError, HostNameComparison, ListenOptions, Listener, RegisterError,
    RegistrationEvent,
};

#[tokio::test]
async fn connections_are_served_and_reused_for_the_same_via_only() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, broker) = bound(folder.path().join("control")).await;
    assert_eq!(broker.register.addresses, [ADDRESS]);
    assert_eq!(broker.register.host_name_comparison.as_deref(), Some("strong_wildcard"));
    assert!(listener.local_addrs().is_empty());
    let service = tokio::spawn(serve(listener));
    peer(move || {
        // the first Via is the broker's business: it decided
        let mut raw = broker.connection();
        for _ in 0..3 {
            raw.write(&preamble(DUPLEX, VIA, TEXT_END));
            raw.write(&[6, 1, 42, 7]);
            raw.expect(&[11, 6, 1, 42, 7]);
        }
        // another worker may own this one, and this broker is too old to be asked
        raw.write(&preamble(DUPLEX, "net.tcp://h:9000/echo/x/y", TEXT_END));
        let (asked, _) = broker.asked();
        assert!(matches!(asked, Request::Validate(_)), "{asked:?}");
        broker.answer(&Reply::Refused(Refused::new(RefusedReason::NotSupported, None, "what?")));
        raw.expect_reset();
        // its client dials again and is served, for the broker said so
        let mut raw = broker.connection();
        raw.write(&preamble(DUPLEX, "net.tcp://h:9000/echo/x/y", TEXT_END));
        raw.expect(&[11]);
    })
    .await;
    service.abort();
}

#[tokio::test]
async fn a_listener_outlives_its_broker() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let (listener, mut broker) = bound(control.clone()).await;
    let service = tokio::spawn(serve(listener));
    for _ in 0..3 {
        let path = control.clone();
        broker = peer(move || {
            let mut before = broker.connection();
            before.write(&preamble(DUPLEX, VIA, TEXT_END));
            before.expect(&[11]);
            // still queued when the broker dies
            let mut queued = broker.connection();
            drop(broker);
            queued.write(&preamble(DUPLEX, VIA, TEXT_END));
            queued.expect(&[11]);
            let next = Broker::start(&path);
            assert_eq!(next.register.addresses, [ADDRESS]);
            before.write(&[6, 1, 1]);
            before.expect(&[6, 1, 1]);
            let mut after = next.connection();
            after.write(&preamble(DUPLEX, VIA, TEXT_END));
            after.expect(&[11]);
            next
        })
        .await;
    }
    assert!(!service.is_finished());
    service.abort();
}

#[tokio::test]
async fn what_becomes_of_a_registration_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let (tell, told) = std::sync::mpsc::channel();
    let telling = |options: ListenOptions| options.on_registration(move |event| tell.send(event).unwrap());
    let (listener, broker) = bound_with(control.clone(), telling).await;
    let service = tokio::spawn(serve(listener));
    peer(move || {
        let next = || told.recv_timeout(DEADLINE).expect("it is told");
        drop(broker);
        assert!(matches!(next(), RegistrationEvent::Lost));
        let refusing = ControlListener::bind(&control, &ControlOptions::default()).unwrap();
        // A broker that goes without an answer is lost already.
        drop(refusing.accept().unwrap());
        // Each reason is told once.
        let (conflict, denied) = (RefusedReason::ConflictingRegistration, RefusedReason::AccessDenied);
        for (reason, message) in [(conflict, "first"), (conflict, "second"), (denied, "third")] {
            let worker = refusing.accept().unwrap();
            assert!(matches!(worker.receive(), Ok(Some(Ok(Request::Register(_))))));
            worker.send(&Reply::Refused(Refused::new(reason, Some(ADDRESS), message)), None).unwrap();
        }
        drop(refusing);
        let next_broker = Broker::start(&control);
        for message in ["first", "third"] {
            match next() {
                RegistrationEvent::Failed(HandoffError::Refused(refused)) => {
                    assert_eq!(refused.message, message)
                }
                event => panic!("{event}"),
            }
        }
        assert!(matches!(next(), RegistrationEvent::Restored));
        drop(next_broker);
        assert!(matches!(next(), RegistrationEvent::Lost));
        assert!(told.try_recv().is_err());
    })
    .await;
    service.abort();
}

#[tokio::test]
async fn a_dropped_listener_leaves_and_its_sessions_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (mut listener, broker) = bound(folder.path().join("control")).await;
    let (broker, mut raw) = peer(move || {
        let mut raw = broker.connection();
        raw.write(&preamble(DUPLEX, VIA, TEXT_END));
        (broker, raw)
    })
    .await;
    let channel = listener.accept().await.unwrap();
    drop(listener);
    let session = tokio::spawn(common::answer(channel));
    peer(move || {
        assert!(broker.worker.receive().unwrap().is_none(), "the control connection has ended");
        raw.write(&[6, 1, 1, 7]);
        raw.expect(&[11, 6, 1, 1, 7]);
        raw.expect_fin();
    })
    .await;
    session.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_came_in_one_message_is_served_by_a_listener_that_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (mut listener, broker) = bound(folder.path().join("control")).await;
    let (broker, mut peers) = peer(move || {
        let peers = broker.connections(8);
        (broker, peers)
    })
    .await;
    tokio::spawn(common::answer(listener.accept().await.unwrap()));
    listener.stop();
    peer(move || assert!(broker.worker.receive().unwrap().is_none(), "the registration has ended")).await;
    for _ in 1..8 {
        tokio::spawn(common::answer(listener.accept().await.unwrap()));
    }
    assert!(matches!(listener.accept().await, Err(AcceptError::Stopped)));
    drop(listener);
    peer(move || {
        for raw in &mut peers {
            raw.write(&[6, 1, 1, 7]);
            raw.expect(&[11, 6, 1, 1, 7]);
            raw.expect_fin();
        }
    })
    .await;
}

#[tokio::test]
async fn what_came_in_one_message_is_refused_by_a_listener_that_is_dropped_or_closed() {
    for closed in [false, true] {
        refused_by_a_listener_that_ends(closed).await;
    }
}

async fn refused_by_a_listener_that_ends(closed: bool) {
    let folder = tempfile::tempdir().unwrap();
    // One preamble at a time, so that what the first session leaves is known.
    let one = |options: ListenOptions| options.max_pending_connections(1);
    let (mut listener, broker) = bound_with(folder.path().join("control"), one).await;
    let (_broker, mut peers) = peer(move || {
        let peers = broker.connections(8);
        (broker, peers)
    })
    .await;
    let session = tokio::spawn(common::answer(listener.accept().await.unwrap()));
    let ended = async move {
        if closed {
            listener.close().await;
        } else {
            drop(listener);
        }
    };
    let told = peer(move || {
        for raw in &mut peers[1..] {
            raw.expect(&fault(Fault::ENDPOINT_UNAVAILABLE));
            raw.expect_fin();
        }
        peers.truncate(1);
        peers[0].write(&[6, 1, 1, 7]);
        peers[0].expect(&[11, 6, 1, 1, 7]);
    });
    tokio::join!(ended, told);
    session.await.unwrap().unwrap();
}

#[tokio::test]
async fn port_0_cannot_be_shared() {
    let folder = tempfile::tempdir().unwrap();
    let options = ListenOptions::new("net.tcp://localhost:0/echo").port_sharing(true);
    let error = Listener::bind(options.control(folder.path().join("control"))).await.unwrap_err();
    assert!(matches!(error, RegisterError::InvalidAddress { .. }) && !error.retry_helps(), "{error:?}");
    assert!(error.to_string().contains("a shared port is one that clients know"), "{error}");
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (reason, in_use, retry) in [
        (RefusedReason::ConflictingRegistration, true, true),
        (RefusedReason::FailedToListen, true, true),
        (RefusedReason::AccessDenied, false, false),
        (RefusedReason::RegistrationQuotaExceeded, false, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("control");
        let listener = ControlListener::bind(&control, &ControlOptions::default()).unwrap();
        let broker = tokio::task::spawn_blocking(move || {
            let worker = listener.accept().unwrap();
            let Some(Ok(Request::Register(register))) = worker.receive().unwrap() else {
                panic!("no registration")
            };
            let message = "process 7 of user 8 has it".to_owned();
            worker.send(&Reply::Refused(Refused::new(reason, Some(ADDRESS), message)), None).unwrap();
            register
        });
        let options = options(&control).host_name_comparison(HostNameComparison::Exact);
        let error = Listener::bind(options).await.unwrap_err();
        assert_eq!(broker.await.unwrap().host_name_comparison.as_deref(), Some("exact"));
        assert_eq!(error.retry_helps(), retry, "{error:?}");
        let said = match &error {
            RegisterError::AddressInUse { .. } if in_use => error.to_string(),
            RegisterError::Broker { source, .. } if !in_use => format!("{error}: {source}"),
            other => panic!("{other:?}"),
        };
        assert!(said.contains(ADDRESS) && said.contains("process 7 of user 8 has it"), "{said}");
        assert_eq!(in_use, said.contains("address already in use"), "{said}");
    }
}

#[tokio::test]
async fn without_a_broker_the_error_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let missing = Listener::bind(options(&control)).await.unwrap_err();
    // left behind by a broker that was killed
    drop(ControlListener::bind(&control, &ControlOptions::default()).unwrap());
    let stale = Listener::bind(options(&control)).await.unwrap_err();
    for error in [missing, stale] {
        assert!(matches!(error, RegisterError::NoBroker(_)) && error.retry_helps(), "{error:?}");
        let said = error.to_string();
        for part in ["no port sharing broker", &control.display().to_string(), "`broker run --control "] {
            assert!(said.contains(part), "{said}");
        }
    }
}
