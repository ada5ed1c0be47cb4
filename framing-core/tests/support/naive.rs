//! A second decoder, written to be obviously right and nothing else: it has the whole stream, copies everything and
//! follows the grammar of MC-NMF 3.1.1.2 from top to bottom. The crate is compared with it.

use framing_core::{
    DecodeError, Encoding, Expected, Fault, Field, KnownEncoding, Limits, Mode, Preamble, RecordType,
    StreamEnd,
};

use super::drive::Run;
use super::seen::Seen;

/// Why decoding stops: the stream ends inside something or between two things, or it is wrong.
enum Stop {
    Exhausted,
    Wrong(DecodeError),
}

/// What is known once the Via is complete.
pub type Head = (Mode, String);

/// The octets not yet decoded, and what was seen.
struct Reader<'a> {
    octets: &'a [u8],
    limits: &'a Limits,
    seen: Vec<Seen>,
    /// What it means that the stream ends here.
    end: Result<StreamEnd, DecodeError>,
}

/// Everything a receiver that accepts every session and upgrade and answers each End sees.
pub fn receiver(octets: &[u8], limits: &Limits, one_way: bool) -> Run {
    let mut reader = Reader { octets, limits, seen: Vec::new(), end: Ok(StreamEnd::Quiet) };
    loop {
        if let Err(stop) = reader.initiators_session(one_way) {
            return reader.stopped(stop);
        }
    }
}

/// Everything an initiator sees that asks for so many upgrades in each session and ends it by itself.
pub fn initiator(octets: &[u8], limits: &Limits, mode: Mode, upgrades: usize) -> Run {
    let mut reader = Reader { octets, limits, seen: Vec::new(), end: Ok(StreamEnd::Quiet) };
    loop {
        match reader.receivers_session(mode, upgrades) {
            Ok(()) if matches!(reader.seen.last(), Some(Seen::Fault(_))) => {
                return Run { seen: reader.seen, end: Ok(StreamEnd::Orderly), handed_away: None };
            }
            Ok(()) if reader.octets.is_empty() => return reader.stopped(Stop::Exhausted),
            Ok(()) => {}
            Err(stop) => return reader.stopped(stop),
        }
    }
}

/// The preamble as a router sees it: mode and Via if they are complete, the encoding if that is too.
pub fn preamble(octets: &[u8], limits: &Limits) -> Result<(Option<Head>, Option<Seen>), DecodeError> {
    let mut reader = Reader { octets, limits, seen: Vec::new(), end: Ok(StreamEnd::Quiet) };
    let mut head = None;
    match reader.preamble(false, &mut head) {
        Ok(()) => Ok((head, reader.seen.pop())),
        Err(Stop::Exhausted) => Ok((head, None)),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

impl Reader<'_> {
    fn stopped(mut self, stop: Stop) -> Run {
        if let Stop::Wrong(error) = stop {
            self.seen.push(Seen::Failed(error));
            self.end = Err(error);
        }
        Run { seen: self.seen, end: self.end, handed_away: None }
    }

    fn lacks(&mut self, expected: Expected) {
        self.end = Err(DecodeError::EndOfStream { expected });
    }

    fn preamble(&mut self, one_way: bool, head: &mut Option<Head>) -> Result<(), Stop> {
        let first = self.octet()?;
        if first != 0 {
            return Err(Stop::Wrong(DecodeError::NotFraming { octet: first }));
        }
        self.lacks(Expected::MoreOf(RecordType::VERSION));
        let major = self.octet()?;
        if major != 1 {
            return Err(Stop::Wrong(DecodeError::UnsupportedVersion { major }));
        }
        self.octet()?;
        self.one_of(&[1], Expected::Mode)?;
        let mode = Mode(self.octet()?);
        if !(1..=if one_way { 4 } else { 2 }).contains(&mode.0) {
            return Err(Stop::Wrong(DecodeError::UnsupportedMode(mode)));
        }
        self.one_of(&[2], Expected::Via)?;
        let via = self.text(Field::Via)?;
        *head = Some((mode, via.clone()));
        let preamble = match self.one_of(&[3, 4], Expected::Encoding)? {
            3 => {
                let encoding = Encoding::Known(KnownEncoding(self.octet()?));
                Seen::preamble(&Preamble { mode, via: &via, encoding })
            }
            _ => {
                let content_type = self.text(Field::ContentType)?;
                Seen::preamble(&Preamble { mode, via: &via, encoding: Encoding::Extensible(&content_type) })
            }
        };
        self.seen.push(preamble);
        Ok(())
    }

    fn initiators_session(&mut self, one_way: bool) -> Result<(), Stop> {
        let mut head = None;
        self.preamble(one_way, &mut head)?;
        match head {
            Some((Mode::SINGLETON_UNSIZED, _)) => {
                self.upgrades_and_preamble_end()?;
                self.one_of(&[5], Expected::UnsizedEnvelope)?;
                self.unsized_envelope()?;
                self.one_of(&[7], Expected::End)?;
            }
            Some((Mode::DUPLEX, _)) => {
                self.upgrades_and_preamble_end()?;
                self.sized_envelopes_and_end()?;
            }
            Some((Mode::SIMPLEX, _)) => match self.one_of(&[6, 7, 12], Expected::PreambleEndOrEnvelope)? {
                6 => {
                    self.sized_envelope()?;
                    self.sized_envelopes_and_end()?;
                }
                7 => {}
                _ => {
                    self.seen.push(Seen::PreambleEnd);
                    self.sized_envelopes_and_end()?;
                }
            },
            _ => {
                self.seen.push(Seen::EnvelopeStart(None));
                return self.raw_envelope();
            }
        }
        self.seen.push(Seen::End);
        self.end = Ok(StreamEnd::Quiet);
        Ok(())
    }

    /// Between envelopes the peers in use end a stream too.
    fn sized_envelopes_and_end(&mut self) -> Result<(), Stop> {
        loop {
            let orderly = self.octets.is_empty() && matches!(self.seen.last(), Some(Seen::EnvelopeEnd));
            match self.one_of(&[6, 7], Expected::EnvelopeOrEnd) {
                Ok(6) => self.sized_envelope()?,
                Ok(_) => return Ok(()),
                Err(stop) => {
                    if orderly {
                        self.end = Ok(StreamEnd::Orderly);
                    }
                    return Err(stop);
                }
            }
        }
    }

    fn upgrades_and_preamble_end(&mut self) -> Result<(), Stop> {
        while self.one_of(&[9, 12], Expected::UpgradeOrPreambleEnd)? == 9 {
            let name = self.text(Field::Upgrade)?;
            self.seen.push(Seen::UpgradeRequest(name));
        }
        self.seen.push(Seen::PreambleEnd);
        Ok(())
    }

    fn receivers_session(&mut self, mode: Mode, upgrades: usize) -> Result<(), Stop> {
        for _ in 0..upgrades {
            match self.one_of(&[8, 10], Expected::UpgradeResponse)? {
                8 => return self.fault(),
                _ => self.seen.push(Seen::UpgradeResponse),
            }
        }
        match self.one_of(&[8, 11], Expected::PreambleAck)? {
            8 => return self.fault(),
            _ => self.seen.push(Seen::PreambleAck),
        }
        if mode == Mode::SINGLETON_UNSIZED {
            match self.one_of(&[5, 7, 8], Expected::ReplyEndOrFault)? {
                5 => self.unsized_envelope()?,
                7 => {
                    self.ended();
                    return Ok(());
                }
                _ => return self.fault(),
            }
            match self.one_of(&[7, 8], Expected::EndOrFault)? {
                7 => self.ended(),
                _ => return self.fault(),
            }
            return Ok(());
        }
        loop {
            if self.octets.is_empty() {
                // It has ended itself.
                self.end = Ok(StreamEnd::Orderly);
                return Err(Stop::Exhausted);
            }
            match self.one_of(&[6, 7, 8], Expected::EnvelopeEndOrFault)? {
                6 => self.sized_envelope()?,
                7 => {
                    self.ended();
                    return Ok(());
                }
                _ => return self.fault(),
            }
        }
    }

    fn ended(&mut self) {
        self.seen.push(Seen::End);
        self.end = Ok(StreamEnd::Quiet);
    }

    fn fault(&mut self) -> Result<(), Stop> {
        let uri = self.text(Field::Fault)?;
        self.seen.push(Seen::Fault(Fault::new(&uri).uri().to_owned()));
        Ok(())
    }

    fn sized_envelope(&mut self) -> Result<(), Stop> {
        let size = self.size()?;
        self.within(Field::SizedEnvelope, u64::from(size), self.limits.envelope)?;
        self.seen.push(Seen::EnvelopeStart(Some(size)));
        self.lacks(Expected::MoreOfEnvelope);
        self.payload(size as usize)?;
        self.seen.push(Seen::EnvelopeEnd);
        Ok(())
    }

    fn unsized_envelope(&mut self) -> Result<(), Stop> {
        self.seen.push(Seen::EnvelopeStart(None));
        self.lacks(Expected::MoreOfEnvelope);
        let mut total = 0;
        loop {
            let size = self.size()?;
            if size == 0 {
                self.seen.push(Seen::EnvelopeEnd);
                return Ok(());
            }
            total += u64::from(size);
            self.within(Field::UnsizedEnvelope, total, self.limits.envelope)?;
            self.payload(size as usize)?;
        }
    }

    fn raw_envelope(&mut self) -> Result<(), Stop> {
        let limit = self.limits.envelope;
        let there = self.octets.len() as u64;
        self.end = Ok(StreamEnd::EnvelopeEnd);
        self.payload(there.min(limit) as usize)?;
        self.within(Field::SizedEnvelope, there.min(limit.saturating_add(1)), limit)?;
        Err(Stop::Exhausted)
    }

    fn payload(&mut self, size: usize) -> Result<(), Stop> {
        let there = size.min(self.octets.len());
        Seen::add_payload(&mut self.seen, &self.octets[..there]);
        self.octets = &self.octets[there..];
        if there == size { Ok(()) } else { Err(Stop::Exhausted) }
    }

    fn text(&mut self, field: Field) -> Result<String, Stop> {
        let limit = match field {
            Field::Via => self.limits.via,
            Field::ContentType => self.limits.content_type,
            Field::Upgrade => self.limits.upgrade,
            _ => self.limits.fault,
        };
        let size = self.size()?;
        self.within(field, u64::from(size), limit as u64)?;
        if size == 0 && field != Field::ContentType {
            return Err(Stop::Wrong(DecodeError::Empty(field)));
        }
        let size = size as usize;
        if self.octets.len() < size {
            return Err(Stop::Exhausted);
        }
        let text = self.octets[..size].to_vec();
        self.octets = &self.octets[size..];
        String::from_utf8(text).map_err(|_| Stop::Wrong(DecodeError::NotUtf8(field)))
    }

    fn within(&self, field: Field, octets: u64, limit: u64) -> Result<(), Stop> {
        if octets > limit { Err(Stop::Wrong(DecodeError::TooLong { field, octets, limit })) } else { Ok(()) }
    }

    fn size(&mut self) -> Result<u32, Stop> {
        let mut size = 0_u64;
        for position in 0..5 {
            let octet = self.octet()?;
            size += u64::from(octet & 0x7F) * 128_u64.pow(position);
            if position == 4 && octet > 7 {
                break;
            }
            if octet < 0x80 {
                return Ok(size as u32);
            }
        }
        Err(Stop::Wrong(DecodeError::SizeTooLarge))
    }

    fn one_of(&mut self, allowed: &[u8], expected: Expected) -> Result<u8, Stop> {
        self.lacks(expected);
        let octet = self.octet()?;
        self.lacks(Expected::MoreOf(RecordType(octet)));
        if allowed.contains(&octet) {
            Ok(octet)
        } else {
            Err(Stop::Wrong(DecodeError::UnexpectedRecord { expected, got: RecordType(octet) }))
        }
    }

    fn octet(&mut self) -> Result<u8, Stop> {
        let (first, rest) = self.octets.split_first().ok_or(Stop::Exhausted)?;
        self.octets = rest;
        Ok(*first)
    }
}
