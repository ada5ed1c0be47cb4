//! What is written, and how much of it .NET's writer would still have in its buffer of 512 octets.
//!
//! That one merges the end of an element into its last text only while the record type of the text is still in the buffer. Before
//! each part it writes, it empties the buffer if the part could exceed it, counting three octets for a UTF-16 unit. We do the same
//! sums, so that the records come out the same.

use alloc::vec::Vec;

use crate::Int31;

const BUFFER: usize = 512;

#[derive(Debug)]
pub(super) struct Window<'w> {
    out: &'w mut Vec<u8>,
    used: usize,
    /// Where the record type of the last text is, if an end can still be merged into it.
    text: Option<usize>,
}

/// How far a document was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    position: usize,
    used: usize,
    text: Option<usize>,
}

impl<'w> Window<'w> {
    pub(super) fn new(out: &'w mut Vec<u8>) -> Self {
        Self { out, used: 0, text: None }
    }

    pub(super) fn position(&self) -> usize {
        self.out.len()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { position: self.out.len(), used: self.used, text: self.text }
    }

    /// As it was at `mark`. Ends must not have been merged since into what was there.
    pub(super) fn undo(&mut self, mark: Mark) {
        self.out.truncate(mark.position);
        (self.used, self.text) = (mark.used, mark.text);
    }

    /// Moves what was written from `from` on to `to`; says where what was at `to` is now.
    pub(super) fn move_before(&mut self, from: usize, to: usize) -> usize {
        let moved = self.out.len() - from;
        self.out[to..].rotate_right(moved);
        to + moved
    }

    /// The text before, if any, is no longer the last thing written.
    pub(super) fn no_text(&mut self) {
        self.text = None;
    }

    /// Adds the end of the element to the last text.
    pub(super) fn merge_end(&mut self) -> bool {
        let Some(record_type) = self.text.take().and_then(|at| self.out.get_mut(at)) else { return false };
        *record_type += 1;
        true
    }

    fn flush(&mut self) {
        self.used = 0;
        self.text = None;
    }

    fn reserve(&mut self, octets: usize) {
        if self.used + octets > BUFFER {
            self.flush();
        }
    }

    fn put(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
        self.used += octets.len();
    }

    pub(super) fn octet(&mut self, octet: u8) {
        self.reserve(1);
        self.put(&[octet]);
    }

    /// The record type of a text.
    pub(super) fn text_octet(&mut self, record_type: u8) {
        self.octet(record_type);
        self.text = Some(self.out.len() - 1);
    }

    /// A text whose value has a fixed size.
    pub(super) fn text_fixed(&mut self, record_type: u8, value: &[u8]) {
        self.reserve(1 + value.len());
        self.text = Some(self.out.len());
        self.put(&[record_type]);
        self.put(value);
    }

    /// The record type and length of a text; `first` is the type for the shortest ones.
    pub(super) fn text_length(&mut self, first: u8, length: usize) {
        self.reserve(5);
        self.text = Some(self.out.len());
        let octets = (length as u32).to_le_bytes();
        match crate::record::Width::of(length) {
            crate::record::Width::One => self.put(&[first, octets[0]]),
            crate::record::Width::Two => self.put(&[first + 2, octets[0], octets[1]]),
            crate::record::Width::Four => {
                self.put(&[first + 4]);
                self.put(&octets);
            }
        }
    }

    pub(super) fn int31(&mut self, value: u32) {
        self.reserve(5);
        let before = self.out.len();
        Int31::encode_padded(value as usize, Int31::new(value).map_or(5, Int31::octets), self.out);
        self.used += self.out.len() - before;
    }

    /// A name or comment with its length.
    pub(super) fn name(&mut self, name: &str) {
        let units = units(name);
        if units == 0 {
            self.octet(0);
        } else if units < 128 / 3 {
            self.reserve(1 + units * 3);
            self.put(&[name.len() as u8]);
            self.put(name.as_bytes());
        } else {
            self.int31(name.len() as u32);
            self.utf8(name);
        }
    }

    /// A short text with its record type: the buffer is asked for room for all of it at once.
    pub(super) fn text_short(&mut self, units: usize, record_type: u8, octets: &[u8]) {
        self.reserve(2 + units * 3);
        self.text = Some(self.out.len());
        self.put(&[record_type, octets.len() as u8]);
        self.put(octets);
    }

    /// Characters in UTF-8, in pieces of 170 UTF-16 units.
    pub(super) fn utf8(&mut self, mut string: &str) {
        const PIECE: usize = BUFFER / 3;
        while !string.is_empty() {
            let (piece, rest) = string.split_at(piece_end(string, PIECE));
            self.reserve(units(piece) * 3);
            self.put(piece.as_bytes());
            string = rest;
        }
    }

    /// Characters in UTF-16, in pieces of 256 units.
    pub(super) fn utf16(&mut self, mut string: &str) {
        const PIECE: usize = BUFFER / 2;
        while !string.is_empty() {
            let (piece, rest) = string.split_at(piece_end(string, PIECE));
            self.reserve(units(piece) * 2);
            for unit in piece.encode_utf16() {
                self.put(&unit.to_le_bytes());
            }
            string = rest;
        }
    }

    /// Octets that go past the buffer if there are many.
    pub(super) fn octets(&mut self, octets: &[u8]) {
        if octets.len() < BUFFER {
            self.reserve(octets.len());
            self.put(octets);
        } else {
            self.flush();
            self.out.extend_from_slice(octets);
        }
    }

    /// Octets that always go past the buffer.
    pub(super) fn past_buffer(&mut self, octets: impl Iterator<Item = u8>) {
        self.flush();
        self.out.extend(octets);
    }
}

/// How many UTF-16 units a string has.
pub(super) fn units(string: &str) -> usize {
    if string.is_ascii() { string.len() } else { string.encode_utf16().count() }
}

/// Where in `string` the characters end that have at most `limit` UTF-16 units together.
fn piece_end(string: &str, limit: usize) -> usize {
    if string.len() <= limit {
        return string.len();
    }
    let mut count = 0;
    string
        .char_indices()
        .find(|(_, unit)| {
            count += unit.len_utf16();
            count > limit
        })
        .map_or(string.len(), |(at, _)| at)
}
