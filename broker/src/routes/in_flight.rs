//! How many connections are in an accept socket: an upper bound, kept by several threads without a lock.
//!
//! A place is taken before a connection is sent, and given back by what the worker is known to have taken. That is counted from
//! the sends that were over before the kernel was asked how many wait: whatever is sent meanwhile can only make the answer
//! larger, and what is known to be taken smaller. `in-flight-model` tries it in every order.

use super::atomic::{AtomicUsize, Ordering};

/// See the module. All three numbers only grow, and wrap around, but for places that are given back.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// Places taken: sent, or about to be.
    begun: AtomicUsize,
    /// Surely in the accept socket, or taken out of it.
    sent: AtomicUsize,
    /// Surely taken out of it.
    taken: AtomicUsize,
}

impl InFlight {
    /// At least as many as are in the accept socket.
    pub(crate) fn at_most(&self) -> usize {
        // In this order: what is taken was begun before.
        let taken = self.taken.load(Ordering::Acquire);
        self.begun.load(Ordering::Relaxed).wrapping_sub(taken)
    }

    /// Takes up to `wanted` places, as long as there are no more than `may` taken; returns how many.
    pub(crate) fn begin(&self, wanted: usize, may: usize) -> usize {
        let taken = self.taken.load(Ordering::Acquire);
        let mut begun = self.begun.load(Ordering::Relaxed);
        loop {
            let places = may.saturating_sub(begun.wrapping_sub(taken)).min(wanted);
            if places == 0 {
                return 0;
            }
            let more = begun.wrapping_add(places);
            match self.begun.compare_exchange_weak(begun, more, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return places,
                Err(now) => begun = now,
            }
        }
    }

    /// So many of those that were begun are in the accept socket.
    pub(crate) fn sent(&self, count: usize) {
        self.sent.fetch_add(count, Ordering::Release);
    }

    /// How many were ever sent.
    pub(crate) fn sent_in_all(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// So many of those that were begun are not, and will not be.
    pub(crate) fn not_sent(&self, count: usize) {
        self.begun.fetch_sub(count, Ordering::Relaxed);
    }

    /// Counts again: `waiting` asks the kernel how many are in the accept socket. Returns that, and how many more are known to be
    /// taken than before.
    pub(crate) fn count(&self, waiting: impl FnOnce() -> usize) -> (usize, usize) {
        let sent = self.sent.load(Ordering::Acquire);
        let waiting = waiting();
        let taken = sent.wrapping_sub(waiting);
        let mut known = self.taken.load(Ordering::Relaxed);
        loop {
            // Somebody else may know better, and more may have been sent than taken.
            let more = taken.wrapping_sub(known);
            if more == 0 || more > usize::MAX / 2 {
                return (waiting, 0);
            }
            match self.taken.compare_exchange_weak(known, taken, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return (waiting, more),
                Err(now) => known = now,
            }
        }
    }

    /// How many are known to be taken; only good for being compared.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_while_it_is_counted_stays_counted() {
        let places = InFlight::default();
        assert_eq!(places.begin(5, 10), 5);
        places.sent(5);
        // The kernel says two, and before that is written down three more are sent.
        let counted = places.count(|| {
            assert_eq!(places.begin(3, 10), 3);
            places.sent(3);
            2
        });
        assert_eq!(counted, (2, 3));
        assert_eq!(places.at_most(), 5);
        // Or before the kernel is asked.
        let counted = places.count(|| {
            assert_eq!(places.begin(9, 10), 5);
            places.sent(5);
            10
        });
        assert_eq!((counted, places.at_most()), ((10, 0), 10));
        assert_eq!(places.begin(1, 10), 0);
    }

    #[test]
    fn places_are_given_back() {
        let places = InFlight::default();
        assert_eq!(places.begin(7, 4), 4);
        places.not_sent(4);
        assert_eq!((places.at_most(), places.begin(7, 4)), (0, 4));
        places.sent(4);
        assert_eq!(places.count(|| 0), (0, 4));
        assert_eq!((places.at_most(), places.taken()), (0, 4));
    }
}
