//! Sessions over real sockets, on a port of one's own. Long: one case after the other.

mod common;

use common::{BINARY, DUPLEX, Raw, SINGLETON, TEXT, TEXT_END, echo, fault, peer, preamble, serve, via};
use std::time::Duration;
use transport::{
    AcceptError, Channel, ConnectOptions, Fault, Limits, ListenOptions, Listener, Mode, RegisterError,
    TransportError, connect,
};

#[tokio::test]
async fn duplex_and_singleton() {
    let echo = echo(|options| options).await;
    let mut duplex = connect(&via(echo.address), ConnectOptions::new(TEXT)).await.unwrap();
    for envelope in [&b"one"[..], &[7; 65536], b"3"] {
        duplex.send(envelope).await.unwrap();
        assert_eq!(duplex.receive().await.unwrap().unwrap().octets, envelope);
    }
    assert!(matches!(duplex.send(b"").await, Err(TransportError::Misuse(_))));
    duplex.close().await.unwrap();

    let options = ConnectOptions::new(BINARY).mode(Mode::SINGLETON_UNSIZED);
    let mut singleton = connect(&via(echo.address), options.clone()).await.unwrap();
    singleton.send(b"request").await.unwrap();
    assert!(matches!(singleton.send(b"another").await, Err(TransportError::Misuse(_))));
    assert_eq!(singleton.receive().await.unwrap().unwrap().octets, b"request");
    singleton.close().await.unwrap();

    let silent = connect(&via(echo.address), options).await.unwrap();
    assert!(matches!(silent.close().await, Err(TransportError::Misuse(_))));
    let simplex = connect(&via(echo.address), ConnectOptions::new(TEXT).mode(Mode::SIMPLEX)).await;
    assert!(matches!(simplex, Err(TransportError::Misuse(_))));
}

#[tokio::test]
async fn a_channel_knows_its_session() {
    let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/a b")).await.unwrap();
    let address = listener.local_addrs()[0];
    let via = format!("net.tcp://localhost:{}/A%20B/c", address.port());
    let options = ConnectOptions::new("application/x-new");
    let (client, service) = tokio::join!(connect(&via, options), listener.accept());
    let (client, service) = (client.unwrap(), service.unwrap());
    assert_eq!(
        (service.via(), service.content_type(), service.mode()),
        (&*via, "application/x-new", Mode::DUPLEX)
    );
    assert_eq!(
        (client.via(), client.content_type(), client.mode()),
        (&*via, "application/x-new", Mode::DUPLEX)
    );
    assert_eq!(service.local_addr().unwrap(), address);
    assert_eq!(service.peer_addr().unwrap(), client.local_addr().unwrap());
}

#[tokio::test]
async fn a_host_name_means_both_families_and_a_literal_only_itself() {
    let listener = Listener::bind(ListenOptions::new("net.tcp://localhost:0/echo")).await.unwrap();
    let addresses = listener.local_addrs();
    let port = addresses[0].port();
    assert!(addresses.iter().all(|address| address.ip().is_unspecified() && address.port() == port));
    let service = tokio::spawn(serve(listener));
    for address in addresses {
        let host = if address.is_ipv6() { "[::1]" } else { "127.0.0.1" };
        let via = format!("net.tcp://{host}:{port}/echo");
        let mut channel = connect(&via, ConnectOptions::new(TEXT)).await.unwrap();
        channel.send(b"x").await.unwrap();
        assert_eq!(channel.receive().await.unwrap().unwrap().octets, b"x");
        channel.close().await.unwrap();
    }

    // somebody has the port on all addresses: neither they nor one of them can be had again
    for host in ["localhost", "127.0.0.1", "127.0.0.7"] {
        let options = ListenOptions::new(format!("net.tcp://{host}:{port}/other"));
        match Listener::bind(options).await.unwrap_err() {
            error @ RegisterError::AddressInUse { .. } => {
                let said = error.to_string();
                assert!(
                    said.starts_with(&format!("address already in use: net.tcp://{host}:{port}/other")),
                    "{said}"
                );
                assert!(error.retry_helps());
            }
            other => panic!("{other:?}"),
        }
    }
    service.abort();

    let literal = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/")).await.unwrap();
    assert_eq!(literal.local_addrs()[0].ip().to_string(), "127.0.0.1");
}

/// An address of documentation (RFC 5737), which no machine has.
#[tokio::test]
async fn an_address_of_another_machine_is_named() {
    match Listener::bind(ListenOptions::new("net.tcp://192.0.2.1:9000/")).await.unwrap_err() {
        RegisterError::Listen { source, .. } => {
            assert_eq!(source.kind(), std::io::ErrorKind::AddrNotAvailable);
            assert!(source.to_string().starts_with("no interface of this machine has"), "{source}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn addresses_that_cannot_be_listened_on() {
    for address in ["", "http://localhost/", "net.tcp://", "net.tcp://\u{1b}[2J:x/"] {
        let error = Listener::bind(ListenOptions::new(address)).await.unwrap_err();
        assert!(matches!(error, RegisterError::InvalidAddress { .. }), "{error:?}");
        assert!(!error.retry_helps() && !error.to_string().contains('\u{1b}'));
    }
    let elsewhere = Listener::bind(ListenOptions::new("net.tcp://192.0.2.1:0/")).await.unwrap_err();
    assert!(matches!(elsewhere, RegisterError::Listen { .. }), "{elsewhere:?}");
}

#[tokio::test]
async fn end_is_answered_and_the_connection_serves_again() {
    let echo = echo(|options| options).await;
    let address = echo.address;
    peer(move || {
        let mut raw = Raw::connect(address);
        for round in 0..3 {
            raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
            raw.expect(&[11]);
            raw.write(&[6, 2, round, 1]);
            raw.expect(&[6, 2, round, 1]);
            raw.write(&[7]);
            raw.expect(&[7]);
            // the other mode, with another address of the same service
            raw.write(&preamble(SINGLETON, &format!("{}/more", via(address)), TEXT_END));
            raw.expect(&[11]);
            raw.write(&[5, 1, round, 2, 8, 9, 0, 7]);
            raw.expect(&[5, 3, round, 8, 9, 0, 7]);
        }
        // a preamble that did not wait for the End of the session before it
        let mut both = vec![7];
        both.extend(preamble(DUPLEX, &via(address), TEXT_END));
        raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
        raw.expect(&[11]);
        raw.write(&both);
        raw.expect(&[7, 11]);
        raw.write(&[7]);
        raw.expect(&[7]);
        // as any WCF service answers for an address that is nobody's
        raw.write(&preamble(DUPLEX, "net.tcp://h/other", TEXT_END));
        raw.expect(&fault(Fault::ENDPOINT_NOT_FOUND));
        raw.expect_fin();
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_so_is_one_too_many() {
    let short = echo(|options| options.idle_timeout(Duration::from_millis(50))).await;
    let none = echo(|options| options.max_idle_connections(0)).await;
    for address in [short.address, none.address] {
        peer(move || {
            let mut raw = Raw::connect(address);
            raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
            raw.write(&[7]);
            raw.expect(&[11, 7]);
            raw.expect_fin();
        })
        .await;
    }
}

#[tokio::test]
async fn a_cancelled_receive_loses_nothing() {
    let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await.unwrap();
    let address = listener.local_addrs()[0];
    let (mut client, mut service) = tokio::try_join!(
        async { connect(&via(address), ConnectOptions::new(TEXT)).await.map_err(|error| error.to_string()) },
        async { listener.accept().await.map_err(|error| error.to_string()) }
    )
    .unwrap();
    let sent: Vec<Vec<u8>> = (1..=20_u8).map(|round| vec![round; usize::from(round) * 3000]).collect();
    let copy = sent.clone();
    let sending = tokio::spawn(async move {
        for envelope in copy {
            client.send(&envelope).await.unwrap();
        }
        client.close().await
    });
    let mut received = Vec::new();
    loop {
        tokio::select! {
            biased;
            envelope = service.receive() => match envelope.unwrap() {
                Some(envelope) => received.push(envelope.octets),
                None => break,
            },
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(received, sent);
    service.close().await.unwrap();
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cancelled_send_spoils_the_session_and_says_so() {
    let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await.unwrap();
    let via = via(listener.local_addrs()[0]);
    let (client, service) = tokio::join!(connect(&via, ConnectOptions::new(TEXT)), listener.accept());
    let (mut client, _service) = (client.unwrap(), service.unwrap());
    let large = vec![1; 64 << 20];
    tokio::select! {
        _ = client.send(&large) => panic!("nobody reads it"),
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
    }
    assert!(matches!(client.send(b"next").await, Err(TransportError::Misuse(_))));
    assert!(matches!(client.close().await, Err(TransportError::Misuse(_))));
}

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_no_sender_for_ever() {
    let time = Duration::from_millis(50);
    let mut listener =
        Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo").send_timeout(time)).await.unwrap();
    let via = via(listener.local_addrs()[0]);
    for (accepted_sends, options) in
        [(true, ConnectOptions::new(TEXT)), (false, ConnectOptions::new(TEXT).send_timeout(time))]
    {
        let (service, client) = tokio::join!(listener.accept(), connect(&via, options));
        let (service, client) = (service.unwrap(), client.unwrap());
        let (mut sender, mut peer) = if accepted_sends { (service, client) } else { (client, service) };
        peer.send(b"I only talk").await.unwrap();
        let large = vec![1; 64 << 20];
        let sent = tokio::time::timeout(common::DEADLINE, sender.send(&large)).await.expect("it ends");
        assert!(matches!(sent, Err(TransportError::TimedOut(after)) if after == time), "{sent:?}");
        assert!(matches!(sender.send(b"next").await, Err(TransportError::Misuse(_))));
        assert!(matches!(sender.end().await, Err(TransportError::Misuse(_))));
        assert_eq!(sender.receive().await.unwrap().unwrap().octets, b"I only talk");
        assert!(matches!(sender.close().await, Err(TransportError::Misuse(_))));
    }
}

#[tokio::test]
async fn limits_are_the_listeners() {
    let limits = Limits { envelope: 10, ..Limits::DEFAULT };
    let echo = echo(|options| options.limits(limits)).await;
    let mut client = connect(&via(echo.address), ConnectOptions::new(TEXT)).await.unwrap();
    client.send(&[1; 10]).await.unwrap();
    assert_eq!(client.receive().await.unwrap().unwrap().octets, [1; 10]);
    client.send(&[1; 11]).await.unwrap();
    let error = client.receive().await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::MAX_MESSAGE_SIZE_EXCEEDED));
    assert!(!error.retry_helps());
    assert!(matches!(client.receive().await, Err(TransportError::Closed)));
}

/// However long it goes on sending: a reset would take the answer away.
#[tokio::test]
async fn who_sends_far_too_much_is_told_so() {
    let echo = echo(|options| options).await;
    let mut client = connect(&via(echo.address), ConnectOptions::new(TEXT)).await.unwrap();
    client.send(&vec![1; 16 << 20]).await.unwrap();
    let error = client.receive().await.unwrap_err();
    assert_eq!(error.fault(), Some(Fault::MAX_MESSAGE_SIZE_EXCEEDED), "{error}");
}

/// A listener at `/echo`, and a session that it has accepted.
async fn accepted(options: impl FnOnce(ListenOptions) -> ListenOptions) -> (Channel, Channel) {
    let mut listener =
        Listener::bind(options(ListenOptions::new("net.tcp://127.0.0.1:0/echo"))).await.unwrap();
    let via = via(listener.local_addrs()[0]);
    let (accepted, connected) = tokio::join!(listener.accept(), connect(&via, ConnectOptions::new(TEXT)));
    (accepted.unwrap(), connected.unwrap())
}

#[tokio::test]
async fn a_session_in_which_nothing_comes_is_broken_off() {
    let time = Duration::from_millis(100);
    let (mut silent, mut peer) = accepted(|options| options.receive_timeout(time)).await;
    // Also if whoever waits does something else now and then.
    let waited = async {
        loop {
            tokio::select! {
                biased;
                received = silent.receive() => return received,
                () = tokio::time::sleep(time / 10) => {}
            }
        }
    };
    let received = tokio::time::timeout(common::DEADLINE, waited).await.expect("it ends");
    assert!(matches!(received, Err(TransportError::TimedOut(after)) if after == time), "{received:?}");
    assert!(matches!(silent.receive().await, Err(TransportError::Closed)));
    drop(silent);
    assert!(peer.receive().await.is_err());
}

#[tokio::test]
async fn what_has_come_is_received_however_late() {
    let time = Duration::from_millis(50);
    let (mut service, mut client) = accepted(|options| options.receive_timeout(time)).await;
    for octet in [b"1", b"2"] {
        client.send(octet).await.unwrap();
        tokio::time::sleep(3 * time).await;
        assert_eq!(service.receive().await.unwrap().unwrap().octets, octet);
    }
}

#[tokio::test]
async fn what_is_sent_begins_the_wait_anew() {
    let time = Duration::from_secs(600);
    for sends in [true, false] {
        let (mut service, _client) = accepted(|options| options.receive_timeout(time)).await;
        // From here on the clock stands still unless everybody waits for it.
        tokio::time::pause();
        tokio::select! {
            biased;
            received = service.receive() => panic!("{received:?}"),
            () = core::future::ready(()) => {}
        }
        tokio::time::advance(time / 2).await;
        if sends {
            service.send(b"x").await.unwrap();
        }
        let since = tokio::time::Instant::now();
        assert!(matches!(service.receive().await, Err(TransportError::TimedOut(_))));
        assert_eq!(since.elapsed() >= time, sends, "{:?}", since.elapsed());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn an_initiator_waits_for_a_reply_no_longer_than_it_likes() {
    let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await.unwrap();
    let via = via(listener.local_addrs()[0]);
    let options = ConnectOptions::new(TEXT).receive_timeout(Duration::from_millis(50));
    let (_silent, client) = tokio::join!(listener.accept(), connect(&via, options));
    let mut client = client.unwrap();
    client.send(b"?").await.unwrap();
    let received = tokio::time::timeout(common::DEADLINE, client.receive()).await.expect("it ends");
    assert!(matches!(received, Err(TransportError::TimedOut(_))), "{received:?}");
}

#[tokio::test]
async fn a_session_that_was_acknowledged_and_not_accepted_breaks_off_with_its_listener() {
    for closed in [true, false] {
        let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await.unwrap();
        let address = listener.local_addrs()[0];
        let mut raw = peer(move || {
            let mut raw = Raw::connect(address);
            raw.write(&[0]);
            raw
        })
        .await;
        let to = via(address);
        // Who connects later is accepted later, so the other one has been taken in then.
        let (client, service) = tokio::join!(connect(&to, ConnectOptions::new(TEXT)), listener.accept());
        let service = tokio::spawn(common::answer(service.unwrap()));
        let mut raw = peer(move || {
            raw.write(&preamble(DUPLEX, &via(address), TEXT_END)[1..]);
            raw.expect(&[11]);
            raw
        })
        .await;
        if closed {
            listener.close().await
        } else {
            drop(listener)
        }
        peer(move || raw.expect_closed()).await;
        let mut client = client.unwrap();
        client.send(b"x").await.unwrap();
        assert_eq!(client.receive().await.unwrap().unwrap().octets, b"x");
        client.close().await.unwrap();
        service.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_waits_for_another_session_is_closed_when_its_listener_stops() {
    let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await.unwrap();
    let address = listener.local_addrs()[0];
    let (mut raw, ()) = tokio::join!(
        peer(move || {
            let mut raw = Raw::connect(address);
            raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
            raw.write(&[7]);
            raw.expect(&[11, 7]);
            raw
        }),
        async { common::answer(listener.accept().await.unwrap()).await.unwrap() }
    );
    tokio::select! {
        biased;
        _ = listener.accept() => panic!("there is no other session"),
        () = core::future::ready(()) => {}
    }
    listener.stop();
    let stopped = tokio::time::timeout(common::DEADLINE, listener.accept()).await.expect("at once");
    assert!(matches!(stopped, Err(AcceptError::Stopped)));
    peer(move || raw.expect_fin()).await;
}

#[test]
fn whoever_closes_a_listener_can_end_the_runtime_with_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener =
        runtime.block_on(Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo"))).unwrap();
    let mut raw = Raw::connect(listener.local_addrs()[0]);
    let peer = std::thread::spawn(move || raw.expect(&fault(Fault::ENDPOINT_UNAVAILABLE)));
    runtime.block_on(listener.close());
    drop(runtime);
    peer.join().unwrap();
}

#[tokio::test]
async fn a_listener_on_an_own_port_stops_without_a_reset() {
    for graceful in [true, false] {
        let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await.unwrap();
        let address = listener.local_addrs()[0];
        let mut peers = peer(move || {
            let connect = |_| {
                let mut raw = Raw::connect(address);
                raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
                raw
            };
            (0..4).map(connect).collect::<Vec<_>>()
        })
        .await;
        if graceful {
            listener.stop();
            assert!(listener.local_addrs().is_empty());
            for _ in 0..4 {
                tokio::spawn(common::answer(listener.accept().await.unwrap()));
            }
            assert!(matches!(listener.accept().await, Err(AcceptError::Stopped)));
        }
        drop(listener);
        peer(move || {
            for raw in &mut peers {
                if graceful {
                    raw.write(&[6, 1, 1, 7]);
                    raw.expect(&[11, 6, 1, 1, 7]);
                } else {
                    raw.expect(&fault(Fault::ENDPOINT_UNAVAILABLE));
                }
                raw.expect_fin();
            }
        })
        .await;
    }
}
