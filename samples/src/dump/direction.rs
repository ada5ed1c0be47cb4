//! What one side of a TCP connection sent, put in order by sequence number.

use std::collections::BTreeMap;

/// The segments of one direction. They borrow from the capture.
#[derive(Debug, Default)]
pub(super) struct Direction<'a> {
    /// The sequence number of the first octet, if its SYN was captured.
    begins: Option<u64>,
    /// The last sequence number seen. Numbers have 32 bits and wrap round; here they go on.
    last: Option<u64>,
    /// By sequence number; of those that begin alike the longest.
    segments: BTreeMap<u64, &'a [u8]>,
}

/// Octets without a gap between them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Octets that are missing before it; `None` if nobody knows how many.
    pub(super) missing: Option<u64>,
    pub(super) octets: Vec<u8>,
    /// Where segments begin in it.
    pub(super) segments: Vec<usize>,
}

impl<'a> Direction<'a> {
    pub(super) fn segment(&mut self, number: u32, syn: bool, payload: &'a [u8]) {
        // What a reset says of its number need not be near the others.
        if payload.is_empty() && !syn {
            return;
        }
        let number = self.unwrapped(number);
        self.last = Some(number);
        let number = if syn { number + 1 } else { number };
        if syn {
            self.begins = Some(number);
        }
        let kept = self.segments.entry(number).or_default();
        if payload.len() > kept.len() {
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
        self.segments.values().all(|segment| segment.is_empty())
    }

    /// The nearest number to the last one that has these 32 bits.
    fn unwrapped(&self, number: u32) -> u64 {
        let last = self.last.unwrap_or_else(|| (1 << 32) + u64::from(number));
        last.wrapping_add_signed(i64::from(number.wrapping_sub(last as u32) as i32))
    }

    /// The octets in order, each once: what was sent again or twice is left out.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut next = self.begins;
        for (&number, &segment) in &self.segments {
            let end = number + segment.len() as u64;
            let known = next.map_or(0, |next| next.saturating_sub(number)).min(segment.len() as u64);
            if known == segment.len() as u64 {
                continue;
            }
            let missing = next.map(|next| number.saturating_sub(next));
            if pieces.is_empty() || missing != Some(0) {
                pieces.push(Piece { missing, octets: Vec::new(), segments: Vec::new() });
            }
            if let Some(piece) = pieces.last_mut() {
                piece.segments.push(piece.octets.len());
                piece.octets.extend_from_slice(&segment[known as usize..]);
            }
            next = Some(end);
        }
        pieces
    }
}
