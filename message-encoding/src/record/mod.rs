//! The records of [MC-NBFX] section 2.2: the octets of a document, one record at a time, nothing lost.
//!
//! A record is what one record type octet begins. Nothing is looked up or joined here: names stay octets or ids, a text
//! stays the record it was, non-minimal lengths keep their width. [`Record::encode`] gives back the very octets that
//! [`Records`] read.
//!
//! ```
//! use message_encoding::record::{Record, Records};
//!
//! let document = [0x40, 0x01, b'r', 0x04, 0x01, b'a', 0x82, 0x89, 0x2A]; // <r a="1">42</r>
//! let mut again = Vec::new();
//! for record in Records::new(&document) {
//!     record?.encode(&mut again);
//! }
//! assert_eq!(again, document);
//! # Ok::<(), message_encoding::RecordError>(())
//! ```

mod decode;
mod encode;
mod text;

use core::fmt;

pub(crate) use decode::Cursor;
pub use text::{ArrayType, Text, Width};

use crate::{Int31, ValueError};

/// One record ([MC-NBFX] section 2.2).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// The end of the innermost open element (0x01, section 2.2.2.27).
    EndElement,
    /// A comment (0x02, section 2.2.2.28).
    Comment(Inline<'a>),
    /// An array (0x03, section 2.2.2.29): an element with its attributes and [`Record::EndElement`] follow, then
    /// [`Record::ArrayItems`].
    Array,
    /// What an array holds: the type and the number of its items, which follow as [`Record::ArrayItem`]s.
    ArrayItems {
        /// The record type that each item would have as a text.
        item: ArrayType,
        /// How many items follow.
        count: Int31,
    },
    /// One item of an array: a value without a record type.
    ArrayItem(Text<'a>),
    /// An attribute (0x04 to 0x07, 0x0C to 0x3F, section 2.2.2); its value follows as a text or list.
    Attribute {
        /// The prefix.
        prefix: Prefix<'a>,
        /// The local name.
        local: StringRef<'a>,
    },
    /// A namespace declaration (0x08 to 0x0B, section 2.2.2).
    Xmlns {
        /// The prefix; none for the default namespace.
        prefix: Option<Inline<'a>>,
        /// The namespace.
        uri: StringRef<'a>,
    },
    /// The start of an element (0x40 to 0x77, section 2.2.2); its attributes follow.
    Element {
        /// The prefix.
        prefix: Prefix<'a>,
        /// The local name.
        local: StringRef<'a>,
    },
    /// A text (0x80 to 0xBD, section 2.2.3).
    Text {
        /// The value.
        text: Text<'a>,
        /// Whether the innermost open element ends behind it (the record type is odd).
        end: bool,
    },
    /// The start of a list of texts that are one text together (0xA4, section 2.2.3).
    StartList,
    /// The end of a list (0xA6 and 0xA7).
    EndList {
        /// Whether the innermost open element ends behind it (0xA7).
        end: bool,
    },
}

/// A string as it stands in a record: its octets and the width of the length before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inline<'a> {
    octets: &'a [u8],
    length_octets: u8,
}

impl<'a> Inline<'a> {
    /// `octets` with a length as short as possible, or nothing if there are 2<sup>31</sup> or more.
    pub fn new(octets: &'a [u8]) -> Option<Self> {
        let length = Int31::of(octets.len())?;
        Some(Self { octets, length_octets: length.octets() as u8 })
    }

    /// The octets: UTF-8, unless the peer is wrong.
    pub const fn octets(self) -> &'a [u8] {
        self.octets
    }

    /// How many octets the length before it has: one to five.
    pub const fn length_octets(self) -> usize {
        self.length_octets as usize
    }

    /// The string.
    ///
    /// # Errors
    ///
    /// [`ValueError::InvalidUtf8`].
    #[inline]
    pub fn as_str(self) -> Result<&'a str, ValueError> {
        core::str::from_utf8(self.octets).map_err(|_| ValueError::InvalidUtf8)
    }
}

/// A name or namespace in a record: written out, or the id of a dictionary string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringRef<'a> {
    /// The string itself.
    Inline(Inline<'a>),
    /// An id, even for the static dictionary and odd for the in-band one.
    Dictionary(Int31),
}

/// The prefix of an element or attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix<'a> {
    /// None: a "short" record.
    None,
    /// A single letter, which is part of the record type.
    PrefixLetter(PrefixLetter),
    /// Written out.
    Inline(Inline<'a>),
}

impl<'a> Prefix<'a> {
    /// The octets of the prefix, none if there is none.
    #[inline]
    pub fn octets(self) -> &'a [u8] {
        match self {
            Self::None => &[],
            Self::PrefixLetter(letter) => letter.as_str().as_bytes(),
            Self::Inline(inline) => inline.octets,
        }
    }
}

/// A lower-case letter from `a` to `z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixLetter(u8);

impl PrefixLetter {
    /// The letter that a prefix consists of.
    pub fn of(prefix: &str) -> Option<Self> {
        Self::of_octets(prefix.as_bytes())
    }

    /// The letter that octets consist of.
    #[inline]
    pub(crate) const fn of_octets(octets: &[u8]) -> Option<Self> {
        match octets {
            [letter @ b'a'..=b'z'] => Some(Self(*letter - b'a')),
            _ => None,
        }
    }

    /// The letter of a lettered record type, given how many types lie between it and the first one: 26 with a dictionary name,
    /// then 26 with a name written out.
    #[inline]
    pub(crate) const fn of_record(types: u8) -> Self {
        Self(types % 26)
    }

    /// PrefixLetter number `index` from 0 for `a` to 25 for `z`.
    pub(crate) const fn from_index(index: u8) -> Option<Self> {
        if index < 26 { Some(Self(index)) } else { None }
    }

    pub(crate) const fn index(self) -> u8 {
        self.0
    }

    /// The letter as a string.
    pub fn as_str(self) -> &'static str {
        PREFIXES[usize::from(self.0) + 1]
    }
}

/// The prefixes that a record type says: none, then the letters.
pub(crate) const PREFIXES: [&str; 27] = [
    "", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t",
    "u", "v", "w", "x", "y", "z",
];

/// Why octets are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The record goes on behind the octets: this many more are wanted, at least.
    NeedMore(usize),
    /// No record has this type, or it may not stand here.
    UnknownRecord(u8),
    /// A number has more than 31 bits or five octets.
    IntegerTooLarge,
    /// A text says that it has 2<sup>31</sup> octets or more.
    LengthTooLarge,
    /// A text in UTF-16 says that it has an odd number of octets.
    OddLength,
    /// The prefix of a qualified name is no letter: its number, 26 or more.
    QNamePrefix(u8),
    /// An array of items of a type that arrays do not have.
    ArrayType(u8),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedMore(more) => write!(f, "ends inside a record, at least {more} octets short"),
            Self::UnknownRecord(octet) => write!(f, "no record of type 0x{octet:02X} may stand here"),
            Self::IntegerTooLarge => write!(f, "a number has more than 31 bits"),
            Self::LengthTooLarge => write!(f, "a text is said to have 2^31 octets or more"),
            Self::OddLength => write!(f, "a UTF-16 text is said to have an odd number of octets"),
            Self::QNamePrefix(prefix) => write!(f, "the prefix of a qualified name is {prefix}, no letter"),
            Self::ArrayType(octet) => write!(f, "arrays have no items of type 0x{octet:02X}"),
        }
    }
}

impl core::error::Error for RecordError {}

/// The records of a document, in order.
///
/// It knows where it is in an array, and nothing else: any sequence of records is read, also one that is no document. An array
/// that is not there to its last item is an error. After one it ends.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    octets: &'a [u8],
    position: usize,
    array: ArrayState,
    failed: bool,
}

#[derive(Clone, Copy, Debug)]
enum ArrayState {
    Outside,
    Element,
    Header,
    Items(ArrayType, u32),
}

impl<'a> Records<'a> {
    /// The records that `octets` consist of.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets, position: 0, array: ArrayState::Outside, failed: false }
    }

    /// How many octets the records so far had.
    pub const fn position(&self) -> usize {
        self.position
    }

    fn decode(&mut self) -> Result<Record<'a>, RecordError> {
        let octets = &self.octets[self.position..];
        let (record, used) = match self.array {
            ArrayState::Header => {
                let item = ArrayType::decode(*octets.first().ok_or(RecordError::NeedMore(1))?)?;
                let count = Int31::decode(&octets[1..])?;
                (Record::ArrayItems { item, count }, 1 + count.octets())
            }
            ArrayState::Items(item, _) => {
                let text = item.item(octets)?;
                (Record::ArrayItem(text), item.octets())
            }
            ArrayState::Outside | ArrayState::Element => Record::decode(octets)?,
        };
        self.array = match (self.array, record) {
            (_, Record::Array) => ArrayState::Element,
            (ArrayState::Element, Record::EndElement) => ArrayState::Header,
            (ArrayState::Header, Record::ArrayItems { item, count }) if count.value() > 0 => {
                ArrayState::Items(item, count.value())
            }
            (ArrayState::Items(item, left), _) if left > 1 => ArrayState::Items(item, left - 1),
            (ArrayState::Element, _) => ArrayState::Element,
            _ => ArrayState::Outside,
        };
        self.position += used;
        Ok(record)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let done = self.position == self.octets.len() && matches!(self.array, ArrayState::Outside);
        if self.failed || done {
            return None;
        }
        let record = self.decode();
        self.failed = record.is_err();
        Some(record)
    }
}
