//! What there is of a broker before this one.

use crate::config::Config;
use crate::control::passing::Restored;
use crate::control::passing::fit::fit;
use crate::passed::descriptors::Taken;
use crate::passed::manifest::Manifest;
use crate::shared::Shared;
use crate::store::found::{Found, Known};
use crate::upgrade::predecessor::Passed;

/// See the module.
#[derive(Debug)]
pub(crate) enum Before {
    Nothing,
    /// It has passed everything on, and waits.
    Passed(Box<Passed>),
    /// It has ended, and the service manager has kept this.
    Found(Found),
}

/// The same when it is known what it is. Where there is nothing of another broker, this one begins with nothing, by the same way.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) manifest: Manifest,
    pub(super) taken: Taken,
    /// Whoever waits to be told that it is taken.
    pub(super) passed: Option<Passed>,
    /// If a service manager has kept it: names of what is closed, and what did not fit the configuration.
    found: Option<(Vec<String>, Vec<String>)>,
}

impl Before {
    pub(super) fn all(self, config: &Config) -> All {
        match self {
            Self::Nothing => All::default(),
            Self::Passed(mut passed) => {
                let (manifest, taken) = passed.take();
                All { manifest, taken, passed: Some(*passed), found: None }
            }
            Self::Found(found) => {
                let Known { mut manifest, mut taken, strays } = found.known();
                let unfit = fit(&mut manifest, &mut taken, config);
                All { manifest, taken, passed: None, found: Some((strays, unfit)) }
            }
        }
    }
}

impl All {
    /// Whether there is anything of another broker.
    pub(super) fn is_nothing(&self) -> bool {
        self.passed.is_none() && self.found.is_none()
    }

    /// Says what there is of one that has ended. What is nobody's the service manager keeps no longer.
    pub(super) fn say_found(&self, restored: &Restored, shared: &Shared) {
        let Some((strays, unfit)) = &self.found else { return };
        for said in unfit {
            tracing::warn!("not taken over from the broker before, its worker has to register again: {said}");
        }
        tracing::info!(
            "took over from the broker before, which has ended: {} registrations of {} workers, and what waits for them",
            restored.queues.len() - restored.left.len(),
            restored.workers.len()
        );
        if let (Some(store), false) = (&shared.store, strays.is_empty()) {
            tracing::info!("closed what the service manager has kept besides: {}", strays.len());
            store.forget_strays(strays);
        }
    }
}
