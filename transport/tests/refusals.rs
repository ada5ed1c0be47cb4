//! What peers get that do not keep to the protocol, or to the service's terms; and that they harm nobody else.

mod common;

use common::{BINARY, DUPLEX, Raw, SINGLETON, TEXT, TEXT_END, echo, fault, peer, preamble, via};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use transport::{ConnectOptions, Fault, Limits, ListenOptions, Mode, TransportError, connect};

fn only_text_duplex(options: ListenOptions) -> ListenOptions {
    options.content_type(TEXT).content_type(BINARY).modes(&[Mode::DUPLEX])
}

#[tokio::test]
async fn preambles_and_their_answers() {
    let strict = echo(only_text_duplex).await;
    let lax = echo(|options| options).await;
    let ours = via(strict.address);
    let (strict, lax) = (strict.address, lax.address);
    let long = format!("net.tcp://h/{}", "x".repeat(2048));
    let cases = [
        (strict, b"GET / HTTP/1.1\r\n\r\n".to_vec(), None),
        (strict, vec![0, 2, 0], Some(Fault::UNSUPPORTED_VERSION)),
        (strict, preamble(3, &ours, TEXT_END), Some(Fault::UNSUPPORTED_MODE)),
        (strict, preamble(9, &ours, TEXT_END), Some(Fault::UNSUPPORTED_MODE)),
        (strict, preamble(SINGLETON, &ours, TEXT_END), Some(Fault::UNSUPPORTED_MODE)),
        (strict, vec![0, 1, 0, 2], Some(Fault::INVALID_RECORD_SEQUENCE)),
        (strict, preamble(DUPLEX, &ours, &[99]), Some(Fault::INVALID_RECORD_SEQUENCE)),
        (strict, preamble(DUPLEX, &ours, &[3, 3, 6]), Some(Fault::INVALID_RECORD_SEQUENCE)),
        (strict, preamble(DUPLEX, "", TEXT_END), Some(Fault::ENDPOINT_NOT_FOUND)),
        (strict, preamble(DUPLEX, "echo", TEXT_END), Some(Fault::ENDPOINT_NOT_FOUND)),
        (strict, preamble(DUPLEX, "net.tcp://h/ech", TEXT_END), Some(Fault::ENDPOINT_NOT_FOUND)),
        (strict, preamble(DUPLEX, &long, TEXT_END), Some(Fault::VIA_TOO_LONG)),
        (strict, preamble(DUPLEX, &ours, &[3, 8, 12]), Some(Fault::CONTENT_TYPE_INVALID)),
        (strict, preamble(DUPLEX, &ours, &[3, 99, 12]), Some(Fault::CONTENT_TYPE_INVALID)),
        (strict, preamble(DUPLEX, &ours, &[4, 1, b'x', 12]), Some(Fault::CONTENT_TYPE_INVALID)),
        (strict, preamble(DUPLEX, &ours, &[4, 0x81, 2]), Some(Fault::CONTENT_TYPE_TOO_LONG)),
        // a dictionary lasts as long as a duplex session, and no other
        (strict, preamble(DUPLEX, &ours, &[3, 7, 12]), Some(Fault::CONTENT_TYPE_INVALID)),
        (lax, preamble(SINGLETON, &via(lax), &[3, 8, 12]), Some(Fault::CONTENT_TYPE_INVALID)),
        (lax, preamble(DUPLEX, &via(lax), &[3, 99, 12]), Some(Fault::CONTENT_TYPE_INVALID)),
        (
            strict,
            preamble(DUPLEX, &ours, b"\x03\x03\x09\x13application/ssl-tls"),
            Some(Fault::UPGRADE_INVALID),
        ),
        (strict, preamble(DUPLEX, &ours, b"\x03\x03\x09\x01x\x0c"), Some(Fault::UPGRADE_INVALID)),
    ];
    for (address, octets, wanted) in cases {
        peer(move || {
            let mut raw = Raw::connect(address);
            raw.write(&octets);
            if let Some(wanted) = wanted {
                raw.expect(&fault(wanted));
            }
            raw.expect_fin();
        })
        .await;
    }
}

#[tokio::test]
async fn sessions_broken_by_the_initiator() {
    let echo = echo(|options| options).await;
    let address = echo.address;
    peer(move || {
        for (mode, octets, wanted) in [
            (DUPLEX, &[6, 0x81, 0x80, 4][..], Some(Fault::MAX_MESSAGE_SIZE_EXCEEDED)),
            (SINGLETON, &[5, 0x81, 0x80, 4], Some(Fault::MAX_MESSAGE_SIZE_EXCEEDED)),
            (DUPLEX, &[6, 0xff, 0xff, 0xff, 0xff, 0xff], Some(Fault::INVALID_RECORD_SEQUENCE)),
            (DUPLEX, &[5, 1, 1, 0], Some(Fault::INVALID_RECORD_SEQUENCE)),
            (DUPLEX, &fault(Fault::SERVER_TOO_BUSY), Some(Fault::INVALID_RECORD_SEQUENCE)),
            (SINGLETON, &[7], Some(Fault::INVALID_RECORD_SEQUENCE)),
        ] {
            let mut raw = Raw::connect(address);
            raw.write(&preamble(mode, &via(address), TEXT_END));
            raw.expect(&[11]);
            raw.write(octets);
            if let Some(wanted) = wanted {
                raw.expect(&fault(wanted));
            }
            raw.expect_fin();
        }
        // half an envelope, and the end of the stream
        let mut raw = Raw::connect(address);
        raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
        raw.expect(&[11]);
        raw.write(&[6, 100, 1]);
        raw.0.shutdown(Shutdown::Write).unwrap();
        raw.expect_closed();
        // an end of stream between envelopes does for an End
        let mut raw = Raw::connect(address);
        raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
        raw.write(&[6, 1, 1]);
        raw.0.shutdown(Shutdown::Write).unwrap();
        raw.expect(&[11, 6, 1, 1, 7]);
        raw.expect_fin();
    })
    .await;
}

#[tokio::test]
async fn slow_and_silent_peers_delay_nobody() {
    let echo = echo(|options| options.preamble_timeout(Duration::from_secs(3600))).await;
    let address = echo.address;
    let _hangers = peer(move || hangers(address)).await;
    let mut client = connect(&via(address), ConnectOptions::new(TEXT)).await.unwrap();
    client.send(b"x").await.unwrap();
    assert_eq!(client.receive().await.unwrap().unwrap().octets, b"x");
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_preamble_has_a_deadline_and_a_session_none() {
    let echo = echo(|options| options.preamble_timeout(Duration::from_millis(300))).await;
    let address = echo.address;
    let mut client = loop {
        // its own preamble may be late
        if let Ok(client) = connect(&via(address), ConnectOptions::new(TEXT)).await {
            break client;
        }
    };
    peer(move || hangers(address).iter_mut().for_each(Raw::expect_closed)).await;
    client.send(b"y").await.unwrap();
    assert_eq!(client.receive().await.unwrap().unwrap().octets, b"y");
    client.close().await.unwrap();
}

/// Fifty that begin a preamble, and say no more.
fn hangers(address: SocketAddr) -> Vec<Raw> {
    let hanger = |_| {
        let mut raw = Raw::connect(address);
        raw.write(&[0, 1]);
        raw
    };
    (0..50).map(hanger).collect()
}

#[tokio::test]
async fn no_more_preambles_at_a_time_than_allowed() {
    let one = |options: ListenOptions| options.max_pending_connections(1);
    let echo = echo(|options| one(options).preamble_timeout(Duration::from_secs(3600))).await;
    let address = echo.address;
    let silent = peer(move || Raw::connect(address)).await;
    let via = via(address);
    let mut client = std::pin::pin!(connect(&via, ConnectOptions::new(TEXT)));
    // The listener, in this thread, has many turns to accept it.
    let turns = async {
        for _ in 0..2000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = &mut client => panic!("it was answered while the silent one was there"),
        () = turns => {}
    }
    drop(silent);
    client.await.unwrap().close().await.unwrap();
}

/// A peer that answers the preamble in its own way.
async fn answer_with(octets: &'static [u8]) -> TransportError {
    let listener = TcpListener::bind(common::any()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = peer(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut preamble = [0; 256];
        assert!(stream.read(&mut preamble).unwrap() > 0);
        stream.write_all(octets).unwrap();
    });
    let via = via(address);
    let (result, ()) = tokio::join!(connect(&via, ConnectOptions::new(TEXT)), server);
    result.unwrap_err()
}

#[tokio::test]
async fn what_an_initiator_makes_of_an_answer() {
    let http = answer_with(b"HTTP/1.1 400 Bad Request\r\n").await;
    assert!(matches!(http, TransportError::Protocol(_)) && !http.retry_helps());
    assert!(std::error::Error::source(&http).unwrap().to_string().contains("HTTP"));

    let closed = answer_with(b"").await;
    assert!(matches!(closed, TransportError::Closed) && closed.retry_helps());

    let busy =
        answer_with(b"\x08\x44http://schemas.microsoft.com/ws/2006/05/framing/faults/ServerTooBusy").await;
    assert!(busy.retry_helps());
    assert_eq!(busy.fault(), Some(Fault::SERVER_TOO_BUSY));
    assert!(busy.to_string().contains("ServerTooBusy: too many connections wait"), "{busy}");

    let strange = answer_with(b"\x08\x05\x1b[2Jx").await;
    assert!(!strange.to_string().contains('\u{1b}') && !strange.retry_helps());

    // the near end of a connection: nobody listens there, and while it lasts nobody can
    let listener = TcpListener::bind(common::any()).unwrap();
    let nobody = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap();
    let refused = connect(&via(address), ConnectOptions::new(TEXT)).await.unwrap_err();
    assert!(matches!(refused, TransportError::Unreachable { .. }) && refused.retry_helps());

    let invalid = connect("http://localhost/", ConnectOptions::new(TEXT)).await.unwrap_err();
    assert!(matches!(invalid, TransportError::InvalidVia { .. }) && !invalid.retry_helps());

    let silent = TcpListener::bind(common::any()).unwrap();
    let options = ConnectOptions::new(TEXT).open_timeout(Duration::from_millis(50));
    let silent = connect(&via(silent.local_addr().unwrap()), options).await.unwrap_err();
    assert!(matches!(silent, TransportError::TimedOut(_)) && silent.retry_helps());
}

/// The largest this process ever was, in KiB.
fn peak_size() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_claimed_size_costs_nothing() {
    let limits = Limits { envelope: u64::MAX, ..Limits::DEFAULT };
    let echo = echo(|options| options.limits(limits)).await;
    let address = echo.address;
    let before = peak_size();
    peer(move || {
        let claims: Vec<Raw> = (0..20)
            .map(|_| {
                let mut raw = Raw::connect(address);
                raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
                raw.expect(&[11]);
                raw.write(&[6, 0xff, 0xff, 0xff, 0xff, 7]);
                raw.write(&[0; 1000]);
                raw
            })
            .collect();
        // a session that is served proves that the claims were read before it
        let mut raw = Raw::connect(address);
        raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
        raw.write(&[6, 1, 1]);
        raw.expect(&[11, 6, 1, 1]);
        drop(claims);
    })
    .await;
    // threads of other tests reserve some address space, the more the more processors; the claims come to 40 GiB
    assert!(peak_size() - before < 20 << 20, "{} KiB", peak_size() - before);
}
