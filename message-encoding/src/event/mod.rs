//! XML over the records: events with names in full, values typed, and the rules of a well-formed document.
//!
//! [`Reader`] reads a document that is there as a whole and borrows from it; [`StreamReader`] takes one in pieces, such as
//! the chunks of an unsized envelope. [`Writer`] writes a document, choosing records as .NET does.
//!
//! Both readers accept what .NET's reader accepts and refuse what it refuses, with these differences, where that one is
//! plainly wrong: an item of a list that is octets is shown as base64 (there: `System.Byte[]`), and a list may end with the
//! record 0xA7, as the specification has it (there: refused). A double that is a power of two may be shown with a digit too few
//! there, which is another double: 2<sup>-25</sup> as `2.980232238769531E-08`.

mod array;
mod attributes;
mod content;
mod error;
mod octets;
mod plain_tag;
mod reader;
mod scope;
mod source;
mod start_tag;
mod state;
mod stream;
mod text_record;
mod units;
mod writer;

pub use array::Array;
pub use attributes::Attributes;
pub use error::ReadError;
pub use reader::Reader;
pub use state::ReaderState;
pub use stream::{Progress, StreamReader};
pub(crate) use units::Units;
pub use writer::{ArrayItems, DictionaryString, ListItem, WriteError, Writer};

use crate::Value;

/// The namespace of namespace declarations.
pub const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";
/// The namespace that the prefix `xml` always has.
pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// What a document says next.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An element starts. Its attributes are the reader's until the next element starts or this one ends.
    Start(Name<'a>),
    /// A text record. Texts side by side are not joined, and one may be empty.
    Text(Value<'a>),
    /// A comment.
    Comment(&'a str),
    /// The innermost open element ends.
    End,
}

/// The name of an element or attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The prefix, empty if there is none; `xmlns` for a declaration of a prefix.
    pub prefix: &'a str,
    /// The local name; `xmlns` for the declaration of the default namespace.
    pub local: &'a str,
    /// The namespace that the prefix stands for, empty if none.
    pub namespace: &'a str,
}

impl Name<'_> {
    /// Whether the name is `local` in `namespace`; prefixes do not matter.
    #[inline]
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        same(self.local, local) && same(self.namespace, namespace)
    }
}

/// Whether two strings are equal, which needs no look at them if they are one: most names are of the static dictionary.
#[inline(always)]
pub(crate) fn same(one: &str, other: &str) -> bool {
    core::ptr::eq(one, other) || one == other
}

/// An attribute, or a namespace declaration: then the namespace of the name is [`XMLNS_NAMESPACE`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attribute<'a> {
    /// The name.
    pub name: Name<'a>,
    /// The value, which may be a list.
    pub value: Value<'a>,
}
