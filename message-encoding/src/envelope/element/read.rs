//! From events to a tree.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::attributes::{Attribute, StartTag};
use super::{Content, Element, Scalar};
use crate::event::{Event, Name, ReadError, Reader, Units, XMLNS_NAMESPACE, same};
use crate::value::XML_SPACE;
use crate::{Quotas, Value};

/// How many levels a tree has at most, whatever the quota of the reader is: a tree is taken down level by level on the
/// stack.
const MAX_LEVELS: usize = 128;

impl Element {
    /// Reads the element whose start was the reader's last event, with its end.
    ///
    /// # Errors
    ///
    /// What is wrong with the document there; [`ReadError::DepthExceeded`] beyond 128 levels, [`ReadError::Unexpected`] for
    /// a text beside elements, and the quotas of texts and arrays.
    pub fn read(reader: &mut Reader<'_, '_>, name: Name<'_>) -> Result<Self, ReadError> {
        Self::read_with(reader, name, &mut Shared::default())
    }

    /// As [`Element::read`], one of several elements of a document that have strings together.
    pub(in crate::envelope) fn read_with(
        reader: &mut Reader<'_, '_>,
        name: Name<'_>,
        shared: &mut Shared,
    ) -> Result<Self, ReadError> {
        let mut open = alloc::vec![Open::new(shared, name, reader)?];
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
                    open.push(Open::new(shared, name, reader)?);
                }
                Some(Event::Text(value)) => innermost.text(value, shared, reader)?,
                Some(Event::Comment(_)) => {}
                Some(Event::End) => {
                    let Some(done) = open.pop() else { return Err(ReadError::UnexpectedEnd) };
                    let done = done.close(shared);
                    match open.last_mut() {
                        Some(parent) => push(&mut parent.children, done),
                        None => return Ok(done),
                    }
                }
                None => return Err(ReadError::UnexpectedEnd),
            }
        }
    }
}

/// An element that is being read.
struct Open<'a> {
    namespace: Arc<str>,
    name: Arc<str>,
    tag: Option<Box<StartTag>>,
    text: Texts,
    /// The default namespace, as long as the text may be a name without prefix that is in another one than the element.
    default: Option<&'a str>,
    /// Whether the text has no `:` so far.
    unprefixed: bool,
    /// Whether there is no text but white space.
    blank: bool,
    units: Units<'a>,
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

impl Texts {
    /// The text, if it is one.
    fn as_str(&self) -> Option<&str> {
        match self {
            Self::One(Scalar::Text(text)) => Some(text),
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Whether a text can be a qualified name without prefix.
fn is_name(text: &str) -> bool {
    let text = text.trim_matches(XML_SPACE);
    text.starts_with(|first: char| first.is_alphabetic() || first == '_') && !text.contains(XML_SPACE)
}

impl<'a> Open<'a> {
    fn new(shared: &mut Shared, name: Name<'_>, reader: &Reader<'a, '_>) -> Result<Self, ReadError> {
        let default = reader.namespace("").filter(|default| !same(default, name.namespace));
        Ok(Self {
            namespace: shared.get(name.namespace),
            name: shared.get(name.local),
            tag: shared.tag(reader, default)?,
            text: Texts::One(Scalar::Empty),
            default,
            unprefixed: true,
            blank: true,
            units: Units::new(),
            children: Vec::new(),
        })
    }

    fn text(
        &mut self,
        value: Value<'a>,
        shared: &mut Shared,
        reader: &Reader<'a, '_>,
    ) -> Result<(), ReadError> {
        if !self.children.is_empty() {
            let blank = value.is_white_space();
            return if blank {
                Ok(())
            } else {
                Err(ReadError::Unexpected("an element or a text, not both,"))
            };
        }
        self.check_quotas(value, reader.quotas())?;
        self.blank = self.blank && value.is_white_space();
        let before = self.text.as_str().map_or(0, str::len);
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
        self.keep_prefix(before, shared, reader);
        Ok(())
    }

    /// Keeps what the prefix stands for that the text begins with, when its colon comes, `before` which there is none.
    fn keep_prefix(&mut self, before: usize, shared: &mut Shared, reader: &Reader<'a, '_>) {
        let Some(text) = self.text.as_str().filter(|_| self.unprefixed) else { return };
        let Some(colon) = text[before..].find(':') else { return };
        self.unprefixed = false;
        if let Some(prefix) = shared.prefix(&text[..before + colon], reader) {
            let prefixes = &mut self.tag.get_or_insert_default().prefixes;
            if !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
    }

    /// Counts a text that comes, before anything is made of it.
    fn check_quotas(&mut self, value: Value<'a>, quotas: &Quotas) -> Result<(), ReadError> {
        let so_far = match (value, &self.text) {
            (Value::Bytes(_), Texts::Bytes(whole)) => whole.len(),
            (Value::Bytes(_), Texts::One(Scalar::Bytes(first))) => first.len(),
            (Value::Bytes(_), Texts::One(Scalar::Empty)) => 0,
            _ => return self.units.add(value, quotas.max_string_content_length),
        };
        // Octets alone are an array. A text that may come behind them makes a text of them.
        self.units.add(value, usize::MAX)?;
        let Value::Bytes(octets) = value else { return Ok(()) };
        let exceeded = so_far.saturating_add(octets.len()) > quotas.max_array_length;
        if exceeded { Err(ReadError::ArrayTooLong(quotas.max_array_length)) } else { Ok(()) }
    }

    fn close(mut self, shared: &mut Shared) -> Element {
        let name = self.text.as_str().is_some_and(|text| self.unprefixed && is_name(text));
        if let Some(default) = self.default.filter(|_| name) {
            let default = (shared.get(""), shared.get(default));
            let prefixes = &mut self.tag.get_or_insert_default().prefixes;
            if !prefixes.contains(&default) {
                prefixes.push(default);
            }
        }
        // Most elements have few children, for which a list has made too much room.
        self.children.shrink_to_fit();
        let text = match self.text {
            Texts::One(value) => value,
            Texts::Bytes(octets) => Scalar::Bytes(octets.into()),
            Texts::Text(text) => Scalar::Text(text.into()),
        };
        let content =
            if self.children.is_empty() { Content::Value(text) } else { Content::Children(self.children) };
        Element { namespace: self.namespace, name: self.name, tag: self.tag, content }
    }
}

/// Adds a child or header. A list of many grows by an eighth: by what it usually grows, it would take three times its size meanwhile.
pub(in crate::envelope) fn push<T>(list: &mut Vec<T>, one: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(4));
    }
    list.push(one);
}

/// Strings that were read, by where they stand: a document cannot make many copies of a string that it has once.
#[derive(Default)]
pub(in crate::envelope) struct Shared {
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

    /// The attributes of the element that started last, and the prefixes in their values; `default` is the default namespace if it is
    /// not that of the element.
    fn tag(
        &mut self,
        reader: &Reader<'_, '_>,
        default: Option<&str>,
    ) -> Result<Option<Box<StartTag>>, ReadError> {
        let mut tag = StartTag::default();
        for attribute in
            reader.attributes().filter(|attribute| !same(attribute.name.namespace, XMLNS_NAMESPACE))
        {
            Units::new().add(attribute.value, reader.quotas().max_string_content_length)?;
            let value = self.scalar(attribute.value)?;
            if let Scalar::Text(text) = &value {
                let default =
                    default.filter(|_| is_name(text)).map(|default| (self.get(""), self.get(default)));
                tag.prefixes.extend(match text.split_once(':') {
                    Some((prefix, _)) => self.prefix(prefix, reader),
                    None => default,
                });
            }
            let [namespace, name] =
                [attribute.name.namespace, attribute.name.local].map(|name| self.get(name));
            tag.attributes.push(Attribute { namespace, name, value });
        }
        tag.prefixes.sort_unstable();
        tag.prefixes.dedup();
        tag.prefixes.shrink_to_fit();
        tag.attributes.shrink_to_fit();
        Ok((!tag.attributes.is_empty()).then(|| tag.into()))
    }

    /// A prefix with which a value begins and its namespace, if it is declared.
    fn prefix(&mut self, before_colon: &str, reader: &Reader<'_, '_>) -> Option<(Arc<str>, Arc<str>)> {
        let prefix = before_colon.trim_start_matches(XML_SPACE);
        let namespace = reader.namespace(prefix).filter(|_| !matches!(prefix, "" | "xml"))?;
        // Not by its place: the text may be gone when another one stands there.
        Some((prefix.into(), self.get(namespace)))
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
