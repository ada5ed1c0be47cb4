//! One framing session: envelopes both ways until both sides have ended it.

use core::time::Duration;
use std::net::SocketAddr;

use framing_core::{ApiMisuse, DecodeError, Field, Initiator, Limits, Mode, Receiver, Record, Step};
use tokio::time::{Instant, timeout};

use crate::connection::Connection;
use crate::error::TransportError;
use crate::home::Home;
use crate::machine::{Incoming, Machine};
use crate::options::RECEIVE_TIMEOUT;

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
    limits: Limits,
    receive_timeout: Duration,
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
        limits: Limits,
        home: Home,
    ) -> Self {
        Self { home: Some(home), ..Self::new(connection, Machine::Receiver(machine), session, limits) }
    }

    pub(crate) fn connected(
        connection: Connection,
        machine: Initiator,
        session: Session,
        limits: Limits,
    ) -> Self {
        Self::new(connection, Machine::Initiator(machine), session, limits)
    }

    fn new(connection: Connection, machine: Machine, session: Session, limits: Limits) -> Self {
        Self {
            connection,
            machine,
            session,
            limits,
            receive_timeout: RECEIVE_TIMEOUT,
            waiting: None,
            incoming: Vec::new(),
            input_ended: false,
            output_ended: false,
            spent: false,
            sending: false,
            home: None,
        }
    }

    pub(crate) fn with_receive_timeout(self, receive_timeout: Duration) -> Self {
        Self { receive_timeout, ..self }
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
    pub fn peer_addr(&self) -> std::io::Result<SocketAddr> {
        self.connection.stream().peer_addr()
    }

    /// The address on this machine that the peer is connected to.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
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
        let left = self.receive_timeout.saturating_sub(since.elapsed());
        let Ok(received) = timeout(left, self.receive_some_time()).await else {
            self.spent = true;
            return Err(TransportError::TimedOut(self.receive_timeout));
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
                Incoming::NeedInput => {
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
        if let (Machine::Receiver(machine), Some(fault), false) =
            (&mut self.machine, error.fault(), self.sending)
        {
            let mut octets = vec![0; Record::Fault(fault).encoded_len()];
            if machine.fault(fault, &mut octets).is_ok() {
                self.output_ended = true;
                self.connection.finish_with(&octets).await;
            }
        }
        match error {
            DecodeError::TooLong { field: Field::SizedEnvelope | Field::UnsizedEnvelope, .. } => {
                TransportError::EnvelopeTooLarge { limit: self.limits.envelope }
            }
            error => TransportError::Protocol(error),
        }
    }

    /// Sends an envelope, at least one octet.
    ///
    /// # Errors
    /// [`Misuse`](TransportError::Misuse): the session has no place for it. [`Io`](TransportError::Io): the connection
    /// broke.
    ///
    /// # Cancel safety
    /// None: a cancelled `send` may have sent a part, and the session can only be dropped.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), TransportError> {
        if self.sending {
            return Err(HALF_SENT);
        }
        let size =
            u32::try_from(octets.len()).map_err(|_| TransportError::Misuse("an envelope over 31 bits"))?;
        let mut header = [0; 8];
        let written = self.machine.envelope(size, &mut header).map_err(misuse)?;
        let terminator: &[u8] = match self.session.mode {
            Mode::SINGLETON_UNSIZED => {
                let mut terminator = [0; 1];
                self.machine.envelope_end(&mut terminator).map_err(misuse)?;
                &[0]
            }
            _ => &[],
        };
        self.sending = true;
        self.connection.write([header.get(..written).unwrap_or_default(), octets, terminator]).await?;
        self.sending = false;
        self.waiting = None;
        Ok(())
    }

    /// Ends this side's half of the session: the peer is told that nothing more comes. Receiving goes on.
    ///
    /// # Errors
    /// [`Misuse`](TransportError::Misuse) from the initiator of a singleton session that has sent no envelope;
    /// [`Io`](TransportError::Io).
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
            match self.connection.write([&record]).await {
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

fn misuse(misuse: ApiMisuse) -> TransportError {
    TransportError::Misuse(match misuse {
        ApiMisuse::Encode(_) => "an envelope has 1 to 2147483647 octets",
        _ => "the session has no place for this: it has ended, or its one envelope was sent, or none was",
    })
}
