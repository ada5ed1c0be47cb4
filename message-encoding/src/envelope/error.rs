//! What can be wrong with an envelope.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::event::{ReadError, WriteError};

/// Why octets are no envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The document is refused.
    Read(ReadError),
    /// The string table before the document is malformed.
    StringTable,
    /// The string tables of the session are longer than the quota.
    StringTableTooLong(usize),
    /// A string table before was malformed or too long: nothing after it can be read.
    SessionBroken,
    /// The document is no SOAP envelope.
    NotSoap,
    /// The envelope is of another version of SOAP than the session.
    SoapVersion,
    /// This header of WS-Addressing is there twice.
    RepeatedHeader(&'static str),
    /// A reply has this header, by namespace and name, that must be understood and is not.
    NotUnderstood(Box<(String, String)>),
    /// The text is no well-formed XML, or has a processing instruction or document type definition. The octet where that shows.
    Xml(usize),
    /// The text is not in the character encoding that was agreed upon.
    Characters,
    /// The encoding is a text one, and this crate was built without its feature `text`.
    NoTextSupport,
}

impl From<ReadError> for DecodeError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<crate::ValueError> for DecodeError {
    fn from(error: crate::ValueError) -> Self {
        Self::Read(ReadError::Value(error))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::StringTable => f.write_str("the string table of an envelope is malformed"),
            Self::StringTableTooLong(quota) => write!(f, "the string tables have more than {quota} octets"),
            Self::SessionBroken => f.write_str("an earlier string table of the session was refused"),
            Self::NotSoap => f.write_str("the document is no SOAP envelope"),
            Self::SoapVersion => f.write_str("the envelope is of another version of SOAP than the session"),
            Self::RepeatedHeader(name) => write!(f, "the header '{name}' is there twice"),
            Self::NotUnderstood(header) => {
                let (namespace, name) = &**header;
                write!(f, "the reply's header '{name}' of the namespace '{namespace}' is not understood")
            }
            Self::Xml(at) => write!(f, "no well-formed XML at octet {at}"),
            Self::Characters => f.write_str("the text is not in the agreed character encoding"),
            Self::NoTextSupport => f.write_str("text encodings need the feature \"text\""),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why an envelope cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// Something in it cannot be written.
    Write(WriteError),
    /// What was written by the caller is no document, and cannot become text.
    Read(ReadError),
    /// A name or comment has a character that XML has not, such as U+0000. Binary XML has, and a text may have it as a reference.
    Character(char),
    /// An element or attribute has a name that is none in XML. Binary XML does not mind.
    Name,
}

impl From<WriteError> for EncodeError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Character(unit) => write!(f, "XML has no character {unit:?}"),
            Self::Name => f.write_str("an element or attribute has a name that XML does not have"),
        }
    }
}

impl core::error::Error for EncodeError {}
