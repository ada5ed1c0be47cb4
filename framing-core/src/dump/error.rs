//! Why a dump ends early.

use core::fmt;

/// Why a dump ends early.
///
/// ```
/// use framing_core::dump::{DumpError, Dumper};
/// let mut text = String::new();
/// let error = Dumper::new().dump(b"\x07\x47", &mut text).unwrap_err();
/// assert_eq!(error, DumpError::NoRecord { offset: 1, octet: 0x47 });
/// assert_eq!(text, "0 End\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DumpError {
    /// An octet where a record should begin is none.
    NoRecord {
        /// Its offset in octets.
        offset: u64,
        /// The octet.
        octet: u8,
    },
    /// A size is over 31 bits or 5 octets.
    SizeTooLarge {
        /// The offset in octets at which its record or chunk begins.
        offset: u64,
    },
    /// The stream ends inside a record.
    EndInside {
        /// The offset in octets at which the stream ends.
        offset: u64,
        /// The offset in octets at which the record or chunk begins.
        began: u64,
    },
    /// The writer failed.
    Write,
}

impl DumpError {
    /// The offset at which the stream is wrong or ends, in octets; `None` if it was the writer.
    ///
    /// ```
    /// use framing_core::dump::DumpError;
    /// assert_eq!(DumpError::EndInside { offset: 9, began: 5 }.offset(), Some(9));
    /// assert_eq!(DumpError::Write.offset(), None);
    /// ```
    #[must_use]
    pub const fn offset(self) -> Option<u64> {
        match self {
            Self::NoRecord { offset, .. }
            | Self::SizeTooLarge { offset }
            | Self::EndInside { offset, .. } => Some(offset),
            Self::Write => None,
        }
    }
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecord { octet, .. } => write!(f, "octet 0x{octet:02X} is no record"),
            Self::SizeTooLarge { .. } => {
                f.write_str("the size of this record or chunk is over 31 bits or 5 octets")
            }
            Self::EndInside { began, .. } => {
                write!(f, "the stream ends inside the record or chunk that begins at {began}")
            }
            Self::Write => f.write_str("writing the dump failed"),
        }
    }
}

impl core::error::Error for DumpError {}

impl From<fmt::Error> for DumpError {
    fn from(_: fmt::Error) -> Self {
        Self::Write
    }
}
