//! The attributes of a start tag, read when they are asked for.

use super::scope::Namespaces;
use super::source::Source;
use super::state::ReaderState;
use super::{Attribute, same};

/// The attributes of a start tag.
#[derive(Clone, Debug)]
pub struct Attributes<'s, 'a> {
    state: &'s ReaderState,
    source: Source<'a>,
    namespaces: Option<&'s Namespaces<'a>>,
    at: usize,
    end: usize,
}

impl<'s, 'a> Attributes<'s, 'a> {
    #[inline]
    pub(super) fn new(
        state: &'s ReaderState,
        source: Source<'a>,
        namespaces: Option<&'s Namespaces<'a>>,
    ) -> Self {
        Self { state, source, namespaces, at: state.attributes_at, end: state.scopes.kept() }
    }
}

impl<'a> Attributes<'_, 'a> {
    /// Whether there are no more.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// The attribute with this namespace and local name. The others cost little: they are read no further than their local names.
    #[inline(always)]
    pub(crate) fn find_named(mut self, namespace: &str, local: &str) -> Option<Attribute<'a>> {
        while self.skip_short(local).is_some() {}
        if self.at < self.end { self.find_longer(namespace, local) } else { None }
    }

    /// Goes past an attribute with another local name whose record, id and value are an octet each, as `mustUnderstand` nearly always is.
    #[inline(always)]
    fn skip_short(&mut self, local: &str) -> Option<()> {
        if self.at >= self.end {
            return None;
        }
        let short = self.source.octets.get(self.at..)?.first_chunk()?;
        let &[0x0C..=0x25, id @ ..0x80, 0x80 | 0x82 | 0x84 | 0x86] = short else { return None };
        let found = self.source.strings.get(u32::from(id))?;
        (found != local).then(|| self.at += short.len())
    }

    #[inline(never)]
    fn find_longer(mut self, namespace: &str, local: &str) -> Option<Attribute<'a>> {
        while self.at < self.end {
            let (found, next) = self.state.attribute_local_at(self.source, self.at)?;
            if found != Some(local) {
                self.at = next;
                continue;
            }
            if let Some(attribute) = self.next().filter(|attribute| same(attribute.name.namespace, namespace))
            {
                return Some(attribute);
            }
        }
        None
    }
}

impl<'a> Iterator for Attributes<'_, 'a> {
    type Item = Attribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<Attribute<'a>> {
        if self.at >= self.end {
            return None;
        }
        let (attribute, next) = self.state.attribute_at(self.source, self.namespaces, self.at)?;
        self.at = next;
        Some(attribute)
    }
}
