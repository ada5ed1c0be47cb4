//! What is written, and its last text, which the end of the element can become part of.

use alloc::vec::Vec;

use crate::Int31;
use crate::record::Width;

#[derive(Debug)]
pub(super) struct Output<'w> {
    out: &'w mut Vec<u8>,
    /// Where the record type of the text is that was written last and is content.
    text: Option<usize>,
}

/// How far a document was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    length: usize,
    text: Option<usize>,
}

impl<'w> Output<'w> {
    pub(super) fn new(out: &'w mut Vec<u8>) -> Self {
        Self { out, text: None }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { length: self.out.len(), text: self.text }
    }

    /// As it was at `mark`. Neither ends nor octets must have been merged since into what was there.
    pub(super) fn undo(&mut self, mark: Mark) {
        self.out.truncate(mark.length);
        self.text = mark.text;
    }

    /// What was written last is no text that an end or octets can be merged into.
    pub(super) fn no_text(&mut self) {
        self.text = None;
    }

    /// Makes the end of the element part of the last text.
    pub(super) fn merge_end(&mut self) -> bool {
        let Some(record_type) = self.text.take().and_then(|at| self.out.get_mut(at)) else { return false };
        *record_type += 1;
        true
    }

    pub(super) fn octet(&mut self, octet: u8) {
        self.out.push(octet);
    }

    pub(super) fn octets(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    pub(super) fn int31(&mut self, value: u32) {
        Int31::encode_padded(value as usize, Int31::new(value).map_or(5, Int31::octets), self.out);
    }

    /// A name or comment with its length.
    pub(super) fn name(&mut self, name: &str) {
        self.int31(name.len() as u32);
        self.octets(name.as_bytes());
    }

    /// A text record: its type and its value, which has a fixed size.
    pub(super) fn text(&mut self, record_type: u8, value: &[u8]) {
        self.text = Some(self.out.len());
        self.out.push(record_type);
        self.octets(value);
    }

    /// The record type and the length of a text; `first` is the type for the shortest ones.
    pub(super) fn text_length(&mut self, first: u8, length: usize) {
        let (header, size) = header(first, length);
        self.text(header[0], &header[1..size]);
    }

    /// How many octets the text has that was written last, if it is one of octets.
    pub(super) fn last_octets(&self) -> Option<usize> {
        let at = self.text?;
        Some(self.out.len() - at - octets_header(*self.out.get(at)?)?)
    }

    /// Makes `octets` part of the last text, which is one of octets and has `length` of them then.
    pub(super) fn merge_octets(&mut self, octets: &[u8], length: usize) {
        let Some(at) = self.text else { return };
        let Some(old) = self.out.get(at).copied().and_then(octets_header) else { return };
        let (new, size) = header(OCTETS, length);
        self.out.splice(at..at + old, new.into_iter().take(size));
        self.octets(octets);
    }
}

/// The record type of the shortest texts of octets.
pub(super) const OCTETS: u8 = 0x9E;

/// The record type and the length of a text, and how many octets they have.
fn header(first: u8, length: usize) -> ([u8; 5], usize) {
    let [a, b, c, d] = (length as u32).to_le_bytes();
    match Width::of(length) {
        Width::One => ([first, a, 0, 0, 0], 2),
        Width::Two => ([first + 2, a, b, 0, 0], 3),
        Width::Four => ([first + 4, a, b, c, d], 5),
    }
}

/// How many octets the record type and length of a text have, if it is one of octets.
const fn octets_header(record_type: u8) -> Option<usize> {
    match record_type {
        0x9E => Some(2),
        0xA0 => Some(3),
        0xA2 => Some(5),
        _ => None,
    }
}

/// How many UTF-16 units a string has.
pub(super) fn units(string: &str) -> usize {
    if string.is_ascii() { string.len() } else { string.encode_utf16().count() }
}
