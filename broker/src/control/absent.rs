//! Registrations whose workers have left, and until when they are kept.

use std::collections::BTreeSet;
use std::time::Instant;

use super::registration::Owner;

/// See the module. The first to end comes first.
#[derive(Debug, Default)]
pub(super) struct Absent(BTreeSet<(Instant, u64)>);

impl Absent {
    pub(super) fn begin(&mut self, owner: &Owner, id: u64) {
        self.0.extend(owner.until().map(|until| (until, id)));
    }

    pub(super) fn end(&mut self, owner: &Owner, id: u64) {
        if let Some(until) = owner.until() {
            self.0.remove(&(until, id));
        }
    }

    /// When the first ends.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(until, _)| *until)
    }

    /// One that is to end.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u64> {
        let first = self.0.first().copied().filter(|(until, _)| *until <= now)?;
        self.0.remove(&first);
        Some(first.1)
    }
}
