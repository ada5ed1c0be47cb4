//! How much is logged, changed while the broker runs: for good, or for a time.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Registry, reload};

use crate::lock::lock;

/// There is one log of a process.
static LEVEL: OnceLock<Level> = OnceLock::new();

struct Level {
    filter: reload::Handle<LevelFilter, Registry>,
    state: Mutex<State>,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    now: LevelFilter,
    /// What it is when the time is over, if it is for a time.
    afterwards: Option<LevelFilter>,
    /// Until then.
    until: Option<Instant>,
    /// Counts the changes.
    number: u64,
}

/// A level that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) was: LevelFilter,
    /// What it is when the time is over.
    pub(crate) afterwards: LevelFilter,
    /// For [`end`].
    pub(crate) number: u64,
}

/// The filter of the process's log; once.
pub(super) fn filter(level: LevelFilter) -> reload::Layer<LevelFilter, Registry> {
    let (layer, filter) = reload::Layer::new(level);
    let state = Mutex::new(State { now: level, afterwards: None, until: None, number: 0 });
    let _ = LEVEL.set(Level { filter, state });
    layer
}

/// Sets the level. Says so in the log, while it says most. `None`: the log is not ours.
pub(crate) fn set(
    level: LevelFilter,
    time: Option<Duration>,
    said: impl FnOnce(Set) -> String,
) -> Option<Set> {
    let here = LEVEL.get()?;
    let mut state = lock(&here.state);
    let set = state.set(level, time.is_some());
    state.until = time.map(|time| Instant::now() + time);
    say_with(here, set.was, level, || said(set));
    Some(set)
}

/// What it is, and what it will be again, and when, if it is set for a time.
pub(crate) fn now() -> Option<(LevelFilter, Option<(LevelFilter, Duration)>)> {
    let state = *lock(&LEVEL.get()?.state);
    let rest = state.until.map(|until| until.saturating_duration_since(Instant::now()));
    Some((state.now, state.afterwards.zip(rest)))
}

/// The level is one that was set while another process had the log; its time is what is left of it.
pub(crate) fn again(level: LevelFilter, afterwards: Option<(LevelFilter, Duration)>) -> Option<u64> {
    let here = LEVEL.get()?;
    let mut state = lock(&here.state);
    state.now = level;
    (state.afterwards, state.until) = match afterwards {
        Some((afterwards, rest)) => (Some(afterwards), Some(Instant::now() + rest)),
        None => (None, None),
    };
    let _ = here.filter.reload(level);
    Some(state.number)
}

/// The time is over of the change with this number, if it is still the last.
pub(crate) fn end(number: u64) {
    let Some(here) = LEVEL.get() else { return };
    let mut state = lock(&here.state);
    if let Some((was, now)) = state.end(number) {
        say_with(here, was, now, || format!("the log level is {now} again, was {was} for a time"));
    }
}

fn say_with(here: &Level, was: LevelFilter, now: LevelFilter, said: impl FnOnce() -> String) {
    if was > now {
        tracing::warn!("{}", said());
        let _ = here.filter.reload(now);
    } else {
        let _ = here.filter.reload(now);
        tracing::warn!("{}", said());
    }
}

impl State {
    fn set(&mut self, level: LevelFilter, for_a_time: bool) -> Set {
        let (was, usual) = (self.now, self.afterwards.unwrap_or(self.now));
        let afterwards = for_a_time.then_some(usual);
        *self = Self { now: level, afterwards, until: None, number: self.number + 1 };
        Set { was, afterwards: afterwards.unwrap_or(level), number: self.number }
    }

    /// What it was, and what it is now.
    fn end(&mut self, number: u64) -> Option<(LevelFilter, LevelFilter)> {
        let usual = self.afterwards.filter(|_| self.number == number)?;
        let was = self.now;
        (self.now, self.afterwards) = (usual, None);
        Some((was, usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn afterwards_it_is_what_it_was_before_the_first_of_several() {
        let mut state = State { now: LevelFilter::INFO, afterwards: None, until: None, number: 0 };
        let first = state.set(LevelFilter::DEBUG, true);
        assert_eq!((first.was, first.afterwards), (LevelFilter::INFO, LevelFilter::INFO));
        let second = state.set(LevelFilter::TRACE, true);
        assert_eq!((second.was, second.afterwards), (LevelFilter::DEBUG, LevelFilter::INFO));
        assert_eq!(state.end(first.number), None, "the second has taken its place");
        assert_eq!(state.end(second.number), Some((LevelFilter::TRACE, LevelFilter::INFO)));
        assert_eq!(state.end(second.number), None);
        // One for good ends what was for a time.
        let third = state.set(LevelFilter::DEBUG, true);
        let fourth = state.set(LevelFilter::WARN, false);
        assert_eq!((fourth.was, fourth.afterwards), (LevelFilter::DEBUG, LevelFilter::WARN));
        assert_eq!((state.end(third.number), state.end(fourth.number)), (None, None));
        assert_eq!(state.now, LevelFilter::WARN);
    }
}
