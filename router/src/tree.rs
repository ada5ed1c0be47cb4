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
//! nothing is balanced. Nodes are shared between a tree and its clones; an edit copies the nodes on the way down
//! to the text it changes, and no others.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Texts with an entry each.
pub(crate) struct Tree<E> {
    root: Option<Arc<Node<E>>>,
}

struct Node<E> {
    /// Compared whole before anything below counts. Octets are in lower case.
    label: Box<[u8]>,
    entry: Option<Arc<E>>,
    choice: Choice,
    /// One child for each octet of `choice`, in order.
    children: Vec<Arc<Self>>,
}

/// The octets with which a node goes on: a set that knows each member's rank.
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    members: [u64; 4],
    /// How many members are in the words before each.
    before: [u8; 4],
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
        let mut node = self.root.as_deref()?;
        let mut rest = text.strip_prefix(&*node.label)?;
        while let Some((&octet, after)) = rest.split_first() {
            node = node.child(octet)?;
            rest = after.strip_prefix(&*node.label)?;
        }
        node.entry.as_deref()
    }

    /// Gives a text an entry, in place of the one it has.
    pub(crate) fn set(&mut self, text: &[u8], entry: E) {
        let entry = Some(Arc::new(entry));
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::leaf(text, entry)));
            return;
        };
        let mut node = Arc::make_mut(root);
        let mut rest = text;
        loop {
            let shared = node.label.iter().zip(rest).take_while(|(label, octet)| label == octet).count();
            if shared < node.label.len() {
                node.split(shared);
            }
            let Some((&octet, after)) = rest.get(shared..).and_then(<[u8]>::split_first) else {
                node.entry = entry;
                return;
            };
            rest = after;
            let at = node.choice.rank(octet);
            if !node.choice.contains(octet) {
                node.choice.insert(octet);
                node.children.insert(at, Arc::new(Node::leaf(rest, entry)));
                return;
            }
            node = Arc::make_mut(&mut node.children[at]);
        }
    }

    /// Takes a text out of the tree and returns its entry.
    pub(crate) fn remove(&mut self, text: &[u8]) -> Option<Arc<E>> {
        // An edit copies nodes even if it changes nothing in the end.
        self.get(text)?;
        let root = self.root.as_mut()?;
        if root.label.len() == text.len() {
            let node = Arc::make_mut(root);
            let entry = node.entry.take();
            match node.children.len() {
                0 => self.root = None,
                1 => node.absorb_only_child(),
                _ => {}
            }
            return entry;
        }
        let mut node = Arc::make_mut(root);
        let mut rest = text.get(node.label.len()..)?;
        loop {
            let (&octet, after) = rest.split_first()?;
            let at = node.choice.rank(octet);
            rest = after.get(node.children[at].label.len()..)?;
            if !rest.is_empty() {
                node = Arc::make_mut(&mut node.children[at]);
                continue;
            }
            let child = Arc::make_mut(&mut node.children[at]);
            let entry = child.entry.take();
            match child.children.len() {
                0 => {
                    node.children.remove(at);
                    node.choice.remove(octet);
                    if node.children.len() == 1 && node.entry.is_none() {
                        node.absorb_only_child();
                    }
                }
                1 => child.absorb_only_child(),
                _ => {}
            }
            return entry;
        }
    }

    /// Begins to read a text.
    pub(crate) fn walk(&self) -> Walk<'_, E> {
        Walk { node: self.root.as_deref(), read: 0, found: None }
    }
}

impl<'t, E> Walk<'t, E> {
    /// Reads octets as they are, inside of a text's first part: no entry ends here.
    pub(crate) fn head(&mut self, octets: &[u8]) {
        self.read(octets, |_, _| {}, |label, octets| label == octets, |octet| octet);
    }

    /// The first part of the text ends here.
    pub(crate) fn head_ends(&mut self) {
        if let Some(node) = self.node
            && self.read == node.label.len()
        {
            self.found = node.entry.as_deref();
        }
    }

    /// Reads a piece of a path, capitals as small letters: an entry may end before each slash and at the end.
    pub(crate) fn path(&mut self, octets: &[u8]) {
        let found = |rest: &[u8], node: &'t Node<E>, found: &mut Option<&'t E>| {
            if let Some(entry) = &node.entry
                && matches!(rest.first(), None | Some(b'/'))
            {
                *found = Some(entry);
            }
        };
        let mut best = self.found;
        self.read(
            octets,
            |rest, node| found(rest, node, &mut best),
            is_lower_case_of,
            |octet| octet.to_ascii_lowercase(),
        );
        self.found = best;
    }

    /// The entry of the longest text read on the way.
    pub(crate) fn found(self) -> Option<&'t E> {
        self.found
    }

    #[inline(always)]
    fn read(
        &mut self,
        octets: &[u8],
        mut label_ends: impl FnMut(&[u8], &'t Node<E>),
        same: impl Fn(&[u8], &[u8]) -> bool,
        fold: impl Fn(u8) -> u8,
    ) {
        let Some(mut node) = self.node else { return };
        let mut label = node.label.get(self.read..).unwrap_or_default();
        let mut rest = octets;
        self.node = None;
        loop {
            let Some((now, after)) = rest.split_at_checked(label.len()) else {
                // The text ends inside the label.
                if label.get(..rest.len()).is_some_and(|label| same(label, rest)) {
                    self.node = Some(node);
                    self.read = node.label.len() - label.len() + rest.len();
                }
                return;
            };
            if !same(label, now) {
                return;
            }
            label_ends(after, node);
            let Some((&octet, after)) = after.split_first() else {
                self.node = Some(node);
                self.read = node.label.len();
                return;
            };
            let Some(child) = node.child(fold(octet)) else { return };
            node = child;
            label = &node.label;
            rest = after;
        }
    }
}

impl<E> Node<E> {
    fn leaf(label: &[u8], entry: Option<Arc<E>>) -> Self {
        Self { label: label.into(), entry, choice: Choice::default(), children: Vec::new() }
    }

    #[inline]
    fn child(&self, octet: u8) -> Option<&Self> {
        if !self.choice.contains(octet) {
            return None;
        }
        self.children.get(self.choice.rank(octet)).map(|child| &**child)
    }

    /// Makes the label end after `len` octets; what the node was becomes its only child.
    fn split(&mut self, len: usize) {
        let label = core::mem::take(&mut self.label);
        let (front, back) = label.split_at(len);
        let Some((&octet, back)) = back.split_first() else { return };
        let mut below = Self::leaf(back, self.entry.take());
        below.choice = core::mem::take(&mut self.choice);
        below.children = core::mem::take(&mut self.children);
        self.label = front.into();
        self.choice.insert(octet);
        self.children.push(Arc::new(below));
    }

    /// The opposite of [`split`](Self::split).
    fn absorb_only_child(&mut self) {
        let (Some(octet), Some(child)) = (self.choice.first(), self.children.pop()) else { return };
        self.label = [&*self.label, &[octet], &*child.label].concat().into();
        self.entry = child.entry.clone();
        self.choice = child.choice;
        self.children = child.children.clone();
    }
}

impl<E> Clone for Node<E> {
    fn clone(&self) -> Self {
        Self {
            label: self.label.clone(),
            entry: self.entry.clone(),
            choice: self.choice,
            children: self.children.clone(),
        }
    }
}

/// Dropped from a list, because a tree can be as deep as its longest text.
impl<E> Drop for Node<E> {
    fn drop(&mut self) {
        let mut last = core::mem::take(&mut self.children);
        while let Some(child) = last.pop() {
            if let Some(mut child) = Arc::into_inner(child) {
                last.append(&mut child.children);
            }
        }
    }
}

impl Choice {
    #[inline]
    fn contains(&self, octet: u8) -> bool {
        self.members[usize::from(octet >> 6)] >> (octet & 63) & 1 == 1
    }

    /// How many members are smaller.
    #[inline]
    fn rank(&self, octet: u8) -> usize {
        let word = usize::from(octet >> 6);
        let smaller = self.members[word] & ((1 << (octet & 63)) - 1);
        usize::from(self.before[word]) + smaller.count_ones() as usize
    }

    fn first(&self) -> Option<u8> {
        (0..=u8::MAX).find(|&octet| self.contains(octet))
    }

    fn insert(&mut self, octet: u8) {
        self.members[usize::from(octet >> 6)] |= 1 << (octet & 63);
        self.count();
    }

    fn remove(&mut self, octet: u8) {
        self.members[usize::from(octet >> 6)] &= !(1 << (octet & 63));
        self.count();
    }

    fn count(&mut self) {
        let mut members = 0;
        for (before, word) in self.before.iter_mut().zip(self.members) {
            *before = members;
            // At most 192 come before the last word.
            members = members.wrapping_add(word.count_ones() as u8);
        }
    }
}

/// Whether `label` is `text` with its ASCII capitals as small letters. Both have the same length.
#[inline]
fn is_lower_case_of(label: &[u8], text: &[u8]) -> bool {
    let (label_words, label_rest) = label.as_chunks::<8>();
    let (text_words, text_rest) = text.as_chunks::<8>();
    label_words
        .iter()
        .zip(text_words)
        .all(|(label, text)| u64::from_ne_bytes(*label) == lower_case(u64::from_ne_bytes(*text)))
        && label_rest.iter().zip(text_rest).all(|(label, octet)| *label == octet.to_ascii_lowercase())
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
    use super::{Choice, Tree, lower_case};
    use alloc::vec::Vec;

    #[test]
    fn choices_know_their_ranks() {
        let mut choice = Choice::default();
        let members = [0, 1, 46, 47, 63, 64, 97, 122, 127, 128, 191, 192, 255];
        members.iter().rev().for_each(|&octet| choice.insert(octet));
        for octet in 0..=u8::MAX {
            assert_eq!(choice.contains(octet), members.contains(&octet));
            assert_eq!(choice.rank(octet), members.iter().filter(|&&member| member < octet).count());
        }
        (0..=u8::MAX).for_each(|octet| choice.insert(octet));
        assert!((0..=u8::MAX).all(|octet| choice.rank(octet) == usize::from(octet)));
        choice.remove(0);
        assert_eq!((choice.first(), choice.rank(255)), (Some(1), 254));
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
