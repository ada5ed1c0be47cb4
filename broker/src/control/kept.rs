//! What of the registry a service manager keeps for the next broker.

use std::os::fd::AsFd;

use super::passing::{pass_registration, pass_route};
use super::registration::{Owner, Registration};
use super::registry::Registry;
use crate::passed::descriptors::Given;
use crate::routes::holder::Holder;
use crate::store::entry::What;
use crate::store::name::Name;

impl Registry {
    /// Has a registration kept, and the control connection that holds it.
    pub(super) fn keep(&self, id: u64) {
        let (Some(store), Some(registration)) = (&self.shared.store, self.registrations.get(&id)) else {
            return;
        };
        let Registration { holder: Holder::Worker(queue), owner, .. } = registration else { return };
        let worker = match owner {
            Owner::Worker(peer) => {
                let name = Name::worker(&**peer);
                store.keep(name, &[peer.as_fd()]);
                name
            }
            Owner::Left(..) | Owner::Configuration => None,
        };
        let mut given = Given::default();
        let passed = pass_registration(id, registration, queue, &mut given);
        let worker = worker.and_then(Name::number);
        store.keep_with(Name::registration(id), What::Registration(passed, worker), &given);
    }

    /// Has it kept that somebody was told to drain, or not any more.
    pub(super) fn keep_draining(&self, id: u64) {
        let (Some(store), Some(registration)) = (&self.shared.store, self.registrations.get(&id)) else {
            return;
        };
        if registration.draining {
            let what = What::Draining(pass_route(id, registration));
            store.keep_with(Name::draining(id), what, &Given::default());
        } else {
            store.forget(Name::draining(id));
        }
    }

    /// It has ended.
    pub(super) fn keep_no_longer(&self, id: u64) {
        if let Some(store) = &self.shared.store {
            store.forget(Name::registration(id));
            store.forget(Name::draining(id));
        }
    }

    /// The worker has left, and what became of its registrations is known.
    pub(super) fn keep_worker_no_longer(&self, worker: Name) {
        if let Some(store) = &self.shared.store {
            store.forget(Some(worker));
        }
    }

    /// Has everything kept that there is.
    pub(crate) fn keep_all(&self) {
        for &id in self.registrations.keys() {
            self.keep(id);
            self.keep_draining(id);
        }
        self.ports.keep_all();
    }

    /// The broker ends: what is kept is the next one's, and does not end. What is not kept does.
    pub(crate) fn leave_to_the_next(&mut self) {
        let Some(store) = self.shared.store.clone() else { return };
        self.registrations.retain(|&id, registration| {
            let stays = registration.holder.is_worker() && store.keeps(Name::registration(id));
            if stays {
                self.absent.end(&registration.owner, id);
            }
            !stays
        });
        store.end();
    }
}
