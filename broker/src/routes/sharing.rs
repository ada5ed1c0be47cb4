//! Several registrations of one address: which of them gets the next connection. It is the one for which the fewest wait, and where
//! as many wait for several, the one that has got none for longest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a queue that shares its addresses knows besides. Others need none of it, and pay for none.
#[derive(Debug)]
pub(super) struct Sharing {
    /// Connections that were chosen for it and are not in its accept socket yet, nor held for it.
    coming: AtomicUsize,
    /// When it was last chosen.
    turn: AtomicUsize,
    /// Counts the choices of all.
    turns: Arc<AtomicUsize>,
}

/// How one of several stands: the least gets the next connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    waiting: usize,
    turn: usize,
}

impl Sharing {
    pub(super) fn new(turns: &Arc<AtomicUsize>) -> Self {
        Self { coming: AtomicUsize::new(0), turn: AtomicUsize::new(0), turns: Arc::clone(turns) }
    }

    /// It was chosen.
    pub(super) fn comes(&self) {
        self.coming.fetch_add(1, Ordering::Relaxed);
        self.turn.store(self.turns.fetch_add(1, Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// So many that were coming are somewhere else now.
    pub(super) fn came(&self, count: usize) {
        self.coming.fetch_sub(count, Ordering::Relaxed);
    }

    /// With so many in its accept socket and held for it.
    pub(super) fn load(&self, waiting: usize) -> Load {
        let waiting = waiting.saturating_add(self.coming.load(Ordering::Relaxed));
        Load { waiting, turn: self.turn.load(Ordering::Relaxed) }
    }
}

/// The least of these. Where there is only one, nobody is asked.
pub(super) fn least<T>(mut all: impl Iterator<Item = T>, load: impl Fn(&T) -> Load) -> Option<T> {
    let first = all.next()?;
    let Some(second) = all.next() else { return Some(first) };
    [first, second].into_iter().chain(all).min_by_key(load)
}
