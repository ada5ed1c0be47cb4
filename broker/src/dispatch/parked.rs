//! Connections that wait in the broker for their peer: for the rest of a preamble, or for the end of a drain.
//!
//! A slab whose entries are also in one of two queues, in the order in which their deadlines come. All deadlines of one
//! kind are equally far away, so the order is that of arrival, and no timer is needed but that of the head. Those with a preamble
//! to send are in the same order in the queue of their source, too.
//!
//! Whoever is here is registered with epoll, and whoever leaves is not.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;

use super::chain::{Chain, Links, NONE};
use super::event_key::{EventKey, Place};
use super::sources::Sources;
use crate::connection::Connection;
use crate::here::PLACES;
use crate::source::source_of;

/// What is parked, and what it waits for.
#[derive(Debug)]
pub(crate) enum Waits {
    /// For the rest of the preamble.
    Preamble(Connection),
    /// For the end of the stream, after a refusal: the connection has ended, its socket not yet.
    Drain(OwnedFd),
}

/// One of the two kinds of [`Waits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// See [`Waits::Preamble`].
    Preamble,
    /// See [`Waits::Drain`].
    Drain,
}

impl Waits {
    /// Of whom there may be only so many.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        match self {
            Self::Preamble(connection) => source_of(connection),
            Self::Drain(_) => None,
        }
    }

    fn stage(&self) -> Stage {
        match self {
            Self::Preamble(_) => Stage::Preamble,
            Self::Drain(_) => Stage::Drain,
        }
    }
}

impl AsFd for Waits {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Preamble(connection) => connection.as_fd(),
            Self::Drain(socket) => socket.as_fd(),
        }
    }
}

/// A connection in its place. 48 octets.
#[derive(Debug)]
struct Slot {
    waits: Option<Waits>,
    deadline: Nanoseconds,
    generation: u32,
    /// The number of its source, or none.
    source: u32,
    order: Links,
    of_source: Links,
}

/// Since a moment that all deadlines of one [`Parked`] are told from.
type Nanoseconds = i64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Parked {
    epoll: Arc<OwnedFd>,
    began: Instant,
    places: Vec<Slot>,
    free: Vec<u32>,
    orders: [Chain; 2],
    sources: Sources,
}

impl Parked {
    pub(crate) fn new(epoll: Arc<OwnedFd>) -> Self {
        Self {
            epoll,
            began: Instant::now(),
            places: Vec::new(),
            free: Vec::new(),
            orders: [Chain::EMPTY; 2],
            sources: Sources::default(),
        }
    }

    /// How many are parked.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether anybody is here.
    pub(crate) fn has_any(&self) -> bool {
        self.places.len() > self.free.len()
    }

    /// Parks a connection behind all others of its stage; it is counted as one of this source. What is there already is told
    /// at once. Events come edge-triggered, for nothing of a preamble is read; of what is drained they come until all of it is.
    ///
    /// # Errors
    /// It comes back if the kernel cannot watch it.
    pub(crate) fn park(
        &mut self,
        waits: Waits,
        source: Option<IpAddr>,
        deadline: Instant,
    ) -> Result<Place, (Waits, Errno)> {
        let stage = waits.stage();
        let deadline = self.nanoseconds(deadline);
        let slot = self.free.pop().unwrap_or_else(|| {
            let (order, of_source) = (Links::NONE, Links::NONE);
            self.places.push(Slot { waits: None, deadline, generation: 0, source: NONE, order, of_source });
            u32::try_from(self.places.len() - 1).unwrap_or(NONE)
        });
        let parked = &mut self.places[slot as usize];
        let place = Place { slot, generation: parked.generation };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
        let flags = if stage == Stage::Preamble { flags | epoll::EventFlags::ET } else { flags };
        if let Err(error) = epoll::add(&self.epoll, &waits, EventKey::Parked(place).into(), flags) {
            self.free.push(slot);
            return Err((waits, error));
        }
        let source = source.map(|source| self.sources.add(source));
        (parked.waits, parked.deadline, parked.source) = (Some(waits), deadline, source.unwrap_or(NONE));
        self.orders[stage as usize].push(&mut self.places, |slot| &mut slot.order, slot);
        if let Some(source) = source {
            self.sources.connections(source).push(&mut self.places, |slot| &mut slot.of_source, slot);
        }
        Ok(place)
    }

    /// What is at this place, if it has not left.
    pub(crate) fn at(&mut self, place: Place) -> Option<&mut Waits> {
        let parked = self.places.get_mut(place.slot as usize)?;
        parked.waits.as_mut().filter(|_| parked.generation == place.generation)
    }

    /// Takes a connection out.
    pub(crate) fn leave(&mut self, place: Place) -> Option<Waits> {
        let (stage, slot) = (self.at(place)?.stage(), place.slot);
        self.orders[stage as usize].remove(&mut self.places, |slot| &mut slot.order, slot);
        let source = self.places[slot as usize].source;
        if source != NONE {
            self.sources.connections(source).remove(&mut self.places, |slot| &mut slot.of_source, slot);
            self.sources.remove(source);
        }
        let parked = &mut self.places[slot as usize];
        parked.generation = (parked.generation + 1) & 0xff_ffff;
        self.free.push(slot);
        let waits = parked.waits.take()?;
        let _ = epoll::delete(&self.epoll, &waits);
        Some(waits)
    }

    /// The place whose deadline comes first among those of a stage.
    pub(crate) fn oldest(&self, stage: Stage) -> Option<(Place, Instant)> {
        let slot = self.orders[stage as usize].head()?;
        let parked = self.places.get(slot as usize)?;
        Some((Place { slot, generation: parked.generation }, self.instant(parked.deadline)))
    }

    /// How many of this source wait for their preambles.
    pub(crate) fn of(&self, source: IpAddr) -> usize {
        self.sources.count(source)
    }

    /// The place of the one of this source that has waited longest for its preamble.
    pub(crate) fn oldest_of(&self, source: IpAddr) -> Option<Place> {
        self.place(self.sources.oldest(source)?)
    }

    /// The place of the one that has waited longest for its preamble, of the source that has most of those. (If of none the source is
    /// known, of all.)
    pub(crate) fn oldest_of_most(&self) -> Option<Place> {
        let oldest = self.sources.oldest_of_most().or_else(|| self.orders[Stage::Preamble as usize].head());
        self.place(oldest?)
    }

    /// The place of a stage whose deadline has passed.
    pub(crate) fn due(&self, stage: Stage, now: Instant) -> Option<Place> {
        self.oldest(stage).filter(|(_, deadline)| *deadline <= now).map(|(place, _)| place)
    }

    /// When the first deadline comes.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let of = |stage| self.oldest(stage).map(|(_, deadline)| deadline);
        of(Stage::Preamble).into_iter().chain(of(Stage::Drain)).min()
    }

    /// Those of a stage may wait so long now, and not so long as before.
    pub(crate) fn put_off(&mut self, stage: Stage, before: Duration, now: Duration) {
        let longer = nanoseconds(now) - nanoseconds(before);
        for place in &mut self.places {
            if place.waits.as_ref().is_some_and(|waits| waits.stage() == stage) {
                place.deadline += longer;
            }
        }
    }

    /// What is in the places from this one on, as many as a page has, and where the next page begins.
    pub(crate) fn page(&self, from: usize) -> (impl Iterator<Item = (&Waits, Instant)>, Option<usize>) {
        let end = from.saturating_add(PLACES).min(self.places.len());
        let places = self.places.get(from..end).unwrap_or_default();
        let waiting =
            places.iter().filter_map(|slot| Some((slot.waits.as_ref()?, self.instant(slot.deadline))));
        (waiting, (end < self.places.len()).then_some(end))
    }

    /// All of them, with their deadlines, those of a stage in their order; nobody is here after that.
    pub(crate) fn freeze(&mut self) -> Vec<(Waits, Instant)> {
        let mut frozen = Vec::new();
        for stage in [Stage::Preamble, Stage::Drain] {
            while let Some((place, deadline)) = self.oldest(stage) {
                frozen.extend(self.leave(place).map(|waits| (waits, deadline)));
            }
        }
        frozen
    }

    fn place(&self, slot: u32) -> Option<Place> {
        Some(Place { slot, generation: self.places.get(slot as usize)?.generation })
    }

    fn nanoseconds(&self, instant: Instant) -> Nanoseconds {
        match instant.checked_duration_since(self.began) {
            Some(after) => nanoseconds(after),
            None => -nanoseconds(self.began.duration_since(instant)),
        }
    }

    fn instant(&self, nanoseconds: Nanoseconds) -> Instant {
        let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
        match nanoseconds {
            0.. => self.began + distance,
            // There was such a moment.
            _ => self.began.checked_sub(distance).unwrap_or(self.began),
        }
    }
}

/// No time here is longer than a few days, nor has a broker run for three centuries.
fn nanoseconds(time: Duration) -> Nanoseconds {
    Nanoseconds::try_from(time.as_nanos()).unwrap_or(Nanoseconds::MAX / 4)
}

#[cfg(test)]
mod tests {
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
}
