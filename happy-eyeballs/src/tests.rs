use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::*;

/// Nothing that a test waits for takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A listener whose queue has room for one, who is in it: whoever else connects hears nothing.
fn black_hole() -> (SocketAddr, impl Sized) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    (address, (std::net::TcpStream::connect(address).unwrap(), listener))
}

/// The near end of a connection: nobody listens there, and while it lasts nobody can.
fn refusing() -> (SocketAddr, impl Sized) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (nobody.local_addr().unwrap(), (listener, nobody))
}

async fn connected(
    addresses: &[SocketAddr],
    time: Option<Duration>,
    permit: impl Fn() -> Option<()>,
) -> Result<SocketAddr, NotConnected> {
    let connecting = connect(addresses.iter().copied(), time.map(|time| Instant::now() + time), permit);
    let stream = timeout(PATIENCE, connecting).await.expect("it goes on, or gives up");
    stream.map(|stream| stream.peer_addr().unwrap())
}

#[tokio::test]
async fn an_address_that_says_nothing_keeps_nobody_from_the_next() {
    let (silent, _sockets) = black_hole();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let there = listener.local_addr().unwrap();
    for addresses in [&[silent, there][..], &[silent, silent, there], &[there, silent]] {
        for time in [None, Some(PATIENCE)] {
            assert_eq!(connected(addresses, time, || Some(())).await.unwrap(), there, "{addresses:?}");
        }
    }
}

#[tokio::test]
async fn what_came_of_each_address_is_said() {
    let (silent, _sockets) = black_hole();
    let (refuses, _others) = refusing();
    let refused = format!("{refuses}: Connection refused (os error 111)");
    // Long enough for a second attempt on a machine that has much else to do.
    let short = Some(ATTEMPT_DELAY * 12);
    for (addresses, said, kind) in [
        (
            &[silent, refuses][..],
            format!("{silent} does not answer, {refused}"),
            io::ErrorKind::ConnectionRefused,
        ),
        (&[refuses, refuses], format!("{refused}, {refused}"), io::ErrorKind::ConnectionRefused),
        (&[silent], format!("{silent} does not answer"), io::ErrorKind::TimedOut),
        (&[], "the name has no address".to_owned(), io::ErrorKind::NotFound),
    ] {
        let error = io::Error::from(connected(addresses, short, || Some(())).await.unwrap_err());
        assert_eq!((error.to_string(), error.kind()), (said, kind));
    }
}

#[tokio::test]
async fn an_address_that_refuses_is_passed_over() {
    let (refuses, _others) = refusing();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let there = listener.local_addr().unwrap();
    // One after the other: no permit is needed.
    let never = || panic!("there is nothing beside which an attempt could be made");
    assert_eq!(connected(&[refuses, there], None, never).await.unwrap(), there);
}

#[tokio::test]
async fn without_a_permit_no_attempt_is_made_beside_another() {
    let (silent, _sockets) = black_hole();
    let (refuses, _others) = refusing();
    let error = connected(&[silent, refuses], Some(ATTEMPT_DELAY * 3), || None).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{silent} does not answer"));
    // It is asked for again, and comes in time.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let there = listener.local_addr().unwrap();
    let asked = AtomicUsize::new(0);
    let third = || (asked.fetch_add(1, Ordering::Relaxed) == 2).then_some(());
    assert_eq!(connected(&[silent, there], None, third).await.unwrap(), there);
}

#[test]
fn families_take_turns() {
    let [a, b, c, d] =
        ["[::1]:1", "[::2]:1", "127.0.0.1:1", "[::3]:1"].map(|text| text.parse::<SocketAddr>().unwrap());
    assert_eq!(by_turns([a, b, c, d]), [a, c, b, d]);
    assert_eq!(by_turns([c, a, b]), [c, a, b]);
    assert!(by_turns([]).is_empty());
}
