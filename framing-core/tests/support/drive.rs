//! Runs the machines over a stream in pieces, answering as a willing peer does.

use std::num::NonZeroUsize;

use framing_core::{
    ApiMisuse, DecodeError, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble, Receiver, Step,
    StreamEnd, initiator, receiver,
};

use super::seen::Seen;

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub seen: Vec<Seen>,
    /// What the machine says to the end of the stream after the last octet.
    pub end: Result<StreamEnd, DecodeError>,
    /// Octets behind an upgrade that was not carried out here, see [`Upgrades::HandAway`].
    pub handed_away: Option<usize>,
}

/// What to do with an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrades {
    /// The octets behind it are those inside the upgraded stream.
    Inside,
    /// The octets behind it are ciphertext: stop.
    HandAway,
}

/// What was received, how far it is consumed, and the promise of the last `NeedMore`.
#[derive(Default)]
struct Buffer {
    octets: Vec<u8>,
    used: usize,
    promised: usize,
}

impl Buffer {
    fn extend(&mut self, piece: &[u8]) {
        self.octets.drain(..self.used);
        self.used = 0;
        self.octets.extend_from_slice(piece);
    }

    fn rest(&self) -> &[u8] {
        &self.octets[self.used..]
    }

    fn discard(&mut self, consumed: usize) {
        self.used += consumed;
        self.promised = 0;
    }

    /// `NeedMore` must consume nothing, and nothing may come of fewer octets than it asked for.
    fn need(&mut self, consumed: usize, more: NonZeroUsize) {
        assert_eq!(consumed, 0, "NeedMore consumed octets");
        assert!(self.promised == 0 || self.rest().len() + more.get() >= self.promised);
        self.promised = self.rest().len() + more.get();
    }

    fn kept_promise(&self) -> bool {
        self.rest().len() >= self.promised
    }
}

const ONE_LEFT: ApiMisuse = ApiMisuse::OctetsLeft(NonZeroUsize::MIN);

/// Cuts `octets` before each of `cuts`, which ascend.
pub fn pieces<'a>(octets: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for cut in cuts.iter().copied().chain([octets.len()]) {
        let cut = cut.clamp(start, octets.len());
        pieces.push(&octets[start..cut]);
        start = cut;
    }
    pieces
}

/// A receiver that accepts everything and answers each End.
pub fn receiver(pieces: &[&[u8]], limits: &Limits, one_way: bool, upgrades: Upgrades) -> Run {
    let mut machine = if one_way { Receiver::any_mode(*limits) } else { Receiver::new(*limits) };
    let mut buffer = Buffer::default();
    let mut out = [0; 8];
    let mut seen = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        buffer.extend(piece);
        loop {
            let kept = buffer.kept_promise();
            let step = machine.step(buffer.rest());
            assert!(kept || matches!(step, Ok(Step { event: receiver::Event::NeedMore(_), .. })));
            let Step { consumed, event } = match step {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(machine.step(&[]), Err(error), "a failed machine stays failed");
                    seen.push(Seen::Failed(error));
                    return Run { seen, end: machine.end_of_stream(buffer.rest()), handed_away: None };
                }
            };
            match event {
                receiver::Event::NeedMore(more) => {
                    buffer.need(consumed, more);
                    break;
                }
                receiver::Event::Preamble(preamble) => seen.push(Seen::preamble(&preamble)),
                receiver::Event::UpgradeRequest(name) => {
                    seen.push(Seen::UpgradeRequest(name.to_owned()));
                    if upgrades == Upgrades::HandAway {
                        let later: usize = pieces[number + 1..].iter().map(|piece| piece.len()).sum();
                        let handed_away = Some(buffer.rest().len() - consumed + later);
                        return Run { seen, end: Ok(StreamEnd::Quiet), handed_away };
                    }
                    assert_eq!(machine.accept_upgrade(&mut out), Ok(1));
                    let waits = Step { consumed: 0, event: receiver::Event::AwaitingCommand };
                    assert_eq!(machine.step(&buffer.rest()[consumed..]), Ok(waits));
                    assert_eq!(machine.upgraded(&[0]), Err(ONE_LEFT));
                    machine.upgraded(&[]).expect("the rest is inside");
                }
                receiver::Event::PreambleEnd => {
                    seen.push(Seen::PreambleEnd);
                    let answered = machine.mode().is_some_and(Mode::has_back_channel);
                    assert_eq!(machine.acknowledge(&mut out).is_ok(), answered);
                }
                receiver::Event::EnvelopeStart { size } => seen.push(Seen::EnvelopeStart(size)),
                receiver::Event::Payload(octets) => {
                    assert!(!octets.is_empty());
                    Seen::add_payload(&mut seen, octets);
                }
                receiver::Event::EnvelopeEnd => seen.push(Seen::EnvelopeEnd),
                receiver::Event::End => {
                    seen.push(Seen::End);
                    let answered = machine.mode().is_some();
                    assert_eq!(machine.end(&mut out).is_ok(), answered);
                    if machine.is_upgraded() {
                        assert_eq!(machine.downgraded(&[0]), Err(ONE_LEFT));
                        machine.downgraded(&[]).expect("the rest is the next session");
                    }
                    assert_eq!(machine.mode(), None, "the session is over");
                }
                receiver::Event::AwaitingCommand | receiver::Event::Closed => unreachable!("{event:?}"),
            }
            buffer.discard(consumed);
        }
    }
    Run { seen, end: machine.end_of_stream(buffer.rest()), handed_away: None }
}

/// An initiator that asks for so many upgrades in each session, sends one envelope and ends.
pub fn initiator(
    pieces: &[&[u8]],
    limits: &Limits,
    mode: Mode,
    upgrades_asked: usize,
    upgrades: Upgrades,
) -> Run {
    let mut machine = Initiator::new(*limits);
    let mut buffer = Buffer::default();
    let mut out = [0; 64];
    let mut seen = Vec::new();
    let preamble =
        Preamble { mode, via: "net.tcp://h/a", encoding: Encoding::Known(KnownEncoding::BINARY_SESSION) };
    let mut left_to_ask = 0;
    let mut asked = false;
    for (number, piece) in pieces.iter().enumerate() {
        buffer.extend(piece);
        loop {
            let kept = buffer.kept_promise();
            // What answers a question comes behind it.
            let step = machine.step(if asked { buffer.rest() } else { &[] });
            assert!(kept || matches!(step, Ok(Step { event: initiator::Event::NeedMore(_), .. })));
            let Step { consumed, event } = match step {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(machine.step(&[]), Err(error), "a failed machine stays failed");
                    seen.push(Seen::Failed(error));
                    return Run { seen, end: machine.end_of_stream(buffer.rest()), handed_away: None };
                }
            };
            match event {
                initiator::Event::NeedMore(more) => {
                    buffer.need(consumed, more);
                    break;
                }
                initiator::Event::AwaitingCommand => {
                    assert_eq!(consumed, 0);
                    if machine.is_idle() {
                        if buffer.rest().is_empty() && !seen.is_empty() {
                            break;
                        }
                        machine.preamble(&preamble, &mut out).expect("idle");
                        left_to_ask = upgrades_asked;
                    } else if left_to_ask > 0 {
                        machine.upgrade_request("application/ssl-tls", &mut out).expect("after the preamble");
                        left_to_ask -= 1;
                        asked = true;
                    } else {
                        assert_eq!(machine.preamble_end(&mut out), Ok(1));
                        asked = true;
                    }
                }
                initiator::Event::UpgradeResponse => {
                    seen.push(Seen::UpgradeResponse);
                    if upgrades == Upgrades::HandAway {
                        let later: usize = pieces[number + 1..].iter().map(|piece| piece.len()).sum();
                        let handed_away = Some(buffer.rest().len() - consumed + later);
                        return Run { seen, end: Ok(StreamEnd::Quiet), handed_away };
                    }
                    let waits = Step { consumed: 0, event: initiator::Event::AwaitingCommand };
                    assert_eq!(machine.step(&buffer.rest()[consumed..]), Ok(waits));
                    assert_eq!(machine.upgraded(&[0]), Err(ONE_LEFT));
                    machine.upgraded(&[]).expect("the rest is inside");
                    asked = false;
                }
                initiator::Event::PreambleAck => {
                    seen.push(Seen::PreambleAck);
                    assert_eq!(machine.envelope_header(1, &mut out), Ok(2));
                    assert_eq!(machine.envelope_end(&mut out).is_ok(), mode == Mode::SINGLETON_UNSIZED);
                    assert_eq!(machine.end(&mut out), Ok(1));
                }
                initiator::Event::EnvelopeStart { size } => seen.push(Seen::EnvelopeStart(size)),
                initiator::Event::Payload(octets) => {
                    assert!(!octets.is_empty());
                    Seen::add_payload(&mut seen, octets);
                }
                initiator::Event::EnvelopeEnd => seen.push(Seen::EnvelopeEnd),
                initiator::Event::End => {
                    seen.push(Seen::End);
                    if machine.is_upgraded() {
                        assert_eq!(machine.downgraded(&[0]), Err(ONE_LEFT));
                        machine.downgraded(&[]).expect("the rest is the next session");
                    }
                    asked = false;
                }
                initiator::Event::Fault(fault) => {
                    seen.push(Seen::Fault(fault.uri().to_owned()));
                    return Run { seen, end: machine.end_of_stream(&[]), handed_away: None };
                }
                initiator::Event::Closed => unreachable!("{event:?}"),
            }
            buffer.discard(consumed);
        }
    }
    Run { seen, end: machine.end_of_stream(buffer.rest()), handed_away: None }
}
