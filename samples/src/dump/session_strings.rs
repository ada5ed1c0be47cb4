//! The strings of a session in one direction ([MC-NBFSE]), also of one whose beginning was not captured.
//!
//! A session's strings are numbered from its first envelope on, so an envelope from the middle refers to strings that are not
//! there, and those it brings have numbers that it does not say. WCF puts a string into the table of the envelope that uses it
//! first. So, where the highest numbers that an envelope uses are as many as the strings it brings, without a gap, they are those.
//!
//! [MC-NBFSE]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nbfse/

use std::collections::BTreeSet;

use message_encoding::Int31;
use message_encoding::dictionary::ReaderSession;
use message_encoding::record::{Record, Records, StringRef, Text};

use super::envelope::is_document;

/// The most strings that may be unknown: each costs memory.
const MOST_UNKNOWN: usize = 100_000;

pub(super) struct SessionStrings {
    /// By their numbers, as far as they are known: strings that are not begin with `unknown-string-`.
    table: ReaderSession,
    /// What number the next string has. Not so behind a beginning that was not captured.
    numbered: bool,
}

/// What a table brought: each string, and its id if it is known.
pub(super) type New = Vec<(Option<usize>, String)>;

impl SessionStrings {
    /// The strings of a session from its first envelope on.
    pub(super) fn from_the_first() -> Self {
        Self { table: ReaderSession::new(), numbered: true }
    }

    /// The strings of a session whose first envelopes are not there.
    pub(super) fn from_the_middle() -> Self {
        Self { table: ReaderSession::new(), numbered: false }
    }

    pub(super) fn table(&self) -> &ReaderSession {
        &self.table
    }

    /// Takes the table in front of an envelope.
    pub(super) fn take(&mut self, table: &[u8], document: &[u8]) -> Result<New, String> {
        let strings = strings(table).ok_or("its string table is malformed")?;
        if !self.numbered {
            let used = used(document);
            let first = first_new(&used, strings.len()).filter(|first| *first >= self.table.len());
            self.numbered = first.is_some();
            let unknown = first.or_else(|| used.last().map(|last| last + 1)).unwrap_or_default();
            if unknown > MOST_UNKNOWN {
                return Err(format!("it refers to string {unknown} of a session whose beginning is missing"));
            }
            while self.table.len() < unknown {
                self.table.push(&format!("unknown-string-{}", 2 * self.table.len() + 1));
            }
            if !self.numbered {
                return Ok(strings.into_iter().map(|string| (None, string)).collect());
            }
        }
        let number = |string: String| {
            let id = 2 * self.table.len() + 1;
            self.table.push(&string);
            (Some(id), string)
        };
        Ok(strings.into_iter().map(number).collect())
    }
}

/// The number of the first of so many new strings, if the document uses all of them and nothing behind them.
fn first_new(used: &BTreeSet<usize>, new: usize) -> Option<usize> {
    let first = (used.last()? + 1).checked_sub(new)?;
    (new > 0 && used.range(first..).count() == new).then_some(first)
}

/// The numbers of the session's strings that a document uses, as far as it can be read.
fn used(document: &[u8]) -> BTreeSet<usize> {
    let mut used = BTreeSet::new();
    for record in Records::new(document).map_while(Result::ok) {
        let id = match record {
            Record::Attribute { local: StringRef::Dictionary(id), .. }
            | Record::Element { local: StringRef::Dictionary(id), .. }
            | Record::Xmlns { uri: StringRef::Dictionary(id), .. }
            | Record::Text { text: Text::Dictionary(id) | Text::QName(_, id), .. } => id.value(),
            _ => continue,
        };
        if !id.is_multiple_of(2) {
            used.insert((id / 2) as usize);
        }
    }
    used
}

/// The strings of a table without its size.
fn strings(mut table: &[u8]) -> Option<Vec<String>> {
    let mut strings = Vec::new();
    while !table.is_empty() {
        let (string, rest) = split_sized(table)?;
        strings.push(String::from_utf8_lossy(string).into_owned());
        table = rest;
    }
    Some(strings)
}

/// Whether there is a string table, and an element behind it.
pub(super) fn has_table(envelope: &[u8]) -> bool {
    split_sized(envelope).is_some_and(|(table, document)| is_document(document) && strings(table).is_some())
}

/// Octets with their size before them, and what is behind them.
pub(super) fn split_sized(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let size = Int31::decode(octets).ok()?;
    octets.get(size.octets()..)?.split_at_checked(size.value() as usize)
}
