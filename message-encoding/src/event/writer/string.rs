//! What a writer writes as a name, a namespace or a text.

use crate::dictionary::StaticString;

/// A string that a writer writes as a name, a namespace or a text.
///
/// Only what is said to be a dictionary string becomes an id: as in .NET, a plain string is written inline even if a
/// dictionary has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DictionaryString<'a> {
    /// Written inline.
    Plain(&'a str),
    /// Written as its static id.
    Static(StaticString),
    /// Given an id in the in-band dictionary of the session, and inline where there is no session or its table is full.
    InBand(&'a str),
}

impl DictionaryString<'_> {
    /// The string.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Plain(string) | Self::InBand(string) => string,
            Self::Static(string) => string.as_str(),
        }
    }
}

impl<'a> From<&'a str> for DictionaryString<'a> {
    fn from(string: &'a str) -> Self {
        Self::Plain(string)
    }
}

impl From<StaticString> for DictionaryString<'_> {
    fn from(string: StaticString) -> Self {
        Self::Static(string)
    }
}
