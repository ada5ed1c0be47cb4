//! What becomes of the addresses of a worker that has left without saying so: they stay for a while, connections wait for the next
//! worker, and that one takes over what it registers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use router::Prefix;

use super::registration::Registration;
use super::registry::{Registry, accept_socket, seen, shown};
use crate::command::Command;
use crate::routes::holder::Holder;
use crate::routes::queue::Queue;
use crate::routes::table::{Table, Target};

/// Addresses that one registration gives up to another.
#[derive(Debug)]
pub(super) struct Handed {
    id: u64,
    prefixes: Vec<Prefix>,
    /// The new queue of what it keeps, with its number.
    rest: Option<(u64, Queue)>,
}

impl Handed {
    /// It keeps nothing.
    pub(super) fn ends(&self) -> bool {
        self.rest.is_none()
    }
}

impl Registry {
    /// The worker of a registration has left. That ends it if it asked for no grace, or if others have its addresses as well; else it
    /// waits for the next.
    pub(crate) fn leave(&mut self, id: u64, reason: &'static str) {
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        let Registration { holder, owner, prefixes, bound, draining, share, grace, .. } = registration;
        let Holder::Worker(queue) = holder else { return };
        let mut table = Table::clone(&self.shared.table.load());
        let is_served = |prefix: &&Prefix| table.is_served_by_another(prefix, bound, id);
        let may_be_served = *share || *draining;
        let served: Vec<Prefix> =
            prefixes.iter().filter(|_| may_be_served).filter(is_served).cloned().collect();
        if grace.is_zero() || served.len() == prefixes.len() || self.shared.failures.are_over() {
            return self.unregister(id, reason);
        }
        if owner.until().is_some() {
            return;
        }
        queue.set_absent();
        owner.leave(*grace);
        self.absent.begin(owner, id);
        let (pid, uid) = owner.credentials().map(|worker| (seen(worker.pid), worker.uid)).unzip();
        let addresses: Vec<&str> = prefixes.iter().map(Prefix::address).collect();
        tracing::info!(
            registration = id,
            pid = pid.flatten(),
            uid,
            ?addresses,
            "{reason}; connections wait for the next, for {} s",
            grace.as_secs()
        );
        // What others have they get now. Without a descriptor for the rest it all waits.
        if !served.is_empty()
            && let Ok(handed) = self.prepare(vec![(id, served)])
        {
            let ended = self.make_way(handed, &mut table);
            self.publish(table);
            self.end_all(ended);
        }
    }

    /// When the next grace is over.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.absent.next()
    }

    /// Nobody has come for those whose time is over.
    pub(crate) fn end_graces(&mut self, now: Instant) {
        while let Some(id) = self.absent.pop_due(now) {
            let mut table = Table::clone(&self.shared.table.load());
            let Some(registration) = self.forget(id, &mut table) else { continue };
            self.publish(table);
            self.end_by(registration, "no other worker has come within its grace", Command::Unclaimed);
        }
    }

    /// A registration that keeps some of its addresses goes on with a new queue, and a new number. Its old queue ends: whoever is
    /// about to send to it for an address that it gives up finds the new one.
    ///
    /// # Errors
    /// There is no descriptor for it; nothing has changed.
    pub(super) fn prepare(&mut self, taken: Vec<(u64, Vec<Prefix>)>) -> io::Result<Vec<Handed>> {
        let mut handed = Vec::new();
        for (id, prefixes) in taken {
            let Some(registration) = self.registrations.get(&id) else { continue };
            let kept = registration.prefixes.iter().filter(|prefix| !prefixes.contains(prefix));
            let kept: Vec<String> = kept.map(|prefix| prefix.address().to_owned()).collect();
            let Holder::Worker(queue) = &registration.holder else { continue };
            let rest = if kept.is_empty() {
                None
            } else {
                let (sender, ours, _) = accept_socket()?;
                self.last_id += 1;
                let new = Queue::new(self.last_id, shown(&kept), sender, ours, queue.per_message());
                let new = if registration.share { new.sharing(&self.turns) } else { new };
                let new = if let Some(worker) = queue.worker() { new.of(worker) } else { new };
                new.set_absent();
                Some((self.last_id, new))
            };
            handed.push(Handed { id, prefixes, rest });
        }
        Ok(handed)
    }

    /// Takes those out of `table` whose workers are gone. What is returned is to be ended when it is published.
    pub(super) fn forget_past(
        &mut self,
        past: Vec<u64>,
        table: &mut Table,
    ) -> Vec<(Registration, &'static str)> {
        let forget = |id: u64| Some((self.forget(id, table)?, "its worker has left"));
        past.into_iter().filter_map(forget).collect()
    }

    /// Takes them out of `table`, and puts in what they keep. What is returned is to be ended when it is published.
    pub(super) fn make_way(
        &mut self,
        handed: Vec<Handed>,
        table: &mut Table,
    ) -> Vec<(Registration, &'static str)> {
        let mut ended = Vec::new();
        for Handed { id, prefixes, rest } in handed {
            let Some(mut registration) = self.forget(id, table) else { continue };
            if let Some((new, queue)) = rest {
                let rest = self.split(&mut registration, prefixes, new, queue);
                for prefix in &rest.prefixes {
                    let target = Target::new(prefix.clone(), rest.holder.clone(), &rest.bound);
                    table.insert(target.draining(rest.draining).share(rest.share));
                }
                tracing::info!(registration = id, "what it keeps is registration {new} now");
                self.absent.begin(&rest.owner, new);
                self.registrations.insert(new, rest);
                self.keep(new);
            }
            ended.push((registration, "another worker has its addresses now"));
        }
        ended
    }

    /// What a registration keeps beside these.
    fn split(
        &self,
        registration: &mut Registration,
        taken: Vec<Prefix>,
        id: u64,
        queue: Queue,
    ) -> Registration {
        debug_assert_eq!(queue.id(), id, "its own queue");
        let Registration { holder: _, prefixes, open, bound, owner, draining, share, grace } = registration;
        prefixes.retain(|prefix| !taken.contains(prefix));
        let kept = std::mem::replace(prefixes, taken);
        let wanted = kept.iter().flat_map(|prefix| self.ports.wanted(prefix, bound));
        let (mut kept_open, mut given_up): (Vec<SocketAddr>, _) = (Vec::new(), std::mem::take(open));
        for wanted in wanted {
            // Each of its addresses has its own part in a port.
            if let Some(at) = given_up.iter().position(|open| *open == wanted.address) {
                kept_open.push(given_up.swap_remove(at));
            }
        }
        *open = given_up;
        owner.leave(*grace);
        if let Some(worker) = owner.credentials() {
            // One more for this, which its end counts one less; each of the listeners is counted already.
            self.quotas.begin(worker.uid, &[]);
        }
        Registration {
            holder: Holder::Worker(Arc::new(queue)),
            prefixes: kept,
            open: kept_open,
            bound: bound.clone(),
            owner: owner.clone(),
            draining: *draining,
            share: *share,
            grace: *grace,
        }
    }
}
