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
mod tests;
