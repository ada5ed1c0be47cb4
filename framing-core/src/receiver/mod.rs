//! The receiver's side of a connection: [`Receiver`] and its [`Event`]s.

mod commands;

use core::num::NonZeroUsize;

use crate::preamble::{self, Preamble, PreambleView, view_modes};
use crate::session::{Inbound, Incoming, Outbound, Role, ends_behind, nothing_expected};
use crate::{DecodeError, Decoded, Expected, Limits, Mode, Record, RecordType, Step, StreamEnd};

/// What [`Receiver::step`] found. Texts and payloads borrow from the octets given to it.
///
/// ```
/// use framing_core::receiver::Event;
/// use framing_core::{Limits, Receiver};
///
/// let mut receiver = Receiver::new(Limits::DEFAULT);
/// let mut octets = &b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x0C\x06\x02hi\x07"[..];
/// let mut seen = Vec::new();
/// loop {
///     let step = receiver.step(octets)?;
///     match step.event {
///         Event::NeedMore(_) => break, // read more
///         Event::Preamble(preamble) => seen.push(preamble.via),
///         Event::PreambleEnd => drop(receiver.acknowledge(&mut [0; 1])), // and send it
///         Event::Payload(payload) => seen.push(std::str::from_utf8(payload).unwrap()),
///         Event::End => drop(receiver.end(&mut [0; 1])), // and send it
///         _ => {}
///     }
///     octets = &octets[step.consumed..];
/// }
/// assert_eq!(seen, ["net.tcp://h/a", "hi"]);
/// # Ok::<(), framing_core::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<'a> {
    /// Nothing more can be said without at least so many octets more. Nothing was consumed.
    NeedMore(NonZeroUsize),
    /// The preamble is complete through the encoding record (§2.2.6 of the specification). Refuse it with
    /// [`fault`](Receiver::fault), or go on.
    Preamble(Preamble<'a>),
    /// The initiator wants to upgrade the stream to this protocol: [`accept_upgrade`](Receiver::accept_upgrade), carry it
    /// out and say [`upgraded`](Receiver::upgraded), or [`fault`](Receiver::fault).
    UpgradeRequest(&'a str),
    /// The preamble is over: [`acknowledge`](Receiver::acknowledge) or [`fault`](Receiver::fault). In a simplex session
    /// there is nothing to answer.
    PreambleEnd,
    /// An envelope begins.
    EnvelopeStart {
        /// Octets of a sized envelope, `None` for an unsized or raw one.
        size: Option<u32>,
    },
    /// Octets of the envelope, at least one. Where a payload is cut depends on how the octets came.
    Payload(&'a [u8]),
    /// The envelope is complete.
    EnvelopeEnd,
    /// The initiator sends nothing more in this session. Once [`end`](Receiver::end) is written too (a simplex session
    /// needs none), the next session may begin on the raw stream; after an upgraded one when
    /// [`downgraded`](Receiver::downgraded) is said.
    End,
    /// Nothing is read until a command is given. Nothing was looked at or consumed.
    AwaitingCommand,
    /// The session ended with a fault of ours; these octets are to be discarded until the stream ends.
    Closed,
}

/// The receiver role (server) of MC-NMF as a state machine without input and output: give it octets with
/// [`step`](Self::step), get events; give it commands, get octets to send.
///
/// Owns no buffer; about 130 octets. A machine serves one connection with any number of sessions, one after the other.
///
/// ```
/// use framing_core::receiver::Event;
/// use framing_core::{Limits, Receiver, Step};
///
/// let mut receiver = Receiver::new(Limits::DEFAULT);
/// let octets = b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x0C";
/// let mut out = [0; 8];
///
/// let Step { consumed, event: Event::Preamble(preamble) } = receiver.step(octets)? else { panic!() };
/// assert_eq!(preamble.via, "net.tcp://h/a");
/// let octets = &octets[consumed..];
/// assert_eq!(receiver.step(octets)?, Step { consumed: 1, event: Event::PreambleEnd });
/// assert_eq!(receiver.acknowledge(&mut out), Ok(1));
/// assert_eq!(out[0], 0x0B);
/// # Ok::<(), framing_core::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    limits: Limits,
    one_way: bool,
    upgraded: bool,
    state: State,
    /// Of the session at hand, once its preamble is there.
    mode: Option<Mode>,
    output: Outbound,
}

/// States of docs/wire.md §8.1: S0 to S10 are `Preamble`, S11 `Records`, S13 and S14 the two that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    Records,
    AwaitingUpgrade,
    /// The Upgrade Response is out: no octet is ours until the upgrade is done.
    Upgrading,
    AwaitingAcknowledge,
    Session(Inbound),
    /// The initiator's End has come, ours has not gone.
    InputEnded,
    /// Both Ends of an upgraded session are through: no octet is ours until the stream is the raw one again.
    Downgrading,
    Failed(DecodeError),
    Closed,
}

impl Receiver {
    /// A receiver on a connection: modes singleton-unsized and duplex, the two that can be answered
    /// ([MS-NMFTB] 3.1.1).
    ///
    /// [MS-NMFTB]: https://learn.microsoft.com/openspecs/windows_protocols/ms-nmftb/
    ///
    /// ```
    /// use framing_core::{Limits, Receiver};
    /// let receiver = Receiver::new(Limits { envelope: 1 << 20, ..Limits::DEFAULT });
    /// assert_eq!(receiver.mode(), None);
    /// ```
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            one_way: false,
            upgraded: false,
            state: State::Preamble,
            mode: None,
            output: Outbound::Shut,
        }
    }

    /// A receiver that takes all four modes, also simplex and singleton-sized, which have no way back (queues, files).
    ///
    /// ```
    /// use framing_core::receiver::Event;
    /// use framing_core::{Limits, Receiver, Step};
    /// let octets = b"\x00\x01\x00\x01\x03\x02\x0Dnet.tcp://h/a\x03\x08\x0C\x07";
    /// assert!(Receiver::new(Limits::DEFAULT).step(octets).is_err());
    /// assert!(Receiver::any_mode(Limits::DEFAULT).step(octets).is_ok());
    /// ```
    #[must_use]
    pub const fn any_mode(limits: Limits) -> Self {
        Self { one_way: true, ..Self::new(limits) }
    }

    /// Decodes the next event from the beginning of `octets`. Give it everything that was received and not consumed.
    ///
    /// The same octets give the same events however they are split (payloads aside). Call it until
    /// [`NeedMore`](Event::NeedMore), only then read more.
    ///
    /// # Errors
    /// Whatever [`DecodeError`] lists. The machine stays failed and repeats the error; [`answer`](Self::answer) says
    /// which fault to send, if any.
    ///
    /// ```
    /// use framing_core::{DecodeError, Fault, Limits, Receiver};
    /// let mut receiver = Receiver::new(Limits::DEFAULT);
    /// let error = receiver.step(&[0x00, 0x02]).unwrap_err();
    /// assert_eq!(error, DecodeError::UnsupportedVersion { major: 2 });
    /// assert_eq!(receiver.answer(), Some(Fault::UNSUPPORTED_VERSION));
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
            State::Preamble => self.preamble(octets)?,
            State::Records => self.record(octets)?,
            State::AwaitingUpgrade
            | State::Upgrading
            | State::AwaitingAcknowledge
            | State::InputEnded
            | State::Downgrading => (0, Event::AwaitingCommand),
            State::Session(inbound) => match inbound.step(octets, &self.limits)? {
                (consumed, Incoming::NeedMore(octets)) => (consumed, Event::NeedMore(octets)),
                (consumed, Incoming::EnvelopeStart { size }) => (consumed, Event::EnvelopeStart { size }),
                (consumed, Incoming::Payload(payload)) => (consumed, Event::Payload(payload)),
                (consumed, Incoming::EnvelopeEnd) => (consumed, Event::EnvelopeEnd),
                (consumed, Incoming::End | Incoming::Fault(_)) => {
                    self.state = State::InputEnded;
                    self.end_session();
                    (consumed, Event::End)
                }
            },
            State::Failed(error) => return Err(*error),
            State::Closed => (octets.len(), Event::Closed),
        };
        Ok(Step { consumed, event })
    }

    /// S0 to S10: everything through the encoding record at once, so that the texts can be borrowed together.
    fn preamble<'a>(&mut self, octets: &'a [u8]) -> Result<(usize, Event<'a>), DecodeError> {
        let view = view_modes(octets, &self.limits, self.one_way).inspect_err(|_| {
            // Whether there is a way back is known as soon as the mode is.
            if let [0x00, 0x01, _, 0x01, mode @ 0x03..=0x04, ..] = octets
                && self.one_way
            {
                self.mode = Some(Mode(*mode));
            }
        })?;
        match view {
            PreambleView::NeedMore(missing) | PreambleView::Via { missing, .. } => {
                Ok((0, Event::NeedMore(missing)))
            }
            PreambleView::Encoding { mode, via, encoding, consumed } => {
                self.mode = Some(mode);
                self.state = match mode {
                    Mode::SINGLETON_SIZED => State::Session(Inbound::new(Role::Receiver, mode)),
                    _ => State::Records,
                };
                Ok((consumed, Event::Preamble(Preamble { mode, via, encoding })))
            }
        }
    }

    /// S11: an upgrade or the end of the preamble.
    fn record<'a>(&mut self, octets: &'a [u8]) -> Result<(usize, Event<'a>), DecodeError> {
        let mode = self.mode.unwrap_or(Mode::DUPLEX);
        let simplex = mode == Mode::SIMPLEX;
        let Some(code) = octets.first() else {
            return Ok((0, Event::NeedMore(NonZeroUsize::MIN)));
        };
        let got = RecordType(*code);
        match got {
            RecordType::PREAMBLE_END if simplex => {
                self.state = State::Session(Inbound::new(Role::Receiver, mode));
                return Ok((1, Event::PreambleEnd));
            }
            RecordType::PREAMBLE_END => {
                self.state = State::AwaitingAcknowledge;
                return Ok((1, Event::PreambleEnd));
            }
            // WCF's own grammar knows no Preamble End in simplex.
            RecordType::SIZED_ENVELOPE | RecordType::END if simplex => {
                self.state = State::Session(Inbound::new(Role::Receiver, mode));
                return self.advance(octets).map(|step| (step.consumed, step.event));
            }
            RecordType::UPGRADE_REQUEST if !simplex => match Record::decode(octets, &self.limits)? {
                Decoded::NeedMore(missing) => return Ok((0, Event::NeedMore(missing))),
                Decoded::Complete { value: Record::UpgradeRequest(name), consumed } => {
                    self.state = State::AwaitingUpgrade;
                    return Ok((consumed, Event::UpgradeRequest(name)));
                }
                Decoded::Complete { .. } => {}
            },
            _ => {}
        }
        Err(DecodeError::UnexpectedRecord { expected: self.expected_record(), got })
    }

    /// What S11 waits for.
    fn expected_record(&self) -> Expected {
        match self.mode {
            Some(Mode::SIMPLEX) => Expected::PreambleEndOrEnvelope,
            _ => Expected::UpgradeOrPreambleEnd,
        }
    }

    /// Says that the stream has ended. `left` are the octets received and not consumed, after
    /// [`NeedMore`](Event::NeedMore) or [`AwaitingCommand`](Event::AwaitingCommand).
    ///
    /// # Errors
    /// [`DecodeError::EndOfStream`] where the initiator had to send more, with what is missing first;
    /// [`DecodeError::UnexpectedRecord`] for octets inside an upgrade behind both Ends; the error the machine failed with
    /// before.
    ///
    /// ```
    /// use framing_core::{DecodeError, Expected, Limits, Receiver, RecordType};
    /// let mut receiver = Receiver::new(Limits::DEFAULT);
    /// let octets = [0x00, 0x01];
    /// assert!(receiver.step(&octets).is_ok()); // needs more, but
    /// let error = DecodeError::EndOfStream { expected: Expected::MoreOf(RecordType::VERSION) };
    /// assert_eq!(receiver.end_of_stream(&octets), Err(error));
    /// ```
    pub fn end_of_stream(&mut self, left: &[u8]) -> Result<StreamEnd, DecodeError> {
        let end = match self.state {
            State::Preamble if left.is_empty() => Ok(StreamEnd::Quiet),
            State::Preamble => preamble::lacks(left, &self.limits, self.one_way)
                .and_then(|expected| Err(DecodeError::EndOfStream { expected })),
            State::Records => Err(ends_behind(left, self.expected_record())),
            // The initiator owes what comes behind our answer.
            State::AwaitingUpgrade => Err(ends_behind(&[], self.expected_record())),
            State::Upgrading => {
                self.output = Outbound::Ended; // a fault in the clear would be taken for the upgrade's
                Err(ends_behind(&[], Expected::Upgrade))
            }
            State::AwaitingAcknowledge => {
                let inbound = Inbound::new(Role::Receiver, self.mode.unwrap_or(Mode::DUPLEX));
                Err(ends_behind(&[], inbound.expected()))
            }
            State::Session(inbound) => inbound.end_of_stream(left, false),
            State::Downgrading => {
                left.first().map_or(Ok(StreamEnd::Quiet), |got| Err(nothing_expected(*got)))
            }
            State::InputEnded | State::Closed => Ok(StreamEnd::Orderly),
            State::Failed(error) => Err(error),
        };
        match end {
            Ok(StreamEnd::Quiet) => {}
            Ok(StreamEnd::EnvelopeEnd) => self.state = State::Closed,
            Ok(StreamEnd::Orderly) if self.state == State::Closed => {}
            Ok(StreamEnd::Orderly) => self.state = State::InputEnded,
            Err(error) => self.state = State::Failed(error),
        }
        end
    }

    /// Whether what this machine reads and writes now travels inside an upgrade: from [`upgraded`](Self::upgraded) to
    /// [`downgraded`](Self::downgraded).
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x09\x03tls"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// receiver.accept_upgrade(&mut out)?; // sent in the clear
    /// assert!(!receiver.is_upgraded());
    /// receiver.upgraded(&[])?;
    /// assert!(receiver.is_upgraded());
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    #[must_use]
    pub const fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// The mode of the session at hand, `None` between sessions and before a preamble is complete.
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// assert_eq!(receiver.mode(), Some(Mode::DUPLEX));
    /// ```
    #[must_use]
    pub const fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// Once both sides have ended: back to S0, from inside an upgrade when that is taken down.
    fn end_session(&mut self) {
        let nothing_to_end = !self.mode.is_some_and(Mode::has_back_channel);
        if self.state == State::InputEnded && (nothing_to_end || self.output == Outbound::Ended) {
            if self.upgraded {
                self.state = State::Downgrading;
            } else {
                self.next_session();
            }
        }
    }

    fn next_session(&mut self) {
        *self = Self { one_way: self.one_way, ..Self::new(self.limits) };
    }
}
