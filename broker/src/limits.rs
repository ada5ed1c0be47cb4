//! How many descriptors there are, and how much of them one kind of connection may hold.

use std::os::fd::{AsFd, AsRawFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is tried for when the broker may raise the limit itself: Linux's default `fs.nr_open`.
const WANTED: u64 = 1 << 20;

/// Bounds that follow from `RLIMIT_NOFILE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// All of them: `RLIMIT_NOFILE`.
    pub(crate) limit: usize,
    /// A newly accepted socket with this number or a higher one means that the table is nearly full.
    pressure: usize,
    /// Connections in flight to all workers together; the kernel's limit is per user, and we are not its only process.
    pub(crate) in_flight: usize,
    /// Connections that wait in the broker for a full queue.
    pub(crate) held: usize,
    /// What all workers hold: control connections, accept sockets and listeners.
    pub(crate) workers: usize,
    /// Relayed connections; each has two descriptors.
    pub(crate) relays: usize,
}

impl Descriptors {
    /// Raises `RLIMIT_NOFILE` as far as it goes.
    pub(crate) fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.map_or(WANTED, |maximum| maximum.max(WANTED));
        // Past the hard limit only with CAP_SYS_RESOURCE; else up to it.
        let all = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: Some(wanted) });
        if all.is_err() && current != maximum {
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
        Self::within(getrlimit(Resource::Nofile).current.unwrap_or(WANTED))
    }

    /// Whether the number of a newly accepted socket says that the table is nearly full.
    pub(crate) fn are_scarce(&self, accepted: impl AsFd) -> bool {
        usize::try_from(accepted.as_fd().as_raw_fd()).is_ok_and(|number| number >= self.pressure)
    }

    /// How many connections of one source may wait; 0: any number.
    pub(crate) fn of_a_source(&self, configured: Option<usize>) -> usize {
        configured.unwrap_or(self.limit / 4)
    }

    /// How many of these may wait for workers.
    pub(crate) fn held_of_a_source(&self, configured: Option<usize>) -> usize {
        configured.unwrap_or(self.held / 4)
    }

    /// So few that every one is the last.
    #[cfg(test)]
    pub(crate) fn scarce() -> Self {
        Self { pressure: 0, ..Self::within(0) }
    }

    pub(crate) fn within(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(64);
        Self {
            limit,
            pressure: limit - limit / 8,
            in_flight: limit / 2,
            held: limit / 8,
            workers: limit / 2,
            relays: limit / 8,
        }
    }
}

/// How many more one of many may take: no more than its own bound, and no more than what all have left.
///
/// Each may hold as much as is still free for all, so that `n` greedy ones leave `1/(n+1)` of the whole to the others.
pub(crate) fn share(bound: usize, all: usize, taken: usize) -> usize {
    bound.min(all.saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_ones_always_leave_room_for_another() {
        let (all, bound) = (512, 100);
        let mut queues = [0; 40];
        // Every queue takes all it may get, in turns, until none gets more.
        loop {
            let before = queues;
            for n in 0..queues.len() {
                if queues[n] < share(bound, all, queues.iter().sum()) {
                    queues[n] += 1;
                }
            }
            if before == queues {
                break;
            }
        }
        let taken = queues.iter().sum::<usize>();
        assert!(taken < all && share(bound, all, taken) > 0, "{taken} of {all}");
    }

    #[test]
    fn few_descriptors() {
        let bounds = Descriptors::within(1024);
        assert_eq!(
            bounds,
            Descriptors { limit: 1024, pressure: 896, in_flight: 512, held: 128, workers: 512, relays: 128 }
        );
    }
}
