//! Making a connection to a host that may have several addresses, some of which say nothing (RFC 8305).

use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::address::Host;

/// How long an attempt may say nothing before the next one is made beside it: RFC 8305's recommendation.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to a host; of a name's addresses in the resolver's order, the families by turns.
///
/// # Cancel safety
/// Cancelled, there is no connection.
pub(crate) async fn dial(host: &Host, port: u16) -> io::Result<TcpStream> {
    match host {
        Host::Ip(ip) => TcpStream::connect((*ip, port)).await,
        Host::Name(name) => dial_any(by_turns(lookup_host((name.as_str(), port)).await?)).await,
    }
}

/// The family that comes first stays first.
fn by_turns(addresses: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut waiting: Vec<SocketAddr> = addresses.collect();
    let mut turns = VecDeque::new();
    while let Some(first) = waiting.first() {
        let wanted = turns.back().map_or_else(|| first.is_ipv4(), |last: &SocketAddr| !last.is_ipv4());
        let at = waiting.iter().position(|address| address.is_ipv4() == wanted).unwrap_or(0);
        turns.push_back(waiting.remove(at));
    }
    turns
}

/// The first connection that is made; the last error if none is.
async fn dial_any(mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut failed = None;
    loop {
        match addresses.pop_front() {
            Some(address) => drop(attempts.spawn(TcpStream::connect(address))),
            None if attempts.is_empty() => {
                let unknown = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                return Err(failed.unwrap_or_else(unknown));
            }
            None => {}
        }
        tokio::select! {
            Some(done) = attempts.join_next() => match done? {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(error),
            },
            () = sleep(ATTEMPT_DELAY), if !addresses.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    use socket2::{Domain, Socket, Type};
    use tokio::time::timeout;

    /// Nothing that a test waits for takes as long.
    const DEADLINE: Duration = Duration::from_secs(60);

    /// A listener whose backlog is full: whoever else connects hears nothing.
    fn black_hole() -> (SocketAddr, Vec<Socket>) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut sockets = vec![listener];
        // A backlog of 0 has room for one.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.connect(&address).unwrap();
        sockets.push(socket);
        (address.as_socket().unwrap(), sockets)
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_keeps_nobody_from_the_next() {
        let (silent, _sockets) = black_hole();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let there = listener.local_addr().unwrap();
        for addresses in [vec![silent, there], vec![silent, silent, there], vec![there, silent]] {
            let stream = timeout(DEADLINE, dial_any(addresses.into())).await.expect("in time").unwrap();
            assert_eq!(stream.peer_addr().unwrap(), there);
        }
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over_at_once() {
        // The near end of a connection: nobody listens there, and while it lasts nobody can.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let there = listener.local_addr().unwrap();
        let nobody = std::net::TcpStream::connect(there).unwrap();
        let refuses = nobody.local_addr().unwrap();
        let stream = dial_any([refuses, there].into()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        let error = dial_any([refuses, refuses].into()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(dial_any(VecDeque::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn families_take_turns() {
        let [a, b, c, d] =
            ["[::1]:1", "[::2]:1", "127.0.0.1:1", "[::3]:1"].map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(by_turns([a, b, c, d].into_iter()), [a, c, b, d]);
        assert_eq!(by_turns([c, a, b].into_iter()), [c, a, b]);
        assert!(by_turns([].into_iter()).is_empty());
    }
}
