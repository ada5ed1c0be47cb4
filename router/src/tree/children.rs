//! The nodes below a node, found by the hash of their chunk.
//!
//! Whoever chooses the chunks can make hashes collide. Then lookups go a few ways more, never through more than [`WINDOW`]
//! places and one way for each octet of hash and chunk: a hash says where to look, not for how long.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Node;
use crate::chunk::Chunk;

/// Nodes, each found by its chunk.
#[derive(Default)]
pub(super) enum Children<E> {
    #[default]
    None,
    /// In the order of their hashes, each less than [`WINDOW`] places behind the one that its hash names.
    Few(Arc<[Option<Node<E>>]>),
    /// Too many for an array that is copied at each edit, or too many with like hashes.
    Many(Arc<Many<E>>),
}

/// Nodes by one octet of their hash or chunk; those that have it in common go by the next one.
pub(super) struct Many<E> {
    len: usize,
    ways: Box<[Children<E>]>,
}

/// How many places a lookup looks at.
const WINDOW: usize = 8;
/// Most nodes in one array, which then has 14 to 28 KiB.
const MOST: usize = 128;
const WAYS: usize = 256;

/// Near which of some places a node belongs: by the high half of its hash.
#[inline]
fn place(hash: u64, places: usize) -> usize {
    // Not in a usize, which can have 32 bits.
    (((hash >> 32) * places as u64) >> 32) as usize
}

/// Which way a chunk goes: by the octets of its hash's low half, then by its own.
// In other crates it would be a call for each segment that is looked up.
#[inline]
fn way(chunk: Chunk, depth: usize) -> usize {
    match (chunk.hash() as u32).to_be_bytes().get(depth) {
        Some(octet) => usize::from(*octet),
        None => chunk.octets()[depth - 4].into(),
    }
}

impl<E> Children<E> {
    #[inline(always)]
    pub(super) fn get(&self, chunk: Chunk) -> Option<&Node<E>> {
        let places = match self {
            Self::None => return None,
            Self::Few(places) => places,
            Self::Many(many) => many.places(chunk)?,
        };
        for place in places.get(place(chunk.hash(), places.len())..)?.iter().take(WINDOW) {
            match place {
                Some(node) if node.chunk == chunk => return Some(node),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }

    /// The node of a chunk, to change it.
    pub(super) fn get_mut(&mut self, chunk: Chunk) -> Option<&mut Node<E>> {
        let mut children = self;
        let mut depth = 0;
        loop {
            match children {
                Self::None => return None,
                Self::Few(places) => {
                    return Arc::make_mut(places).iter_mut().flatten().find(|node| node.chunk == chunk);
                }
                Self::Many(many) => {
                    children = Arc::make_mut(many).ways.get_mut(way(chunk, depth))?;
                    depth += 1;
                }
            }
        }
    }

    /// Adds a node, whose chunk no other has.
    pub(super) fn insert(&mut self, node: Node<E>) {
        self.insert_behind(0, node);
    }

    fn insert_behind(&mut self, depth: usize, node: Node<E>) {
        if let Self::Many(many) = self {
            let many = Arc::make_mut(many);
            many.len += 1;
            return many.ways[way(node.chunk, depth)].insert_behind(depth + 1, node);
        }
        let mut nodes = self.take_nodes();
        nodes.push(node);
        *self = Self::of(nodes, depth);
    }

    /// Takes the node of a chunk out, which there is.
    pub(super) fn remove(&mut self, chunk: Chunk) {
        self.remove_behind(0, chunk);
    }

    fn remove_behind(&mut self, depth: usize, chunk: Chunk) {
        if let Self::Many(many) = self
            && many.len > MOST / 2
        {
            let many = Arc::make_mut(many);
            many.len -= 1;
            return many.ways[way(chunk, depth)].remove_behind(depth + 1, chunk);
        }
        let mut nodes = self.take_nodes();
        nodes.retain(|node| node.chunk != chunk);
        *self = Self::of(nodes, depth);
    }

    /// The child, if there is just one: then there is just one place.
    pub(super) fn only(&self) -> Option<&Node<E>> {
        match self {
            Self::Few(places) if places.len() == 1 => places.first()?.as_ref(),
            _ => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Lays nodes out that have gone the same way so often.
    fn of(mut nodes: Vec<Node<E>>, depth: usize) -> Self {
        if nodes.is_empty() {
            return Self::None;
        }
        let hash = |node: &Node<E>| node.chunk.hash();
        nodes.sort_unstable_by_key(hash);
        if nodes.len() <= MOST {
            let hashes: Vec<u64> = nodes.iter().map(hash).collect();
            let least = nodes.len() * 7 / 4;
            for len in [least, least + least / 4, least + least / 2, least * 2] {
                if let Some(at) = places(&hashes, len) {
                    let mut places: Vec<Option<Node<E>>> =
                        core::iter::repeat_with(|| None).take(len).collect();
                    at.into_iter().zip(nodes).for_each(|(at, node)| places[at] = Some(node));
                    return Self::Few(places.into());
                }
            }
        }
        let len = nodes.len();
        let mut ways: Vec<Vec<Node<E>>> = core::iter::repeat_with(Vec::new).take(WAYS).collect();
        nodes.into_iter().for_each(|node| ways[way(node.chunk, depth)].push(node));
        let ways = ways.into_iter().map(|nodes| Self::of(nodes, depth + 1)).collect();
        Self::Many(Arc::new(Many { len, ways }))
    }

    /// Takes the nodes out, or clones of them if others share them.
    fn take_nodes(&mut self) -> Vec<Node<E>> {
        match core::mem::take(self) {
            Self::None => Vec::new(),
            Self::Few(ref mut places) => {
                let mut nodes = Vec::with_capacity(places.len());
                match Arc::get_mut(places) {
                    Some(places) => nodes.extend(places.iter_mut().filter_map(Option::take)),
                    None => nodes.extend(places.iter().flatten().cloned()),
                }
                nodes
            }
            Self::Many(ref mut many) => {
                Arc::make_mut(many).ways.iter_mut().flat_map(Self::take_nodes).collect()
            }
        }
    }
}

impl<E> Many<E> {
    fn places(&self, chunk: Chunk) -> Option<&[Option<Node<E>>]> {
        let mut many = self;
        for depth in 0.. {
            match many.ways.get(way(chunk, depth))? {
                Children::None => break,
                Children::Few(places) => return Some(places),
                Children::Many(below) => many = below,
            }
        }
        None
    }
}

/// The place of each node in an array of `len`; `None` if it is too short for them.
fn places(hashes: &[u64], len: usize) -> Option<Vec<usize>> {
    let mut free = 0;
    hashes
        .iter()
        .map(|hash| {
            let near = place(*hash, len);
            let at = near.max(free);
            free = at + 1;
            (at < len && at - near < WINDOW).then_some(at)
        })
        .collect()
}

impl<E> Clone for Children<E> {
    fn clone(&self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Few(places) => Self::Few(places.clone()),
            Self::Many(many) => Self::Many(many.clone()),
        }
    }
}

impl<E> Clone for Many<E> {
    fn clone(&self) -> Self {
        Self { len: self.len, ways: self.ways.clone() }
    }
}

impl<E> Children<E> {
    /// Takes what is below out of nodes that nobody shares.
    fn move_below_to(&mut self, list: &mut Vec<Self>) {
        match self {
            Self::None => {}
            Self::Few(places) => {
                let nodes = Arc::get_mut(places).into_iter().flatten().flatten();
                list.extend(
                    nodes.map(|node| core::mem::take(&mut node.children)).filter(|below| !below.is_empty()),
                );
            }
            Self::Many(many) => {
                let ways = Arc::get_mut(many).into_iter().flat_map(|many| many.ways.iter_mut());
                list.extend(ways.map(core::mem::take).filter(|below| !below.is_empty()));
            }
        }
    }
}

/// Dropped from a list, because a tree can be as deep as its longest text.
impl<E> Drop for Children<E> {
    fn drop(&mut self) {
        let mut list = Vec::new();
        self.move_below_to(&mut list);
        while let Some(mut children) = list.pop() {
            children.move_below_to(&mut list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Children, Node};
    use crate::chunk::Chunk;
    use alloc::vec::Vec;

    #[test]
    fn chunks_of_one_hash() {
        let chunks: Vec<Chunk> = (0..1000).map(Chunk::of_one_hash).collect();
        assert!(chunks.iter().all(|chunk| chunk.hash() == chunks[0].hash()));
        all_are_found(&chunks);
    }

    #[test]
    fn chunks_of_like_hashes() {
        let chunks: Vec<Chunk> = (0..1000).map(Chunk::of_like_hash).collect();
        assert!(chunks.iter().zip(0..).all(|(chunk, number)| chunk.hash() == number << 32));
        all_are_found(&chunks);
    }

    fn all_are_found(chunks: &[Chunk]) {
        let mut children: Children<u8> = Children::default();
        for (at, chunk) in chunks.iter().enumerate() {
            children.insert(Node::new(*chunk, &[]));
            assert!(children.get(chunks[at / 2]).is_some_and(|node| node.chunk == chunks[at / 2]));
            assert!(chunks.get(at + 1).is_none_or(|next| children.get(*next).is_none()));
        }
        let clone = children.clone();
        for (at, chunk) in chunks.iter().enumerate() {
            children.remove(*chunk);
            assert!(children.get(*chunk).is_none());
            assert!(chunks[at + 1..].iter().all(|chunk| children.get(*chunk).is_some()));
        }
        assert!(children.is_empty());
        assert!(chunks.iter().all(|chunk| clone.get(*chunk).is_some()));
    }
}
