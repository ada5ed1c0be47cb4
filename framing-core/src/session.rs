//! What both roles share once a preamble is over: envelopes coming in, envelopes going out, Ends.

use core::num::NonZeroUsize;

use crate::{
    ApiMisuse, DecodeError, Decoded, EncodeError, Expected, Fault, Field, Limits, Mode, Record, RecordType,
    size,
};

/// What a machine made of the octets it was given.
///
/// ```
/// use framing_core::receiver::Event;
/// use framing_core::{Limits, Receiver, Step};
/// let mut receiver = Receiver::new(Limits::DEFAULT);
/// let Ok(Step { consumed: 0, event: Event::NeedMore(octets) }) = receiver.step(b"\x00\x01") else { panic!() };
/// assert_eq!(octets.get(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Step<E> {
    /// Octets to discard from the beginning of the buffer once the event is dealt with.
    pub consumed: usize,
    /// What happened; borrows from the buffer.
    pub event: E,
}

/// How a stream ended, where that is no error.
///
/// ```
/// use framing_core::{Limits, Receiver, StreamEnd};
/// let mut receiver = Receiver::new(Limits::DEFAULT);
/// assert_eq!(receiver.end_of_stream(&[]), Ok(StreamEnd::Quiet)); // connected and closed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StreamEnd {
    /// Between sessions, or before the first.
    Quiet,
    /// Inside a session, at a place where the peers in use end a stream: between the envelopes of a duplex or simplex
    /// session, after the peer's End, or after a fault.
    Orderly,
    /// At the end of the raw envelope of a singleton-sized session, which only the transport ends.
    EnvelopeEnd,
}

/// Which end of the connection a machine is: what may come in depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Initiator,
    Receiver,
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    NeedMore(NonZeroUsize),
    EnvelopeStart { size: Option<u32> },
    Payload(&'a [u8]),
    EnvelopeEnd,
    End,
    Fault(Fault<'a>),
}

/// The peer's half of a session after the preamble: D0, U0 to U2 and C3 of docs/wire.md §8.2 to §8.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    role: Role,
    mode: Mode,
    at: At,
    /// A whole envelope has come.
    any: bool,
    /// Payload octets of the unsized or raw envelope so far.
    total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A record.
    Record,
    /// The payload of a sized envelope.
    Payload { left: u32 },
    /// The size of a chunk, or the terminator.
    ChunkSize,
    /// The octets of a chunk; at least one is left.
    Chunk { left: u32 },
    /// The End behind the envelope of a singleton.
    AfterEnvelope,
    /// Before the first octet of a raw envelope.
    RawStart,
    /// Inside a raw envelope.
    Raw,
}

impl Inbound {
    pub(crate) const fn new(role: Role, mode: Mode) -> Self {
        let at = if matches!(mode, Mode::SINGLETON_SIZED) { At::RawStart } else { At::Record };
        Self { role, mode, at, any: false, total: 0 }
    }

    pub(crate) fn step<'a>(
        &mut self,
        octets: &'a [u8],
        limits: &Limits,
    ) -> Result<(usize, Incoming<'a>), DecodeError> {
        match self.at {
            At::Record | At::AfterEnvelope => self.record(octets, limits),
            At::Payload { left: 0 } => {
                self.at = At::Record;
                self.any = true;
                Ok((0, Incoming::EnvelopeEnd))
            }
            At::Payload { left } => {
                let (payload, left) = split_payload(octets, left);
                self.at = At::Payload { left };
                Ok(payload_or_need(payload))
            }
            At::ChunkSize => self.chunk_size(octets, limits),
            At::Chunk { left } => {
                let (payload, left) = split_payload(octets, left);
                self.at = if left == 0 { At::ChunkSize } else { At::Chunk { left } };
                Ok(payload_or_need(payload))
            }
            At::RawStart => {
                self.at = At::Raw;
                Ok((0, Incoming::EnvelopeStart { size: None }))
            }
            At::Raw => {
                // What fits the limit is handed out first: the events must not depend on how the octets came.
                let room = usize::try_from(limits.envelope.saturating_sub(self.total)).unwrap_or(usize::MAX);
                let payload = octets.get(..room).unwrap_or(octets);
                let beyond = usize::from(payload.is_empty() && !octets.is_empty());
                self.count(payload.len().saturating_add(beyond), Field::SizedEnvelope, limits)?;
                Ok(payload_or_need(payload))
            }
        }
    }

    /// Whether the stream may end here, with these octets undecoded.
    pub(crate) fn end_of_stream(&self, left: &[u8], ended_ourselves: bool) -> Result<StreamEnd, DecodeError> {
        match (self.at, left) {
            (At::Raw | At::RawStart, []) => Ok(StreamEnd::EnvelopeEnd),
            (At::Record, []) if !self.is_singleton() && (self.any || ended_ourselves) => {
                Ok(StreamEnd::Orderly)
            }
            (At::Record | At::AfterEnvelope, left) => Err(ends_behind(left, self.expected())),
            _ => Err(DecodeError::EndOfStream { expected: Expected::MoreOfEnvelope }),
        }
    }

    /// A record between envelopes. Judged by its type octet before anything of it is awaited.
    fn record<'a>(
        &mut self,
        octets: &'a [u8],
        limits: &Limits,
    ) -> Result<(usize, Incoming<'a>), DecodeError> {
        let Some(code) = octets.first() else {
            return Ok((0, Incoming::NeedMore(NonZeroUsize::MIN)));
        };
        let got = RecordType(*code);
        if !self.admits(got) {
            return Err(DecodeError::UnexpectedRecord { expected: self.expected(), got });
        }
        let (record, consumed) = match Record::decode(octets, limits)? {
            Decoded::NeedMore(missing) => return Ok((0, Incoming::NeedMore(missing))),
            Decoded::Complete { value, consumed } => (value, consumed),
        };
        let incoming = match record {
            Record::SizedEnvelope { size } => {
                self.at = At::Payload { left: size };
                Incoming::EnvelopeStart { size: Some(size) }
            }
            Record::UnsizedEnvelope => {
                self.at = At::ChunkSize;
                Incoming::EnvelopeStart { size: None }
            }
            Record::Fault(fault) => Incoming::Fault(fault),
            Record::End => Incoming::End,
            _ => return Err(DecodeError::UnexpectedRecord { expected: self.expected(), got }),
        };
        Ok((consumed, incoming))
    }

    /// The size of a chunk with the octets of it that are there, or the terminator.
    fn chunk_size<'a>(
        &mut self,
        octets: &'a [u8],
        limits: &Limits,
    ) -> Result<(usize, Incoming<'a>), DecodeError> {
        let (size, consumed) = match size::decode(octets)? {
            Decoded::NeedMore(missing) => return Ok((0, Incoming::NeedMore(missing))),
            Decoded::Complete { value, consumed } => (value, consumed),
        };
        if size == 0 {
            self.at = At::AfterEnvelope;
            self.any = true;
            return Ok((consumed, Incoming::EnvelopeEnd));
        }
        let counted = self.total;
        self.count(usize::try_from(size).unwrap_or(usize::MAX), Field::UnsizedEnvelope, limits)?;
        let (payload, left) = split_payload(octets.get(consumed..).unwrap_or_default(), size);
        if payload.is_empty() {
            self.total = counted; // the size will be read again
            return Ok((0, Incoming::NeedMore(NonZeroUsize::MIN)));
        }
        self.at = if left == 0 { At::ChunkSize } else { At::Chunk { left } };
        Ok((consumed.saturating_add(payload.len()), Incoming::Payload(payload)))
    }

    /// Counts octets of an envelope whose size nobody announced.
    fn count(&mut self, more: usize, field: Field, limits: &Limits) -> Result<(), DecodeError> {
        let octets = self.total.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        if octets > limits.envelope {
            return Err(DecodeError::TooLong { field, octets, limit: limits.envelope });
        }
        self.total = octets;
        Ok(())
    }

    const fn is_singleton(&self) -> bool {
        matches!(self.mode, Mode::SINGLETON_UNSIZED)
    }

    fn admits(&self, got: RecordType) -> bool {
        let after_envelope = self.at == At::AfterEnvelope;
        match got {
            RecordType::SIZED_ENVELOPE => !self.is_singleton(),
            RecordType::UNSIZED_ENVELOPE => self.is_singleton() && !after_envelope,
            RecordType::END => !self.is_singleton() || after_envelope || self.role == Role::Initiator,
            RecordType::FAULT => self.role == Role::Initiator,
            _ => false,
        }
    }

    pub(crate) const fn expected(&self) -> Expected {
        match (self.at, self.role) {
            (At::Record, Role::Receiver) if self.is_singleton() => Expected::UnsizedEnvelope,
            (At::Record, Role::Receiver) => Expected::EnvelopeOrEnd,
            (At::Record, Role::Initiator) if self.is_singleton() => Expected::ReplyEndOrFault,
            (At::Record, Role::Initiator) => Expected::EnvelopeEndOrFault,
            (At::AfterEnvelope, Role::Receiver) => Expected::End,
            (At::AfterEnvelope, Role::Initiator) => Expected::EndOrFault,
            _ => Expected::MoreOfEnvelope,
        }
    }
}

/// A stream that ends behind `left` lacks the rest of the record that begins there, or what the grammar wants next.
pub(crate) fn ends_behind(left: &[u8], next: Expected) -> DecodeError {
    let expected = left.first().map_or(next, |code| Expected::MoreOf(RecordType(*code)));
    DecodeError::EndOfStream { expected }
}

/// Octets at a place where none may come.
pub(crate) fn nothing_expected(got: u8) -> DecodeError {
    DecodeError::UnexpectedRecord { expected: Expected::Nothing, got: RecordType(got) }
}

/// Octets from one side of an upgrade are not taken for octets from the other.
pub(crate) fn nothing_left(left: &[u8]) -> Result<(), ApiMisuse> {
    NonZeroUsize::new(left.len()).map_or(Ok(()), |octets| Err(ApiMisuse::OctetsLeft(octets)))
}

/// At most `left` octets, and how many are left after them.
fn split_payload(octets: &[u8], left: u32) -> (&[u8], u32) {
    let wanted = usize::try_from(left).unwrap_or(usize::MAX);
    let payload = octets.get(..wanted).unwrap_or(octets);
    (payload, u32::try_from(payload.len()).map_or(0, |there| left.saturating_sub(there)))
}

fn payload_or_need(payload: &[u8]) -> (usize, Incoming<'_>) {
    if payload.is_empty() {
        (0, Incoming::NeedMore(NonZeroUsize::MIN))
    } else {
        (payload.len(), Incoming::Payload(payload))
    }
}

/// Our half of a session after the preamble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// The preamble is not over.
    Shut,
    /// An envelope or End may go out.
    Open,
    /// Inside an unsized envelope.
    Chunks,
    /// The one envelope of a singleton is out.
    Sent,
    /// End is out.
    Ended,
}

impl Outbound {
    /// The header of an envelope whose first `size` octets follow.
    pub(crate) fn envelope_header(
        &mut self,
        mode: Mode,
        size: u32,
        out: &mut [u8],
    ) -> Result<usize, ApiMisuse> {
        if *self != Self::Open {
            return Err(ApiMisuse::OutOfTurn);
        }
        match mode {
            Mode::SINGLETON_UNSIZED => {
                not_empty(size)?;
                let needed = size::encoded_len(size).saturating_add(1);
                let (kind, rest) = out
                    .get_mut(..needed)
                    .and_then(<[u8]>::split_first_mut)
                    .ok_or(EncodeError::BufferTooShort { needed })?;
                size::encode(size, rest)?;
                *kind = RecordType::UNSIZED_ENVELOPE.0;
                *self = Self::Chunks;
                Ok(needed)
            }
            Mode::SINGLETON_SIZED => {
                *self = Self::Sent;
                Ok(0)
            }
            _ => Ok(Record::SizedEnvelope { size }.encode(out)?),
        }
    }

    pub(crate) fn chunk(&mut self, size: u32, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        if *self != Self::Chunks {
            return Err(ApiMisuse::OutOfTurn);
        }
        not_empty(size)?;
        Ok(size::encode(size, out)?)
    }

    pub(crate) fn envelope_end(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        if *self != Self::Chunks {
            return Err(ApiMisuse::OutOfTurn);
        }
        let written = size::encode(0, out)?;
        *self = Self::Sent;
        Ok(written)
    }

    pub(crate) fn end(&mut self, role: Role, mode: Mode, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        let in_turn = match (*self, role, mode) {
            (_, _, Mode::SINGLETON_SIZED) => false,
            // The request is not optional, the reply is.
            (Self::Open, Role::Initiator, Mode::SINGLETON_UNSIZED) => false,
            (Self::Open | Self::Sent, _, _) => true,
            _ => false,
        };
        if !in_turn {
            return Err(ApiMisuse::OutOfTurn);
        }
        let written = Record::End.encode(out)?;
        *self = Self::Ended;
        Ok(written)
    }
}

/// A chunk of no octets would be the terminator.
const fn not_empty(size: u32) -> Result<(), EncodeError> {
    if size == 0 { Err(EncodeError::Empty(Field::UnsizedEnvelope)) } else { Ok(()) }
}
