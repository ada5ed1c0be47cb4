//! The registry is taken apart, so that another process can go on with it, and put together again. [`ports`]: what is open;
//! [`fit`]: what a service manager has kept may not fit the configuration.

pub(crate) mod fit;
mod ports;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handoff::tokio::AsyncControlPeer;
use handoff::{AcceptSender, AcceptSocket, PeerCredentials};
use router::Prefix;

use super::registration::{Owner, Registration};
use super::registry::{Known, Registry, seen};
use crate::error::StartError;
use crate::listening::Listening;
use crate::passed::descriptors::{Given, Taken};
use crate::passed::manifest::{self, Left, Manifest};
use crate::routes::figures::{Copied, Counted, Figures};
use crate::routes::holder::Holder;
use crate::routes::queue::{Queue, Worker};
use crate::routes::table::{Bound, Table, Target};

/// A control connection that another process had, and the registrations that it holds.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) peer: Arc<AsyncControlPeer>,
    /// Whether it came by the socket for administrators.
    pub(crate) administrator: bool,
    pub(crate) ids: Vec<u64>,
}

/// What is needed besides the registry.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) workers: Vec<Returned>,
    pub(crate) listening: Vec<Listening>,
    pub(crate) queues: HashMap<u64, Arc<Queue>>,
    /// Those of ended registrations, which are to be emptied.
    pub(crate) left: Vec<Arc<Queue>>,
}

impl Registry {
    /// Writes down everything that it has, and gives the descriptors. A registration whose control connection is not among `workers`
    /// is about to end, or has its grace before it.
    pub(crate) fn pass<'d>(
        &'d self,
        workers: &'d [(Arc<AsyncControlPeer>, bool)],
        manifest: &mut Manifest,
        given: &mut Given<'d>,
    ) {
        let mut places = HashMap::new();
        for (place, (peer, administrator)) in workers.iter().enumerate() {
            places.insert(Arc::as_ptr(peer), place);
            let socket = given.give(&**peer);
            manifest.workers.push(manifest::Worker { socket, administrator: *administrator });
        }
        for (&id, registration) in &self.registrations {
            let Holder::Worker(queue) = &registration.holder else {
                manifest.routes.extend(pass_route(id, registration));
                continue;
            };
            let worker = match &registration.owner {
                Owner::Worker(peer) => places.get(&Arc::as_ptr(peer)).copied(),
                Owner::Left(..) | Owner::Configuration => None,
            };
            let mut passed = pass_registration(id, registration, queue, given);
            let is_over = passed.left.is_none_or(|left| left.rest_milliseconds == 0);
            match worker {
                None if is_over => manifest.left.push(passed.queue),
                None => manifest.registrations.push(passed),
                Some(_) => {
                    (passed.worker, passed.left) = (worker, None);
                    manifest.registrations.push(passed);
                }
            }
        }
        manifest.last_id = self.last_id;
        self.ports.pass(manifest, given);
    }

    /// A queue whose registration has ended.
    pub(crate) fn pass_left<'d>(&self, queue: &'d Queue, manifest: &mut Manifest, given: &mut Given<'d>) {
        manifest.left.push(pass_queue(queue, given));
    }

    /// Who has addresses, with what has become of their connections.
    pub(crate) fn all_holders(&self) -> Vec<(Holder, Counted)> {
        let holders = self.registrations.values().map(|registration| registration.holder.clone());
        holders.map(|holder| (holder.clone(), holder.figures().now())).collect()
    }

    /// Everything is another process's. Nothing ends by that.
    pub(crate) fn passed_on(&mut self) {
        self.registrations.clear();
        self.ports.passed_on();
        self.shared.table.store(Arc::default());
    }

    /// Puts together what another process has passed on. Static routes come from the configuration: what is known of them waits for
    /// that ([`Registry::change_routes`]).
    ///
    /// # Errors
    /// It does not make sense.
    pub(crate) fn restore(
        &mut self,
        manifest: &mut Manifest,
        taken: &mut Taken,
    ) -> Result<Restored, StartError> {
        let listening = self.ports.restore(manifest, taken)?;
        let mut restored = Restored { listening, ..Restored::default() };
        for worker in manifest.workers.drain(..) {
            restored.workers.push(Returned {
                peer: Arc::new(AsyncControlPeer::from_socket(taken.take(worker.socket)?)?),
                administrator: worker.administrator,
                ids: Vec::new(),
            });
        }
        let mut table = Table::default();
        for passed in manifest.registrations.drain(..) {
            let manifest::Registration { id, worker, left, draining, share, open, .. } = passed;
            let nonsense = |what: String| StartError::passed(format!("registration {id}: {what}"));
            let worker = worker.and_then(|worker| restored.workers.get_mut(worker));
            let owner = match (worker, left) {
                (Some(worker), _) => {
                    worker.ids.push(id);
                    Owner::Worker(Arc::clone(&worker.peer))
                }
                (None, Some(Left { uid, gid, pid, rest_milliseconds })) => {
                    let until = Instant::now() + Duration::from_millis(rest_milliseconds);
                    Owner::Left(PeerCredentials::new(uid, gid, pid), until)
                }
                (None, None) => return Err(nonsense("it has no control connection".to_owned())),
            };
            let prefixes: Result<Vec<Prefix>, String> = passed.addresses.iter().map(prefix).collect();
            let prefixes = prefixes.map_err(nonsense)?;
            let bound = Bound(passed.bound.map(Into::into));
            let queue = self.restored_queue(passed.queue, owner.credentials(), share, taken)?;
            if owner.until().is_some() {
                queue.set_absent();
                self.absent.begin(&owner, id);
            }
            restored.queues.insert(id, Arc::clone(&queue));
            let holder = Holder::Worker(queue);
            for prefix in &prefixes {
                let target = Target::new(prefix.clone(), holder.clone(), &bound);
                table.insert(target.draining(draining).share(share));
            }
            self.ports.again(&open).map_err(nonsense)?;
            if let Some(worker) = owner.credentials() {
                self.quotas.begin(worker.uid, &open);
            }
            let grace = Duration::from_millis(passed.grace_milliseconds);
            let registration = Registration { holder, prefixes, open, bound, owner, draining, share, grace };
            self.registrations.insert(id, registration);
        }
        for passed in manifest.left.drain(..) {
            let queue = self.restored_queue(passed, None, false, taken)?;
            queue.end();
            restored.queues.insert(queue.id(), Arc::clone(&queue));
            restored.left.push(queue);
        }
        for route in manifest.routes.drain(..) {
            let prefix = prefix(&route.address).map_err(StartError::passed)?;
            let figures = restored_figures(&route.figures);
            self.known_routes.push(Known { id: route.id, prefix, draining: route.draining, figures });
        }
        self.last_id = manifest.last_id;
        self.shared.table.store(Arc::new(table));
        Ok(restored)
    }

    /// What was open for nobody but routes that are no longer in the configuration, or workers that are gone.
    pub(crate) fn close_unused(&mut self) {
        self.known_routes.clear();
        self.ports.close_all_unused();
    }

    /// The holder with this number.
    pub(crate) fn holder(&self, id: u64) -> Option<Holder> {
        self.registrations.get(&id).map(|registration| registration.holder.clone())
    }

    fn restored_queue(
        &self,
        passed: manifest::Queue,
        worker: Option<PeerCredentials>,
        share: bool,
        taken: &mut Taken,
    ) -> Result<Arc<Queue>, StartError> {
        let sender: AcceptSender = taken.take(passed.sender)?.into();
        let receiver: AcceptSocket = taken.take(passed.receiver)?.into();
        let queue = Queue::new(passed.id, passed.address, sender, receiver, passed.per_message);
        let queue = if share { queue.sharing(&self.turns) } else { queue };
        let queue = match worker {
            Some(worker) => queue.of(Worker { pid: seen(worker.pid), uid: worker.uid }),
            None => queue,
        };
        let figures = restored_figures(&passed.figures);
        let queue = queue.again(figures, passed.handed_over, passed.stuck, &self.shared.bounds);
        Ok(Arc::new(queue))
    }
}

/// A static route.
pub(super) fn pass_route(id: u64, registration: &Registration) -> Option<manifest::Route> {
    let Registration { holder: Holder::Route(route), prefixes, draining, .. } = registration else {
        return None;
    };
    Some(manifest::Route {
        id,
        address: address(prefixes.first()?),
        relay: route.to.to_string(),
        draining: *draining,
        figures: pass_figures(&route.figures),
    })
}

/// A registration as it is without its control connection.
pub(super) fn pass_registration<'d>(
    id: u64,
    registration: &Registration,
    queue: &'d Queue,
    given: &mut Given<'d>,
) -> manifest::Registration {
    let Registration { holder: _, prefixes, open, bound, owner, draining, share, grace } = registration;
    let rest = match owner.until() {
        Some(until) => until.saturating_duration_since(Instant::now()),
        None => *grace,
    };
    manifest::Registration {
        id,
        worker: None,
        left: owner.credentials().map(|PeerCredentials { uid, gid, pid, .. }| Left {
            uid,
            gid,
            pid,
            rest_milliseconds: milliseconds(rest),
        }),
        addresses: prefixes.iter().map(address).collect(),
        bound: bound.0.as_ref().map(|bound| bound.to_vec()),
        open: open.clone(),
        draining: *draining,
        share: *share,
        grace_milliseconds: milliseconds(*grace),
        queue: pass_queue(queue, given),
    }
}

fn pass_queue<'d>(queue: &'d Queue, given: &mut Given<'d>) -> manifest::Queue {
    let (sender, receiver) = queue.ends();
    manifest::Queue {
        id: queue.id(),
        sender: given.give(sender),
        receiver: given.give(receiver),
        address: queue.address().to_owned(),
        per_message: queue.per_message(),
        handed_over: queue.handed_over(),
        stuck: queue.is_stuck(),
        figures: pass_figures(queue.figures()),
    }
}

fn address(prefix: &Prefix) -> manifest::Address {
    manifest::Address { address: prefix.address().to_owned(), mode: prefix.mode().to_string() }
}

pub(super) fn prefix(passed: &manifest::Address) -> Result<Prefix, String> {
    let mode = passed.mode.parse().map_err(|error| format!("{}: {error}", passed.mode))?;
    Prefix::parse(&passed.address, mode).map_err(|error| format!("{}: {error}", passed.address))
}

fn pass_figures(figures: &Figures) -> manifest::Figures {
    let Counted { relaying, relayed, refused, taken_back, copied } = figures.now();
    let Copied { octets_in, octets_out } = copied;
    let age_milliseconds = milliseconds(figures.since.elapsed());
    manifest::Figures { age_milliseconds, relaying, relayed, refused, taken_back, octets_in, octets_out }
}

fn restored_figures(passed: &manifest::Figures) -> Figures {
    let &manifest::Figures { age_milliseconds, relaying, relayed, refused, taken_back, .. } = passed;
    let copied = Copied { octets_in: passed.octets_in, octets_out: passed.octets_out };
    let now = Instant::now();
    let since = now.checked_sub(Duration::from_millis(age_milliseconds)).unwrap_or(now);
    Figures::again(since, &Counted { relaying, relayed, refused, taken_back, copied })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
