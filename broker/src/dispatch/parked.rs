//! Connections that wait in the broker for their peer: for the rest of a preamble, or for the end of a drain.
//!
//! A slab whose entries are also in one of two queues, in the order in which their deadlines come. All deadlines of one
//! kind are equally far away, so the order is that of arrival, and no timer is needed but that of the head.
//!
//! Whoever is here is registered with epoll, and whoever leaves is not.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;

use super::event_key::{EventKey, Place};
use crate::connection::Connection;
use crate::here::PLACES;

const NONE: u32 = u32::MAX;

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
    /// Of what is here, or was.
    stage: Stage,
    deadline: Instant,
    generation: u32,
    before: u32,
    after: u32,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    head: u32,
    tail: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Parked {
    epoll: Arc<OwnedFd>,
    places: Vec<Slot>,
    free: Vec<u32>,
    orders: [Ends; 2],
}

impl Parked {
    pub(crate) fn new(epoll: Arc<OwnedFd>) -> Self {
        Self { epoll, places: Vec::new(), free: Vec::new(), orders: [Ends { head: NONE, tail: NONE }; 2] }
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

    /// Parks a connection behind all others of its stage. What is there already is told at once. Events come edge-triggered, for
    /// nothing of a preamble is read; of what is drained they come until all of it is.
    ///
    /// # Errors
    /// It comes back if the kernel cannot watch it.
    pub(crate) fn park(&mut self, waits: Waits, deadline: Instant) -> Result<Place, (Waits, Errno)> {
        let stage = waits.stage();
        let slot = self.free.pop().unwrap_or_else(|| {
            let place = Slot { waits: None, stage, deadline, generation: 0, before: NONE, after: NONE };
            self.places.push(place);
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
        (parked.waits, parked.stage, parked.deadline) = (Some(waits), stage, deadline);
        self.link(slot);
        Ok(place)
    }

    /// What is at this place, if it has not left.
    pub(crate) fn at(&mut self, place: Place) -> Option<&mut Waits> {
        let parked = self.places.get_mut(place.slot as usize)?;
        parked.waits.as_mut().filter(|_| parked.generation == place.generation)
    }

    /// Takes a connection out.
    pub(crate) fn leave(&mut self, place: Place) -> Option<Waits> {
        self.at(place)?;
        self.unlink(place.slot);
        let parked = &mut self.places[place.slot as usize];
        parked.generation = (parked.generation + 1) & 0xff_ffff;
        self.free.push(place.slot);
        let waits = parked.waits.take()?;
        let _ = epoll::delete(&self.epoll, &waits);
        Some(waits)
    }

    /// The place whose deadline comes first among those of a stage.
    pub(crate) fn oldest(&self, stage: Stage) -> Option<(Place, Instant)> {
        let slot = self.orders[stage as usize].head;
        let parked = self.places.get(slot as usize)?;
        Some((Place { slot, generation: parked.generation }, parked.deadline))
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
        for place in self.places.iter_mut().filter(|place| place.waits.is_some() && place.stage == stage) {
            // It was parked after the clock began.
            place.deadline = place.deadline.checked_sub(before).unwrap_or(place.deadline) + now;
        }
    }

    /// What is in the places from this one on, as many as a page has, and where the next page begins.
    pub(crate) fn page(&self, from: usize) -> (impl Iterator<Item = (&Waits, Instant)>, Option<usize>) {
        let end = from.saturating_add(PLACES).min(self.places.len());
        let places = self.places.get(from..end).unwrap_or_default();
        let waiting = places.iter().filter_map(|slot| Some((slot.waits.as_ref()?, slot.deadline)));
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

    fn link(&mut self, slot: u32) {
        let ends = &mut self.orders[self.places[slot as usize].stage as usize];
        let before = std::mem::replace(&mut ends.tail, slot);
        if before == NONE {
            ends.head = slot;
        } else {
            self.places[before as usize].after = slot;
        }
        let place = &mut self.places[slot as usize];
        (place.before, place.after) = (before, NONE);
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { before, after, stage, .. } = self.places[slot as usize];
        let ends = &mut self.orders[stage as usize];
        match before {
            NONE => ends.head = after,
            before => self.places[before as usize].after = after,
        }
        match after {
            NONE => ends.tail = before,
            after => self.places[after as usize].before = before,
        }
    }
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
        Park(bool),
        Leave(usize),
        LeaveOldest(bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            1 => (0..20_u64, 0..20_u64).prop_map(|(before, now)| Op::PutOff(before, now)),
            3 => any::<bool>().prop_map(Op::Park),
            2 => (0_usize..40).prop_map(Op::Leave),
            1 => any::<bool>().prop_map(Op::LeaveOldest),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against two plain queues.
        #[test]
        fn keeps_the_order_of_arrival(ops in prop::collection::vec(op(), 0..80)) {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
            let mut lot = Parked::new(Arc::new(epoll));
            let mut model = [VecDeque::new(), VecDeque::new()];
            let mut left = Vec::new();
            let mut now = Instant::now();
            let stage = |drain| if drain { Stage::Drain } else { Stage::Preamble };
            let counters = Counters::default();
            for op in ops {
                now += Duration::from_millis(1);
                match op {
                    Op::PutOff(before, longer) => {
                        let [before, longer] = [before, longer].map(Duration::from_millis);
                        lot.put_off(Stage::Preamble, before, longer);
                        model[0].iter_mut().for_each(|(_, deadline)| *deadline = *deadline - before + longer);
                    }
                    Op::Park(drain) => {
                        let place = lot.park(waits(drain, &counters), now).unwrap();
                        model[usize::from(drain)].push_back((place, now));
                    }
                    Op::Leave(n) => {
                        let all = model[0].len() + model[1].len();
                        if all > 0 {
                            let n = n % all;
                            let (queue, n) = if n < model[0].len() { (0, n) } else { (1, n - model[0].len()) };
                            let (place, _) = model[queue].remove(n).unwrap();
                            prop_assert_eq!(end(lot.leave(place), &counters), Some(stage(queue == 1)));
                            left.push(place);
                        }
                    }
                    Op::LeaveOldest(drain) => {
                        let expected = model[usize::from(drain)].pop_front();
                        prop_assert_eq!(lot.oldest(stage(drain)), expected);
                        if let Some((place, _)) = expected {
                            prop_assert!(end(lot.leave(place), &counters).is_some());
                            left.push(place);
                        }
                    }
                }
                prop_assert_eq!(lot.len(), model[0].len() + model[1].len());
                prop_assert_eq!(lot.oldest(Stage::Preamble), model[0].front().copied());
                prop_assert_eq!(lot.oldest(Stage::Drain), model[1].front().copied());
                prop_assert!(left.iter().all(|&place| lot.at(place).is_none()));
            }
            for (place, _) in model.into_iter().flatten() {
                prop_assert!(end(lot.leave(place), &counters).is_some());
            }
            prop_assert_eq!(counters.here(), 0);
        }
    }

    #[test]
    fn a_place_is_small() {
        assert!(size_of::<Slot>() <= 48, "{}", size_of::<Slot>());
    }
}
