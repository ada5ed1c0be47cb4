//! What a document is read from, and what is remembered of it: places, not strings.

use super::{Name, ReadError, XML_NAMESPACE};
use crate::dictionary::Strings;
use crate::record::{Cursor, Inline, PrefixLetter, Record, Text};
use crate::{RecordError, Value, ValueError};

/// What a document is read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) octets: &'a [u8],
    pub(super) strings: Strings<'a>,
}

/// A string of the document, without its lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ref {
    /// The empty string.
    Empty,
    /// The namespace of `xml`.
    Xml,
    /// A prefix of one letter.
    PrefixLetter(PrefixLetter),
    /// Octets of the document from … to ….
    Span(u32, u32),
    /// A dictionary string.
    Id(u32),
}

impl<'a> Source<'a> {
    /// Reads a name or namespace, an id or written out: how it is remembered, and the string.
    #[inline]
    pub(super) fn string(
        self,
        cursor: &mut Cursor<'a>,
        dictionary: bool,
    ) -> Result<(Ref, &'a str), ReadError> {
        if dictionary {
            let id = cursor.int31()?.value();
            match self.strings.get(id) {
                Some(string) => Ok((Ref::Id(id), string)),
                None => Err(ReadError::UnknownString(id)),
            }
        } else {
            let inline = cursor.inline()?;
            Ok((span(inline, cursor.position), inline.as_str()?))
        }
    }

    /// The value of a text record.
    pub(super) fn value(self, text: Text<'a>) -> Result<Value<'a>, ReadError> {
        Value::of(text, self.strings).ok_or_else(|| match text {
            Text::Dictionary(id) | Text::QName(_, id) => ReadError::UnknownString(id.value()),
            _ => ReadError::UnexpectedEnd,
        })
    }

    /// The octets of a string.
    pub(super) fn octets_of(self, string: Ref) -> &'a [u8] {
        match string {
            Ref::Empty => &[],
            Ref::Xml => XML_NAMESPACE.as_bytes(),
            Ref::PrefixLetter(letter) => letter.as_str().as_bytes(),
            Ref::Span(start, end) => self.octets.get(start as usize..end as usize).unwrap_or_default(),
            Ref::Id(id) => self.strings.get(id).unwrap_or_default().as_bytes(),
        }
    }

    /// The string.
    pub(super) fn str_of(self, string: Ref) -> Result<&'a str, ReadError> {
        match string {
            Ref::Span(..) => core::str::from_utf8(self.octets_of(string))
                .map_err(|_| ReadError::Value(ValueError::InvalidUtf8)),
            Ref::Empty => Ok(""),
            Ref::Xml => Ok(XML_NAMESPACE),
            Ref::PrefixLetter(letter) => Ok(letter.as_str()),
            Ref::Id(id) => Ok(self.strings.get(id).unwrap_or_default()),
        }
    }
}

/// Where a string stands that was read with a cursor that is now at `end`.
#[inline]
pub(super) fn span(inline: Inline<'_>, end: usize) -> Ref {
    Ref::Span((end - inline.octets().len()) as u32, end as u32)
}

/// What stood at `from` and behind has moved so far to the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) from: u32,
    pub(super) by: u32,
}

impl Moved {
    /// Where a place is now.
    pub(super) const fn place(self, place: u32) -> u32 {
        if place >= self.from { place - self.by } else { place }
    }

    /// Where a string is now.
    pub(super) const fn string(self, string: Ref) -> Ref {
        match string {
            Ref::Span(start, end) if start >= self.from => Ref::Span(start - self.by, end - self.by),
            other => other,
        }
    }
}

/// The name of the element that started last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) prefix: Ref,
    pub(super) local: Ref,
    pub(super) namespace: Ref,
}

impl Default for Tag {
    fn default() -> Self {
        Self { prefix: Ref::Empty, local: Ref::Empty, namespace: Ref::Empty }
    }
}

impl Tag {
    #[inline]
    pub(super) fn name<'a>(&self, source: Source<'a>) -> Result<Name<'a>, ReadError> {
        Ok(Name {
            prefix: source.str_of(self.prefix)?,
            local: source.str_of(self.local)?,
            namespace: source.str_of(self.namespace)?,
        })
    }
}

/// Reads over the value of an attribute at `at` and says where it ends.
pub(super) fn skip_value(source: Source<'_>, at: usize) -> Result<usize, ReadError> {
    // A number or truth that is all in the record type, as `mustUnderstand` nearly always is.
    if let Some(0x80 | 0x82 | 0x84 | 0x86) = source.octets.get(at) {
        return Ok(at + 1);
    }
    match Record::decode(&source.octets[at..])? {
        (Record::StartList, used) => match skip_list(source, at + used)? {
            (end, false) => Ok(end),
            // No element ends with the value of an attribute.
            (end, true) => Err(RecordError::UnknownRecord(source.octets[end - 1]).into()),
        },
        (Record::Text { text, end: false }, used) => {
            source.value(text)?;
            Ok(at + used)
        }
        _ => Err(RecordError::UnknownRecord(source.octets[at]).into()),
    }
}

/// Reads over the items of a list from `at` on; says where it ends and whether its element does.
pub(super) fn skip_list(source: Source<'_>, at: usize) -> Result<(usize, bool), ReadError> {
    let mut position = at;
    loop {
        let (record, used) = Record::decode(&source.octets[position..])?;
        match record {
            Record::EndList { end } => return Ok((position + used, end)),
            Record::Text { text, end: false } => {
                source.value(text)?;
            }
            _ => return Err(RecordError::UnknownRecord(source.octets[position]).into()),
        }
        position += used;
    }
}
