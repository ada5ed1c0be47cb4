//! Why a value cannot be had.

use core::fmt;

/// Why a value cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// A text is no UTF-8 (overlong forms and surrogates are none).
    InvalidUtf8,
    /// A text is no UTF-16: it has half of a surrogate pair.
    InvalidUtf16,
    /// A time is no day of the years 1 to 9999.
    DateOutOfRange,
    /// A qualified name stands in a list, where nothing says what it is the name of.
    QNameInList,
    /// The value is no … (what was asked for).
    NotOfType(&'static str),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUtf8 => f.write_str("a text is no UTF-8"),
            Self::InvalidUtf16 => f.write_str("a text is no UTF-16"),
            Self::DateOutOfRange => f.write_str("a time is not within the years 1 to 9999"),
            Self::QNameInList => f.write_str("a qualified name stands in a list"),
            Self::NotOfType(wanted) => write!(f, "a value is no {wanted}"),
        }
    }
}

impl core::error::Error for ValueError {}
