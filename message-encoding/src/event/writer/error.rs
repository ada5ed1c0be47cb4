//! Why a writer refuses.

use core::fmt;

/// Why something cannot be written. The writer and its document are as they were before the call; only an id that a string
/// of the session has got stays its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// No element is open.
    NoOpenElement,
    /// An attribute or declaration must come right behind the start of its element.
    NotInStartTag,
    /// A comment may not contain `--` or end with `-`.
    Comment,
    /// A string or byte string has 2<sup>31</sup> octets or more.
    TooLong,
    /// A text was to be written that is none.
    Value(crate::ValueError),
    /// A list stands in a list, or a qualified name.
    InList,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOpenElement => f.write_str("no element is open"),
            Self::NotInStartTag => f.write_str("an attribute stands behind the content of its element"),
            Self::Comment => f.write_str("a comment contains -- or ends with -"),
            Self::TooLong => f.write_str("a string has 2^31 octets or more"),
            Self::Value(error) => error.fmt(f),
            Self::InList => f.write_str("a list may hold neither lists nor qualified names"),
        }
    }
}

impl core::error::Error for WriteError {}

impl From<crate::ValueError> for WriteError {
    fn from(error: crate::ValueError) -> Self {
        Self::Value(error)
    }
}
