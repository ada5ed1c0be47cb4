//! Sequences of operations on an initiator and a receiver joined by two pipes, and what each must see of the other.

use framing_core::{
    ApiMisuse, Encoding, Fault, Initiator, KnownEncoding, Limits, Mode, Preamble, Receiver, Step, initiator,
    receiver,
};

use super::seen::Seen;

/// One operation. Sizes are small so that payloads can be sent in full.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// The initiator begins a session in this mode.
    Preamble(u8),
    UpgradeRequest,
    PreambleEnd,
    AcceptUpgrade,
    Acknowledge,
    Fault(u8),
    Envelope(Side, u8),
    Chunk(Side, u8),
    EnvelopeEnd(Side),
    End(Side),
    /// So many octets arrive at this side, and it looks at them.
    Deliver(Side, u8),
}

#[derive(Clone, Copy, Debug)]
pub enum Side {
    Initiator,
    Receiver,
}

impl Operation {
    /// Every three octets are an operation.
    pub fn from_octets([kind, side, number]: [u8; 3]) -> Self {
        let side = if side & 1 == 0 { Side::Initiator } else { Side::Receiver };
        match kind % 16 {
            0 => Self::Preamble(number),
            1 => Self::UpgradeRequest,
            2 => Self::PreambleEnd,
            3 => Self::AcceptUpgrade,
            4 => Self::Acknowledge,
            5 => Self::Fault(number),
            6 => Self::Envelope(side, number),
            7 => Self::Chunk(side, number),
            8 => Self::EnvelopeEnd(side),
            9 => Self::End(side),
            // What is sent should mostly arrive.
            _ => Self::Deliver(side, number),
        }
    }
}

/// One direction: what is on the way, what has arrived and was not consumed, what was seen and must be seen.
#[derive(Default)]
struct Way {
    wire: Vec<u8>,
    buffer: Vec<u8>,
    /// How much of it was consumed.
    used: usize,
    seen: Vec<Seen>,
    expected: Vec<Seen>,
    /// Fault in either direction: what comes later may be discarded.
    cut: bool,
}

pub struct Pair {
    initiator: Initiator,
    receiver: Receiver,
    to_receiver: Way,
    to_initiator: Way,
    mode: Mode,
    payloads: u8,
}

impl Default for Pair {
    fn default() -> Self {
        let limits = Limits { envelope: u64::MAX, ..Limits::DEFAULT };
        Self {
            initiator: Initiator::new(limits),
            receiver: Receiver::any_mode(limits),
            to_receiver: Way::default(),
            to_initiator: Way::default(),
            mode: Mode::DUPLEX,
            payloads: 0,
        }
    }
}

impl Way {
    /// A command's outcome: its octets go on the wire and its event is expected, or it was refused.
    fn command(
        &mut self,
        outcome: Result<usize, ApiMisuse>,
        out: &[u8],
        event: impl FnOnce() -> Seen,
    ) -> bool {
        match outcome {
            Ok(written) => {
                self.wire.extend_from_slice(&out[..written]);
                self.expected.push(event());
                true
            }
            Err(_) => {
                assert!(out.iter().all(|octet| *octet == 0xEE), "a refused command wrote something");
                false
            }
        }
    }

    fn payload(&mut self, size: u8, fill: u8) {
        let payload = vec![fill; usize::from(size)];
        self.wire.extend_from_slice(&payload);
        Seen::add_payload(&mut self.expected, &payload);
    }

    fn deliver(&mut self, octets: usize) {
        let octets = octets.min(self.wire.len());
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend(self.wire.drain(..octets));
    }

    /// What was seen so far is a beginning of what must be seen.
    fn check(&self) {
        let (Some(last), seen) = (self.seen.last(), self.seen.len()) else { return };
        assert!(seen <= self.expected.len(), "{:?} seen, {:?} sent", self.seen, self.expected);
        assert_eq!(self.seen[..seen - 1], self.expected[..seen - 1]);
        match (last, &self.expected[seen - 1]) {
            (Seen::Payload(seen), Seen::Payload(expected)) => assert!(expected.starts_with(seen)),
            (seen, expected) => assert_eq!(seen, expected),
        }
    }
}

impl Pair {
    pub fn carry_out(&mut self, operation: Operation) {
        let mut out = [0xEE; 128];
        match operation {
            Operation::Preamble(mode) => {
                let mode = Mode(mode % 6);
                let encoding = Encoding::Known(KnownEncoding::BINARY_SESSION);
                let preamble = Preamble { mode, via: "net.tcp://localhost/a", encoding };
                let outcome = self.initiator.preamble(&preamble, &mut out);
                assert_eq!(outcome.is_ok(), outcome == Ok(preamble.encoded_len()));
                if self.to_receiver.command(outcome, &out, || Seen::preamble(&preamble)) {
                    self.mode = mode;
                    if mode == Mode::SINGLETON_SIZED {
                        self.to_receiver.expected.push(Seen::EnvelopeStart(None));
                    }
                }
            }
            Operation::UpgradeRequest => {
                let outcome = self.initiator.upgrade_request("application/negotiate", &mut out);
                let event = || Seen::UpgradeRequest("application/negotiate".to_owned());
                self.to_receiver.command(outcome, &out, event);
            }
            Operation::PreambleEnd => {
                let outcome = self.initiator.preamble_end(&mut out);
                self.to_receiver.command(outcome, &out, || Seen::PreambleEnd);
            }
            Operation::AcceptUpgrade => {
                let outcome = self.receiver.accept_upgrade(&mut out);
                if self.to_initiator.command(outcome, &out, || Seen::UpgradeResponse) {
                    // The initiator waits for the answer, so that nothing of the old stream is left.
                    let left = &self.to_receiver.buffer[self.to_receiver.used..];
                    self.receiver.upgraded(left).expect("nothing is left");
                }
            }
            Operation::Acknowledge => {
                let outcome = self.receiver.acknowledge(&mut out);
                self.to_initiator.command(outcome, &out, || Seen::PreambleAck);
            }
            Operation::Fault(which) => {
                let fault = Fault::PUBLISHED[usize::from(which) % Fault::PUBLISHED.len()];
                let outcome = self.receiver.fault(fault, &mut out);
                if self.to_initiator.command(outcome, &out, || Seen::Fault(fault.uri().to_owned())) {
                    self.to_receiver.cut = true;
                    self.to_initiator.cut = true;
                }
            }
            Operation::Envelope(side, size) => {
                let (outcome, mode) = match side {
                    Side::Initiator => (self.initiator.envelope_header(size.into(), &mut out), self.mode),
                    Side::Receiver => {
                        let mode = self.receiver.mode().unwrap_or(self.mode);
                        (self.receiver.envelope_header(size.into(), &mut out), mode)
                    }
                };
                self.payloads = self.payloads.wrapping_add(1);
                let fill = self.payloads;
                let way = self.way(side);
                match mode {
                    // Nothing is written, and the receiver has seen the start already.
                    Mode::SINGLETON_SIZED => {
                        if let Ok(written) = outcome {
                            assert_eq!(written, 0);
                            way.payload(size, fill);
                        }
                    }
                    Mode::SINGLETON_UNSIZED => {
                        if way.command(outcome, &out, || Seen::EnvelopeStart(None)) {
                            way.payload(size, fill);
                        }
                    }
                    _ => {
                        if way.command(outcome, &out, || Seen::EnvelopeStart(Some(size.into()))) {
                            way.payload(size, fill);
                            way.expected.push(Seen::EnvelopeEnd);
                        }
                    }
                }
            }
            Operation::Chunk(side, size) => {
                let outcome = match side {
                    Side::Initiator => self.initiator.chunk(size.into(), &mut out),
                    Side::Receiver => self.receiver.chunk(size.into(), &mut out),
                };
                if let Ok(written) = outcome {
                    let way = self.way(side);
                    way.wire.extend_from_slice(&out[..written]);
                    way.payload(size, 0xC0);
                }
            }
            Operation::EnvelopeEnd(side) => {
                let outcome = match side {
                    Side::Initiator => self.initiator.envelope_end(&mut out),
                    Side::Receiver => self.receiver.envelope_end(&mut out),
                };
                self.way(side).command(outcome, &out, || Seen::EnvelopeEnd);
            }
            Operation::End(side) => {
                let outcome = match side {
                    Side::Initiator => self.initiator.end(&mut out),
                    Side::Receiver => self.receiver.end(&mut out),
                };
                self.way(side).command(outcome, &out, || Seen::End);
            }
            Operation::Deliver(Side::Initiator, octets) => {
                self.to_initiator.deliver(octets.into());
                self.look_at_initiator();
            }
            Operation::Deliver(Side::Receiver, octets) => {
                self.to_receiver.deliver(octets.into());
                self.look_at_receiver();
            }
        }
    }

    /// Delivers everything, in turns, until nothing moves.
    pub fn settle(&mut self) {
        self.to_initiator.deliver(usize::MAX);
        self.to_receiver.deliver(usize::MAX);
        for _ in 0..2 {
            self.look_at_initiator();
            self.look_at_receiver();
        }
    }

    /// The way on which this side sends.
    fn way(&mut self, sender: Side) -> &mut Way {
        match sender {
            Side::Initiator => &mut self.to_receiver,
            Side::Receiver => &mut self.to_initiator,
        }
    }

    fn look_at_receiver(&mut self) {
        let way = &mut self.to_receiver;
        loop {
            let step = self.receiver.step(&way.buffer[way.used..]);
            let Step { consumed, event } = step.unwrap_or_else(|error| panic!("receiver: {error}"));
            match event {
                receiver::Event::NeedMore(_) | receiver::Event::AwaitingCommand => {
                    break assert_eq!(consumed, 0);
                }
                receiver::Event::Closed => {
                    assert!(way.cut);
                    way.used = way.buffer.len();
                    break;
                }
                receiver::Event::Preamble(preamble) => way.seen.push(Seen::preamble(&preamble)),
                receiver::Event::UpgradeRequest(name) => way.seen.push(Seen::UpgradeRequest(name.to_owned())),
                receiver::Event::PreambleEnd => way.seen.push(Seen::PreambleEnd),
                receiver::Event::EnvelopeStart { size } => way.seen.push(Seen::EnvelopeStart(size)),
                receiver::Event::Payload(octets) => Seen::add_payload(&mut way.seen, octets),
                receiver::Event::EnvelopeEnd => way.seen.push(Seen::EnvelopeEnd),
                receiver::Event::End => way.seen.push(Seen::End),
            }
            way.used += consumed;
        }
        // Both ends of an upgraded session are through, or it is refused.
        let _ = self.receiver.downgraded(&[]);
        way.check();
    }

    fn look_at_initiator(&mut self) {
        let way = &mut self.to_initiator;
        loop {
            let step = self.initiator.step(&way.buffer[way.used..]);
            let Step { consumed, event } = step.unwrap_or_else(|error| panic!("initiator: {error}"));
            match event {
                initiator::Event::NeedMore(_) | initiator::Event::AwaitingCommand => {
                    break assert_eq!(consumed, 0);
                }
                initiator::Event::Closed => {
                    assert!(way.cut);
                    way.used = way.buffer.len();
                    break;
                }
                initiator::Event::UpgradeResponse => {
                    way.seen.push(Seen::UpgradeResponse);
                    // What follows on this wire was sent inside.
                    self.initiator.upgraded(&[]).expect("in turn");
                }
                initiator::Event::PreambleAck => way.seen.push(Seen::PreambleAck),
                initiator::Event::EnvelopeStart { size } => way.seen.push(Seen::EnvelopeStart(size)),
                initiator::Event::Payload(octets) => Seen::add_payload(&mut way.seen, octets),
                initiator::Event::EnvelopeEnd => way.seen.push(Seen::EnvelopeEnd),
                initiator::Event::End => way.seen.push(Seen::End),
                initiator::Event::Fault(fault) => way.seen.push(Seen::Fault(fault.uri().to_owned())),
            }
            way.used += consumed;
        }
        way.check();
    }
}
