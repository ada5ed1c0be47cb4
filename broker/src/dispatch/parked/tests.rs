use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::destination::Destination;
use crate::outcome::{Counters, Outcome};
use crate::told::Told;

fn waits(drain: bool, counters: &Counters) -> Waits {
    let socket = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
    if drain { Waits::Drain(socket) } else { Waits::Preamble(Connection::accepted(socket, counters)) }
}

fn ip(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

/// Ends what has left; returns its kind.
fn end(waits: Option<Waits>, counters: &Counters) -> Option<Stage> {
    let waits = waits?;
    let stage = waits.stage();
    if let Waits::Preamble(connection) = waits {
        drop(connection.end(counters, Outcome::ShutDown, Destination::Nobody, None, Told::default()));
    }
    Some(stage)
}

#[derive(Clone, Debug)]
enum Op {
    PutOff(u64, u64),
    /// To be drained; or of a source, or of none that is known.
    Park(bool, Option<u8>),
    Leave(usize),
    LeaveOldest(bool),
    CrowdOut,
}

fn op() -> impl Strategy<Value = Op> {
    let source = prop_oneof![1 => Just(None), 9 => (0_u8..5).prop_map(Some)];
    prop_oneof![
        1 => (0..20_u64, 0..20_u64).prop_map(|(before, now)| Op::PutOff(before, now)),
        5 => (prop::bool::weighted(0.2), source).prop_map(|(drain, source)| Op::Park(drain, source)),
        2 => (0_usize..40).prop_map(Op::Leave),
        1 => any::<bool>().prop_map(Op::LeaveOldest),
        2 => Just(Op::CrowdOut),
    ]
}

/// A connection, of which source it is, and when its time is over.
type Modelled = (Place, Option<u8>, Instant);

/// Two plain queues, and since when each source has as many connections as it has.
#[derive(Default)]
struct Model {
    queues: [VecDeque<Modelled>; 2],
    sources: [(usize, usize); 5],
    steps: usize,
}

impl Model {
    fn oldest(&self, drain: bool) -> Option<(Place, Instant)> {
        self.queues[usize::from(drain)].front().map(|(place, _, deadline)| (*place, *deadline))
    }

    fn of(&self, n: u8) -> impl Iterator<Item = Place> + '_ {
        self.queues[0].iter().filter(move |(_, of, _)| *of == Some(n)).map(|(place, ..)| *place)
    }

    /// Looks at all.
    fn oldest_of_most(&self) -> Option<Place> {
        let most = (0..5).filter(|n| self.of(*n).count() > 0);
        let most = most.max_by_key(|n| {
            let (count, since) = self.sources[usize::from(*n)];
            (count, std::cmp::Reverse(since))
        });
        most.and_then(|n| self.of(n).next()).or_else(|| self.oldest(false).map(|(place, _)| place))
    }

    /// A step is over.
    fn note(&mut self) {
        self.steps += 1;
        for n in 0..5 {
            let count = self.of(n).count();
            let noted = &mut self.sources[usize::from(n)];
            if noted.0 != count {
                *noted = (count, self.steps);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn keeps_the_order_of_arrival_and_knows_who_has_most(ops in prop::collection::vec(op(), 0..100)) {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let mut lot = Parked::new(Arc::new(epoll));
        let mut model = Model::default();
        let mut left = Vec::new();
        let (mut now, mut most) = (Instant::now(), 0);
        let stage = |drain| if drain { Stage::Drain } else { Stage::Preamble };
        let counters = Counters::default();
        for op in ops {
            now += Duration::from_millis(1);
            match op {
                Op::PutOff(before, longer) => {
                    let [before, longer] = [before, longer].map(Duration::from_millis);
                    lot.put_off(Stage::Preamble, before, longer);
                    let of_all = model.queues[0].iter_mut();
                    of_all.for_each(|(.., deadline)| *deadline = *deadline - before + longer);
                }
                Op::Park(drain, source) => {
                    let source = source.filter(|_| !drain);
                    let place = lot.park(waits(drain, &counters), source.map(ip), now).unwrap();
                    model.queues[usize::from(drain)].push_back((place, source, now));
                }
                Op::Leave(n) => {
                    let all = model.queues[0].len() + model.queues[1].len();
                    if all > 0 {
                        let (n, first) = (n % all, model.queues[0].len());
                        let (queue, n) = if n < first { (0, n) } else { (1, n - first) };
                        let (place, ..) = model.queues[queue].remove(n).unwrap();
                        prop_assert_eq!(end(lot.leave(place), &counters), Some(stage(queue == 1)));
                        left.push(place);
                    }
                }
                Op::LeaveOldest(drain) => {
                    let expected = model.oldest(drain);
                    prop_assert_eq!(lot.oldest(stage(drain)), expected);
                    if let Some((place, _)) = expected {
                        model.queues[usize::from(drain)].pop_front();
                        prop_assert!(end(lot.leave(place), &counters).is_some());
                        left.push(place);
                    }
                }
                Op::CrowdOut => {
                    if let Some(place) = lot.oldest_of_most() {
                        model.queues[0].retain(|(other, ..)| *other != place);
                        prop_assert!(end(lot.leave(place), &counters).is_some());
                        left.push(place);
                    }
                }
            }
            model.note();
            prop_assert_eq!(lot.len(), model.queues[0].len() + model.queues[1].len());
            prop_assert_eq!(lot.oldest(Stage::Preamble), model.oldest(false));
            prop_assert_eq!(lot.oldest(Stage::Drain), model.oldest(true));
            prop_assert_eq!(lot.oldest_of_most(), model.oldest_of_most());
            for n in 0..5 {
                prop_assert_eq!(lot.of(ip(n)), model.of(n).count());
                prop_assert_eq!(lot.oldest_of(ip(n)), model.of(n).next());
            }
            prop_assert!(left.iter().all(|&place| lot.at(place).is_none()));
            most = most.max(model.queues[0].len());
        }
        let [sources, counts] = lot.sources.rooms();
        prop_assert!(sources <= most.min(5) && counts <= model.queues[0].len() + 1);
        for (place, ..) in model.queues.into_iter().flatten() {
            prop_assert!(end(lot.leave(place), &counters).is_some());
        }
        prop_assert_eq!((counters.here(), lot.oldest_of_most()), (0, None));
    }
}

/// One loop has frozen it, another begins with it.
#[test]
fn a_deadline_may_have_passed_before_anybody_was_here() {
    let (counters, past) = (Counters::default(), Instant::now());
    let mut lot = Parked::new(Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap()));
    let before = lot.began.checked_sub(Duration::from_nanos(1_234_567_891)).unwrap_or(past);
    let place = lot.park(waits(false, &counters), None, before).unwrap();
    assert_eq!((lot.oldest(Stage::Preamble), lot.oldest_of_most()), (Some((place, before)), Some(place)));
    assert_eq!(lot.due(Stage::Preamble, past), Some(place));
    end(lot.leave(place), &counters);
}

#[test]
fn a_place_is_small() {
    assert!(size_of::<Slot>() <= 48, "{}", size_of::<Slot>());
}
