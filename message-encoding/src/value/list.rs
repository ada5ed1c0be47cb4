//! Several values in a row, of a text that is a list.

use alloc::borrow::Cow;

use super::Value;
use crate::dictionary::Strings;
use crate::record::Record;

/// The values of a list, in order.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    octets: &'a [u8],
    strings: Strings<'a>,
}

impl<'a> List<'a> {
    /// The list whose text records are `octets`, which were read before.
    pub(crate) const fn new(octets: &'a [u8], strings: Strings<'a>) -> Self {
        Self { octets, strings }
    }
}

impl<'a> Iterator for List<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (Record::Text { text, .. }, used) = Record::decode(self.octets).ok()? else { return None };
        self.octets = &self.octets[used..];
        Value::of(text, self.strings)
    }
}

impl PartialEq for List<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.eq_by_value(*other)
    }
}

impl List<'_> {
    fn eq_by_value(self, other: List<'_>) -> bool {
        let shown = |list: List<'_>| Value::List(list).text().map(Cow::into_owned);
        shown(self) == shown(other)
    }
}
