#![doc = include_str!("../README.md")]

use core::fmt;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How long an attempt may say nothing before the next one is made beside it (RFC 8305 §5, Connection Attempt Delay).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first address that answers: of these, in this order but the families by turns (RFC 8305 §4). Gives up at
/// `until`, if there is such a time.
///
/// One attempt is always allowed. One beside another needs a permit, which it keeps until it has ended; without one the others
/// are waited for, and `permit` is asked again when one has failed, or after another [`ATTEMPT_DELAY`].
///
/// Needs a tokio runtime with I/O and time.
///
/// # Errors
/// [`NotConnected`]: what came of each address, as far as it was tried.
///
/// # Cancel safety
/// Cancelled, there is no connection.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use tokio::sync::Semaphore;
///
/// // All dialling of this program has three sockets more than one for each connection.
/// let budget = Arc::new(Semaphore::new(3));
/// let permit = || Arc::clone(&budget).try_acquire_owned().ok();
/// let nobody = ["127.0.0.1:1".parse().unwrap()];
/// let error = happy_eyeballs::connect(nobody, None, permit).await.unwrap_err();
/// assert_eq!(error.to_string(), "127.0.0.1:1: Connection refused (os error 111)");
/// # }
/// ```
pub async fn connect<P: Send + 'static>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    until: Option<Instant>,
    permit: impl Fn() -> Option<P>,
) -> Result<TcpStream, NotConnected> {
    let mut addresses = by_turns(addresses);
    let mut tried = NotConnected::default();
    let mut attempts = JoinSet::new();
    loop {
        let first = attempts.is_empty();
        let beside = if first || addresses.is_empty() { None } else { permit() };
        let address = if first || beside.is_some() { addresses.pop_front() } else { None };
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
                None => return Err(tried),
                Some(Ok((_, Ok(stream)))) => return Ok(stream),
                Some(Ok((attempt, Err(error)))) => tried.failed(attempt, error),
                // The runtime ends.
                Some(Err(_)) => return Err(tried),
            },
            () = sleep(ATTEMPT_DELAY), if !addresses.is_empty() => {}
            () = at(until) => return Err(tried),
        }
    }
}

async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => core::future::pending().await,
    }
}

/// The family that comes first stays first.
fn by_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut waiting: Vec<SocketAddr> = addresses.into_iter().collect();
    let mut turns = VecDeque::with_capacity(waiting.len());
    while let Some(first) = waiting.first() {
        let wanted = turns.back().map_or_else(|| first.is_ipv4(), |last: &SocketAddr| !last.is_ipv4());
        let at = waiting.iter().position(|address| address.is_ipv4() == wanted).unwrap_or(0);
        turns.push_back(waiting.remove(at));
    }
    turns
}

/// Why there is no connection: the addresses that were tried, in this order, and what came of each.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct NotConnected {
    /// An address's error is missing if it had not answered when the time was over.
    pub attempts: Vec<(SocketAddr, Option<io::Error>)>,
}

impl NotConnected {
    /// Gives the number of the attempt.
    fn begin(&mut self, address: SocketAddr) -> usize {
        self.attempts.push((address, None));
        self.attempts.len() - 1
    }

    fn failed(&mut self, attempt: usize, error: io::Error) {
        if let Some((_, outcome)) = self.attempts.get_mut(attempt) {
            *outcome = Some(error);
        }
    }

    /// What a single error can say of it: that of the last address that has given one, [`TimedOut`](io::ErrorKind::TimedOut) if
    /// none has, [`NotFound`](io::ErrorKind::NotFound) without any address.
    pub fn kind(&self) -> io::ErrorKind {
        let unanswered =
            if self.attempts.is_empty() { io::ErrorKind::NotFound } else { io::ErrorKind::TimedOut };
        self.attempts.iter().rev().find_map(|(_, error)| error.as_ref()).map_or(unanswered, io::Error::kind)
    }
}

impl fmt::Display for NotConnected {
    /// `127.0.0.1:9205 does not answer, 127.0.0.2:9205: Connection refused (os error 111)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attempts.is_empty() {
            return f.write_str("the name has no address");
        }
        for (at, (address, error)) in self.attempts.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match error {
                Some(error) => write!(f, "{comma}{address}: {error}")?,
                None => write!(f, "{comma}{address} does not answer")?,
            }
        }
        Ok(())
    }
}

impl core::error::Error for NotConnected {}

impl From<NotConnected> for io::Error {
    fn from(error: NotConnected) -> Self {
        Self::new(error.kind(), error)
    }
}

#[cfg(test)]
mod tests;
