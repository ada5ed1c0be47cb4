//! What one side of a TCP connection sent, put in order by sequence number.

use std::collections::BTreeMap;
use std::io;

use super::source::Source;

/// The segments of one direction: where in the capture their payloads are, for those may be more than memory holds.
#[derive(Debug, Default)]
pub(super) struct Direction {
    /// The sequence number of the first octet, if its SYN was captured.
    begins: Option<u64>,
    /// The last sequence number seen. Numbers have 32 bits and wrap round; here they go on.
    last: Option<u64>,
    /// By sequence number; of those that begin alike the longest.
    segments: BTreeMap<u64, Payload>,
}

/// The payload of a segment: where it is in the capture, and how many octets it has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Payload {
    pub(super) at: u64,
    pub(super) octets: u32,
}

/// Octets without a gap between them.
pub(super) struct Piece<'s> {
    capture: &'s dyn Source,
    /// Octets that are missing before it; `None` if nobody knows how many.
    pub(super) missing: Option<u64>,
    /// Where each payload begins in it, and what of the payload is in it, in order.
    payloads: Vec<(u64, Payload)>,
    octets: u64,
}

impl Piece<'_> {
    /// Where segments begin in it.
    pub(super) fn segments(&self) -> impl Iterator<Item = u64> {
        self.payloads.iter().map(|(begins, _)| *begins)
    }

    fn push(&mut self, payload: Payload) {
        self.payloads.push((self.octets, payload));
        self.octets += u64::from(payload.octets);
    }
}

impl Source for Piece<'_> {
    fn octets(&self) -> io::Result<u64> {
        Ok(self.octets)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        let first = self.payloads.partition_point(|(begins, _)| *begins <= at).saturating_sub(1);
        for (begins, payload) in self.payloads.iter().skip(first) {
            let skipped = (at + read as u64) - begins;
            let octets = u64::from(payload.octets).saturating_sub(skipped).min((into.len() - read) as u64);
            let mut space = &mut into[read..][..octets as usize];
            let mut from = payload.at + skipped;
            while !space.is_empty() {
                match self.capture.read_at(from, space)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    octets => (space, from) = (&mut space[octets..], from + octets as u64),
                }
            }
            read += octets as usize;
            if read == into.len() {
                break;
            }
        }
        Ok(read)
    }
}

impl Direction {
    pub(super) fn segment(&mut self, number: u32, syn: bool, payload: Payload) {
        // What a reset says of its number need not be near the others.
        if payload.octets == 0 && !syn {
            return;
        }
        let number = self.unwrapped(number);
        self.last = Some(number);
        let number = if syn { number + 1 } else { number };
        if syn {
            self.begins = Some(number);
        }
        let kept = self.segments.entry(number).or_default();
        if payload.octets > kept.octets {
            *kept = payload;
        }
    }

    /// Whether a SYN with this number opens another connection than the one that was seen here.
    pub(super) fn is_another(&self, number: u32) -> bool {
        self.last.is_some() && self.begins.is_none_or(|begins| begins as u32 != number.wrapping_add(1))
    }

    pub(super) fn saw_syn(&self) -> bool {
        self.begins.is_some()
    }

    /// Whether nothing was sent.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.values().all(|segment| segment.octets == 0)
    }

    /// The nearest number to the last one that has these 32 bits.
    fn unwrapped(&self, number: u32) -> u64 {
        let last = self.last.unwrap_or_else(|| (1 << 32) + u64::from(number));
        last.wrapping_add_signed(i64::from(number.wrapping_sub(last as u32) as i32))
    }

    /// The octets in order, each once: what was sent again or twice is left out.
    pub(super) fn pieces<'s>(&self, capture: &'s dyn Source) -> Vec<Piece<'s>> {
        let mut pieces: Vec<Piece<'s>> = Vec::new();
        let mut next = self.begins;
        for (&number, &segment) in &self.segments {
            let octets = u64::from(segment.octets);
            let known = next.map_or(0, |next| next.saturating_sub(number)).min(octets) as u32;
            if known == segment.octets {
                continue;
            }
            let missing = next.map(|next| number.saturating_sub(next));
            if pieces.is_empty() || missing != Some(0) {
                pieces.push(Piece { capture, missing, payloads: Vec::new(), octets: 0 });
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(Payload { at: segment.at + u64::from(known), octets: segment.octets - known });
            }
            next = Some(number + octets);
        }
        pieces
    }
}
