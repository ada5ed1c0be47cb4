//! Qualified names in values, such as that of `xsi:type`: what the prefixes in them stand for.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};

use super::Element;
use crate::Value;
use crate::event::XML_NAMESPACE;
use crate::value::split_name;

impl Element {
    /// The namespace that a prefix stands for in the values of this element, its attributes and its text. An element that was read knows
    /// the prefixes that these begin with, and, for names without one, the default namespace.
    pub fn namespace_of(&self, prefix: &str) -> Option<&str> {
        let mut kept = self.tag.iter().flat_map(|tag| &tag.prefixes);
        match (kept.find(|(known, _)| **known == *prefix), prefix) {
            (Some((_, namespace)), _) => Some(namespace),
            (None, "") => Some(&self.namespace),
            (None, "xml") => Some(XML_NAMESPACE),
            (None, _) => None,
        }
    }

    /// The namespace and local name that a value of this element is as a qualified name, or nothing if its prefix is not declared.
    ///
    /// ```
    /// use message_encoding::envelope::{Element, SCHEMA_INSTANCE};
    ///
    /// let shape = Element::new("urn:shop", "Shape")
    ///     .with_prefix("g", "urn:geometry")
    ///     .with_attribute(SCHEMA_INSTANCE, "type", "g:Circle");
    /// let kind = shape.attribute(SCHEMA_INSTANCE, "type").unwrap();
    /// assert_eq!(shape.qualified_name(&kind), Some(("urn:geometry", "Circle".into())));
    /// ```
    pub fn qualified_name(&self, value: &Value<'_>) -> Option<(&str, String)> {
        let text = value.text().ok()?;
        let (prefix, local) = split_name(&text);
        Some((self.namespace_of(prefix)?, local.to_string()))
    }

    /// The element with one more prefix, or another namespace of it, for qualified names in its values. No prefix at all stands for the
    /// namespace of the element itself.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str, namespace: &str) -> Self {
        if !matches!(prefix, "" | "xml") {
            let prefixes = &mut self.tag.get_or_insert_default().prefixes;
            prefixes.retain(|(known, _)| **known != *prefix);
            prefixes.push((prefix.into(), namespace.into()));
        }
        self
    }

    /// A prefix that stands for a namespace by [`Element::with_prefix`].
    pub(super) fn prefix_of(&self, namespace: &str) -> Option<&str> {
        let mut kept = self.tag.iter().flat_map(|tag| &tag.prefixes);
        let found = kept.find(|(prefix, known)| !prefix.is_empty() && **known == *namespace)?;
        Some(&found.0)
    }

    /// `usual`, or that with a number behind it: a prefix that means nothing here and is none of `declared`.
    pub(in crate::envelope) fn free_prefix(
        &self,
        usual: &'static str,
        declared: &[Declared<'_>],
    ) -> Cow<'static, str> {
        let is_free = |prefix: &str| {
            let kept = self.tag.iter().flat_map(|tag| &tag.prefixes);
            kept.map(|(known, _)| &**known)
                .chain(declared.iter().map(|(known, _)| &**known))
                .all(|known| known != prefix)
        };
        if is_free(usual) {
            return usual.into();
        }
        let mut numbered = (0..).map(|number| alloc::format!("{usual}{number}"));
        numbered.find(|prefix| is_free(prefix)).unwrap_or_default().into()
    }
}

/// A prefix that a start tag is about to declare, and its namespace.
pub(in crate::envelope) type Declared<'a> = (Cow<'a, str>, &'a str);
