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

/// Milliseconds between two moments. Loops read the clock on their own: a later turn may have begun a little earlier.
pub(crate) fn between(earlier: Stamp, later: Stamp) -> u32 {
    const A_LITTLE: u32 = 60_000;
    let time = later.wrapping_sub(earlier);
    if time > u32::MAX - A_LITTLE { 0 } else { time }
}

/// So many milliseconds before a moment; one that would be 0, which is none, is the next.
pub(crate) fn before(now: Stamp, ago: u32) -> Stamp {
    now.wrapping_sub(ago).max(1)
}

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
        ((milliseconds & u128::from(u32::MAX)) as Stamp).max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_over_the_end_of_the_clock_and_never_negative() {
        let times = [(7, 7), (7, 9), (9, 7), (u32::MAX - 1, 3), (3, u32::MAX - 1)];
        assert_eq!(times.map(|(earlier, later)| between(earlier, later)), [0, 2, 0, 5, 0]);
        // What the kernel counts is in steps of its own, and may be as long as the broker runs.
        assert_eq!([before(7, 3), before(7, 7), before(7, 9)], [4, 1, u32::MAX - 1]);
        let clock = Clock::default();
        assert_eq!(clock.last(), 0);
        clock.tick();
        assert!(clock.last() > 0);
    }
}
