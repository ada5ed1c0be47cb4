//! Who connects too often to be told each time, by source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::source::source;

const WINDOW: Duration = Duration::from_secs(1);

/// How many sources are told apart at a time; the others are counted together.
const SOURCES: usize = 4096;

/// See the module. `None` stands for all that are not told apart.
#[derive(Debug)]
pub(super) struct Sources {
    known: HashMap<Option<IpAddr>, Source>,
    /// How many records of a source there may be in [`WINDOW`].
    most: usize,
}

#[derive(Debug)]
struct Source {
    /// When this window began.
    since: Instant,
    records: usize,
    /// Since it was last told.
    suppressed: u64,
    /// So many of those were taken back.
    taken_back: u64,
}

/// Records that there are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suppressed {
    /// `None`: of several.
    pub(super) source: Option<IpAddr>,
    pub(super) count: u64,
    /// So many of them of connections whose hand-over was told, or counted, before.
    pub(super) taken_back: u64,
}

impl Sources {
    /// With so many records of a source in a second; 0: any number.
    pub(super) fn new(most: usize) -> Self {
        let mut sources = Self { known: HashMap::new(), most };
        sources.set_most(most);
        sources
    }

    pub(super) fn set_most(&mut self, most: usize) {
        self.most = if most == 0 { usize::MAX } else { most };
    }

    /// Whether nobody has connected for a while.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether there may be a record more; if not, it is counted.
    pub(super) fn admit(&mut self, from: Option<IpAddr>, taken_back: bool, now: Instant) -> bool {
        let key = from
            .map(source)
            .filter(|from| self.known.len() < SOURCES || self.known.contains_key(&Some(*from)));
        let new = Source { since: now, records: 0, suppressed: 0, taken_back: 0 };
        let source = self.known.entry(key).or_insert(new);
        if now.saturating_duration_since(source.since) >= WINDOW {
            (source.since, source.records) = (now, 0);
        }
        if source.records < self.most {
            source.records += 1;
            return true;
        }
        source.suppressed += 1;
        source.taken_back += u64::from(taken_back);
        false
    }

    /// Forgets those whose window is over; how many records there are not, of whom.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Suppressed> {
        let mut suppressed = Vec::new();
        self.known.retain(|from, source| {
            let over = now.saturating_duration_since(source.since) >= WINDOW;
            if over {
                suppressed.extend(source.suppressed(*from));
            }
            !over
        });
        suppressed
    }

    /// The same of all.
    pub(super) fn all(&mut self) -> Vec<Suppressed> {
        self.known.drain().filter_map(|(from, source)| source.suppressed(from)).collect()
    }
}

impl Source {
    fn suppressed(&self, source: Option<IpAddr>) -> Option<Suppressed> {
        let Self { suppressed: count, taken_back, .. } = *self;
        (count > 0).then_some(Suppressed { source, count, taken_back })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    fn suppressed(from: &str, count: u64) -> Suppressed {
        Suppressed { source: ip(from), count, taken_back: 0 }
    }

    #[test]
    fn a_source_has_so_many_records_in_a_second_and_the_rest_is_counted() {
        let (mut sources, start) = (Sources::new(100), Instant::now());
        let admitted = |sources: &mut Sources, from: &str, now| {
            (0..250).filter(|_| sources.admit(ip(from), false, now)).count()
        };
        assert_eq!(admitted(&mut sources, "192.0.2.1", start), 100);
        assert_eq!(admitted(&mut sources, "::ffff:192.0.2.1", start), 0, "the same");
        assert_eq!(admitted(&mut sources, "192.0.2.2", start), 100, "another");
        assert_eq!(admitted(&mut sources, "2001:db8::1", start), 100);
        assert_eq!(admitted(&mut sources, "2001:db8::ffff:0:0:1", start), 0, "of the same network");
        assert_eq!(admitted(&mut sources, "2001:db8:0:1::1", start), 100);
        assert_eq!(sources.over(start + WINDOW / 2), []);
        let mut told = sources.over(start + WINDOW);
        told.sort_unstable();
        let expected = [("192.0.2.1", 400), ("192.0.2.2", 150), ("2001:db8::", 400), ("2001:db8:0:1::", 150)];
        assert_eq!(told, expected.map(|(from, count)| suppressed(from, count)));
        assert!(sources.is_empty());
        assert_eq!(admitted(&mut sources, "192.0.2.1", start + WINDOW), 100, "a new second");
        assert_eq!(sources.all(), [suppressed("192.0.2.1", 150)]);
    }

    #[test]
    fn how_many_may_be_said_and_0_is_no_limit() {
        let now = Instant::now();
        for (most, admitted) in [(7, 7), (0, 250)] {
            let mut sources = Sources::new(most);
            assert_eq!((0..250).filter(|_| sources.admit(ip("192.0.2.1"), false, now)).count(), admitted);
            sources.set_most(20);
            assert_eq!((0..250).filter(|_| sources.admit(ip("192.0.2.2"), false, now)).count(), 20);
        }
    }

    #[test]
    fn however_many_sources_there_are_few_are_told_apart() {
        let (mut sources, now) = (Sources::new(100), Instant::now());
        let admitted = (0..100_000_u32)
            .filter(|n| sources.admit(Some(IpAddr::V4((*n).into())), n % 2 == 0, now))
            .count();
        assert_eq!((admitted, sources.known.len()), (SOURCES + 100, SOURCES + 1));
        let count = 100_000 - SOURCES as u64 - 100;
        assert_eq!(sources.all(), [Suppressed { source: None, count, taken_back: count / 2 }]);
    }

    proptest! {
        /// None is told twice, and none is forgotten.
        #[test]
        fn each_connection_is_a_record_or_is_counted(steps in prop::collection::vec((0_u8..4, 0_u64..400, 0_usize..150), 0..60)) {
            let (mut sources, mut now) = (Sources::new(100), Instant::now());
            // All, and those that were taken back.
            let (mut connections, mut told) = ([0, 0], [0, 0]);
            let add = |told: &mut [u64; 2], all: Vec<Suppressed>| {
                for Suppressed { count, taken_back, .. } in all {
                    *told = [told[0] + count, told[1] + taken_back];
                }
            };
            for (source, milliseconds, count) in steps {
                now += Duration::from_millis(milliseconds);
                let from = Some(IpAddr::V4([192, 0, 2, source].into()));
                for n in 0..count {
                    let taken_back = n % 3 == 0;
                    let one = [1, u64::from(taken_back)];
                    connections = [connections[0] + one[0], connections[1] + one[1]];
                    if sources.admit(from, taken_back, now) {
                        told = [told[0] + one[0], told[1] + one[1]];
                    }
                }
                if count % 3 == 0 {
                    add(&mut told, sources.over(now));
                }
            }
            add(&mut told, sources.all());
            prop_assert_eq!(told, connections);
        }
    }
}
