//! The initiator's side of a connection: [`Initiator`] and its [`Event`]s.

mod commands;

use core::num::NonZeroUsize;

use crate::session::{Inbound, Incoming, Outbound, Role, ends_behind, nothing_expected};
use crate::{DecodeError, Decoded, Expected, Fault, Limits, Mode, Record, RecordType, Step, StreamEnd};

/// What [`Initiator::step`] found. URIs and payloads borrow from the octets given to it.
///
/// ```
/// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
/// # use framing_core::{Fault, StreamEnd, initiator::Event};
/// let mut initiator = Initiator::new(Limits::DEFAULT);
/// let mut out = [0; 128];
/// # let encoding = Encoding::Known(KnownEncoding::BINARY);
/// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
/// # initiator.preamble(&preamble, &mut out)?;
/// initiator.preamble_end(&mut out)?;
/// let mut octets = &b"\x0B\x06\x02hi\x07"[..];
/// let mut seen = Vec::new();
/// while let Ok(step) = initiator.step(octets) {
///     match step.event {
///         Event::NeedMore(_) | Event::AwaitingCommand => break, // read more, or go on
///         Event::PreambleAck => seen.push("ack"), // envelopes may be sent
///         Event::Payload(payload) => seen.push(std::str::from_utf8(payload).unwrap()),
///         Event::End => seen.push("end"),
///         Event::Fault(fault) => panic!("refused: {fault}"),
///         _ => {}
///     }
///     octets = &octets[step.consumed..];
/// }
/// assert_eq!(seen, ["ack", "hi", "end"]);
/// # Ok::<(), ApiMisuse>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'a> {
    /// Nothing more can be said without at least so many octets more. Nothing was consumed.
    NeedMore(NonZeroUsize),
    /// The receiver upgrades: every later octet, those in the buffer included, belongs to the upgrade. Carry it out and say
    /// [`upgraded`](Initiator::upgraded).
    UpgradeResponse,
    /// The receiver accepts the session: envelopes may go both ways.
    PreambleAck,
    /// An envelope begins.
    EnvelopeStart {
        /// Octets of a sized envelope, `None` for an unsized one.
        size: Option<u32>,
    },
    /// Octets of the envelope, at least one. Where a payload is cut depends on how the octets came.
    Payload(&'a [u8]),
    /// The envelope is complete.
    EnvelopeEnd,
    /// The receiver sends nothing more in this session. Once [`end`](Initiator::end) is written too, the next session
    /// may begin on the raw stream; after an upgraded one when [`downgraded`](Initiator::downgraded) is said.
    End,
    /// The receiver refuses or breaks off; the session is over.
    Fault(Fault<'a>),
    /// Nothing can come until a command is given, or nothing ever comes in this mode. Nothing was consumed.
    AwaitingCommand,
    /// A fault came before; these octets are to be discarded (CoreWCF, for one, writes its fault twice).
    Closed,
}

/// The initiator role (client) of MC-NMF as a state machine without input and output: commands give octets to send,
/// [`step`](Self::step) makes events of what comes back.
///
/// Owns no buffer; about 110 octets. A machine serves one connection with any number of sessions, one after the other.
///
/// ```
/// use framing_core::initiator::Event;
/// use framing_core::{Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble, Step};
///
/// let mut initiator = Initiator::new(Limits::DEFAULT);
/// let encoding = Encoding::Known(KnownEncoding::BINARY_SESSION);
/// let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
/// let mut out = [0; 64];
/// let mut len = initiator.preamble(&preamble, &mut out)?;
/// len += initiator.preamble_end(&mut out[len..])?; // in one write with the preamble, as WCF does
/// assert_eq!(out[..len], *b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x0C");
///
/// assert_eq!(initiator.step(&[0x0B]), Ok(Step { consumed: 1, event: Event::PreambleAck }));
/// let header = initiator.envelope_header(3, &mut out)?; // then 3 octets of payload
/// assert_eq!(out[..header], [0x06, 0x03]);
/// # Ok::<(), framing_core::ApiMisuse>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initiator {
    limits: Limits,
    upgraded: bool,
    state: State,
    mode: Mode,
    output: Outbound,
}

/// States of docs/wire.md §8.4: C0 is `Start`, C1 `AwaitingUpgrade`, C2 `AwaitingAck`, C3 `Session`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    /// The preamble is out; an upgrade or its end must follow.
    Preamble,
    AwaitingUpgrade,
    /// The Upgrade Response has come: no octet is ours until the upgrade is done.
    Upgrading,
    AwaitingAck,
    Session(Inbound),
    /// The receiver's End has come, ours has not gone.
    InputEnded,
    /// Both Ends are through. Nothing may have come behind the receiver's: it would answer the next preamble.
    Over,
    /// The same of an upgraded session: no octet is ours until the stream is the raw one again.
    Downgrading,
    /// Simplex and singleton-sized: nothing comes back.
    OneWay,
    Failed(DecodeError),
    Closed,
}

impl Initiator {
    /// An initiator; of the limits it uses those for faults and envelopes.
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// assert!(initiator.is_idle());
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, upgraded: false, state: State::Start, mode: Mode::DUPLEX, output: Outbound::Shut }
    }

    /// Decodes the next event from the beginning of `octets`. Give it everything that was received and not consumed.
    ///
    /// The same octets give the same events however they are split (payloads aside). Call it until
    /// [`NeedMore`](Event::NeedMore) or [`AwaitingCommand`](Event::AwaitingCommand), also between sessions: what comes
    /// while nothing is asked for would be taken for the answer to what is asked for next.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedRecord`] (its text hints at HTTP where that is it), [`TooLong`](DecodeError::TooLong),
    /// [`SizeTooLarge`](DecodeError::SizeTooLarge), [`Empty`](DecodeError::Empty) and [`NotUtf8`](DecodeError::NotUtf8)
    /// for a fault. The machine stays failed and repeats the error. Nobody is told: the connection is to be closed.
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// initiator.preamble_end(&mut out)?;
    /// let error = initiator.step(b"HTTP/1.1 400").unwrap_err();
    /// let text = "expected PreambleAck or Fault, got 0x48 (the peer seems to speak HTTP)";
    /// assert_eq!(error.to_string(), text);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn step<'a>(&mut self, octets: &'a [u8]) -> Result<Step<Event<'a>>, DecodeError> {
        let step = self.advance(octets);
        if let Err(error) = step {
            self.state = State::Failed(error);
        }
        step
    }

    fn advance<'a>(&mut self, octets: &'a [u8]) -> Result<Step<Event<'a>>, DecodeError> {
        let (consumed, event) = match &mut self.state {
            State::Over if octets.is_empty() => {
                *self = Self::new(self.limits);
                (0, Event::AwaitingCommand)
            }
            State::Start | State::Preamble | State::OneWay if octets.is_empty() => {
                (0, Event::AwaitingCommand)
            }
            State::Start | State::Preamble | State::OneWay | State::Over => {
                self.answer(octets, None, Expected::Nothing)?
            }
            State::Upgrading | State::InputEnded | State::Downgrading => (0, Event::AwaitingCommand),
            State::AwaitingUpgrade => {
                self.answer(octets, Some(RecordType::UPGRADE_RESPONSE), Expected::UpgradeResponse)?
            }
            State::AwaitingAck => {
                self.answer(octets, Some(RecordType::PREAMBLE_ACK), Expected::PreambleAck)?
            }
            State::Session(inbound) => match inbound.step(octets, &self.limits)? {
                (consumed, Incoming::NeedMore(octets)) => (consumed, Event::NeedMore(octets)),
                (consumed, Incoming::EnvelopeStart { size }) => (consumed, Event::EnvelopeStart { size }),
                (consumed, Incoming::Payload(payload)) => (consumed, Event::Payload(payload)),
                (consumed, Incoming::EnvelopeEnd) => (consumed, Event::EnvelopeEnd),
                (consumed, Incoming::End) => {
                    self.state = State::InputEnded;
                    self.end_session();
                    (consumed, Event::End)
                }
                (consumed, Incoming::Fault(fault)) => {
                    self.state = State::Closed;
                    (consumed, Event::Fault(fault))
                }
            },
            State::Failed(error) => return Err(*error),
            State::Closed => (octets.len(), Event::Closed),
        };
        Ok(Step { consumed, event })
    }

    /// C1 and C2: the one record wanted, or a fault, which may come unasked too. Judged by the type octet before anything
    /// is awaited.
    fn answer<'a>(
        &mut self,
        octets: &'a [u8],
        wanted: Option<RecordType>,
        expected: Expected,
    ) -> Result<(usize, Event<'a>), DecodeError> {
        let Some(code) = octets.first() else {
            return Ok((0, Event::NeedMore(NonZeroUsize::MIN)));
        };
        let got = RecordType(*code);
        if Some(got) != wanted && got != RecordType::FAULT {
            return Err(DecodeError::UnexpectedRecord { expected, got });
        }
        match Record::decode(octets, &self.limits)? {
            Decoded::NeedMore(missing) => Ok((0, Event::NeedMore(missing))),
            Decoded::Complete { value: Record::Fault(fault), consumed } => {
                self.state = State::Closed;
                Ok((consumed, Event::Fault(fault)))
            }
            Decoded::Complete { value: Record::UpgradeResponse, consumed } => {
                self.state = State::Upgrading;
                Ok((consumed, Event::UpgradeResponse))
            }
            Decoded::Complete { consumed, .. } => {
                self.state = State::Session(Inbound::new(Role::Initiator, self.mode));
                self.output = Outbound::Open;
                Ok((consumed, Event::PreambleAck))
            }
        }
    }

    /// Says that the stream has ended. `left` are the octets received and not consumed, after
    /// [`NeedMore`](Event::NeedMore) or [`AwaitingCommand`](Event::AwaitingCommand).
    ///
    /// # Errors
    /// [`DecodeError::EndOfStream`] where the receiver had to send more, with what is missing first;
    /// [`DecodeError::UnexpectedRecord`] for octets that nothing asked for; the error the machine failed with before.
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// assert_eq!(initiator.end_of_stream(&[]), Err(framing_core::DecodeError::EndOfStream {
    ///     expected: framing_core::Expected::PreambleAck, // the service refused without saying why
    /// }));
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn end_of_stream(&mut self, left: &[u8]) -> Result<StreamEnd, DecodeError> {
        let end = match (self.state, left) {
            (State::Failed(error), _) => Err(error),
            (State::Closed, _) | (State::InputEnded, []) => Ok(StreamEnd::Orderly),
            (State::Start | State::OneWay | State::Over | State::Downgrading, []) => Ok(StreamEnd::Quiet),
            (State::AwaitingUpgrade, left) => Err(ends_behind(left, Expected::UpgradeResponse)),
            (State::Upgrading, _) => Err(ends_behind(&[], Expected::Upgrade)),
            (State::AwaitingAck, left) => Err(ends_behind(left, Expected::PreambleAck)),
            (State::Session(inbound), left) => inbound.end_of_stream(left, self.output == Outbound::Ended),
            (State::Preamble, []) => Err(ends_behind(&[], Expected::PreambleAck)),
            (_, [got, ..]) if *got == RecordType::FAULT.0 => Err(ends_behind(left, Expected::Nothing)),
            (_, [got, ..]) => Err(nothing_expected(*got)),
        };
        match end {
            Ok(_) => self.state = State::Closed,
            Err(error) => self.state = State::Failed(error),
        }
        end
    }

    /// Whether what this machine reads and writes now travels inside an upgrade: from [`upgraded`](Self::upgraded) to
    /// [`downgraded`](Self::downgraded).
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// initiator.upgrade_request("application/ssl-tls", &mut out)?;
    /// initiator.step(&[0x0A]).unwrap();
    /// assert!(!initiator.is_upgraded());
    /// initiator.upgraded(&[])?;
    /// assert!(initiator.is_upgraded());
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    #[must_use]
    pub const fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Whether a session may begin: [`preamble`](Self::preamble) is in turn. So it is again once both Ends are through and
    /// [`step`](Self::step) has said, with [`AwaitingCommand`](Event::AwaitingCommand), that nothing has come behind them.
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// assert!(!initiator.is_idle());
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Start)
    }

    /// Once both sides have ended: back to C0, by way of what may still have come.
    fn end_session(&mut self) {
        match self.state {
            _ if self.output != Outbound::Ended => {}
            State::InputEnded if self.upgraded => self.state = State::Downgrading,
            State::InputEnded => self.state = State::Over,
            State::OneWay => *self = Self::new(self.limits),
            _ => {}
        }
    }
}
