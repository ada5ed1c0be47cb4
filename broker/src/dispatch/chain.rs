//! Entries of a slab in an order: a list of them that is linked through the entries, so that any of them can leave it at once.

pub(super) const NONE: u32 = u32::MAX;

/// What an entry has of a list that it may be in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    before: u32,
    after: u32,
}

/// The first and the last of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    head: u32,
    tail: u32,
}

impl Links {
    pub(super) const NONE: Self = Self { before: NONE, after: NONE };
}

impl Chain {
    pub(super) const EMPTY: Self = Self { head: NONE, tail: NONE };

    /// Which is the first.
    pub(super) fn head(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    /// Puts an entry that is not in it behind all others.
    pub(super) fn push<T>(&mut self, slab: &mut [T], links: impl Fn(&mut T) -> &mut Links, entry: u32) {
        let before = std::mem::replace(&mut self.tail, entry);
        match before {
            NONE => self.head = entry,
            before => links(&mut slab[before as usize]).after = entry,
        }
        *links(&mut slab[entry as usize]) = Links { before, after: NONE };
    }

    /// Takes an entry that is in it out.
    pub(super) fn remove<T>(&mut self, slab: &mut [T], links: impl Fn(&mut T) -> &mut Links, entry: u32) {
        let Links { before, after } = *links(&mut slab[entry as usize]);
        match before {
            NONE => self.head = after,
            before => links(&mut slab[before as usize]).after = after,
        }
        match after {
            NONE => self.tail = before,
            after => links(&mut slab[after as usize]).before = before,
        }
    }
}
