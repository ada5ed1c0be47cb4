//! What the counters were each second of the last minute.

use std::collections::VecDeque;

use handoff::administration::Status;

use crate::outcome::Counters;

/// So many seconds are kept.
pub(super) const SECONDS: usize = 60;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates(VecDeque<Sample>);

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    accepted: u64,
    refused: u64,
}

/// Connections in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) accepted: u64,
    pub(super) refused: u64,
}

impl Rates {
    pub(super) fn sample(&mut self, counters: &Counters) {
        let refused =
            counters.outcomes().filter(|(name, _)| Status::is_refusal(name)).map(|(_, count)| count).sum();
        self.push(Sample { accepted: counters.accepted(), refused });
    }

    fn push(&mut self, sample: Sample) {
        if self.0.len() > SECONDS {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// The seconds that are known, the oldest first.
    pub(super) fn each(&self) -> impl Iterator<Item = Rate> + Clone + '_ {
        self.0.iter().zip(self.0.iter().skip(1)).map(|(before, after)| Rate {
            accepted: after.accepted.saturating_sub(before.accepted),
            refused: after.refused.saturating_sub(before.refused),
        })
    }

    /// The last of them.
    pub(super) fn now(&self) -> Rate {
        self.each().last().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_is_kept() {
        let mut rates = Rates::default();
        assert_eq!((rates.each().count(), rates.now()), (0, Rate::default()));
        for second in 0..200 {
            rates.push(Sample { accepted: second * second, refused: 3 * second });
        }
        assert_eq!(rates.each().count(), SECONDS);
        assert_eq!(rates.now(), Rate { accepted: 199 * 199 - 198 * 198, refused: 3 });
    }
}
