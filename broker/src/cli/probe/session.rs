//! One session as an initiator, up to the answer to its preamble, and a way out of it that every service knows.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use framing_core::initiator::Event;
use framing_core::{DecodeError, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
use happy_eyeballs::NotConnected;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::address::Address;

/// How long the other side may take to leave, too, once everything is said.
const LEAVING: Duration = Duration::from_secs(1);

/// The type of its record (docs/wire.md §1).
const PREAMBLE_ACK: u8 = 0x0B;

/// What came of it.
#[derive(Debug)]
pub(super) struct Probed {
    /// Who was reached.
    pub(super) peer: Option<SocketAddr>,
    /// Until the answer.
    pub(super) took: Duration,
    pub(super) found: Found,
}

#[derive(Debug)]
pub(super) enum Found {
    /// The name has no address: why.
    NoName(String),
    NotConnected(NotConnected),
    /// Nothing was answered in time.
    Silent,
    /// The end of the stream in place of an answer.
    Closed,
    /// A reset in place of an answer, or another error of the connection.
    Broken(io::Error),
    /// No record of .NET message framing: why, and what came.
    NotFraming(DecodeError, Vec<u8>),
    /// Its URI.
    Fault(String),
    /// It was asked for an upgrade, and acknowledges the session instead.
    WithoutUpgrade(&'static str),
    /// It was asked for this upgrade, and agrees.
    Upgrades(&'static str),
    Acknowledged {
        /// Whether our End was answered, by an End or by closing.
        ended: bool,
    },
}

/// Connects, asks, leaves; all within this time.
pub(super) async fn probe(address: &Address, upgrade: Option<&'static str>, time: Duration) -> Probed {
    let begin = Instant::now();
    let until = begin + time;
    let not_reached = |found| Probed { peer: None, took: begin.elapsed(), found };
    let addresses = match timeout_at(until, lookup_host(format!("{}:{}", address.host, address.port))).await {
        Err(_) => return not_reached(Found::NoName("the name was not resolved in time".to_owned())),
        Ok(Err(error)) => return not_reached(Found::NoName(error.to_string())),
        Ok(Ok(addresses)) => addresses,
    };
    let stream = match happy_eyeballs::connect(addresses, Some(until), || Some(())).await {
        Err(error) => return not_reached(Found::NotConnected(error)),
        Ok(stream) => stream,
    };
    let peer = stream.peer_addr().ok();
    let mut session = Session { stream, initiator: Initiator::new(Limits::DEFAULT), received: Vec::new() };
    let found = match timeout_at(until, session.ask(&address.via, upgrade)).await {
        Err(_) => Found::Silent,
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Found::Broken(error),
    };
    let took = begin.elapsed();
    let found = match found {
        Found::Acknowledged { .. } => {
            Found::Acknowledged { ended: timeout_at(until, session.end()).await.is_ok_and(|ended| ended) }
        }
        other => other,
    };
    // Whoever has said nothing in time is not waited for.
    if !matches!(found, Found::Silent) {
        session.leave().await;
    }
    Probed { peer, took, found }
}

struct Session {
    stream: TcpStream,
    initiator: Initiator,
    /// Not consumed yet.
    received: Vec<u8>,
}

impl Session {
    /// The preamble, and what is said to it.
    async fn ask(&mut self, via: &str, upgrade: Option<&'static str>) -> io::Result<Found> {
        let encoding = Encoding::Known(KnownEncoding::BINARY_SESSION);
        let preamble = Preamble { mode: Mode::DUPLEX, via, encoding };
        let mut out = vec![0; preamble.encoded_len() + 64];
        let mut written = self.initiator.preamble(&preamble, &mut out).map_err(io::Error::other)?;
        let rest = out.get_mut(written..).unwrap_or_default();
        written += match upgrade {
            Some(protocol) => self.initiator.upgrade_request(protocol, rest),
            None => self.initiator.preamble_end(rest),
        }
        .map_err(io::Error::other)?;
        self.stream.write_all(out.get(..written).unwrap_or_default()).await?;
        loop {
            let step = match self.initiator.step(&self.received) {
                Ok(step) => step,
                Err(error) => {
                    return Ok(match (upgrade, self.received.first()) {
                        (Some(protocol), Some(&PREAMBLE_ACK)) => Found::WithoutUpgrade(protocol),
                        _ => Found::NotFraming(error, self.received.clone()),
                    });
                }
            };
            match step.event {
                Event::PreambleAck => {
                    self.received.drain(..step.consumed);
                    return Ok(Found::Acknowledged { ended: false });
                }
                Event::UpgradeResponse => return Ok(Found::Upgrades(upgrade.unwrap_or_default())),
                Event::Fault(fault) => return Ok(Found::Fault(fault.uri().to_owned())),
                _ => {}
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(Found::Closed);
            }
        }
    }

    /// Ends the session; whether the other side has ended it, too. Some close in answer (docs/wire.md §12, Mono).
    async fn end(&mut self) -> bool {
        let mut out = [0; 8];
        let Ok(written) = self.initiator.end(&mut out) else { return false };
        if self.stream.write_all(out.get(..written).unwrap_or_default()).await.is_err() {
            return false;
        }
        loop {
            let Ok(step) = self.initiator.step(&self.received) else { return false };
            let consumed = step.consumed;
            match step.event {
                Event::End => return true,
                Event::Fault(_) | Event::Closed => return false,
                Event::NeedMore(_) | Event::AwaitingCommand => {
                    match self.stream.read_buf(&mut self.received).await {
                        Ok(0) => return self.initiator.end_of_stream(&self.received).is_ok(),
                        Ok(_) => {}
                        Err(_) => return false,
                    }
                }
                // What a service says unasked.
                _ => {
                    self.received.drain(..consumed);
                }
            }
        }
    }

    /// No reset: all is read, and the other side sees an end of the stream where one may be.
    async fn leave(mut self) {
        let everything = async {
            self.stream.shutdown().await?;
            let mut octets = [0; 4096];
            while self.stream.read(&mut octets).await? > 0 {}
            Ok::<(), io::Error>(())
        };
        let _ = timeout_at(Instant::now() + LEAVING, everything).await;
    }
}

impl Found {
    /// The kind of what the sockets said.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::NotConnected(error) => Some(error.kind()),
            Self::Broken(error) => Some(error.kind()),
            _ => None,
        }
    }
}
