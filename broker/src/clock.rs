//! Milliseconds since the start, for whoever stamps many things: read once a turn, and only where somebody wants to know.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// See the module. It begins anew after 49 days: times that are longer are not told rightly.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    last: AtomicU32,
}

/// A moment; 0: none.
pub(crate) type Stamp = u32;

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now(), last: AtomicU32::new(0) }
    }
}

impl Clock {
    /// What time it is.
    pub(crate) fn read(&self) -> Stamp {
        // Of all that is known of a long time, the end of it.
        let milliseconds = self.start.elapsed().as_millis() + 1;
        (milliseconds & u128::from(u32::MAX)) as Stamp
    }

    /// A turn begins.
    pub(crate) fn tick(&self) {
        self.last.store(self.read(), Ordering::Relaxed);
    }

    /// When the last turn began; 0 if nobody wants to know.
    #[inline]
    pub(crate) fn last(&self) -> Stamp {
        self.last.load(Ordering::Relaxed)
    }
}
