//! The attributes of a start tag, read when they are asked for.

use super::Attribute;
use super::scope::Namespaces;
use super::source::Source;
use super::state::ReaderState;

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
