//! Writes documents, with the records that .NET's writer chooses for the same calls, but for what only its buffer explains: a text
//! is one record, and the end of its element always part of it.

mod error;
mod output;
mod string;
mod text;

use alloc::vec::Vec;

pub use error::WriteError;
use output::Output;
pub use string::DictionaryString;
pub use text::{ArrayItems, ListItem};

use crate::Value;
use crate::dictionary::WriterSession;
use crate::record::PrefixLetter;

/// Appends a document to a buffer.
///
/// Names are not checked, and neither are prefixes or whether two attributes have one name: what the caller says is written.
///
/// ```
/// use message_encoding::Value;
/// use message_encoding::event::Writer;
///
/// let mut document = Vec::new();
/// let mut writer = Writer::new(&mut document, None);
/// writer.start("", "r")?;
/// writer.attribute("", "a", Value::Bool(true))?;
/// writer.text(Value::Int(42))?;
/// writer.end()?;
/// assert_eq!(document, [0x40, 1, b'r', 0x04, 1, b'a', 0x86, 0x89, 42]);
/// # Ok::<(), message_encoding::event::WriteError>(())
/// ```
#[derive(Debug)]
pub struct Writer<'w> {
    out: Output<'w>,
    table: Option<&'w mut WriterSession>,
    depth: usize,
    /// Whether a start tag is being written.
    in_tag: bool,
    /// A number becomes the record of its own type, not the shortest one: a double keeps its digits, and zero its sign.
    exact: bool,
}

impl<'w> Writer<'w> {
    /// A writer that appends to `out` and gives in-band strings their ids in `table`, if there is a session.
    pub fn new(out: &'w mut Vec<u8>, table: Option<&'w mut WriterSession>) -> Self {
        Self { out: Output::new(out), table, depth: 0, in_tag: false, exact: false }
    }

    /// A writer of records that say all that the values do: of a document that becomes text.
    pub(crate) fn exact(out: &'w mut Vec<u8>) -> Self {
        Self { exact: true, ..Self::new(out, None) }
    }

    /// How many elements are open.
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// Starts an element.
    ///
    /// # Errors
    ///
    /// [`WriteError::TooLong`].
    pub fn start<'s>(
        &mut self,
        prefix: &str,
        local: impl Into<DictionaryString<'s>>,
    ) -> Result<(), WriteError> {
        let local = local.into();
        check(prefix)?;
        check(local.as_str())?;
        self.named(0x40, prefix, local);
        self.depth += 1;
        self.in_tag = true;
        Ok(())
    }

    /// Declares a prefix, or the default namespace if it is empty, for the element that was just started.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotInStartTag`], [`WriteError::TooLong`].
    pub fn declare<'s>(
        &mut self,
        prefix: &str,
        namespace: impl Into<DictionaryString<'s>>,
    ) -> Result<(), WriteError> {
        let namespace = namespace.into();
        check(prefix)?;
        check(namespace.as_str())?;
        self.check_in_tag()?;
        let id = self.id(namespace);
        self.out.octet(0x08 + u8::from(!prefix.is_empty()) + 2 * u8::from(id.is_some()));
        if !prefix.is_empty() {
            self.out.name(prefix);
        }
        match id {
            Some(id) => self.out.int31(id),
            None => self.out.name(namespace.as_str()),
        }
        Ok(())
    }

    /// Adds an attribute to the element that was just started.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotInStartTag`], [`WriteError::TooLong`], or what is wrong with the value.
    pub fn attribute<'s>(
        &mut self,
        prefix: &str,
        local: impl Into<DictionaryString<'s>>,
        value: Value<'_>,
    ) -> Result<(), WriteError> {
        self.attribute_with(prefix, local.into(), |writer| writer.value(value, false))
    }

    /// Adds an attribute whose value is a dictionary string.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotInStartTag`], [`WriteError::TooLong`].
    pub fn attribute_string<'s>(
        &mut self,
        prefix: &str,
        local: impl Into<DictionaryString<'s>>,
        value: DictionaryString<'_>,
    ) -> Result<(), WriteError> {
        self.attribute_with(prefix, local.into(), |writer| writer.dictionary_string(value, false))
    }

    /// Adds an attribute whose value is a list.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotInStartTag`], or what is wrong with a value.
    pub fn attribute_list<'s>(
        &mut self,
        prefix: &str,
        local: impl Into<DictionaryString<'s>>,
        items: &[ListItem<'_>],
    ) -> Result<(), WriteError> {
        self.attribute_with(prefix, local.into(), |writer| writer.items(items))
    }

    fn attribute_with(
        &mut self,
        prefix: &str,
        local: DictionaryString<'_>,
        value: impl FnOnce(&mut Self) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        self.check_in_tag()?;
        check(prefix)?;
        check(local.as_str())?;
        self.all_or_nothing(|writer| {
            writer.named(0x04, prefix, local);
            value(writer)
        })?;
        self.out.no_text();
        Ok(())
    }

    const fn check_in_tag(&self) -> Result<(), WriteError> {
        if self.in_tag { Ok(()) } else { Err(WriteError::NotInStartTag) }
    }

    /// Writes a text. An empty string writes nothing. Octets behind octets become one text with them.
    ///
    /// # Errors
    ///
    /// [`WriteError::TooLong`], or what is wrong with the value.
    pub fn text(&mut self, value: Value<'_>) -> Result<(), WriteError> {
        match value {
            Value::Bytes(octets) => self.bytes(octets),
            value if value == Value::Empty || is_empty_text(&value) => {
                self.content();
                Ok(())
            }
            value => self.all_or_nothing(|writer| {
                writer.content();
                writer.value(value, true)
            }),
        }
    }

    /// Writes a dictionary string as a text.
    ///
    /// # Errors
    ///
    /// [`WriteError::TooLong`].
    pub fn text_string(&mut self, string: DictionaryString<'_>) -> Result<(), WriteError> {
        check(string.as_str())?;
        self.content();
        self.dictionary_string(string, true)
    }

    /// Writes values as one text, with a space between two.
    ///
    /// # Errors
    ///
    /// [`WriteError::InList`], or what is wrong with a value.
    pub fn list(&mut self, items: &[ListItem<'_>]) -> Result<(), WriteError> {
        self.all_or_nothing(|writer| {
            writer.content();
            writer.items(items)
        })
    }

    /// Writes a qualified name as a text: one record if the prefix is a letter and the name a dictionary string, else three texts.
    ///
    /// # Errors
    ///
    /// [`WriteError::TooLong`].
    pub fn qualified_name(&mut self, prefix: &str, local: DictionaryString<'_>) -> Result<(), WriteError> {
        check(prefix)?;
        check(local.as_str())?;
        self.content();
        if self.one_record_name(prefix, local) {
            return Ok(());
        }
        if !prefix.is_empty() {
            self.value(Value::String(prefix), true)?;
            self.value(Value::String(":"), true)?;
        }
        self.dictionary_string(local, true)
    }

    /// Adds an attribute whose value is a qualified name: a record of that kind, or a string.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotInStartTag`], [`WriteError::TooLong`].
    pub fn attribute_qualified_name<'s>(
        &mut self,
        prefix: &str,
        local: impl Into<DictionaryString<'s>>,
        (value_prefix, value_local): (&str, DictionaryString<'_>),
    ) -> Result<(), WriteError> {
        check(value_local.as_str())?;
        self.attribute_with(prefix, local.into(), |writer| {
            if writer.one_record_name(value_prefix, value_local) {
                Ok(())
            } else if value_prefix.is_empty() {
                writer.dictionary_string(value_local, false)
            } else {
                let mut name = alloc::string::String::from(value_prefix);
                name.push(':');
                name.push_str(value_local.as_str());
                writer.value(Value::String(&name), false)
            }
        })
    }

    /// Writes a qualified name as a record, if it can be one.
    fn one_record_name(&mut self, prefix: &str, local: DictionaryString<'_>) -> bool {
        let Some(letter) = PrefixLetter::of(prefix) else { return false };
        let Some(id) = self.id(local) else { return false };
        self.out.text(0xBC, &[]);
        self.out.octet(letter.index());
        self.out.int31(id);
        true
    }

    /// Writes a comment.
    ///
    /// # Errors
    ///
    /// [`WriteError::Comment`], [`WriteError::TooLong`].
    pub fn comment(&mut self, comment: &str) -> Result<(), WriteError> {
        if comment.contains("--") || comment.ends_with('-') {
            return Err(WriteError::Comment);
        }
        check(comment)?;
        self.content();
        self.out.octet(0x02);
        self.out.no_text();
        self.out.name(comment);
        Ok(())
    }

    /// Ends the innermost open element: as part of its last text, if that comes right before.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoOpenElement`].
    pub fn end(&mut self) -> Result<(), WriteError> {
        self.depth = self.depth.checked_sub(1).ok_or(WriteError::NoOpenElement)?;
        self.content();
        if !self.out.merge_end() {
            self.out.octet(0x01);
            self.out.no_text();
        }
        Ok(())
    }

    /// Writes an array: an element of the name for each item, in the form of one. No items write nothing.
    ///
    /// `namespaces` are declared in the element, as [`Writer::declare`] would.
    ///
    /// # Errors
    ///
    /// [`WriteError::TooLong`].
    pub fn array<'s>(
        &mut self,
        prefix: &str,
        local: impl Into<DictionaryString<'s>>,
        namespaces: &[(&str, DictionaryString<'_>)],
        items: ArrayItems<'_>,
    ) -> Result<(), WriteError> {
        if items.is_empty() {
            return Ok(());
        }
        self.all_or_nothing(|writer| {
            writer.content();
            writer.out.octet(0x03);
            writer.out.no_text();
            writer.start(prefix, local)?;
            for &(prefix, namespace) in namespaces {
                writer.declare(prefix, namespace)?;
            }
            writer.end()?;
            writer.array_items(items)
        })
    }

    /// Does `write`, and undoes it if it fails.
    #[inline(always)]
    fn all_or_nothing(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let (mark, depth, in_tag) = (self.out.mark(), self.depth, self.in_tag);
        write(self).inspect_err(|_| {
            self.out.undo(mark);
            (self.depth, self.in_tag) = (depth, in_tag);
        })
    }

    /// Ends the start tag: content follows.
    fn content(&mut self) {
        self.in_tag = false;
    }

    /// An element or attribute record; `short` is the first of its types.
    fn named(&mut self, short: u8, prefix: &str, local: DictionaryString<'_>) {
        let id = self.id(local);
        let form = 2 * u8::from(id.is_some());
        let (dictionary_letters, letters) = if short == 0x40 { (0x44, 0x5E) } else { (0x0C, 0x26) };
        match PrefixLetter::of(prefix) {
            _ if prefix.is_empty() => self.out.octet(short + form),
            Some(letter) => {
                self.out.octet(letter.index() + if id.is_some() { dictionary_letters } else { letters });
            }
            None => {
                self.out.octet(short + 1 + form);
                self.out.name(prefix);
            }
        }
        self.out.no_text();
        match id {
            Some(id) => self.out.int31(id),
            None => self.out.name(local.as_str()),
        }
    }

    /// The id of a string, if it has one.
    fn id(&mut self, string: DictionaryString<'_>) -> Option<u32> {
        match string {
            DictionaryString::Plain(_) => None,
            DictionaryString::Static(string) => Some(string.id()),
            DictionaryString::InBand(string) => self.table.as_mut()?.id_of(string),
        }
    }
}

fn is_empty_text(value: &Value<'_>) -> bool {
    matches!(value, Value::String("") | Value::Chars([]) | Value::Unicode([]))
}

fn check(string: &str) -> Result<(), WriteError> {
    if string.len() > crate::Int31::MAX as usize { Err(WriteError::TooLong) } else { Ok(()) }
}
