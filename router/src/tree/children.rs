//! The nodes below a node.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Node;

/// Nodes, each found by the octet it begins with.
///
/// They lie in one array, side by side, so that a step down is a single load that depends on the one before. The
/// array is as short as a run of bits that tells the octets apart allows: at most 256 places, whatever they are.
pub(super) struct Children<E> {
    places: Option<Arc<[Option<Node<E>>]>>,
    order: Order,
}

/// Which place an octet has.
#[derive(Clone, Copy, Default)]
struct Order {
    /// The smallest octet.
    first: u8,
    /// The run of bits that is looked at in the distance from it.
    shift: u8,
    mask: u8,
}

impl Order {
    #[inline]
    fn place(self, octet: u8) -> usize {
        usize::from(octet.wrapping_sub(self.first) >> self.shift & self.mask)
    }

    /// The order with the fewest places for these octets, and how many.
    fn of(octets: &[u8]) -> Option<(Self, usize)> {
        let &first = octets.iter().min()?;
        let bits = octets.len().next_power_of_two().trailing_zeros()..=8;
        bits.flat_map(|bits| {
            (0..=(8 - bits).min(7)).map(move |shift| (u8::MAX.checked_shr(8 - bits).unwrap_or(0), shift))
        })
        .filter_map(|(mask, shift)| {
            let order = Self { first, shift: u8::try_from(shift).ok()?, mask };
            Some((order, order.places(octets)?))
        })
        .min_by_key(|(_, places)| *places)
    }

    /// How many places it takes, `None` if two octets would have the same.
    fn places(self, octets: &[u8]) -> Option<usize> {
        let mut taken = [0_u128; 2];
        octets.iter().try_fold(0, |places, &octet| {
            let at = self.place(octet);
            let (half, bit) = (&mut taken[at >> 7], 1 << (at & 0x7F));
            let free = *half & bit == 0;
            *half |= bit;
            free.then(|| places.max(at + 1))
        })
    }
}

impl<E> Children<E> {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_none()
    }

    #[inline]
    pub(super) fn get(&self, octet: u8) -> Option<&Node<E>> {
        let node = self.places.as_deref()?.get(self.order.place(octet))?.as_ref()?;
        (node.octet == octet).then_some(node)
    }

    /// The node of an octet, to change it.
    pub(super) fn get_mut(&mut self, octet: u8) -> Option<&mut Node<E>> {
        self.get(octet)?;
        Arc::make_mut(self.places.as_mut()?).get_mut(self.order.place(octet))?.as_mut()
    }

    /// Where the node of an octet is, or must be put.
    pub(super) fn place(&mut self, octet: u8) -> &mut Option<Node<E>> {
        if self.get(octet).is_none() {
            self.arrange(Some(octet));
        }
        let places = self.places.get_or_insert_with(|| Arc::new([const { None }]));
        &mut Arc::make_mut(places)[self.order.place(octet)]
    }

    pub(super) fn remove(&mut self, octet: u8) {
        if self.get(octet).is_some() {
            *self.place(octet) = None;
            self.arrange(None);
        }
    }

    /// The child, if there is just one: then there is just one place.
    pub(super) fn only(&self) -> Option<&Node<E>> {
        match self.places.as_deref() {
            Some([only]) => only.as_ref(),
            _ => None,
        }
    }

    /// Lays the nodes out anew, with a place for one more octet.
    fn arrange(&mut self, more: Option<u8>) {
        let mut nodes = Vec::new();
        if let Some(places) = &mut self.places {
            nodes.extend(Arc::make_mut(places).iter_mut().filter_map(Option::take));
        }
        let octets: Vec<u8> = nodes.iter().map(|node| node.octet).chain(more).collect();
        self.places = Order::of(&octets).map(|(order, len)| {
            self.order = order;
            let mut places: Vec<Option<Node<E>>> = core::iter::repeat_with(|| None).take(len).collect();
            for node in nodes {
                let at = order.place(node.octet);
                places[at] = Some(node);
            }
            places.into()
        });
    }
}

impl<E> Default for Children<E> {
    fn default() -> Self {
        Self { places: None, order: Order::default() }
    }
}

impl<E> Clone for Children<E> {
    fn clone(&self) -> Self {
        Self { places: self.places.clone(), order: self.order }
    }
}

/// Dropped from a list, because a tree can be as deep as its longest text.
impl<E> Drop for Children<E> {
    fn drop(&mut self) {
        let mut next = self.places.take();
        let mut more = Vec::new();
        while let Some(mut places) = next {
            // If another tree drops its share in this very moment, the later one begins a list of its own below.
            if let Some(places) = Arc::get_mut(&mut places) {
                more.extend(places.iter_mut().flatten().filter_map(|node| node.children.places.take()));
            }
            next = more.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Order;
    use alloc::vec::Vec;

    #[test]
    fn few_places() {
        for (octets, places) in [
            (&b""[..], 0),
            (b"z", 1),
            (b"!~", 2),
            (b"\0\x80", 2),
            (b"/u", 2),
            (b"0123456789", 10),
            (b"abcdefghijklmnopqrstuvwxyz", 26),
            (b"/0123456789abcdefghijklmnopqrstuvwxyz", 76),
        ] {
            assert_eq!(Order::of(octets).map_or(0, |(_, places)| places), places, "{octets:?}");
        }
        let all: Vec<u8> = (0..=u8::MAX).rev().collect();
        assert_eq!(Order::of(&all).map(|(_, places)| places), Some(256));
    }
}
