//! Why a document is refused.

use core::fmt;

use crate::{RecordError, ValueError};

/// Why octets are no document, or exceed a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// A record is malformed or may not stand where it does.
    Record(RecordError),
    /// The document ends inside a record or with elements open.
    UnexpectedEnd,
    /// No dictionary has a string with this id.
    UnknownString(u32),
    /// A name has a prefix that is not declared.
    UndeclaredPrefix,
    /// A declaration binds `xml` or `xmlns` to another namespace than their own.
    ReservedPrefix,
    /// A declaration binds a prefix to no namespace.
    EmptyNamespace,
    /// An element has two attributes of one name, or two declarations of one prefix.
    DuplicateAttribute,
    /// A second root element.
    SecondRoot,
    /// An element ends that did not start.
    SurplusEnd,
    /// A text that is no white space stands outside of the root element.
    TextOutsideRoot,
    /// The element of an array is no empty element.
    ArrayElement,
    /// An array says that it has no items.
    EmptyArray,
    /// A name or value is no text, or not of the type that was asked for.
    Value(ValueError),
    /// More elements are open than the quota allows.
    DepthExceeded(usize),
    /// The attributes of a start tag have more octets than the quota allows.
    StartTagTooLong(usize),
    /// A text that is read as one has more characters than the quota allows.
    StringTooLong(usize),
    /// An array or byte string that is read as one is longer than the quota allows.
    ArrayTooLong(usize),
    /// The document has 2<sup>32</sup> octets or more.
    DocumentTooLong,
    /// Something else than what the caller asked for comes next: an element where a text was to be read, or the like.
    Unexpected(&'static str),
}

impl From<RecordError> for ReadError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<ValueError> for ReadError {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(error) => error.fmt(f),
            Self::UnexpectedEnd => f.write_str("the document ends too early"),
            Self::UnknownString(id) => write!(f, "no dictionary has a string with id {id}"),
            Self::UndeclaredPrefix => f.write_str("a prefix is not declared"),
            Self::ReservedPrefix => f.write_str("the prefix xml or xmlns is bound to another namespace"),
            Self::EmptyNamespace => f.write_str("a prefix is bound to no namespace"),
            Self::DuplicateAttribute => f.write_str("an element has two attributes of one name"),
            Self::SecondRoot => f.write_str("the document has a second root element"),
            Self::SurplusEnd => f.write_str("an element ends that did not start"),
            Self::TextOutsideRoot => f.write_str("a text stands outside of the root element"),
            Self::ArrayElement => f.write_str("the element of an array is not empty"),
            Self::EmptyArray => f.write_str("an array has no items"),
            Self::Value(error) => error.fmt(f),
            Self::DepthExceeded(quota) => write!(f, "more than {quota} elements are open"),
            Self::StartTagTooLong(quota) => {
                write!(f, "the attributes of an element have more than {quota} octets")
            }
            Self::StringTooLong(quota) => write!(f, "a text has more than {quota} characters"),
            Self::ArrayTooLong(quota) => write!(f, "an array or byte string has more than {quota} items"),
            Self::DocumentTooLong => f.write_str("the document has 4 GiB or more"),
            Self::Unexpected(wanted) => write!(f, "{wanted} was expected"),
        }
    }
}

impl core::error::Error for ReadError {}
