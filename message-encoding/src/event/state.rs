//! What a reader remembers between two events: a machine that both readers drive.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use super::scope::{Namespaces, Scopes};
use super::source::{Moved, Ref, Source, Tag, skip_list};
use super::{Event, ReadError};
use crate::record::{ArrayType, Cursor, Inline, Prefix, Record, Text};
use crate::value::List;
use crate::{Int31, Quotas, RecordError, Value};

/// The memory of a reader: the open elements, the prefixes in scope, the attributes of the last start tag.
///
/// One that has been used keeps its room, so a session that reads envelope after envelope with one state does not
/// allocate. It holds nothing of a document but positions in it and prefixes of several letters: at most 31 octets for each
/// octet of the document.
#[derive(Clone, Debug)]
pub struct ReaderState {
    pub(super) position: usize,
    pub(super) scopes: Scopes,
    /// Where the attributes of the element that started last are; beyond the document when it has ended.
    pub(super) attributes_at: usize,
    /// Room to compare the names of attributes, local name and namespace.
    pub(super) names: Vec<(Ref, Ref)>,
    pub(super) tag: Tag,
    pub(super) root_seen: bool,
    pub(super) next: Next,
    pub(super) failed: Option<ReadError>,
}

/// The state that a reader works with.
#[derive(Debug)]
pub(super) enum State<'s> {
    Own(Box<ReaderState>),
    Lent(&'s mut ReaderState),
}

impl Deref for State<'_> {
    type Target = ReaderState;

    #[inline(always)]
    fn deref(&self) -> &ReaderState {
        match self {
            Self::Own(state) => state,
            Self::Lent(state) => state,
        }
    }
}

impl DerefMut for State<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut ReaderState {
        match self {
            Self::Own(state) => state,
            Self::Lent(state) => state,
        }
    }
}

/// Where nothing is.
pub(super) const NO_ATTRIBUTES: usize = usize::MAX;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Next {
    /// A record.
    Record,
    /// The end that came with a text.
    End,
    /// The start of the next item of an array, of which so many are left.
    ItemStart(ArrayType, u32),
    /// The value of an item.
    Item(ArrayType, u32),
    /// The end of an item.
    ItemEnd(ArrayType, u32),
    /// Nothing: the document is refused.
    Failed,
    /// More of a text that is read in pieces ([`StreamReader`](super::StreamReader) only).
    Piece(Piece),
}

/// The rest of a long text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: PieceKind,
    pub(super) left: usize,
    pub(super) end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceKind {
    Chars,
    Unicode,
    Bytes,
}

impl Default for ReaderState {
    fn default() -> Self {
        Self::new()
    }
}

impl ReaderState {
    /// A state with room for an ordinary envelope: 16 open elements, 16 declarations, 8 attributes in a tag.
    pub fn new() -> Self {
        let mut scopes = Scopes::with_capacity();
        scopes.clear();
        Self {
            position: 0,
            scopes,
            attributes_at: NO_ATTRIBUTES,
            names: Vec::with_capacity(8),
            tag: Tag::default(),
            root_seen: false,
            next: Next::Record,
            failed: None,
        }
    }

    pub(super) fn reset(&mut self) {
        self.position = 0;
        self.scopes.clear();
        self.attributes_at = NO_ATTRIBUTES;
        self.root_seen = false;
        self.next = Next::Record;
        self.failed = None;
    }

    /// Refuses the document from now on.
    #[cold]
    pub(super) fn fail(&mut self, error: ReadError) {
        self.failed = Some(error);
        self.next = Next::Failed;
    }

    /// The next event. Only [`RecordError::NeedMore`] leaves everything as it was.
    pub(super) fn step<'a>(
        &mut self,
        source: Source<'a>,
        quotas: &Quotas,
        namespaces: &mut Namespaces<'a>,
    ) -> Result<Option<Event<'a>>, ReadError> {
        match self.next {
            Next::Record => self.record(source, quotas, namespaces),
            Next::End => self.end(source),
            Next::ItemStart(item, left) => {
                self.next = Next::Item(item, left);
                self.tag.name(source).map(|name| Some(Event::Start(name)))
            }
            Next::Item(item, left) => {
                let text = item.item(&source.octets[self.position..])?;
                self.position += item.octets();
                self.next = Next::ItemEnd(item, left);
                source.value(text).map(|value| Some(Event::Text(value)))
            }
            Next::ItemEnd(item, left) if left > 1 => {
                self.next = Next::ItemStart(item, left - 1);
                Ok(Some(Event::End))
            }
            Next::ItemEnd(..) => self.end(source),
            Next::Failed => Err(self.failed.unwrap_or(ReadError::UnexpectedEnd)),
            // Only a stream reader makes pieces, and it takes them itself.
            Next::Piece(_) => Err(ReadError::UnexpectedEnd),
        }
    }

    fn record<'a>(
        &mut self,
        source: Source<'a>,
        quotas: &Quotas,
        namespaces: &mut Namespaces<'a>,
    ) -> Result<Option<Event<'a>>, ReadError> {
        let at = self.position;
        let Some(&kind) = source.octets.get(at) else {
            let done = self.scopes.depth() == 0;
            return if done { Ok(None) } else { Err(RecordError::NeedMore(1).into()) };
        };
        match kind {
            0x40..=0x77 => {
                return self.start_tag(source, at, quotas, namespaces).map(|name| Some(Event::Start(name)));
            }
            0x01 => {
                self.position = at + 1;
                return self.end(source);
            }
            0x80..=0xA3 | 0xA8..=0xBD => {
                return self.text(source, at, kind).map(|value| Some(Event::Text(value)));
            }
            0x03 => return self.array(source, quotas, namespaces),
            _ => {}
        }
        let (record, used) = Record::decode(&source.octets[at..])?;
        match record {
            Record::StartList => {
                let list = List::new(&source.octets[at + used..], source.strings);
                let (end_at, end) = skip_list(source, at + used)?;
                self.position = end_at;
                self.next = if end { Next::End } else { Next::Record };
                Ok(Some(Event::Text(Value::List(list))))
            }
            Record::Comment(comment) => {
                self.position = at + used;
                Ok(Some(Event::Comment(comment.as_str()?)))
            }
            _ => Err(RecordError::UnknownRecord(kind).into()),
        }
    }

    /// Reads the text record at `at`.
    #[inline(always)]
    pub(super) fn text<'a>(
        &mut self,
        source: Source<'a>,
        at: usize,
        kind: u8,
    ) -> Result<Value<'a>, ReadError> {
        let mut cursor = Cursor::at(source.octets, at + 1);
        let text = Text::decode(kind & !1, &mut cursor)?;
        let end = kind & 1 == 1;
        if self.scopes.depth() == 0 {
            check_outside_root(text, end)?;
        }
        self.position = cursor.position;
        self.next = if end { Next::End } else { Next::Record };
        source.value(text)
    }

    #[inline]
    fn end<'a>(&mut self, source: Source<'_>) -> Result<Option<Event<'a>>, ReadError> {
        if !self.scopes.close(&source) {
            return Err(ReadError::SurplusEnd);
        }
        self.attributes_at = NO_ATTRIBUTES;
        self.next = Next::Record;
        Ok(Some(Event::End))
    }

    /// Reads an array as far as its first item: the element, which must be empty, the type and the number.
    fn array<'a>(
        &mut self,
        source: Source<'a>,
        quotas: &Quotas,
        namespaces: &mut Namespaces<'a>,
    ) -> Result<Option<Event<'a>>, ReadError> {
        let before = (self.position, self.attributes_at, self.tag, self.root_seen);
        let name = self.start_tag(source, self.position + 1, quotas, namespaces)?;
        let header = self.array_header(source);
        match header {
            Ok((item, count)) => self.next = Next::Item(item, count),
            Err(error) => {
                // Everything as before, in case there will be more octets.
                self.scopes.close(&source);
                (self.position, self.attributes_at, self.tag, self.root_seen) = before;
                return Err(error);
            }
        }
        Ok(Some(Event::Start(name)))
    }

    /// The start tag read last, which begins at `from`, has been moved to `to`, where nothing else is any more.
    pub(super) fn moved(&mut self, from: usize, to: usize) {
        let moved = Moved { from: from as u32, by: (from - to) as u32 };
        let Tag { prefix, local, namespace } = self.tag;
        self.tag = Tag {
            prefix: moved.string(prefix),
            local: moved.string(local),
            namespace: moved.string(namespace),
        };
        self.attributes_at -= from - to;
        self.scopes.moved(moved);
    }

    /// The namespace that a prefix stands for where the reader is.
    pub(super) fn namespace<'a>(
        &self,
        prefix: &str,
        source: Source<'a>,
        namespaces: Option<&Namespaces<'a>>,
    ) -> Option<&'a str> {
        let prefix = Prefix::Inline(Inline::new(prefix.as_bytes())?);
        self.scopes.namespace(prefix, source, namespaces).ok().map(|(_, namespace)| namespace)
    }

    fn array_header(&mut self, source: Source<'_>) -> Result<(ArrayType, u32), ReadError> {
        let octet = |at: usize| source.octets.get(at).copied().ok_or(RecordError::NeedMore(1));
        if octet(self.position)? != 0x01 {
            return Err(ReadError::ArrayElement);
        }
        let item = ArrayType::decode(octet(self.position + 1)?)?;
        let count = Int31::decode(&source.octets[self.position + 2..])?;
        if count.value() == 0 {
            return Err(ReadError::EmptyArray);
        }
        self.position += 2 + count.octets();
        Ok((item, count.value()))
    }
}

/// Which texts may stand outside of the root element: white space, and, as .NET has it, typed values that do not end an
/// element (those that do are refused there, before or after their value).
fn check_outside_root(text: Text<'_>, end: bool) -> Result<(), ReadError> {
    let allowed = match text {
        Text::Chars(..) | Text::Unicode(..) | Text::Bytes(..) => {
            Value::of(text, crate::dictionary::Strings::STATIC).is_some_and(|value| value.is_white_space())
        }
        Text::Empty | Text::Dictionary(_) | Text::QName(..) => true,
        _ => !end,
    };
    if allowed { Ok(()) } else { Err(ReadError::TextOutsideRoot) }
}
