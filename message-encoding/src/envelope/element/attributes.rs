//! The attributes of an element, of which most have none.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Element, Scalar};
use crate::Value;
use crate::dictionary::StaticString;
use crate::envelope::SCHEMA_INSTANCE;
use crate::envelope::names::{NIL, SCHEMA_INSTANCE_STRING};
use crate::event::{DictionaryString, WriteError, Writer, XML_NAMESPACE};

/// An attribute that borrows from nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attribute {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) value: Scalar,
}

/// In an element a list of attributes takes no more room than a pointer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attributes(pub(super) Vec<Attribute>);

impl Element {
    /// The value of an attribute, if the element has it.
    pub fn attribute(&self, namespace: &str, name: &str) -> Option<Value<'_>> {
        self.attributes().find(|found| (found.0, found.1) == (namespace, name)).map(|(_, _, value)| value)
    }

    /// All attributes: namespace, local name and value. Declarations of namespaces are none.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str, Value<'_>)> {
        let attributes = self.attributes.iter().flat_map(|attributes| &attributes.0);
        attributes.map(|attribute| (&*attribute.namespace, &*attribute.name, attribute.value.value()))
    }

    /// The element with one more attribute, or another value of it.
    ///
    /// ```
    /// use message_encoding::envelope::Element;
    ///
    /// let price = Element::new("urn:shop", "price").with_value(9.5).with_attribute("", "currency", "EUR");
    /// assert_eq!(price.attribute("", "currency").unwrap().text()?, "EUR");
    /// # Ok::<(), message_encoding::ValueError>(())
    /// ```
    #[must_use]
    pub fn with_attribute(mut self, namespace: &str, name: &str, value: impl Into<Scalar>) -> Self {
        let Attributes(attributes) =
            &mut **self.attributes.get_or_insert_with(|| Attributes(Vec::new()).into());
        attributes.retain(|known| (&*known.namespace, &*known.name) != (namespace, name));
        attributes.push(Attribute { namespace: namespace.into(), name: name.into(), value: value.into() });
        self
    }

    /// Whether the element says that it has no value (`xsi:nil`), which is something else than an empty text.
    pub fn is_nil(&self) -> bool {
        self.attribute(SCHEMA_INSTANCE, "nil").is_some_and(|nil| nil.to_bool() == Ok(true))
    }

    /// The element without content, and with the attribute that says so (`xsi:nil`): a null of .NET's.
    #[must_use]
    pub fn nil(self) -> Self {
        self.with_value(Scalar::Empty).with_attribute(SCHEMA_INSTANCE, "nil", true)
    }

    /// Takes away the attributes of a namespace.
    pub(in crate::envelope) fn remove_attributes(&mut self, namespace: &str) {
        if let Some(Attributes(attributes)) = self.attributes.as_deref_mut() {
            attributes.retain(|attribute| &*attribute.namespace != namespace);
            if attributes.is_empty() {
                self.attributes = None;
            }
        }
    }

    /// Writes the attributes and the declarations that they need.
    pub(super) fn write_attributes(&self, writer: &mut Writer<'_>) -> Result<(), WriteError> {
        let Some(Attributes(attributes)) = self.attributes.as_deref() else { return Ok(()) };
        // A prefix for each namespace, in the order in which they come.
        let mut declared: Vec<(&str, Box<str>)> = Vec::new();
        for Attribute { namespace, name, value } in attributes {
            let name = dictionary_string(name);
            let prefix = match &**namespace {
                "" => "",
                XML_NAMESPACE => "xml",
                // As .NET has it.
                SCHEMA_INSTANCE => "i",
                other => match declared.iter().position(|(known, _)| *known == other) {
                    Some(at) => &declared[at].1,
                    None => {
                        declared.push((other, alloc::format!("n{}", declared.len()).into()));
                        &declared[declared.len() - 1].1
                    }
                },
            };
            writer.attribute(prefix, name, value.value())?;
        }
        if attributes.iter().any(|attribute| &*attribute.namespace == SCHEMA_INSTANCE) {
            writer.declare("i", SCHEMA_INSTANCE_STRING)?;
        }
        for (namespace, prefix) in &declared {
            writer.declare(prefix, DictionaryString::InBand(namespace))?;
        }
        Ok(())
    }
}

fn dictionary_string(name: &str) -> DictionaryString<'_> {
    const STATIC: StaticString = NIL;
    if name == STATIC.as_str() { DictionaryString::Static(STATIC) } else { DictionaryString::InBand(name) }
}
