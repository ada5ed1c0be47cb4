//! The attributes of an element, of which most have none.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::qualified_name::Declared;
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

/// What a start tag says beside the name of its element: most say nothing, which takes no more room than a pointer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StartTag {
    pub(super) attributes: Vec<Attribute>,
    /// Prefixes and their namespaces.
    pub(super) prefixes: Vec<(Arc<str>, Arc<str>)>,
}

impl Element {
    /// The value of an attribute, if the element has it.
    pub fn attribute(&self, namespace: &str, name: &str) -> Option<Value<'_>> {
        self.attributes().find(|found| (found.0, found.1) == (namespace, name)).map(|(_, _, value)| value)
    }

    /// All attributes: namespace, local name and value. Declarations of namespaces are none.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str, Value<'_>)> {
        let attributes = self.tag.iter().flat_map(|tag| &tag.attributes);
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
        let attributes = &mut self.tag.get_or_insert_default().attributes;
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
        if let Some(tag) = self.tag.as_deref_mut() {
            tag.attributes.retain(|attribute| &*attribute.namespace != namespace);
            if *tag == StartTag::default() {
                self.tag = None;
            }
        }
    }

    /// Writes the attributes and the declarations that they and qualified names need.
    pub(super) fn write_tag(&self, writer: &mut Writer<'_>) -> Result<(), WriteError> {
        let Some(StartTag { attributes, prefixes }) = self.tag.as_deref() else { return Ok(()) };
        // A prefix for each namespace, in the order in which they come.
        let mut declared: Vec<Declared<'_>> = Vec::new();
        for Attribute { namespace, name, value } in attributes {
            let known = |(_, known): &&Declared<'_>| *known == &**namespace;
            let prefix = match &**namespace {
                "" => Cow::Borrowed(""),
                XML_NAMESPACE => "xml".into(),
                namespace => match (self.prefix_of(namespace), declared.iter().find(known)) {
                    (Some(prefix), _) => prefix.into(),
                    (None, Some((prefix, _))) => prefix.clone(),
                    (None, None) => {
                        // As .NET has it.
                        let usual = if namespace == SCHEMA_INSTANCE { "i" } else { "n" };
                        let prefix = self.free_prefix(usual, &declared);
                        declared.push((prefix.clone(), namespace));
                        prefix
                    }
                },
            };
            writer.attribute(&prefix, dictionary_string(name), value.value())?;
        }
        let prefixes = prefixes.iter().filter(|(prefix, _)| !prefix.is_empty());
        let kept = prefixes.map(|(prefix, namespace)| (&**prefix, &**namespace));
        for (prefix, namespace) in
            declared.iter().map(|(prefix, namespace)| (&**prefix, *namespace)).chain(kept)
        {
            match namespace {
                SCHEMA_INSTANCE => writer.declare(prefix, SCHEMA_INSTANCE_STRING)?,
                namespace => writer.declare(prefix, DictionaryString::InBand(namespace))?,
            }
        }
        Ok(())
    }
}

fn dictionary_string(name: &str) -> DictionaryString<'_> {
    const STATIC: StaticString = NIL;
    if name == STATIC.as_str() { DictionaryString::Static(STATIC) } else { DictionaryString::InBand(name) }
}
