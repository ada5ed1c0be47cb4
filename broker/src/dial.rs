//! A connection to a back-end that has a name: all of its addresses are tried, and one that says nothing keeps nobody from the
//! next (RFC 8305).

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How long an attempt may say nothing before the next one is made beside it: RFC 8305's recommendation.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to `NAME:PORT` within this time. An attempt beside another needs `room`; without it the other is waited for.
///
/// # Errors
/// What came of each address.
pub(crate) async fn dial<R: Send + 'static>(
    name: &str,
    time: Duration,
    room: impl Fn() -> Option<R>,
) -> Result<TcpStream, String> {
    let end = Instant::now() + time;
    let Ok(resolved) = timeout_at(end, lookup_host(name)).await else {
        return Err(format!("the name was not resolved within {} s", time.as_secs()));
    };
    let addresses = resolved.map_err(|error| format!("the name cannot be resolved: {error}"))?;
    dial_any(addresses, end, room).await
}

/// The first connection that is made.
async fn dial_any<R: Send + 'static>(
    addresses: impl Iterator<Item = SocketAddr>,
    end: Instant,
    room: impl Fn() -> Option<R>,
) -> Result<TcpStream, String> {
    let mut addresses = addresses.peekable();
    let mut tried = Tried::default();
    let mut attempts = JoinSet::new();
    loop {
        let first = attempts.is_empty();
        let beside = if first { None } else { room() };
        let address = if first || beside.is_some() { addresses.next() } else { None };
        if let Some(address) = address {
            let attempt = tried.begin(address);
            attempts.spawn(async move {
                let connected = TcpStream::connect(address).await;
                drop(beside);
                (attempt, connected)
            });
        }
        tokio::select! {
            done = attempts.join_next() => match done {
                None => return Err(tried.said()),
                Some(Ok((_, Ok(stream)))) => return Ok(stream),
                Some(Ok((attempt, Err(error)))) => tried.failed(attempt, &error),
                Some(Err(error)) => return Err(error.to_string()),
            },
            () = sleep(ATTEMPT_DELAY), if addresses.peek().is_some() => {}
            () = sleep_until(end) => return Err(tried.said()),
        }
    }
}

/// The addresses that were tried, and what came of it.
#[derive(Debug, Default)]
struct Tried(Vec<(SocketAddr, Option<String>)>);

impl Tried {
    /// Gives the number of the attempt.
    fn begin(&mut self, address: SocketAddr) -> usize {
        self.0.push((address, None));
        self.0.len() - 1
    }

    fn failed(&mut self, attempt: usize, error: &impl Display) {
        if let Some((_, result)) = self.0.get_mut(attempt) {
            *result = Some(error.to_string());
        }
    }

    /// `127.0.0.1:9205 does not answer, 127.0.0.2:9205: Connection refused (os error 111)`
    fn said(&self) -> String {
        let each = self.0.iter().map(|(address, result)| match result {
            Some(error) => format!("{address}: {error}"),
            None => format!("{address} does not answer"),
        });
        let all = each.collect::<Vec<_>>().join(", ");
        if all.is_empty() { "the name has no address".to_owned() } else { all }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    use tokio::time::timeout;

    use super::*;
    use crate::socket_options::local_address;

    /// Nothing that a test waits for takes as long.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A listener with room for one, which is taken: whoever else connects hears nothing.
    fn black_hole() -> (SocketAddr, impl Sized) {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        listen(&listener, 0).unwrap();
        let address = local_address(&listener).unwrap();
        let first = std::net::TcpStream::connect(address).unwrap();
        (address, (listener, first))
    }

    async fn try_these(
        addresses: &[SocketAddr],
        time: Duration,
        room: impl Fn() -> Option<()>,
    ) -> Result<SocketAddr, String> {
        let dialled = dial_any(addresses.iter().copied(), Instant::now() + time, room);
        let stream = timeout(PATIENCE, dialled).await.expect("it goes on, or gives up");
        stream.map(|stream| stream.peer_addr().unwrap())
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_keeps_nobody_from_the_next() {
        let (silent, _sockets) = black_hole();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let there = listener.local_addr().unwrap();
        for addresses in [&[silent, there][..], &[silent, silent, there], &[there, silent]] {
            assert_eq!(try_these(addresses, PATIENCE, || Some(())).await, Ok(there), "{addresses:?}");
        }
    }

    #[tokio::test]
    async fn what_came_of_each_address_is_said() {
        let (silent, _sockets) = black_hole();
        // The near end of a connection: nobody listens there, and while it lasts nobody can.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let nobody = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let refuses = nobody.local_addr().unwrap();
        let refused = format!("{refuses}: Connection refused (os error 111)");
        let short = ATTEMPT_DELAY * 2;
        for (addresses, said) in [
            (&[silent, refuses][..], format!("{silent} does not answer, {refused}")),
            (&[refuses, refuses], format!("{refused}, {refused}")),
            (&[], "the name has no address".to_owned()),
        ] {
            assert_eq!(try_these(addresses, short, || Some(())).await, Err(said));
        }
        // No room for a second attempt: the first is waited for.
        let said = try_these(&[silent, refuses], short, || None).await;
        assert_eq!(said, Err(format!("{silent} does not answer")));
    }
}
