//! Connections that wait in the broker for their peer: for the rest of a preamble, or for the end of a drain.
//!
//! A slab whose entries are also in one of two queues, in the order in which their deadlines come. All deadlines of one
//! kind are equally far away, so the order is that of arrival, and no timer is needed but that of the head.
//!
//! Whoever is here is registered with epoll, and whoever leaves is not.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::epoll;

use crate::token::{Place, Token};

const NONE: u32 = u32::MAX;

/// What a parked connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The rest of the preamble.
    Preamble,
    /// The end of the stream, after a refusal; so many octets more are read.
    Drain {
        /// Octets that may still come.
        left: u32,
    },
}

impl Stage {
    /// Stands for every drain where only the kind matters.
    pub(crate) const DRAIN: Self = Self::Drain { left: 0 };

    fn order(self) -> usize {
        match self {
            Self::Preamble => 0,
            Self::Drain { .. } => 1,
        }
    }
}

/// A connection in its place. 48 octets.
#[derive(Debug)]
struct Parked {
    socket: Option<OwnedFd>,
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
pub(crate) struct ParkingLot {
    epoll: Arc<OwnedFd>,
    places: Vec<Parked>,
    free: Vec<u32>,
    orders: [Ends; 2],
}

impl ParkingLot {
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

    /// Parks a connection behind all others of its stage. Events come edge-triggered; what is there already is told at once.
    ///
    /// # Errors
    /// The connection, if the kernel cannot watch it.
    pub(crate) fn park(
        &mut self,
        socket: OwnedFd,
        stage: Stage,
        deadline: Instant,
    ) -> Result<Place, OwnedFd> {
        let slot = self.free.pop().unwrap_or_else(|| {
            let place = Parked { socket: None, stage, deadline, generation: 0, before: NONE, after: NONE };
            self.places.push(place);
            u32::try_from(self.places.len() - 1).unwrap_or(NONE)
        });
        let parked = &mut self.places[slot as usize];
        let place = Place { slot, generation: parked.generation };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        if let Err(error) = epoll::add(&self.epoll, &socket, Token::Parked(place).into(), flags) {
            tracing::error!(%error, "a connection cannot be waited for");
            self.free.push(slot);
            return Err(socket);
        }
        (parked.socket, parked.stage, parked.deadline) = (Some(socket), stage, deadline);
        self.link(slot);
        Ok(place)
    }

    /// The connection at this place, if it has not left.
    pub(crate) fn at(&self, place: Place) -> Option<(&OwnedFd, Stage)> {
        let parked = self.places.get(place.slot as usize)?;
        let socket = parked.socket.as_ref().filter(|_| parked.generation == place.generation)?;
        Some((socket, parked.stage))
    }

    /// Notes how much of a drain is left.
    pub(crate) fn set_left(&mut self, place: Place, left: u32) {
        if let Some(parked) = self.places.get_mut(place.slot as usize)
            && let Stage::Drain { left: old } = &mut parked.stage
        {
            *old = left;
        }
    }

    /// Takes a connection out.
    pub(crate) fn leave(&mut self, place: Place) -> Option<(OwnedFd, Stage, Instant)> {
        self.at(place)?;
        self.unlink(place.slot);
        let parked = &mut self.places[place.slot as usize];
        parked.generation = (parked.generation + 1) & 0xff_ffff;
        self.free.push(place.slot);
        let socket = parked.socket.take()?;
        let _ = epoll::delete(&self.epoll, &socket);
        Some((socket, parked.stage, parked.deadline))
    }

    /// The place whose deadline comes first among those of a stage.
    pub(crate) fn oldest(&self, stage: Stage) -> Option<(Place, Instant)> {
        let slot = self.orders[stage.order()].head;
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
        of(Stage::Preamble).into_iter().chain(of(Stage::DRAIN)).min()
    }

    fn link(&mut self, slot: u32) {
        let ends = &mut self.orders[self.places[slot as usize].stage.order()];
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
        let Parked { before, after, stage, .. } = self.places[slot as usize];
        let ends = &mut self.orders[stage.order()];
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
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const DRAIN: Stage = Stage::Drain { left: 9 };

    fn socket() -> OwnedFd {
        rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Op {
        Park(bool),
        Leave(usize),
        LeaveOldest(bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
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
            let mut lot = ParkingLot::new(Arc::new(epoll));
            let mut model = [VecDeque::new(), VecDeque::new()];
            let mut left = Vec::new();
            let mut now = Instant::now();
            let stage = |drain| if drain { DRAIN } else { Stage::Preamble };
            for op in ops {
                now += Duration::from_millis(1);
                match op {
                    Op::Park(drain) => {
                        let place = lot.park(socket(), stage(drain), now).unwrap();
                        model[usize::from(drain)].push_back((place, now));
                    }
                    Op::Leave(n) => {
                        let all = model[0].len() + model[1].len();
                        if all > 0 {
                            let n = n % all;
                            let (queue, n) = if n < model[0].len() { (0, n) } else { (1, n - model[0].len()) };
                            let (place, at) = model[queue].remove(n).unwrap();
                            prop_assert_eq!(lot.leave(place).map(|(_, stage, at)| (stage, at)), Some((stage(queue == 1), at)));
                            left.push(place);
                        }
                    }
                    Op::LeaveOldest(drain) => {
                        let expected = model[usize::from(drain)].pop_front();
                        prop_assert_eq!(lot.oldest(stage(drain)), expected);
                        if let Some((place, _)) = expected {
                            prop_assert!(lot.leave(place).is_some());
                            left.push(place);
                        }
                    }
                }
                prop_assert_eq!(lot.len(), model[0].len() + model[1].len());
                prop_assert_eq!(lot.oldest(Stage::Preamble), model[0].front().copied());
                prop_assert_eq!(lot.oldest(DRAIN), model[1].front().copied());
                prop_assert!(left.iter().all(|&place| lot.at(place).is_none()));
            }
        }
    }

    #[test]
    fn a_place_is_small() {
        assert!(size_of::<Parked>() <= 48, "{}", size_of::<Parked>());
    }
}
