//! A reader of documents that are there as a whole.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use super::scope::Namespaces;
use super::source::Source;
use super::state::{NO_ATTRIBUTES, Next, ReaderState, State};
use super::{Attributes, Event, Name, ReadError};
use crate::dictionary::Strings;
use crate::value::split_name;
use crate::{Quotas, RecordError, Value};

/// Reads the events of a document.
///
/// What it gives borrows from the document and its dictionaries (`'d`), not from the state that it works with (`'s`):
///
/// ```
/// use std::borrow::Cow;
///
/// use message_encoding::ReadError;
/// use message_encoding::event::Reader;
///
/// fn content<'d>(document: &'d [u8]) -> Result<Cow<'d, str>, ReadError> {
///     let mut reader = Reader::from_slice(document);
///     reader.next_child()?;
///     reader.read_text()
/// }
/// assert_eq!(content(b"\x40\x01r\x99\x02hi")?, "hi");
/// # Ok::<(), ReadError>(())
/// ```
///
/// ```
/// use message_encoding::Value;
/// use message_encoding::event::{Event, Reader};
///
/// let document = [0x40, 0x01, b'r', 0x04, 0x01, b'a', 0x82, 0x89, 0x2A]; // <r a="1">42</r>
/// let mut reader = Reader::from_slice(&document);
/// let Some(Event::Start(name)) = reader.next()? else { panic!() };
/// assert_eq!(name.local, "r");
/// assert_eq!(reader.attributes().next().unwrap().value, Value::Int(1));
/// assert_eq!(reader.next()?, Some(Event::Text(Value::Int(42))));
/// assert_eq!(reader.next()?, Some(Event::End));
/// assert_eq!(reader.next()?, None);
/// # Ok::<(), message_encoding::event::ReadError>(())
/// ```
#[derive(Debug)]
pub struct Reader<'d, 's> {
    pub(super) state: State<'s>,
    pub(super) source: Source<'d>,
    pub(super) quotas: Quotas,
    pub(super) namespaces: Namespaces<'d>,
    /// The name of the element that started last.
    pub(crate) name: Name<'d>,
    /// The text or comment that was read last.
    pub(super) value: Value<'d>,
}

impl<'d> Reader<'d, 'static> {
    /// A reader of a document without a session, with the default quotas.
    pub fn from_slice(octets: &'d [u8]) -> Self {
        Self::start(State::Own(Box::default()), octets, Strings::STATIC, Quotas::DEFAULT)
    }
}

impl<'d, 's> Reader<'d, 's> {
    /// A reader of `octets` that looks ids up in `strings`. What `state` was used for before is forgotten.
    #[inline]
    pub fn new(state: &'s mut ReaderState, octets: &'d [u8], strings: Strings<'d>, quotas: Quotas) -> Self {
        state.reset();
        Self::start(State::Lent(state), octets, strings, quotas)
    }

    #[inline]
    fn start(mut state: State<'s>, octets: &'d [u8], strings: Strings<'d>, quotas: Quotas) -> Self {
        if u32::try_from(octets.len()).is_err() {
            state.fail(ReadError::DocumentTooLong);
        }
        let name = Name { prefix: "", local: "", namespace: "" };
        let source = Source { octets, strings };
        Self { state, source, quotas, namespaces: Namespaces::default(), name, value: Value::Empty }
    }

    /// The next event, nothing at the end of the document.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; from then on always the same one.
    #[allow(clippy::should_implement_trait)]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Event<'d>>, ReadError> {
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
    pub(super) fn advance(&mut self) -> Found {
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
    pub(super) fn close(&mut self) -> bool {
        self.state.attributes_at = NO_ATTRIBUTES;
        self.state.scopes.close(&self.source)
    }

    /// Reads the start tag at `at`, a record of type `kind`.
    #[inline(never)]
    fn element(&mut self, at: usize, kind: u8) -> Found {
        let before = self.state.scopes.bindings();
        if self.plain_tag(at, kind).is_some() {
            return Found::Start;
        }
        self.state.scopes.undo(before, &self.source);
        match self.state.start_tag(self.source, at, &self.quotas, &mut self.namespaces) {
            Ok(name) => {
                self.name = name;
                Found::Start
            }
            Err(error) => self.refuse(error),
        }
    }

    #[inline(never)]
    pub(super) fn other(&mut self) -> Found {
        // The name of an item is that of the item before. It may be long, and the items many.
        if let Next::ItemStart(item, left) = self.state.next {
            self.state.next = Next::Item(item, left);
            return Found::Start;
        }
        match self.state.step(self.source, &self.quotas, &mut self.namespaces) {
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
    pub(super) fn refuse(&mut self, error: ReadError) -> Found {
        self.state.fail(match error {
            ReadError::Record(RecordError::NeedMore(_)) => ReadError::UnexpectedEnd,
            error => error,
        });
        Found::Refused
    }

    #[cold]
    pub(super) fn refusal(&self) -> ReadError {
        self.state.failed.unwrap_or(ReadError::UnexpectedEnd)
    }

    /// The attributes and namespace declarations of the element that started last, in the order of the document.
    #[inline]
    pub fn attributes(&self) -> Attributes<'_, 'd> {
        Attributes::new(&self.state, self.source, Some(&self.namespaces))
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

    /// The namespace that `prefix` stands for here: within the element that started last and has not ended. No prefix stands for the
    /// default namespace.
    pub fn namespace(&self, prefix: &str) -> Option<&'d str> {
        self.state.namespace(prefix, self.source, Some(&self.namespaces))
    }

    /// The namespace and local name that a value is here as a qualified name, or nothing if its prefix is not declared.
    ///
    /// ```
    /// use message_encoding::event::Reader;
    ///
    /// // <r t="g:Circle" xmlns:g="urn:g"/>
    /// let mut reader = Reader::from_slice(b"\x40\x01r\x04\x01t\x98\x08g:Circle\x09\x01g\x05urn:g\x01");
    /// reader.next_child()?;
    /// let kind = reader.attributes().next().unwrap();
    /// assert_eq!(reader.qualified_name(&kind.value), Some(("urn:g", "Circle".into())));
    /// # Ok::<(), message_encoding::ReadError>(())
    /// ```
    pub fn qualified_name(&self, value: &Value<'_>) -> Option<(&'d str, String)> {
        let text = value.text().ok()?;
        let (prefix, local) = split_name(&text);
        Some((self.namespace(prefix)?, local.to_string()))
    }

    #[cold]
    pub(super) fn fail(&mut self, error: ReadError) -> ReadError {
        self.state.fail(error);
        error
    }
}

/// What was read; the reader has the rest of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
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
