//! A persistent radix tree over texts of [chunks](crate::chunk): each has an entry, and a lookup finds the longest one
//! that a given text begins with.
//!
//! ```text
//! 9000 ── calc/*  ── v2/*                 * has an entry
//!      ├─ orders/*
//!      └─ other/many/*
//! ```
//!
//! A node is chosen by one chunk and holds those that follow without a choice (its label). The nodes below a node lie side
//! by side in an array, where a hash of the chunk says near which place. Nodes are shared between a tree and its clones,
//! all children of one together; an edit copies those on the way down to the text it changes, and no others.

mod children;

use alloc::sync::Arc;

use crate::chunk::{self, Chunk, Chunks};
use children::Children;

/// Texts with an entry each.
pub(crate) struct Tree<E> {
    root: Option<Node<E>>,
}

/// One line of the cache, and aligned like one.
#[repr(align(64))]
struct Node<E> {
    /// By which the node is chosen; of no meaning in the root.
    chunk: Chunk,
    /// Compared whole before anything below counts.
    label: Option<Arc<[Chunk]>>,
    entry: Option<Arc<E>>,
    children: Children<E>,
}

/// What a lookup knows while it reads its text.
struct Walk<'t, E, F> {
    node: &'t Node<E>,
    /// What of the node's label is to be read yet.
    label: &'t [Chunk],
    found: Option<F>,
}

impl<E> Tree<E> {
    /// The entry of the longest text that this one begins with: port, host if the tree goes by hosts, and path.
    pub(crate) fn longest(&self, port: u16, host: Option<&str>, path: &str) -> Option<&E> {
        self.longest_where(port, host, path, |_, entry| Some(entry))
    }

    /// The same for whoever does not take any entry: `keep` is shown one after the other, from the shortest text on, with what
    /// was kept until then, and says what is kept.
    pub(crate) fn longest_where<'t, F>(
        &'t self,
        port: u16,
        host: Option<&str>,
        path: &str,
        mut keep: impl FnMut(Option<F>, &'t E) -> Option<F>,
    ) -> Option<F> {
        let root = self.root.as_ref()?;
        let mut walk = Walk { node: root, label: root.label(), found: None };
        if !walk.read(Chunk::port(port), &mut keep) {
            return None;
        }
        if let Some(host) = host {
            walk = walk.read_host(host, &mut keep)?;
        }
        for chunk in Chunks::of(path) {
            if !walk.read(chunk, &mut keep) {
                break;
            }
        }
        walk.found
    }
}

impl<'t, E, F> Walk<'t, E, F> {
    /// Reads one chunk more; `false` if no text of the tree goes on like this.
    #[inline(always)]
    fn read(&mut self, chunk: Chunk, keep: &mut impl FnMut(Option<F>, &'t E) -> Option<F>) -> bool {
        match self.label.split_first() {
            Some((next, rest)) if *next == chunk => self.label = rest,
            Some(_) => return false,
            None => {
                let Some(node) = self.node.children.get(chunk) else { return false };
                self.node = node;
                self.label = node.label();
            }
        }
        if let ([], Some(entry)) = (self.label, &self.node.entry) {
            self.found = keep(self.found.take(), entry);
        }
        true
    }

    /// By value, so that it stays in registers where there is no host.
    fn read_host(mut self, host: &str, keep: &mut impl FnMut(Option<F>, &'t E) -> Option<F>) -> Option<Self> {
        chunk::of_host(host, |chunk| self.read(chunk, keep)).then_some(self)
    }
}

impl<E> Tree<E> {
    /// The entry of exactly this text.
    pub(crate) fn get(&self, text: &[Chunk]) -> Option<&E> {
        let mut node = self.root.as_ref()?;
        let mut rest = text.strip_prefix(node.label())?;
        while let Some((&chunk, after)) = rest.split_first() {
            node = node.children.get(chunk)?;
            rest = after.strip_prefix(node.label())?;
        }
        node.entry.as_deref()
    }

    /// Gives a text an entry, in place of the one it has.
    pub(crate) fn set(&mut self, text: &[Chunk], entry: E) {
        let mut node = self.root.get_or_insert_with(|| Node::new(Chunk::port(0), text));
        let mut rest = text;
        loop {
            let label = node.label();
            let shared = label.iter().zip(rest).take_while(|(label, chunk)| label == chunk).count();
            node.split(shared);
            let Some((&chunk, after)) = rest.get(shared..).and_then(<[Chunk]>::split_first) else {
                node.entry = Some(Arc::new(entry));
                return;
            };
            if node.children.get(chunk).is_none() {
                node.children.insert(Node::new(chunk, after));
            }
            let Some(child) = node.children.get_mut(chunk) else { return };
            node = child;
            rest = after;
        }
    }

    /// Takes a text out of the tree and returns its entry.
    pub(crate) fn remove(&mut self, text: &[Chunk]) -> Option<Arc<E>> {
        // An edit copies nodes even if it changes nothing in the end.
        self.get(text)?;
        let mut node = self.root.as_mut()?;
        let mut rest = text.get(node.label().len()..)?;
        if rest.is_empty() {
            let entry = node.entry.take();
            node.tidy();
            if node.is_nothing() {
                self.root = None;
            }
            return entry;
        }
        loop {
            let (&chunk, after) = rest.split_first()?;
            rest = after.get(node.children.get(chunk)?.label().len()..)?;
            if rest.is_empty() {
                let child = node.children.get_mut(chunk)?;
                let entry = child.entry.take();
                child.tidy();
                if child.is_nothing() {
                    node.children.remove(chunk);
                    node.tidy();
                }
                return entry;
            }
            node = node.children.get_mut(chunk)?;
        }
    }
}

impl<E> Node<E> {
    fn new(chunk: Chunk, label: &[Chunk]) -> Self {
        let label = (!label.is_empty()).then(|| label.into());
        Self { chunk, label, entry: None, children: Children::default() }
    }

    #[inline]
    fn label(&self) -> &[Chunk] {
        self.label.as_deref().unwrap_or_default()
    }

    fn is_nothing(&self) -> bool {
        self.entry.is_none() && self.children.is_empty()
    }

    /// Makes the label end after `len` chunks, if it has more; what the node was becomes its only child.
    fn split(&mut self, len: usize) {
        let (front, back) = self.label().split_at(len);
        let Some((&chunk, back)) = back.split_first() else { return };
        let above = Self::new(self.chunk, front);
        let below = Self { label: Self::new(chunk, back).label, ..core::mem::replace(self, above) };
        self.children.insert(Self { chunk, ..below });
    }

    /// A node without an entry and with a single child becomes one with it: the opposite of [`split`](Self::split).
    fn tidy(&mut self) {
        let (Some(child), None) = (self.children.only().cloned(), &self.entry) else { return };
        let label = [self.label(), &[child.chunk], child.label()].concat();
        *self = Self { chunk: self.chunk, label: Some(label.into()), ..child };
    }
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

impl<E> Clone for Node<E> {
    fn clone(&self) -> Self {
        Self {
            chunk: self.chunk,
            label: self.label.clone(),
            entry: self.entry.clone(),
            children: self.children.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Tree};
    use crate::chunk::Chunk;
    use alloc::vec::Vec;

    fn text(numbers: impl IntoIterator<Item = u16>) -> Vec<Chunk> {
        numbers.into_iter().map(Chunk::port).collect()
    }

    #[test]
    fn a_node_is_a_line_of_the_cache() {
        assert_eq!(size_of::<Option<Node<u8>>>(), 64);
    }

    #[test]
    fn any_number_of_chunks_can_follow() {
        let mut tree = Tree::default();
        let mut before = Vec::new();
        for number in 0..5000 {
            before.push(tree.clone());
            tree.set(&text([1, number]), number);
        }
        for number in (0..5000).rev() {
            for (asked, found) in
                [(number, Some(&number)), (number + 1, None), (number / 2, Some(&(number / 2)))]
            {
                assert_eq!(tree.get(&text([1, asked])), found);
            }
            assert_eq!(tree.remove(&text([1, number])).as_deref(), Some(&number));
            assert_eq!(before[usize::from(number)].get(&text([1, number])), None);
        }
        assert!(tree.root.is_none());
    }

    /// On a stack that has no room for a call for each node.
    fn with_little_stack(test: impl FnOnce() + Send + 'static) {
        extern crate std;
        std::thread::Builder::new().stack_size(64 << 10).spawn(test).unwrap().join().unwrap();
    }

    #[test]
    fn a_tree_as_deep_as_a_text_is_long() {
        with_little_stack(|| {
            let text = text(core::iter::repeat_n(7, 30_000));
            let mut tree = Tree::default();
            (1..=text.len()).step_by(17).for_each(|len| tree.set(&text[..len], len));
            let mut clone = tree.clone();
            assert_eq!(clone.remove(&text[..1]).as_deref(), Some(&1));
            assert_eq!((clone.get(&text[..1]), tree.get(&text[..1])), (None, Some(&1)));
            assert_eq!(clone.get(&text[..18]), Some(&18));
        });
    }

    #[test]
    fn a_deep_tree_with_many_of_one_hash_at_each_node() {
        with_little_stack(|| {
            let text = [Chunk::of_one_hash(0); 300];
            let mut tree = Tree::default();
            for len in 0..text.len() {
                (0..10).for_each(|number| {
                    tree.set(&[&text[..len], &[Chunk::of_one_hash(number)]].concat(), len)
                });
            }
            assert_eq!(tree.get(&[&text[1..], &[Chunk::of_one_hash(9)]].concat()), Some(&299));
        });
    }

    #[test]
    fn a_node_is_merged_with_the_last_that_follows_it() {
        let mut tree = Tree::default();
        let texts: Vec<Vec<Chunk>> = [&[][..], &[1], &[1, 2], &[1, 3], &[2], &[1, 2, 3, 4]]
            .map(|numbers| text(numbers.iter().copied()))
            .to_vec();
        for order in 0..texts.len() {
            texts.iter().for_each(|text| tree.set(text, text.len()));
            for at in 0..texts.len() {
                let text = &texts[(at + order) % texts.len()];
                assert_eq!(tree.remove(text).as_deref(), Some(&text.len()));
                assert_eq!(tree.remove(text), None);
                for later in at + 1..texts.len() {
                    let text = &texts[(later + order) % texts.len()];
                    assert_eq!(tree.get(text), Some(&text.len()));
                }
            }
            assert!(tree.root.is_none());
        }
    }
}
