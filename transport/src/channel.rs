//! One framing session: envelopes both ways until both sides have ended it.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use framing_core::{ApiMisuse, DecodeError, Field, Initiator, Mode, Receiver, Step};
use tokio::time::{Instant, timeout};

use crate::connection::Connection;
use crate::error::TransportError;
use crate::home::Home;
use crate::machine::{Incoming, Machine};
use crate::options::Bounds;

/// How long the peer may take to end the session too: WCF's default close timeout.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// A message as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// What the octets mean is said by the session's [`Channel::content_type`].
    pub octets: Vec<u8>,
}

/// What the session's preamble said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) mode: Mode,
    pub(crate) via: String,
    pub(crate) content_type: String,
}

/// A framing session with a peer, as its receiver ([`Listener::accept`](crate::Listener::accept)) or its initiator
/// ([`connect`](crate::connect)).
///
/// A duplex session carries any number of envelopes each way, in any order; a singleton-unsized one carries one each way,
/// the initiator's first. Dropped without [`close`](Self::close), it breaks off and the peer sees the connection close.
#[derive(Debug)]
pub struct Channel {
    connection: Connection,
    machine: Machine,
    session: Session,
    bounds: Bounds,
    /// Since when the next envelope is waited for.
    waiting: Option<Instant>,
    /// The envelope that is coming in. Grows with what really arrives.
    incoming: Vec<u8>,
    input_ended: bool,
    output_ended: bool,
    /// The connection carries nothing more, not even another session.
    spent: bool,
    /// A record is half written. INVARIANT: true only inside `send`, or after one that failed or was cancelled.
    sending: bool,
    /// Where the connection goes when the session has ended.
    home: Option<Home>,
}

impl Channel {
    pub(crate) fn accepted(
        connection: Connection,
        machine: Receiver,
        session: Session,
        bounds: Bounds,
        home: Home,
    ) -> Self {
        Self { home: Some(home), ..Self::new(connection, Machine::Receiver(machine), session, bounds) }
    }

    pub(crate) fn connected(
        connection: Connection,
        machine: Initiator,
        session: Session,
        bounds: Bounds,
    ) -> Self {
        Self::new(connection, Machine::Initiator(machine), session, bounds)
    }

    fn new(connection: Connection, machine: Machine, session: Session, bounds: Bounds) -> Self {
        Self {
            connection,
            machine,
            session,
            bounds,
            waiting: None,
            incoming: Vec::new(),
            input_ended: false,
            output_ended: false,
            spent: false,
            sending: false,
            home: None,
        }
    }

    /// The Via of the preamble: the address that the initiator called.
    pub fn via(&self) -> &str {
        &self.session.via
    }

    /// Duplex or singleton-unsized.
    pub fn mode(&self) -> Mode {
        self.session.mode
    }

    /// The content type of every envelope of this session.
    pub fn content_type(&self) -> &str {
        &self.session.content_type
    }

    /// The peer's address.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connection.stream().peer_addr()
    }

    /// The address on this machine that the peer is connected to.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.connection.stream().local_addr()
    }

    /// Waits for the peer's next envelope; `None` when the peer has ended its half of the session. It waits no longer than the
    /// receive timeout of [`ListenOptions`](crate::ListenOptions::receive_timeout) or
    /// [`ConnectOptions`](crate::ConnectOptions::receive_timeout), over calls that are cancelled too; an envelope that is sent
    /// meanwhile begins it anew.
    ///
    /// # Errors
    /// [`TimedOut`](TransportError::TimedOut): the whole envelope did not come in time, and the session is broken off.
    /// [`Fault`](TransportError::Fault): the receiver broke the session off. [`EnvelopeTooLarge`]: an initiator is told so
    /// with a fault. [`Protocol`](TransportError::Protocol), [`Closed`](TransportError::Closed),
    /// [`Io`](TransportError::Io): nothing more can come of this session.
    ///
    /// # Cancel safety
    /// Cancelled, nothing is lost: the next call goes on with what has come.
    ///
    /// [`EnvelopeTooLarge`]: TransportError::EnvelopeTooLarge
    pub async fn receive(&mut self) -> Result<Option<Envelope>, TransportError> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let left = self.bounds.receive_timeout.saturating_sub(since.elapsed());
        let Ok(received) = timeout(left, self.receive_some_time()).await else {
            self.spent = true;
            return Err(TransportError::TimedOut(self.bounds.receive_timeout));
        };
        self.waiting = None;
        received
    }

    async fn receive_some_time(&mut self) -> Result<Option<Envelope>, TransportError> {
        while !self.input_ended {
            if self.spent {
                return Err(TransportError::Closed);
            }
            let Step { consumed, event } = match self.machine.step(self.connection.unread()) {
                Ok(step) => step,
                Err(error) => return Err(self.broken_by(error).await),
            };
            match event {
                Incoming::NeedMore => {
                    if self.connection.fill().await? == 0 {
                        self.end_of_stream()?;
                    }
                    continue;
                }
                Incoming::EnvelopeStart => {}
                Incoming::Payload(octets) => self.incoming.extend_from_slice(octets),
                Incoming::EnvelopeEnd => {
                    self.connection.discard(consumed);
                    return Ok(Some(Envelope { octets: core::mem::take(&mut self.incoming) }));
                }
                Incoming::End => self.input_ended = true,
                Incoming::Fault(fault) => {
                    self.spent = true;
                    return Err(TransportError::Fault { uri: fault.uri().to_owned() });
                }
            }
            self.connection.discard(consumed);
        }
        Ok(None)
    }

    fn end_of_stream(&mut self) -> Result<(), TransportError> {
        self.spent = true;
        match self.machine.end_of_stream(self.connection.unread()) {
            Ok(()) => {
                self.input_ended = true;
                Ok(())
            }
            Err(DecodeError::EndOfStream { .. }) => Err(TransportError::Closed),
            Err(error) => Err(TransportError::Protocol(error)),
        }
    }

    /// Tells an initiator what was wrong, as far as a fault may still be sent.
    async fn broken_by(&mut self, error: DecodeError) -> TransportError {
        self.spent = true;
        let answer = match &self.machine {
            Machine::Receiver(machine) if !self.sending => machine.answer(),
            _ => None,
        };
        if let Some(fault) = answer {
            self.output_ended = true;
            self.connection.refuse(Some(fault)).await;
        }
        match error {
            DecodeError::TooLong { field: Field::SizedEnvelope | Field::UnsizedEnvelope, .. } => {
                TransportError::EnvelopeTooLarge { limit: self.bounds.limits.envelope }
            }
            error => TransportError::Protocol(error),
        }
    }

    /// Sends an envelope, at least one octet: waits until the kernel has all of it, not until the peer has read it. It waits no
    /// longer than the send timeout of [`ListenOptions`](crate::ListenOptions::send_timeout) or
    /// [`ConnectOptions`](crate::ConnectOptions::send_timeout).
    ///
    /// # Errors
    /// [`Misuse`](TransportError::Misuse): the session has no place for it, and nothing was sent.
    /// [`TimedOut`](TransportError::TimedOut): the peer did not read in time. [`Io`](TransportError::Io): the connection broke.
    /// After these two, as after a `send` that was cancelled, a part may have been sent.
    ///
    /// # Cancel safety
    /// None: when a part was sent, [`send`](Self::send), [`end`](Self::end) and [`close`](Self::close) give
    /// [`Misuse`](TransportError::Misuse). What the peer sends can still be received; then the session can only be dropped.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), TransportError> {
        if self.sending {
            return Err(HALF_SENT);
        }
        let size =
            u32::try_from(octets.len()).map_err(|_| TransportError::Misuse("an envelope over 31 bits"))?;
        let mut header = [0; 8];
        let written = self.machine.envelope_header(size, &mut header).map_err(misuse)?;
        let header = header.get(..written).unwrap_or_default();
        let mut terminator = [0; 1];
        let terminator = match self.session.mode {
            Mode::SINGLETON_UNSIZED => {
                let written = self.machine.envelope_end(&mut terminator).map_err(misuse)?;
                terminator.get(..written).unwrap_or_default()
            }
            _ => &[],
        };
        self.sending = true;
        let parts = [header, octets, terminator];
        in_time(self.bounds.send_timeout, self.connection.write(parts)).await?;
        self.sending = false;
        self.waiting = None;
        Ok(())
    }

    /// Ends this side's half of the session: the peer is told that nothing more comes. Receiving goes on.
    ///
    /// # Errors
    /// [`Misuse`](TransportError::Misuse) from the initiator of a singleton session that has sent no envelope;
    /// [`TimedOut`](TransportError::TimedOut), after the send timeout, and [`Io`](TransportError::Io): it may be called again.
    ///
    /// # Cancel safety
    /// Cancelled, it may be called again.
    pub async fn end(&mut self) -> Result<(), TransportError> {
        if self.sending {
            return Err(HALF_SENT);
        }
        if !self.output_ended {
            let mut record = [0; 1];
            // A clone, because the octet may turn out not to be sent.
            let mut ended = self.machine.clone();
            ended.end(&mut record).map_err(misuse)?;
            match in_time(self.bounds.send_timeout, self.connection.write([&record])).await {
                // The peer has ended and did not wait to hear it from us.
                Err(_) if self.input_ended => self.spent = true,
                other => other?,
            }
            self.machine = ended;
            self.output_ended = true;
        }
        Ok(())
    }

    /// Ends the session: sends End, discards envelopes that still come, and waits for the peer's End, for a minute at
    /// most. A receiver's connection may then carry another session, which its listener accepts.
    ///
    /// # Errors
    /// As [`end`](Self::end) and [`receive`](Self::receive); [`TimedOut`](TransportError::TimedOut).
    ///
    /// # Cancel safety
    /// Cancelled, the session is broken off.
    pub async fn close(mut self) -> Result<(), TransportError> {
        let ended = async {
            self.end().await?;
            while self.receive().await?.is_some() {}
            Ok(())
        };
        timeout(CLOSE_TIMEOUT, ended).await.unwrap_or(Err(TransportError::TimedOut(CLOSE_TIMEOUT)))?;
        if let Self { spent: false, home: Some(home), connection, session, .. } = self {
            home.take_back(connection, session.via);
        }
        Ok(())
    }
}

const HALF_SENT: TransportError =
    TransportError::Misuse("an envelope was sent in part only: an earlier send failed or was cancelled");

async fn in_time(
    time: Duration,
    written: impl Future<Output = io::Result<()>>,
) -> Result<(), TransportError> {
    Ok(timeout(time, written).await.map_err(|_| TransportError::TimedOut(time))??)
}

fn misuse(misuse: ApiMisuse) -> TransportError {
    TransportError::Misuse(match misuse {
        ApiMisuse::Encode(_) => "an envelope has 1 to 2147483647 octets",
        _ => "the session has no place for this: it has ended, or its one envelope was sent, or none was",
    })
}
