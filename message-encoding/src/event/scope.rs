//! Which elements are open and what their prefixes stand for.
//!
//! A prefix gets a number when it is declared: 0 for none, 1 to 26 for the letters, others from a map. `current` has the
//! innermost binding of each number, and each binding knows the one it hides. So no look-up searches the open elements: the
//! time does not depend on how many declarations a hostile document makes.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::ReadError;
use super::source::{Moved, Ref, Source};
use crate::record::Prefix;

const LETTERS: usize = 26;

/// The namespaces of the bindings: found and looked through once, when they were declared.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespaces<'a> {
    /// Those of the first few, which an envelope has no more of.
    few: [Option<&'a str>; FEW],
    more: Vec<&'a str>,
}

const FEW: usize = 5;

impl<'a> Namespaces<'a> {
    /// What a binding, its number plus one, binds to, if that is known.
    #[inline(always)]
    pub(super) fn get(&self, binding: usize) -> Option<&'a str> {
        let binding = binding.wrapping_sub(1);
        match self.few.get(binding) {
            Some(known) => *known,
            None => self.more.get(binding.wrapping_sub(FEW)).copied(),
        }
    }

    /// Learns the last of `count` bindings.
    #[inline(always)]
    fn learn(&mut self, count: usize, string: &'a str) {
        match self.few.get_mut(count - 1) {
            Some(known) => *known = Some(string),
            None => self.learn_more(count - 1 - FEW, string),
        }
    }

    #[cold]
    fn learn_more(&mut self, index: usize, string: &'a str) {
        self.more.truncate(index);
        // A stream reader knows none of the start tags before.
        if self.more.len() == index {
            self.more.push(string);
        }
    }
}

/// One declaration that is in scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    number: u32,
    /// The binding that this one hides, plus one; 0 for none.
    hidden: u32,
    /// Where the prefix stands in the document, if it is one of the longer.
    prefix: (u32, u32),
    uri: Ref,
}

/// An open element.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// How many bindings there were before it.
    bindings: u32,
    /// Where its start tag ends in the document.
    tag_end: u32,
}

/// The open elements and the bindings in scope.
#[derive(Clone, Debug, Default)]
pub(super) struct Scopes {
    /// The open elements are the first `depth` of these.
    elements: Vec<Open>,
    depth: usize,
    bindings: Vec<Binding>,
    /// By number: the innermost binding, plus one. These are the numbers that prefixes always have.
    fixed: [u32; 1 + LETTERS],
    /// The same for the numbers above.
    current: Vec<u32>,
    longer: BTreeMap<Box<[u8]>, u32>,
    free: Vec<u32>,
}

impl Scopes {
    /// Scopes with room for an ordinary envelope.
    pub(super) fn with_capacity() -> Self {
        Self {
            elements: alloc::vec![Open::default(); 16],
            bindings: Vec::with_capacity(16),
            ..Self::default()
        }
    }

    pub(super) fn clear(&mut self) {
        self.depth = 0;
        self.bindings.clear();
        self.fixed = [0; 1 + LETTERS];
        if !self.current.is_empty() {
            self.current.clear();
            self.longer.clear();
            self.free.clear();
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// How many bindings there are: what [`Scopes::declare`] compares with to find a second one of an element.
    pub(super) fn bindings(&self) -> usize {
        self.bindings.len()
    }

    /// Where the start tag of the innermost open element ends: nothing from there on is remembered here.
    pub(super) fn kept(&self) -> usize {
        let innermost = self.depth.checked_sub(1).and_then(|last| self.elements.get(last));
        innermost.map_or(0, |open| open.tag_end as usize)
    }

    /// Opens an element with the bindings made since there were `before`.
    #[inline(always)]
    pub(super) fn open(&mut self, before: usize, tag_end: usize) {
        let open = Open { bindings: before as u32, tag_end: tag_end as u32 };
        match self.elements.get_mut(self.depth) {
            Some(place) => *place = open,
            None => self.elements.push(open),
        }
        self.depth += 1;
    }

    /// Closes the innermost element; says whether there was one.
    #[inline(always)]
    pub(super) fn close(&mut self, source: &Source<'_>) -> bool {
        let Some(&open) = self.elements.get(self.depth.wrapping_sub(1)) else { return false };
        self.depth -= 1;
        if self.bindings.len() > open.bindings as usize {
            self.undo(open.bindings as usize, source);
        }
        true
    }

    /// The start tag of the innermost element has been moved.
    pub(super) fn moved(&mut self, moved: Moved) {
        let Some(open) = self.depth.checked_sub(1).and_then(|last| self.elements.get_mut(last)) else {
            return;
        };
        open.tag_end = moved.place(open.tag_end);
        for Binding { prefix, uri, .. } in &mut self.bindings[open.bindings as usize..] {
            *prefix = (moved.place(prefix.0), moved.place(prefix.1));
            *uri = moved.string(*uri);
        }
    }

    /// Forgets the bindings made since there were `count`.
    pub(super) fn undo(&mut self, count: usize, source: &Source<'_>) {
        while self.bindings.len() > count {
            let Some(Binding { number, hidden, prefix, .. }) = self.bindings.pop() else { return };
            match self.fixed.get_mut(number as usize) {
                Some(current) => *current = hidden,
                None => self.undo_longer(number, hidden, prefix, source),
            }
        }
    }

    #[cold]
    fn undo_longer(&mut self, number: u32, hidden: u32, prefix: (u32, u32), source: &Source<'_>) {
        self.current[number as usize - self.fixed.len()] = hidden;
        if hidden == 0 {
            self.longer.remove(source.octets_of(Ref::Span(prefix.0, prefix.1)));
            self.free.push(number);
        }
    }

    /// Binds a prefix to `uri`, for an element before which there were `before` bindings. `place` says where the prefix
    /// stands in the document.
    pub(super) fn declare(
        &mut self,
        prefix: &[u8],
        place: (u32, u32),
        uri: Ref,
        before: usize,
    ) -> Result<(), ReadError> {
        let bound = match number_of(prefix) {
            Some(number) => self.bind(number, uri, before),
            None => {
                let number = self.number_of_longer(prefix);
                let current = &mut self.current[number as usize - self.fixed.len()];
                bind(&mut self.bindings, current, number, place, uri, before)
            }
        };
        if bound { Ok(()) } else { Err(ReadError::DuplicateAttribute) }
    }

    /// As [`Scopes::declare`], for a prefix with a fixed number; false, and nothing has changed, if it is refused.
    #[inline(always)]
    pub(super) fn bind(&mut self, number: u8, uri: Ref, before: usize) -> bool {
        let Some(current) = self.fixed.get_mut(usize::from(number)) else { return false };
        bind(&mut self.bindings, current, u32::from(number), (0, 0), uri, before)
    }

    #[inline]
    fn current(&self, number: u32) -> u32 {
        let number = number as usize;
        self.fixed.get(number).copied().unwrap_or_else(|| self.current[number - self.fixed.len()])
    }

    fn number_of_longer(&mut self, prefix: &[u8]) -> u32 {
        if let Some(&number) = self.longer.get(prefix) {
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.current.push(0);
            (LETTERS + self.current.len()) as u32
        });
        self.longer.insert(prefix.into(), number);
        number
    }

    /// The binding of the prefix with a number, one of the fixed ones, plus one; 0 for none.
    #[inline(always)]
    pub(super) fn bound(&self, number: u8) -> usize {
        self.fixed.get(usize::from(number)).map_or(0, |&binding| binding as usize)
    }

    /// Remembers that the innermost binding is to `string`.
    #[inline(always)]
    pub(super) fn learn<'a>(&self, namespaces: &mut Namespaces<'a>, string: &'a str) {
        namespaces.learn(self.bindings.len(), string);
    }

    /// The namespace that a prefix stands for.
    pub(super) fn namespace<'a>(
        &self,
        prefix: Prefix<'_>,
        source: Source<'a>,
        namespaces: Option<&Namespaces<'a>>,
    ) -> Result<(Ref, &'a str), ReadError> {
        let (uri, binding) = self.binding(prefix)?;
        match namespaces.and_then(|namespaces| namespaces.get(binding)) {
            Some(string) => Ok((uri, string)),
            None => Ok((uri, source.str_of(uri)?)),
        }
    }

    /// What a prefix is bound to, and the binding, its number plus one.
    pub(super) fn binding(&self, prefix: Prefix<'_>) -> Result<(Ref, usize), ReadError> {
        let octets = prefix.octets();
        let number = number_of(octets).map(u32::from).or_else(|| self.longer.get(octets).copied());
        let binding = number.map_or(0, |number| self.current(number)) as usize;
        match (binding, octets) {
            (0, []) => Ok((Ref::Empty, 0)),
            (0, b"xml") => Ok((Ref::Xml, 0)),
            (0, _) => Err(ReadError::UndeclaredPrefix),
            (binding, _) => Ok((self.bindings[binding - 1].uri, binding)),
        }
    }
}

/// Adds a binding, if its number's `current` one is not of the same element.
#[inline(always)]
fn bind(
    bindings: &mut Vec<Binding>,
    current: &mut u32,
    number: u32,
    prefix: (u32, u32),
    uri: Ref,
    before: usize,
) -> bool {
    if *current as usize > before {
        return false;
    }
    bindings.push(Binding { number, hidden: *current, prefix, uri });
    *current = bindings.len() as u32;
    true
}

/// The number of a prefix that has a fixed one.
#[inline]
fn number_of(prefix: &[u8]) -> Option<u8> {
    match prefix {
        [] => Some(0),
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        _ => None,
    }
}
