//! One face for both roles' state machines once a session is open.

use framing_core::{ApiMisuse, DecodeError, Fault, Initiator, Receiver, Step, initiator, receiver};

/// Either role's state machine.
#[derive(Debug, Clone)]
pub(crate) enum Machine {
    Receiver(Receiver),
    Initiator(Initiator),
}

/// What both roles' events come to.
pub(crate) enum Incoming<'a> {
    NeedMore,
    EnvelopeStart,
    Payload(&'a [u8]),
    EnvelopeEnd,
    End,
    Fault(Fault<'a>),
}

impl Machine {
    pub(crate) fn step<'a>(&mut self, octets: &'a [u8]) -> Result<Step<Incoming<'a>>, DecodeError> {
        let (consumed, event) = match self {
            Self::Receiver(machine) => {
                let Step { consumed, event } = machine.step(octets)?;
                let event = match event {
                    receiver::Event::EnvelopeStart { .. } => Incoming::EnvelopeStart,
                    receiver::Event::Payload(octets) => Incoming::Payload(octets),
                    receiver::Event::EnvelopeEnd => Incoming::EnvelopeEnd,
                    receiver::Event::End | receiver::Event::AwaitingCommand => Incoming::End,
                    _ => Incoming::NeedMore,
                };
                (consumed, event)
            }
            Self::Initiator(machine) => {
                let Step { consumed, event } = machine.step(octets)?;
                let event = match event {
                    initiator::Event::EnvelopeStart { .. } => Incoming::EnvelopeStart,
                    initiator::Event::Payload(octets) => Incoming::Payload(octets),
                    initiator::Event::EnvelopeEnd => Incoming::EnvelopeEnd,
                    initiator::Event::End | initiator::Event::AwaitingCommand => Incoming::End,
                    initiator::Event::Fault(fault) => Incoming::Fault(fault),
                    _ => Incoming::NeedMore,
                };
                (consumed, event)
            }
        };
        Ok(Step { consumed, event })
    }

    pub(crate) fn end_of_stream(&mut self, left: &[u8]) -> Result<(), DecodeError> {
        match self {
            Self::Receiver(machine) => machine.end_of_stream(left).map(drop),
            Self::Initiator(machine) => machine.end_of_stream(left).map(drop),
        }
    }

    pub(crate) fn envelope_header(&mut self, size: u32, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        match self {
            Self::Receiver(machine) => machine.envelope_header(size, out),
            Self::Initiator(machine) => machine.envelope_header(size, out),
        }
    }

    pub(crate) fn envelope_end(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        match self {
            Self::Receiver(machine) => machine.envelope_end(out),
            Self::Initiator(machine) => machine.envelope_end(out),
        }
    }

    pub(crate) fn end(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        match self {
            Self::Receiver(machine) => machine.end(out),
            Self::Initiator(machine) => machine.end(out),
        }
    }
}
