//! A reader of documents that are there as a whole.

use alloc::borrow::Cow;

use super::scope::{Known, Source};
use super::state::{NO_ATTRIBUTES, Next, ReaderState};
use super::{Attribute, Event, Name, ReadError};
use crate::dictionary::Strings;
use crate::record::ArrayType;
use crate::{Quotas, RecordError, Value};

/// Reads the events of a document.
///
/// ```
/// use message_encoding::dictionary::Strings;
/// use message_encoding::event::{Event, Reader, ReaderState};
/// use message_encoding::{Quotas, Value};
///
/// let document = [0x40, 0x01, b'r', 0x04, 0x01, b'a', 0x82, 0x89, 0x2A]; // <r a="1">42</r>
/// let mut state = ReaderState::new();
/// let mut reader = Reader::new(&mut state, &document, Strings::STATIC, Quotas::default());
/// let Some(Event::Start(name)) = reader.next()? else { panic!() };
/// assert_eq!(name.local, "r");
/// assert_eq!(reader.attributes().next().unwrap().value, Value::Int(1));
/// assert_eq!(reader.next()?, Some(Event::Text(Value::Int(42))));
/// assert_eq!(reader.next()?, Some(Event::End));
/// assert_eq!(reader.next()?, None);
/// # Ok::<(), message_encoding::event::ReadError>(())
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    pub(super) state: &'a mut ReaderState,
    pub(super) source: Source<'a>,
    pub(super) quotas: Quotas,
    pub(super) known: Known<'a>,
    /// The name of the element that started last.
    pub(crate) name: Name<'a>,
    /// The text or comment that was read last.
    value: Value<'a>,
}

impl<'a> Reader<'a> {
    /// A reader of `octets` that looks ids up in `strings`. What `state` was used for before is forgotten.
    #[inline]
    pub fn new(state: &'a mut ReaderState, octets: &'a [u8], strings: Strings<'a>, quotas: Quotas) -> Self {
        state.reset();
        if u32::try_from(octets.len()).is_err() {
            state.fail(ReadError::DocumentTooLong);
        }
        let name = Name { prefix: "", local: "", namespace: "" };
        let source = Source { octets, strings };
        Self { state, source, quotas, known: Known::default(), name, value: Value::Empty }
    }

    /// The next event, nothing at the end of the document.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; from then on always the same one.
    #[allow(clippy::should_implement_trait)]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Event<'a>>, ReadError> {
        match self.advance() {
            Found::Start => Ok(Some(Event::Start(self.name))),
            Found::Text => Ok(Some(Event::Text(self.value))),
            Found::End => Ok(Some(Event::End)),
            Found::Comment => {
                let Value::String(comment) = self.value else { return Ok(None) };
                Ok(Some(Event::Comment(comment)))
            }
            Found::Done => Ok(None),
            Found::Refused => Err(self.refusal()),
        }
    }

    /// Reads what comes next. Ends of elements, which most events of a message are, are hardly worth a call.
    #[inline(always)]
    fn advance(&mut self) -> Found {
        let at = self.state.position;
        let next = self.state.next;
        match next {
            Next::Record => match self.source.octets.get(at) {
                Some(&kind @ 0x40..=0x77) => self.element(at, kind),
                Some(&kind @ 0x80..) => self.text_record(at, kind),
                Some(0x01) if self.close() => {
                    self.state.position = at + 1;
                    Found::End
                }
                None if self.state.scopes.depth() == 0 => Found::Done,
                _ => self.other(),
            },
            Next::End if self.close() => {
                self.state.next = Next::Record;
                Found::End
            }
            _ => self.other(),
        }
    }

    #[inline(always)]
    fn close(&mut self) -> bool {
        self.state.attributes_at = NO_ATTRIBUTES;
        self.state.scopes.close(&self.source)
    }

    /// Reads the start tag at `at`, a record of type `kind`.
    #[inline(never)]
    fn element(&mut self, at: usize, kind: u8) -> Found {
        match self.short_tag(at, kind) {
            Some(()) => Found::Start,
            None => self.longer_tag(at, kind),
        }
    }

    #[inline(never)]
    fn longer_tag(&mut self, at: usize, kind: u8) -> Found {
        let before = self.state.scopes.bindings();
        if self.plain_tag(at, kind).is_some() {
            return Found::Start;
        }
        self.state.scopes.undo(before, &self.source);
        match self.state.start_tag(self.source, at, &self.quotas, &mut self.known) {
            Ok(name) => {
                self.name = name;
                Found::Start
            }
            Err(error) => self.refuse(error),
        }
    }

    /// Reads the text at `at`, a record of type `kind`.
    #[inline(never)]
    fn text_record(&mut self, at: usize, kind: u8) -> Found {
        match self.short_text(at, kind) {
            Some((value, end)) if self.state.scopes.depth() > 0 => {
                self.value = value;
                self.state.position = end;
                self.state.next = if kind % 2 == 1 { Next::End } else { Next::Record };
                Found::Text
            }
            _ => self.longer_text(at, kind),
        }
    }

    /// The text at `at`, a record of type `kind`, and where it ends, if it is one of those that most texts are.
    #[inline(always)]
    fn short_text(&self, at: usize, kind: u8) -> Option<(Value<'a>, usize)> {
        let octets = self.source.octets.get(at + 1..)?;
        Some(match kind & !1 {
            0x80 => (Value::Int(0), at + 1),
            0x82 => (Value::Int(1), at + 1),
            0x88 => (Value::Int(i64::from(*octets.first()? as i8)), at + 2),
            0x92 => (Value::Double(f64::from_le_bytes(*octets.first_chunk()?)), at + 9),
            0x98 => {
                let (&length, rest) = octets.split_first()?;
                let end = at + 2 + usize::from(length);
                (Value::Chars(rest.get(..usize::from(length))?), end)
            }
            0xAA => (Value::String(self.short_id(octets)?), at + 2),
            _ => return None,
        })
    }

    /// The dictionary string whose id, one octet, comes first.
    #[inline(always)]
    fn short_id(&self, octets: &[u8]) -> Option<&'a str> {
        self.source.strings.get(u32::from(*octets.first().filter(|&&id| id < 0x80)?))
    }

    #[inline(never)]
    fn longer_text(&mut self, at: usize, kind: u8) -> Found {
        if !matches!(kind, 0x80..=0xA3 | 0xA8..=0xBD) {
            return self.other();
        }
        match self.state.text(self.source, at, kind) {
            Ok(value) => {
                self.value = value;
                Found::Text
            }
            Err(error) => self.refuse(error),
        }
    }

    #[inline(never)]
    fn other(&mut self) -> Found {
        match self.state.step(self.source, &self.quotas, &mut self.known) {
            Ok(Some(Event::Start(name))) => {
                self.name = name;
                Found::Start
            }
            Ok(Some(Event::Text(value))) => {
                self.value = value;
                Found::Text
            }
            Ok(Some(Event::Comment(comment))) => {
                self.value = Value::String(comment);
                Found::Comment
            }
            Ok(Some(Event::End)) => Found::End,
            Ok(None) => Found::Done,
            Err(error) => self.refuse(error),
        }
    }

    #[cold]
    fn refuse(&mut self, error: ReadError) -> Found {
        self.state.fail(match error {
            ReadError::Record(RecordError::NeedMore(_)) => ReadError::UnexpectedEnd,
            error => error,
        });
        Found::Refused
    }

    #[cold]
    fn refusal(&self) -> ReadError {
        self.state.failed.unwrap_or(ReadError::UnexpectedEnd)
    }

    /// The attributes and namespace declarations of the element that started last, in the order of the document.
    #[inline]
    pub fn attributes(&self) -> Attributes<'_, 'a> {
        Attributes::new(self.state, self.source)
    }

    /// How many octets of the document have been read.
    pub fn position(&self) -> usize {
        self.state.position
    }

    /// How many elements are open.
    pub fn depth(&self) -> usize {
        self.state.scopes.depth()
    }

    /// The quotas that the reader keeps.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The namespace that `prefix` stands for here, for names in texts.
    pub fn namespace(&self, prefix: &str) -> Option<&'a str> {
        let inline = crate::record::Inline::new(prefix.as_bytes())?;
        let found = self.state.scopes.namespace(crate::record::Prefix::Inline(inline)).ok()?;
        self.source.str_of(found).ok()
    }

    /// The items of an array, all at once: to be called when the event before was the start of an element. Nothing if that is
    /// no array, or its second item or a later one.
    ///
    /// # Errors
    ///
    /// [`ReadError::UnexpectedEnd`], and [`ReadError::ArrayTooLong`] before anything is read.
    pub fn array(&mut self) -> Result<Option<Array<'a>>, ReadError> {
        let Next::Item(item, count) = self.state.next else { return Ok(None) };
        let count = count as usize;
        if count > self.quotas.max_array_length {
            return Err(self.fail(ReadError::ArrayTooLong(self.quotas.max_array_length)));
        }
        let start = self.state.position;
        let end = count.checked_mul(item.octets()).and_then(|size| size.checked_add(start));
        let Some(octets) = end.and_then(|end| self.source.octets.get(start..end)) else {
            return Err(self.fail(ReadError::UnexpectedEnd));
        };
        self.state.position += octets.len();
        // Its end is the next event.
        self.state.next = Next::ItemEnd(item, 1);
        Ok(Some(Array { item, octets }))
    }

    /// Reads the text up to the end of the element that started last. Comments in it are left out.
    ///
    /// # Errors
    ///
    /// [`ReadError::StringTooLong`] before a text is put together that exceeds the quota; [`ReadError::Unexpected`] if an
    /// element stands there.
    pub fn read_text(&mut self) -> Result<Cow<'a, str>, ReadError> {
        match self.only_text() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => {
                let first = self.next_text()?;
                self.text_from(first)
            }
        }
    }

    /// Reads a text and the end of the element if, as nearly always, there is one short text that also ends the element.
    #[inline(always)]
    fn only_text(&mut self) -> Option<&'a str> {
        let at = self.state.position;
        let octets = self.source.octets.get(at..)?;
        let (text, end) = match *octets.first()? {
            0x99 => {
                let (&length, rest) = octets.get(1..)?.split_first()?;
                let end = at + 2 + usize::from(length);
                (core::str::from_utf8(rest.get(..usize::from(length))?).ok()?, end)
            }
            0xAB => (self.short_id(octets.get(1..)?)?, at + 2),
            _ => return None,
        };
        let short = text.len() <= self.quotas.max_string_content_length;
        if !short || self.state.next != Next::Record || !self.close() {
            return None;
        }
        self.state.position = end;
        Some(text)
    }

    /// Reads over the rest of the element that started last if these octets are it, the end record last. What they say is
    /// the caller's to know, and that it is within the quotas.
    #[inline(always)]
    pub(crate) fn skip_phrase(&mut self, phrase: &[u8]) -> bool {
        let at = self.state.position;
        let found = self.state.next == Next::Record
            && self.source.octets.get(at..).is_some_and(|octets| octets.starts_with(phrase))
            && self.close();
        if found {
            self.state.position = at + phrase.len();
        }
        found
    }

    /// Reads a text as a GUID if it is one record that is one, else as a string.
    pub(crate) fn read_unique_id(&mut self) -> Result<Result<crate::value::Uuid, Cow<'a, str>>, ReadError> {
        let at = self.state.position;
        if self.state.next == Next::Record
            && let Some([0xAD, id @ ..]) =
                self.source.octets.get(at..).and_then(|octets| octets.first_chunk::<17>())
            && self.close()
        {
            self.state.position = at + 17;
            return Ok(Ok(crate::value::Uuid::from_octets(*id)));
        }
        let first = self.next_text()?;
        self.text_from(first).map(Err)
    }

    /// The text whose first part is `next`.
    fn text_from(&mut self, mut next: Option<Value<'a>>) -> Result<Cow<'a, str>, ReadError> {
        let mut whole = Cow::Borrowed("");
        let mut units = 0_usize;
        let quota = self.quotas.max_string_content_length;
        while let Some(value) = next {
            // Most texts are one record, well below the quota; only others are counted exactly.
            let bound = units.saturating_add(value.text_bound());
            units = if bound <= quota {
                bound
            } else {
                let counted = value.text_units().map_err(|error| self.fail(error.into()))?;
                units.saturating_add(counted)
            };
            if units > quota {
                return Err(self.fail(ReadError::StringTooLong(quota)));
            }
            let text = value.text().map_err(|error| self.fail(error.into()))?;
            if whole.is_empty() {
                whole = text;
            } else {
                whole.to_mut().push_str(&text);
            }
            next = self.next_text()?;
        }
        Ok(whole)
    }

    /// Reads the text up to the end of the element that started last as one value: typed if it is one record, else a
    /// string is to be read by [`Reader::read_text`].
    ///
    /// # Errors
    ///
    /// [`ReadError::Unexpected`] if there is an element, or more than one text.
    pub fn read_value(&mut self) -> Result<Value<'a>, ReadError> {
        let value = self.next_text()?.unwrap_or(Value::Empty);
        match self.next_text()? {
            None => Ok(value),
            Some(_) => Err(self.fail(ReadError::Unexpected("a single value"))),
        }
    }

    /// Reads octets up to the end of the element that started last: borrowed if they are one record, put together else.
    ///
    /// # Errors
    ///
    /// [`ReadError::ArrayTooLong`] before octets are put together that exceed the quota; [`ReadError::Unexpected`] if an
    /// element stands there.
    pub fn read_bytes(&mut self) -> Result<Cow<'a, [u8]>, ReadError> {
        let mut whole = Cow::Borrowed(&[][..]);
        let quota = self.quotas.max_array_length;
        while let Some(value) = self.next_text()? {
            let length = match value {
                Value::Bytes(octets) => octets.len(),
                value => value.text_bound() / 4 * 3,
            };
            if length.saturating_add(whole.len()) > quota {
                return Err(self.fail(ReadError::ArrayTooLong(quota)));
            }
            let octets = value.to_bytes().map_err(|error| self.fail(error.into()))?;
            if whole.is_empty() {
                whole = octets;
            } else {
                whole.to_mut().extend_from_slice(&octets);
            }
        }
        Ok(whole)
    }

    /// Reads over what the element that started last contains, and its end.
    ///
    /// # Errors
    ///
    /// What is wrong with the document there.
    pub fn skip(&mut self) -> Result<(), ReadError> {
        let mut open = 1_usize;
        while open > 0 {
            match self.next()? {
                Some(Event::Start(_)) => open += 1,
                Some(Event::End) => open -= 1,
                Some(_) => {}
                None => return Err(self.fail(ReadError::UnexpectedEnd)),
            }
        }
        Ok(())
    }

    /// The next child of an element: its name, or nothing at the end of the element. Comments and white space between the
    /// children are left out.
    ///
    /// # Errors
    ///
    /// [`ReadError::Unexpected`] if a text stands there.
    #[inline]
    pub fn next_child(&mut self) -> Result<Option<Name<'a>>, ReadError> {
        Ok(self.child()?.then_some(self.name))
    }

    /// As [`Reader::next_child`]; the name is [`Reader::name`].
    #[inline(always)]
    pub(crate) fn child(&mut self) -> Result<bool, ReadError> {
        loop {
            match self.advance() {
                Found::Start => return Ok(true),
                Found::End => return Ok(false),
                Found::Comment => {}
                Found::Text if self.value.is_white_space() => {}
                Found::Text => return Err(self.fail(ReadError::Unexpected("an element"))),
                Found::Done => return Err(self.fail(ReadError::UnexpectedEnd)),
                Found::Refused => return Err(self.refusal()),
            }
        }
    }

    /// The next text of an element, or nothing at its end.
    #[inline]
    pub(crate) fn next_text(&mut self) -> Result<Option<Value<'a>>, ReadError> {
        loop {
            match self.advance() {
                Found::Text => return Ok(Some(self.value)),
                Found::End => return Ok(None),
                Found::Comment => {}
                Found::Start => return Err(self.fail(ReadError::Unexpected("a text"))),
                Found::Done => return Err(self.fail(ReadError::UnexpectedEnd)),
                Found::Refused => return Err(self.refusal()),
            }
        }
    }

    #[cold]
    fn fail(&mut self, error: ReadError) -> ReadError {
        self.state.fail(error);
        error
    }
}

/// What was read; the reader has the rest of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// A start tag: its name is [`Reader::name`].
    Start,
    /// A text: [`Reader::value`].
    Text,
    /// A comment: [`Reader::value`], a string.
    Comment,
    /// The end of an element.
    End,
    /// Nothing: the document is at its end.
    Done,
    /// Nothing: the document is refused.
    Refused,
}

/// The attributes of a start tag.
#[derive(Clone, Debug)]
pub struct Attributes<'s, 'a> {
    state: &'s ReaderState,
    source: Source<'a>,
    at: usize,
    end: usize,
}

impl<'s, 'a> Attributes<'s, 'a> {
    #[inline]
    pub(super) fn new(state: &'s ReaderState, source: Source<'a>) -> Self {
        Self { state, source, at: state.attributes_at, end: state.scopes.kept() }
    }
}

impl<'a> Iterator for Attributes<'_, 'a> {
    type Item = Attribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<Attribute<'a>> {
        if self.at >= self.end {
            return None;
        }
        let (attribute, next) = self.state.attribute_at(self.source, self.at)?;
        self.at = next;
        Some(attribute)
    }
}

/// The items of an array, as they lie in the document.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    item: ArrayType,
    octets: &'a [u8],
}

impl<'a> Array<'a> {
    /// The type of the items.
    pub const fn item(&self) -> ArrayType {
        self.item
    }

    /// The items, each little-endian, without gaps.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The items one by one.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let item = self.item;
        self.octets
            .chunks_exact(item.octets())
            .filter_map(move |octets| Value::of(item.item(octets).ok()?, Strings::STATIC))
    }
}
