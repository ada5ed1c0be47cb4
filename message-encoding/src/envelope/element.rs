//! The body of a message as a tree: for services whose messages are small.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::event::{Event, Name, ReadError, Reader, Word, WriteError, Writer};
use crate::value::{DateTime, Decimal, TimeSpan, Uuid};
use crate::{Quotas, Value};

/// How many levels a tree has at most, whatever the quota of the reader is: a tree is taken down level by level on the
/// stack.
const MAX_LEVELS: usize = 128;

/// An element with its content: a value, or other elements.
///
/// Attributes, comments and white space between elements are left out. A tree that was read takes at most 160 octets of memory for
/// each octet of its document: strings that the document has once are there once.
///
/// ```
/// use message_encoding::envelope::Element;
///
/// let add = Element::new("urn:calculator", "Add").child("n1", 100).child("n2", 15.99);
/// assert_eq!(add.find("n2").unwrap().value().to_f64()?, 15.99);
/// # Ok::<(), message_encoding::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    namespace: Arc<str>,
    name: Arc<str>,
    content: Content,
}

/// What an [`Element`] contains.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Nothing or a text.
    Value(Scalar),
    /// Elements.
    Children(Vec<Element>),
}

/// A [`Value`] that borrows from nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Scalar {
    /// Nothing.
    Empty,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number without sign.
    UInt(u64),
    /// A number of four octets.
    Float(f32),
    /// A number of eight octets.
    Double(f64),
    /// A decimal number.
    Decimal(Decimal),
    /// A point in time.
    DateTime(DateTime),
    /// A span of time.
    TimeSpan(TimeSpan),
    /// A GUID.
    Uuid(Uuid),
    /// A GUID as `urn:uuid:…`.
    UniqueId(Uuid),
    /// A text.
    Text(Arc<str>),
    /// Octets.
    Bytes(Arc<[u8]>),
}

impl Scalar {
    /// The value.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Empty => Value::Empty,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::UInt(value) => Value::UInt(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Decimal(value) => Value::Decimal(*value),
            Self::DateTime(value) => Value::DateTime(*value),
            Self::TimeSpan(value) => Value::TimeSpan(*value),
            Self::Uuid(value) => Value::Uuid(*value),
            Self::UniqueId(value) => Value::UniqueId(*value),
            Self::Text(value) => Value::String(value),
            Self::Bytes(value) => Value::Bytes(value),
        }
    }
}

macro_rules! scalar_from {
    ($($from:ty => $variant:ident;)*) => {
        $(impl From<$from> for Scalar {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

scalar_from! {
    bool => Bool;
    i32 => Int;
    i64 => Int;
    u32 => Int;
    u64 => UInt;
    f32 => Float;
    f64 => Double;
    Decimal => Decimal;
    DateTime => DateTime;
    TimeSpan => TimeSpan;
    Uuid => Uuid;
    &str => Text;
    String => Text;
    &[u8] => Bytes;
    Vec<u8> => Bytes;
}

impl Element {
    /// An empty element.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into(), content: Content::Value(Scalar::Empty) }
    }

    /// The element with a text instead of what it contained.
    #[must_use]
    pub fn with_value(self, value: impl Into<Scalar>) -> Self {
        Self { content: Content::Value(value.into()), ..self }
    }

    /// The element with one more child, which has the same namespace and a text. A text that it had is gone.
    #[must_use]
    pub fn child(self, name: &str, value: impl Into<Scalar>) -> Self {
        let child = Self {
            namespace: self.namespace.clone(),
            name: name.into(),
            content: Content::Value(value.into()),
        };
        self.with_child(child)
    }

    /// The element with one more child. A text that it had is gone.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        match &mut self.content {
            Content::Children(children) => children.push(child),
            content => *content = Content::Children(alloc::vec![child]),
        }
        self
    }

    /// The namespace, empty if none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it contains.
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// The elements in it.
    pub fn children(&self) -> &[Self] {
        match &self.content {
            Content::Children(children) => children,
            Content::Value(_) => &[],
        }
    }

    /// The first element in it with this local name.
    pub fn find(&self, name: &str) -> Option<&Self> {
        self.children().iter().find(|child| child.name() == name)
    }

    /// Its text; [`Value::Empty`] if it has elements.
    pub fn value(&self) -> Value<'_> {
        match &self.content {
            Content::Value(value) => value.value(),
            Content::Children(_) => Value::Empty,
        }
    }

    /// Reads the element whose start was the reader's last event, with its end.
    ///
    /// # Errors
    ///
    /// What is wrong with the document there; [`ReadError::DepthExceeded`] beyond 128 levels, [`ReadError::Unexpected`] for
    /// a text beside elements, and the quotas of texts and arrays.
    pub fn read(reader: &mut Reader<'_>, name: Name<'_>) -> Result<Self, ReadError> {
        let mut shared = Shared::default();
        let mut open = alloc::vec![Open::new(&mut shared, name)];
        loop {
            let depth = open.len();
            let Some(innermost) = open.last_mut() else { return Err(ReadError::UnexpectedEnd) };
            match reader.next()? {
                Some(Event::Start(name)) => {
                    if !innermost.blank {
                        return Err(ReadError::Unexpected("an element or a text, not both,"));
                    }
                    if depth == MAX_LEVELS {
                        return Err(ReadError::DepthExceeded(MAX_LEVELS));
                    }
                    open.push(Open::new(&mut shared, name));
                }
                Some(Event::Text(value)) => innermost.text(value, &mut shared, reader.quotas())?,
                Some(Event::Comment(_)) => {}
                Some(Event::End) => {
                    let Some(done) = open.pop().map(Open::close) else {
                        return Err(ReadError::UnexpectedEnd);
                    };
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => return Ok(done),
                    }
                }
                None => return Err(ReadError::UnexpectedEnd),
            }
        }
    }

    /// Writes the element. Names and namespaces become in-band strings where there is a session; the default namespace
    /// is declared where it is not the one around, which is `outer`.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub fn write(&self, writer: &mut Writer<'_>, outer: &str) -> Result<(), WriteError> {
        writer.start("", Word::InBand(&self.name))?;
        if *self.namespace != *outer {
            if self.namespace.is_empty() {
                writer.declare("", "")?;
            } else {
                writer.declare("", Word::InBand(&self.namespace))?;
            }
        }
        match &self.content {
            Content::Value(value) => writer.text(value.value())?,
            Content::Children(children) => {
                for child in children {
                    child.write(writer, &self.namespace)?;
                }
            }
        }
        writer.end()
    }
}

/// An element that is being read.
struct Open {
    namespace: Arc<str>,
    name: Arc<str>,
    text: Texts,
    /// Whether there is no text but white space.
    blank: bool,
    /// How many UTF-16 units the text has.
    units: usize,
    children: Vec<Element>,
}

/// The texts of an element so far.
enum Texts {
    One(Scalar),
    /// Byte strings side by side are one.
    Bytes(Vec<u8>),
    /// All others run into one text.
    Text(String),
}

impl Open {
    fn new(shared: &mut Shared, name: Name<'_>) -> Self {
        Self {
            namespace: shared.get(name.namespace),
            name: shared.get(name.local),
            text: Texts::One(Scalar::Empty),
            blank: true,
            units: 0,
            children: Vec::new(),
        }
    }

    fn text(&mut self, value: Value<'_>, shared: &mut Shared, quotas: &Quotas) -> Result<(), ReadError> {
        if !self.children.is_empty() {
            let blank = value.is_white_space();
            return if blank {
                Ok(())
            } else {
                Err(ReadError::Unexpected("an element or a text, not both,"))
            };
        }
        self.check_quotas(value, quotas)?;
        self.blank = self.blank && value.is_white_space();
        match (&mut self.text, value) {
            (Texts::One(Scalar::Empty), value) => self.text = Texts::One(shared.scalar(value)?),
            (Texts::One(Scalar::Bytes(first)), Value::Bytes(octets)) => {
                self.text = Texts::Bytes([first, octets].concat());
            }
            (Texts::Bytes(whole), Value::Bytes(octets)) => whole.extend_from_slice(octets),
            (Texts::Text(whole), value) => value.push_text(whole)?,
            (Texts::One(first), value) => {
                let mut whole = first.value().to_text()?;
                value.push_text(&mut whole)?;
                self.text = Texts::Text(whole);
            }
            (Texts::Bytes(first), value) => {
                let mut whole = Value::Bytes(first).to_text()?;
                value.push_text(&mut whole)?;
                self.text = Texts::Text(whole);
            }
        }
        Ok(())
    }

    /// Counts a text that comes, before anything is made of it.
    fn check_quotas(&mut self, value: Value<'_>, quotas: &Quotas) -> Result<(), ReadError> {
        if let Value::Bytes(octets) = value {
            let so_far = match &self.text {
                Texts::Bytes(whole) => whole.len(),
                Texts::One(Scalar::Bytes(first)) => first.len(),
                _ => 0,
            };
            let exceeded = so_far.saturating_add(octets.len()) > quotas.max_array_length;
            return if exceeded { Err(ReadError::ArrayTooLong(quotas.max_array_length)) } else { Ok(()) };
        }
        value.count_units(&mut self.units, quotas.max_string_content_length)
    }

    fn close(mut self) -> Element {
        // Most elements have few children, for which a list has made too much room.
        self.children.shrink_to_fit();
        let text = match self.text {
            Texts::One(value) => value,
            Texts::Bytes(octets) => Scalar::Bytes(octets.into()),
            Texts::Text(text) => Scalar::Text(text.into()),
        };
        let content =
            if self.children.is_empty() { Content::Value(text) } else { Content::Children(self.children) };
        Element { namespace: self.namespace, name: self.name, content }
    }
}

/// Strings that were read, by where they stand: a document cannot make many copies of a string that it has once.
#[derive(Default)]
struct Shared {
    strings: BTreeMap<Place, Arc<str>>,
    /// Short ones that were read last, of which an array has many.
    last: [Option<(Place, Arc<str>)>; 2],
}

/// Where a string stands in memory, and its length.
type Place = (usize, usize);

impl Shared {
    fn get(&mut self, string: &str) -> Arc<str> {
        let place = (string.as_ptr().addr(), string.len());
        // Short ones are not worth looking for.
        if string.len() > 16 {
            return self.strings.entry(place).or_insert_with(|| string.into()).clone();
        }
        if let Some((_, known)) = self.last.iter().flatten().find(|(known, _)| *known == place) {
            return known.clone();
        }
        let new: Arc<str> = string.into();
        self.last = [Some((place, new.clone())), self.last[0].take()];
        new
    }

    fn scalar(&mut self, value: Value<'_>) -> Result<Scalar, ReadError> {
        Ok(match value {
            Value::Empty => Scalar::Empty,
            Value::Bool(value) => Scalar::Bool(value),
            Value::Int(value) => Scalar::Int(value),
            Value::UInt(value) => Scalar::UInt(value),
            Value::Float(value) => Scalar::Float(value),
            Value::Double(value) => Scalar::Double(value),
            Value::Decimal(value) => Scalar::Decimal(value),
            Value::DateTime(value) => Scalar::DateTime(value),
            Value::TimeSpan(value) => Scalar::TimeSpan(value),
            Value::Uuid(value) => Scalar::Uuid(value),
            Value::UniqueId(value) => Scalar::UniqueId(value),
            Value::String(value) => Scalar::Text(self.get(value)),
            Value::Bytes(value) => Scalar::Bytes(value.into()),
            value => match value.text()? {
                Cow::Borrowed(text) => Scalar::Text(text.into()),
                Cow::Owned(text) => Scalar::Text(text.into()),
            },
        })
    }
}
