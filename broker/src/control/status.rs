//! How the broker does: what the registry, the loops and the lists of what went wrong lately know, in one answer.

use handoff::MAX_MESSAGE;
use handoff::Reply;
use handoff::administration::{Bounded, Listener, Nearest, RefusedRegistration, Status, Unmatched};
use router::Prefix;
use std::sync::atomic::Ordering;
use tokio::sync::Semaphore;

use super::nearest::Registered;
use super::registrar::Registrar;
use super::registry::{Registry, seen};
use crate::about::unix_seconds;
use crate::log::service;
use crate::recent::cleaned;
use crate::shared::Shared;

/// So many registered addresses are compared with what matched nothing.
const COMPARED: usize = 2000;

/// The figures alone.
pub(crate) async fn figures(registrar: &Registrar, shared: &Shared) -> Status {
    let mut status = registrar.ask(|registry| registry.status()).await;
    fill_in(&mut status, shared);
    status
}

/// The comparison with all registered addresses, that takes its time.
static ONE: Semaphore = Semaphore::const_new(1);

/// The registered address that is most like a Via that matches none.
pub(super) async fn nearest(registrar: &Registrar, via: &str) -> Option<Nearest> {
    let _turn = ONE.acquire().await;
    let (via, prefixes) =
        (cleaned(via.as_bytes()), registrar.ask(|registry| registry.prefixes(COMPARED)).await);
    tokio::task::spawn_blocking(move || Registered::new(prefixes).nearest(&via)).await.ok().flatten()
}

/// Everything; what is looked for long is looked for on a thread where that may take its time, for one at a time.
pub(crate) async fn status(registrar: &Registrar, shared: &Shared) -> Status {
    let _turn = ONE.acquire().await;
    let mut status = figures(registrar, shared).await;
    let prefixes = registrar.ask(|registry| registry.prefixes(COMPARED)).await;
    status.unmatched = unmatched(shared);
    status.refused = refused(shared);
    let compared = tokio::task::spawn_blocking(move || {
        let registered = Registered::new(prefixes);
        for entry in &mut status.unmatched {
            entry.nearest = registered.nearest(&entry.via);
        }
        for entry in &mut status.refused {
            entry.nearest = entry.address.as_ref().and_then(|address| registered.nearest(address));
        }
        status
    });
    match compared.await {
        Ok(status) => status,
        // The broker ends.
        Err(_) => std::future::pending().await,
    }
}

/// As much of it as a message takes.
pub(super) fn reply(mut status: Status) -> Reply {
    loop {
        let reply = Reply::Status(Box::new(status));
        if reply.to_json().len() <= MAX_MESSAGE {
            return reply;
        }
        let Reply::Status(too_long) = reply else { unreachable!("it was made so") };
        status = *too_long;
        let longer = status.unmatched.len() >= status.refused.len();
        let dropped = match longer {
            true => status.unmatched.pop().is_some(),
            false => status.refused.pop().is_some(),
        };
        if !dropped {
            status.listeners.pop();
        }
    }
}

impl Registry {
    /// What the registry knows of it.
    fn status(&self) -> Status {
        let mut status = Status::default();
        let listeners = self.ports.listeners();
        status.listening = wide(listeners.clone().count());
        let listeners = listeners.map(|(address, since)| Listener::new(address, unix_seconds(since)));
        status.listeners = listeners.take(Status::MOST_LISTENERS).collect();
        status.holders = wide(self.registrations.len());
        status
    }

    /// The first of the registered addresses.
    fn prefixes(&self, most: usize) -> Vec<Prefix> {
        let all = self.registrations.values().flat_map(|registration| &registration.prefixes);
        all.take(most).cloned().collect()
    }

    /// Whether the port of each static route is open.
    pub(crate) fn routes_are_open(&self) -> bool {
        let mut routes = self.registrations.values().filter(|registration| !registration.holder.is_worker());
        routes.all(|route| !route.open.is_empty())
    }
}

fn fill_in(status: &mut Status, shared: &Shared) {
    let Shared { about, counters, bounds, descriptors, .. } = shared;
    status.version = env!("CARGO_PKG_VERSION").to_owned();
    status.pid = std::process::id();
    status.started = unix_seconds(about.started);
    status.uptime_seconds = about.since.elapsed().as_secs();
    status.configuration = about.configuration.get().map(|file| file.display().to_string());
    status.last_reload = about.last_reload();
    status.outcomes = counters.outcomes().map(|(name, count)| (name.to_owned(), count)).collect();
    // Behind the outcomes: nothing has ended that was not here.
    (status.taken_back, status.returned) = (counters.taken_back(), counters.returned());
    status.accepted = counters.accepted();
    let were_here = status.accepted + status.taken_back + status.returned;
    status.here = were_here.saturating_sub(status.outcomes.values().sum());
    status.logs.lost = service::lost();
    if let Some(access) = &shared.telling.access {
        (status.logs.access_lost, status.logs.access_suppressed) = (access.lost(), access.suppressed());
    }
    let totals = &mut status.totals;
    totals.descriptors = Bounded::new(open_descriptors(), wide(descriptors.limit));
    totals.queued = Bounded::new(Some(wide(bounds.in_flight())), wide(descriptors.in_flight));
    totals.held = Bounded::new(Some(wide(bounds.held())), wide(descriptors.held));
    totals.relays =
        Bounded::new(Some(wide(shared.relayed.load(Ordering::Relaxed))), wide(descriptors.relays));
}

/// Since Linux 6.2 the folder's size is their number; before it is 0.
fn open_descriptors() -> Option<u64> {
    std::fs::metadata("/proc/self/fd").ok().map(|folder| folder.len()).filter(|count| *count > 0)
}

fn unmatched(shared: &Shared) -> Vec<Unmatched> {
    let entries = shared.unmatched.all().into_iter().map(|seen| {
        let mut entry = Unmatched::default();
        entry.via = cleaned(&seen.what.via);
        (entry.local, entry.peer) = (seen.what.local, seen.what.peer);
        entry.reason = cleaned(seen.what.reason.as_bytes());
        (entry.count, entry.last) = (seen.count, unix_seconds(seen.last));
        entry
    });
    entries.collect()
}

fn refused(shared: &Shared) -> Vec<RefusedRegistration> {
    let entries = shared.not_registered.all().into_iter().map(|entry| {
        let mut listed = RefusedRegistration::default();
        (listed.count, listed.last) = (entry.count, unix_seconds(entry.last));
        (listed.pid, listed.uid) = (seen(entry.what.pid), entry.what.uid);
        listed.reason = Some(entry.what.reason);
        (listed.address, listed.message) = (entry.what.address, entry.what.message);
        listed
    });
    entries.collect()
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
