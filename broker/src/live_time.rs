//! A time that is configured, and that a reload changes while others read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// See the module. In nanoseconds: five centuries are more than any time that can be configured.
#[derive(Debug)]
pub(crate) struct LiveTime(AtomicU64);

impl LiveTime {
    pub(crate) fn new(time: Duration) -> Self {
        Self(AtomicU64::new(nanoseconds(time)))
    }

    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Returns what it was.
    pub(crate) fn set(&self, time: Duration) -> Duration {
        Duration::from_nanos(self.0.swap(nanoseconds(time), Ordering::Relaxed))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
