//! Text XML: from records, and to them.
//!
//! A text document becomes records before anything else looks at it, so that there is one reader, with one set of rules and
//! quotas; a document to be sent is written as records first, each of the type that its value has: what is shorter in binary
//! for the loss of a digit or of a sign stays whole.

mod characters;
#[cfg(feature = "text")]
mod parse;
mod print;

#[cfg(feature = "text")]
pub(crate) use characters::decode;
pub(crate) use characters::encode;
#[cfg(feature = "text")]
pub(crate) use parse::to_records;
pub(crate) use print::push_records;
pub use print::{XmlPrinter, print, to_xml};
