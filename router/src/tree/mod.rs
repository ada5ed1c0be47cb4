//! A persistent radix tree: texts with an entry each, and the longest one that a given text begins with.
//!
//! ```text
//! (9000)/ ── calc*  ── /v2*          * has an entry
//!         └─ o ─┬─ rders*
//!               └─ ther*
//! ```
//!
//! A node holds the octets between the one that chose it and the next choice (its label), so a lookup reads each
//! octet of its text at most once, whatever the tree holds and whoever chose the texts: nothing is hashed and
//! nothing is balanced. Nodes are shared between a tree and its clones, all children of one together; an edit copies
//! those on the way down to the text it changes, and no others.

mod children;
mod label;

use alloc::sync::Arc;

use children::Children;
use label::Label;

/// Texts with an entry each.
pub(crate) struct Tree<E> {
    root: Option<Node<E>>,
}

/// One line of the cache, and aligned like one.
#[repr(align(64))]
struct Node<E> {
    /// Compared whole before anything below counts. Octets are in lower case.
    label: Label,
    entry: Option<Arc<E>>,
    children: Children<E>,
    /// The octet before the label, by which the node is chosen; 0 for the root.
    octet: u8,
}

/// What a lookup knows while it reads its text.
pub(crate) struct Walk<'t, E> {
    /// Where it stands; `None` if no text of the tree goes on like this.
    node: Option<&'t Node<E>>,
    /// How many octets of the node's label are read.
    read: usize,
    found: Option<&'t E>,
}

impl<E> Default for Tree<E> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<E> Clone for Tree<E> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone() }
    }
}

impl<E> Tree<E> {
    /// The entry of exactly this text.
    pub(crate) fn get(&self, text: &[u8]) -> Option<&E> {
        let mut node = self.root.as_ref()?;
        let mut rest = text.strip_prefix(node.label.octets())?;
        while let Some((&octet, after)) = rest.split_first() {
            node = node.children.get(octet)?;
            rest = after.strip_prefix(node.label.octets())?;
        }
        node.entry.as_deref()
    }

    /// Gives a text an entry, in place of the one it has.
    pub(crate) fn set(&mut self, text: &[u8], entry: E) {
        let mut node = self.root.get_or_insert_with(|| Node::leaf(0, text, None));
        let mut rest = text;
        loop {
            let label = node.label.octets();
            let shared = label.iter().zip(rest).take_while(|(label, octet)| label == octet).count();
            if shared < label.len() {
                node.split(shared);
            }
            let Some((&octet, after)) = rest.get(shared..).and_then(<[u8]>::split_first) else {
                node.entry = Some(Arc::new(entry));
                return;
            };
            node = node.children.place(octet).get_or_insert_with(|| Node::leaf(octet, after, None));
            rest = after;
        }
    }

    /// Takes a text out of the tree and returns its entry.
    pub(crate) fn remove(&mut self, text: &[u8]) -> Option<Arc<E>> {
        // An edit copies nodes even if it changes nothing in the end.
        self.get(text)?;
        let mut node = self.root.as_mut()?;
        let mut rest = text.get(node.label.octets().len()..)?;
        if rest.is_empty() {
            let entry = node.entry.take();
            node.tidy();
            if node.is_nothing() {
                self.root = None;
            }
            return entry;
        }
        loop {
            let (&octet, after) = rest.split_first()?;
            rest = after.get(node.children.get(octet)?.label.octets().len()..)?;
            if rest.is_empty() {
                let child = node.children.get_mut(octet)?;
                let entry = child.entry.take();
                child.tidy();
                if child.is_nothing() {
                    node.children.remove(octet);
                    node.tidy();
                }
                return entry;
            }
            node = node.children.get_mut(octet)?;
        }
    }

    /// Begins to read a text; `None` if the tree has none.
    #[inline]
    pub(crate) fn walk(&self) -> Option<Walk<'_, E>> {
        self.root.as_ref().map(|root| Walk { node: Some(root), read: 0, found: None })
    }
}

impl<'t, E> Walk<'t, E> {
    /// Reads octets as they are, inside of a text's first part: no entry ends here.
    pub(crate) fn head(&mut self, octets: &[u8]) {
        self.read::<false>(octets);
    }

    /// The first part of the text ends here.
    pub(crate) fn head_ends(&mut self) {
        if let Some(node) = self.node
            && self.read == node.label.octets().len()
        {
            self.found = node.entry.as_deref();
        }
    }

    /// Reads a piece of a path, capitals as small letters: an entry may end before each slash and at the end.
    pub(crate) fn path(&mut self, octets: &[u8]) {
        self.read::<true>(octets);
    }

    /// The entry of the longest text read on the way.
    pub(crate) fn found(self) -> Option<&'t E> {
        self.found
    }

    #[inline]
    fn read<const PATH: bool>(&mut self, octets: &[u8]) {
        let Some(mut node) = self.node else { return };
        let mut label = node.label.octets().get(self.read..).unwrap_or_default();
        let mut rest = octets;
        self.node = None;
        loop {
            if !label.is_empty() {
                let len = label.len().min(rest.len());
                let (now, after) = rest.split_at(len);
                if !is_same::<PATH>(&label[..len], now) {
                    return;
                }
                if len < label.len() {
                    // The text ends inside the label.
                    self.node = Some(node);
                    self.read = node.label.octets().len() - label.len() + len;
                    return;
                }
                rest = after;
            }
            let Some((&octet, after)) = rest.split_first() else {
                if PATH && node.entry.is_some() {
                    self.found = node.entry.as_deref();
                }
                self.node = Some(node);
                self.read = node.label.octets().len();
                return;
            };
            if PATH && octet == b'/' && node.entry.is_some() {
                self.found = node.entry.as_deref();
            }
            let Some(child) = node.children.get(if PATH { octet.to_ascii_lowercase() } else { octet }) else {
                return;
            };
            node = child;
            label = node.label.octets();
            rest = after;
        }
    }
}

impl<E> Node<E> {
    fn leaf(octet: u8, label: &[u8], entry: Option<Arc<E>>) -> Self {
        Self { octet, label: Label::new(label), entry, children: Children::default() }
    }

    fn is_nothing(&self) -> bool {
        self.entry.is_none() && self.children.is_empty()
    }

    /// Makes the label end after `len` octets; what the node was becomes its only child.
    fn split(&mut self, len: usize) {
        let (front, back) = self.label.octets().split_at(len);
        let Some((&octet, back)) = back.split_first() else { return };
        let mut below = Self::leaf(octet, back, self.entry.take());
        self.label = Label::new(front);
        core::mem::swap(&mut self.children, &mut below.children);
        *self.children.place(octet) = Some(below);
    }

    /// A node without an entry and with a single child becomes one with it: the opposite of [`split`](Self::split).
    fn tidy(&mut self) {
        let (Some(child), None) = (self.children.only().cloned(), &self.entry) else { return };
        self.label = Label::new(&[self.label.octets(), &[child.octet], child.label.octets()].concat());
        self.entry = child.entry;
        self.children = child.children;
    }
}

impl<E> Clone for Node<E> {
    fn clone(&self) -> Self {
        Self {
            label: self.label.clone(),
            entry: self.entry.clone(),
            children: self.children.clone(),
            octet: self.octet,
        }
    }
}

/// Whether a label is a text of the same length, or in a path the text with its ASCII capitals as small letters.
#[inline]
fn is_same<const PATH: bool>(label: &[u8], text: &[u8]) -> bool {
    if !PATH {
        // Too short for a call.
        return label.iter().eq(text);
    }
    let same =
        |label: &[u8; 8], text: &[u8; 8]| u64::from_ne_bytes(*label) == lower_case(u64::from_ne_bytes(*text));
    if let (Some(last_label), Some(last_text)) = (label.last_chunk(), text.last_chunk()) {
        // The last eight may overlap the eight before.
        let (label, text) = (label.as_chunks().0, text.as_chunks().0);
        return same(last_label, last_text) && label.iter().zip(text).all(|(label, text)| same(label, text));
    }
    match (halves(label), halves(text)) {
        (Some(label), Some(text)) => label == lower_case(text),
        _ => label.iter().zip(text).all(|(label, octet)| *label == octet.to_ascii_lowercase()),
    }
}

/// The first and the last four octets.
#[inline]
fn halves(octets: &[u8]) -> Option<u64> {
    let [first, last] = [octets.first_chunk()?, octets.last_chunk()?].map(|half| u32::from_ne_bytes(*half));
    Some(u64::from(first) << 32 | u64::from(last))
}

/// Eight octets at once, each ASCII capital as its small letter.
#[inline]
const fn lower_case(octets: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xFF;
    let low = octets & (EACH * 0x7F);
    let from_a = low + EACH * (0x80 - b'A' as u64);
    let past_z = low + EACH * (0x7F - b'Z' as u64);
    let capital = (from_a ^ past_z) & !octets & (EACH * 0x80);
    octets | capital >> 2
}

#[cfg(test)]
mod tests {
    use super::{Tree, lower_case};
    use alloc::vec::Vec;

    #[test]
    fn any_octet_can_follow() {
        let mut tree = Tree::default();
        let octets = [128, 0, 47, 46, 97, 122, 127, 191, 1, 64, 254, 255];
        octets.iter().for_each(|&octet| tree.set(&[octet], octet));
        for at in 0..octets.len() {
            for octet in 0..=u8::MAX {
                assert_eq!(
                    tree.get(&[octet]).copied(),
                    Some(octet).filter(|octet| octets[at..].contains(octet))
                );
            }
            assert_eq!(tree.remove(&[octets[at]]).as_deref(), Some(&octets[at]));
        }
        assert!(tree.root.is_none());
    }

    #[test]
    fn eight_octets_in_lower_case() {
        for octet in 0..=u8::MAX {
            for at in 0..8 {
                let mut octets = *b"@AZ[`az{";
                octets[at] = octet;
                let lower = lower_case(u64::from_ne_bytes(octets)).to_ne_bytes();
                assert_eq!(lower, octets.to_ascii_lowercase()[..]);
            }
        }
    }

    #[test]
    fn a_tree_as_deep_as_a_text_is_long() {
        let text = [b'a'; 100_000];
        let mut tree = Tree::default();
        (1..=text.len()).step_by(97).for_each(|len| tree.set(&text[..len], len));
        let mut clone = tree.clone();
        assert_eq!(clone.remove(&text[..1]).as_deref(), Some(&1));
        assert_eq!((clone.get(&text[..1]), tree.get(&text[..1])), (None, Some(&1)));
        assert_eq!(clone.get(&text[..98]), Some(&98));
    }

    #[test]
    fn a_node_is_merged_with_the_last_that_follows_it() {
        let mut tree = Tree::default();
        let texts: Vec<&[u8]> = [&b""[..], b"/calc", b"/calc/v2", b"/calcium", b"/d", b"/c"].to_vec();
        for order in 0..texts.len() {
            texts.iter().for_each(|text| tree.set(text, text.len()));
            for at in 0..texts.len() {
                let text = texts[(at + order) % texts.len()];
                assert_eq!(tree.remove(text).as_deref(), Some(&text.len()));
                assert_eq!(tree.remove(text), None);
                for later in at + 1..texts.len() {
                    let text = texts[(later + order) % texts.len()];
                    assert_eq!(tree.get(text), Some(&text.len()));
                }
            }
            assert!(tree.root.is_none());
        }
    }
}
