//! Strings that stand on the wire as a number: the static dictionary of SOAP ([MC-NBFS]) and the one that
//! two ends build up while a session lasts ([MC-NBFSE]).
//!
//! Even ids are static: `2n` is entry `n` of a fixed table of 487 strings. Odd ids are in-band: `2n + 1` is the `n`-th
//! string that the sender has put in front of its envelopes so far. Each direction of a session has its own.

mod table;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use table::{SORTED, STRINGS};

/// A string of the static dictionary ([MC-NBFS] section 2.2).
///
/// ```
/// use message_encoding::dictionary::StaticString;
///
/// let envelope = StaticString::find("Envelope").unwrap();
/// assert_eq!((envelope.id(), envelope.as_str()), (2, "Envelope"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticString(u16);

impl StaticString {
    /// The string with the id `id`, which is even and at most 972.
    pub const fn from_id(id: u32) -> Option<Self> {
        if id.is_multiple_of(2) && id <= 972 { Some(Self((id / 2) as u16)) } else { None }
    }

    /// For the names that this crate writes itself.
    pub(crate) const fn known(id: u16) -> Self {
        assert!(id.is_multiple_of(2) && id <= 972);
        Self(id / 2)
    }

    /// The entry that is `string`.
    pub fn find(string: &str) -> Option<Self> {
        let at =
            SORTED.binary_search_by(|&index| STRINGS[usize::from(index)].as_bytes().cmp(string.as_bytes()));
        at.ok().map(|at| Self(SORTED[at]))
    }

    /// The id on the wire: even, 0 to 972.
    pub const fn id(self) -> u32 {
        self.0 as u32 * 2
    }

    /// The string. Entry 81 (id 162) is empty, entry 212 (id 424) begins with a space.
    pub const fn as_str(self) -> &'static str {
        STRINGS[self.0 as usize]
    }
}

/// The in-band strings of one direction of a session, as its reader collects them.
#[derive(Clone, Debug, Default)]
pub struct ReaderSession {
    strings: Vec<Box<str>>,
}

impl ReaderSession {
    /// A table without strings.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table with room for `strings` strings.
    pub(crate) fn with_capacity(strings: usize) -> Self {
        Self { strings: Vec::with_capacity(strings) }
    }

    /// Adds the next string; its id is `2n + 1`, `n` being how many were there.
    pub fn push(&mut self, string: &str) {
        self.strings.push(string.into());
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.strings.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.strings.is_empty()
    }

    /// String number `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.strings.get(index).map(|string| &**string)
    }
}

impl<S: AsRef<str>> FromIterator<S> for ReaderSession {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut table = Self::new();
        strings.into_iter().for_each(|string| table.push(string.as_ref()));
        table
    }
}

/// The dictionaries that a document is read with: always the static one, and the in-band one of its session, if any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strings<'a> {
    session: &'a [Box<str>],
}

impl<'a> Strings<'a> {
    /// The static dictionary alone: a document with an odd id is refused.
    pub const STATIC: Self = Self { session: &[] };

    /// The static dictionary and the strings of a session.
    pub const fn with_session(session: &'a ReaderSession) -> Self {
        Self { session: session.strings.as_slice() }
    }

    /// The string that `id` stands for.
    #[inline(always)]
    pub fn get(self, id: u32) -> Option<&'a str> {
        let index = usize::try_from(id / 2).ok()?;
        if id.is_multiple_of(2) {
            STRINGS.get(index).copied()
        } else {
            self.session.get(index).map(|string| &**string)
        }
    }
}

/// The in-band strings of one direction of a session, as its writer gives them numbers.
///
/// The octets of the tables it sends are bounded (2048 by default, as in WCF): a string that no longer fits is written
/// inline from then on.
#[derive(Clone, Debug)]
pub struct WriterSession {
    ids: BTreeMap<String, u32>,
    fresh: Vec<u8>,
    left: usize,
}

impl WriterSession {
    /// An empty table that may grow to `quota` octets on the wire.
    pub fn new(quota: usize) -> Self {
        Self { ids: BTreeMap::new(), fresh: Vec::new(), left: quota }
    }

    /// The id of `string`, which is given one now if it is new and there is room.
    pub(crate) fn id_of(&mut self, string: &str) -> Option<u32> {
        if let Some(&id) = self.ids.get(string) {
            return Some(id);
        }
        let length = crate::Int31::of(string.len())?;
        let size = length.octets() + string.len();
        let id = u32::try_from(self.ids.len()).ok()?.checked_mul(2)?.checked_add(1)?;
        self.left = self.left.checked_sub(size)?;
        length.encode(&mut self.fresh);
        self.fresh.extend_from_slice(string.as_bytes());
        self.ids.insert(string.into(), id);
        Some(id)
    }

    /// The strings that were given an id since the last call, as they stand in the table of an envelope.
    pub(crate) fn take_fresh(&mut self, out: &mut Vec<u8>) -> usize {
        let size = self.fresh.len();
        out.append(&mut self.fresh);
        size
    }

    pub(crate) fn fresh_octets(&self) -> usize {
        self.fresh.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_static_string_is_found_by_its_text_and_its_id() {
        for (index, string) in STRINGS.iter().enumerate() {
            let found = StaticString::find(string).unwrap();
            assert_eq!((usize::from(found.0), found.as_str()), (index, *string));
            assert_eq!(StaticString::from_id(found.id()), Some(found));
        }
        assert_eq!(StaticString::find("no such name"), None);
        assert_eq!(StaticString::from_id(974), None);
        assert_eq!(StaticString::from_id(1), None);
        assert_eq!(Strings::STATIC.get(162), Some(""));
        assert!(Strings::STATIC.get(424).unwrap().starts_with(' '));
    }

    #[test]
    fn a_full_table_gives_no_new_ids_but_keeps_the_old() {
        let mut table = WriterSession::new(10);
        assert_eq!(table.id_of("four"), Some(1));
        assert_eq!(table.id_of("fives"), None);
        assert_eq!(table.id_of("more"), Some(3));
        assert_eq!(table.id_of(""), None);
        assert_eq!(table.id_of("four"), Some(1));
        let mut octets = Vec::new();
        assert_eq!(table.take_fresh(&mut octets), 10);
        assert_eq!(octets, b"\x04four\x04more");
        assert_eq!(table.take_fresh(&mut octets), 0);
    }
}
