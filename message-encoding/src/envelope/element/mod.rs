//! The body of a message as a tree: for services whose messages are small.

mod attributes;
mod qualified_name;
mod read;
mod scalar;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use scalar::Scalar;

use super::MessageFault;
use crate::Value;
use crate::event::{DictionaryString, WriteError, Writer};
use attributes::StartTag;
pub(super) use read::{Shared, push};

/// An element with its content: a value, or other elements.
///
/// Comments and white space between elements are left out, and so are declarations of namespaces, but for the prefixes that
/// [values](Element::qualified_name) begin with. A tree that is read takes at most 155 octets of memory for
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
    tag: Option<Box<StartTag>>,
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

impl Element {
    /// An empty element.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self::of(namespace.into(), name, Scalar::Empty)
    }

    /// The element with a text instead of what it contained.
    #[must_use]
    pub fn with_value(self, value: impl Into<Scalar>) -> Self {
        Self { content: Content::Value(value.into()), ..self }
    }

    /// The element with one more child, which has the same namespace and a text. A text that it had is gone.
    #[must_use]
    pub fn child(self, name: &str, value: impl Into<Scalar>) -> Self {
        let child = Self::of(self.namespace.clone(), name, value.into());
        self.with_child(child)
    }

    fn of(namespace: Arc<str>, name: &str, value: Scalar) -> Self {
        Self { namespace, name: name.into(), tag: None, content: Content::Value(value) }
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

    /// The element in it that has this name and its own namespace, and is not nil: for both, missing and nil, WCF takes the default
    /// value of the type.
    pub fn member(&self, name: &str) -> Option<&Self> {
        let named = |child: &&Self| child.name() == name && child.namespace == self.namespace;
        self.children().iter().find(named).filter(|child| !child.is_nil())
    }

    /// As [`Element::member`], for an operation that has no default value for it.
    ///
    /// ```
    /// use message_encoding::envelope::{Element, MessageFault};
    ///
    /// fn ship(order: &Element) -> Result<(), MessageFault> {
    ///     let address = order.required_member("Address")?;
    ///     let copies = order.member("Copies").map_or(Ok(1), |copies| copies.value().to_i64())?;
    ///     // …
    /// #   assert_eq!((&*address.value().text()?, copies), ("12 Main Street", 1));
    ///     Ok(())
    /// }
    /// assert!(ship(&Element::new("urn:shop", "Order").child("Address", "12 Main Street")).is_ok());
    /// let fault = ship(&Element::new("urn:shop", "Order").child("Copies", "two")).unwrap_err();
    /// assert_eq!(fault.reason, "the element 'Address' is missing");
    /// ```
    ///
    /// # Errors
    ///
    /// [`MessageFault::deserialization_failed`], which says what is missing.
    pub fn required_member(&self, name: &str) -> Result<&Self, MessageFault> {
        let is_nil = || self.children().iter().any(|child| child.name() == name && child.is_nil());
        self.member(name).ok_or_else(|| {
            let wrong = if is_nil() { "nil" } else { "missing" };
            MessageFault::deserialization_failed(alloc::format!("the element '{name}' is {wrong}"))
        })
    }

    /// Its text; [`Value::Empty`] if it has elements.
    pub fn value(&self) -> Value<'_> {
        match &self.content {
            Content::Value(value) => value.value(),
            Content::Children(_) => Value::Empty,
        }
    }

    /// Writes the element. Names and namespaces become in-band strings where there is a session; the default namespace
    /// is declared where it is not the one around, which is `outer`.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub fn write(&self, writer: &mut Writer<'_>, outer: &str) -> Result<(), WriteError> {
        self.write_with(writer, outer, |_| Ok(()))
    }

    /// As [`Element::write`], with more in the start tag.
    pub(super) fn write_with(
        &self,
        writer: &mut Writer<'_>,
        outer: &str,
        more: impl FnOnce(&mut Writer<'_>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        writer.start("", DictionaryString::InBand(&self.name))?;
        if *self.namespace != *outer {
            if self.namespace.is_empty() {
                writer.declare("", "")?;
            } else {
                writer.declare("", DictionaryString::InBand(&self.namespace))?;
            }
        }
        more(writer)?;
        self.write_tag(writer)?;
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
