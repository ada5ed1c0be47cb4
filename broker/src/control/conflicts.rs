//! Who has an address already, and whether they make way for whoever asks for it now.

use std::collections::BTreeMap;

use handoff::RefusedReason;
use router::Prefix;
use rustix::process::getuid;

use super::denied::{Denied, already_registered, refused};
use super::registration::{Owner, Registration};
use crate::routes::table::{Bound, Table, Target};

/// Who asks for addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    user: u32,
    share: bool,
    /// The registration that is to take connections again.
    own: Option<u64>,
    /// A worker may take the place of one that has left, a route of the configuration may not.
    worker: bool,
}

impl Asking {
    pub(super) fn worker(user: u32, share: bool) -> Self {
        Self { user, share, own: None, worker: true }
    }

    pub(super) fn configuration() -> Self {
        Self { user: getuid().as_raw(), share: false, own: None, worker: false }
    }

    /// The owner of a registration that drains, and is not to any longer.
    pub(super) fn again(id: u64, registration: &Registration) -> Self {
        let worker = registration.holder.is_worker();
        Self { user: registration.user(), share: registration.share, own: Some(id), worker }
    }
}

/// Who makes way.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Their workers are gone: they are about to end.
    pub(super) past: Vec<u64>,
    /// Their workers have left, and this is the next: they give these addresses up.
    pub(super) taken: Vec<(u64, Vec<Prefix>)>,
}

impl Way {
    /// All that this one and another have.
    pub(super) fn join(&mut self, other: Self) {
        self.past.extend(other.past);
        for (id, prefixes) in other.taken {
            prefixes.iter().for_each(|prefix| self.take(id, prefix));
        }
    }

    fn take(&mut self, id: u64, prefix: &Prefix) {
        match self.taken.iter_mut().find(|(taken, _)| *taken == id) {
            Some((_, prefixes)) if prefixes.contains(prefix) => {}
            Some((_, prefixes)) => prefixes.push(prefix.clone()),
            None => self.taken.push((id, vec![prefix.clone()])),
        }
    }
}

/// Who makes way for whoever asks, if all do. One that drains does so by staying: it gets nothing where another may have it.
///
/// # Errors
/// Somebody has one of the addresses, and keeps it.
pub(super) fn conflicts(
    registrations: &BTreeMap<u64, Registration>,
    table: &Table,
    prefixes: &[Prefix],
    bound: &Bound,
    asking: Asking,
) -> Result<Way, Denied> {
    let mut way = Way::default();
    for prefix in prefixes {
        for target in table.overlapping(prefix, bound) {
            let id = target.holder.id();
            if asking.own == Some(id) {
                continue;
            }
            let other = registrations.get(&id);
            let is_same_user = other.is_some_and(|other| other.user() == asking.user);
            let (is_gone, has_grace) = match other {
                Some(Registration { owner: Owner::Left(..), .. }) => (true, true),
                Some(Registration { owner: Owner::Worker(peer), grace, .. }) => {
                    (peer.has_ended(), !grace.is_zero())
                }
                _ => (false, false),
            };
            match (is_gone, has_grace) {
                (true, false) => way.past.push(id),
                (true, true) if is_same_user && asking.worker => way.take(id, &target.prefix),
                _ if is_same_user && (target.draining || (target.share && asking.share)) => {}
                _ => return Err(conflict(prefix, target, other, asking)),
            }
        }
    }
    way.past.sort_unstable();
    way.past.dedup();
    Ok(way)
}

fn conflict(prefix: &Prefix, target: &Target, other: Option<&Registration>, asking: Asking) -> Denied {
    let (address, existing) = (prefix.address(), target.prefix.address());
    let known = |by: &str| {
        let message = already_registered(address, existing, by);
        refused(RefusedReason::ConflictingRegistration, Some(address), message).into()
    };
    match other.map(|other| (&other.owner, other)) {
        None | Some((Owner::Configuration, _)) => known("the broker's configuration"),
        Some((owner @ Owner::Left(worker, _), _)) => known(&format!(
            "user {}, whose worker has left: it is kept for that user's next one, for {} s more",
            worker.uid,
            owner.seconds_left().unwrap_or_default()
        )),
        Some((Owner::Worker(peer), other)) => Denied::Registered {
            address: address.to_owned(),
            existing: existing.to_owned(),
            pid: peer.credentials().pid,
            note: note(target.share, asking, other.user()),
        },
    }
}

/// What stands in the way of sharing, if one of the two has asked for it.
fn note(share: bool, asking: Asking, user: u32) -> &'static str {
    match (share, asking.share) {
        (false, false) => "",
        (true, true) | (true, false) if user != asking.user => "; it is shared by workers of one user only",
        (true, _) => "; that registration shares it, and this one does not ask to (share)",
        (false, true) => "; that registration does not share it (share)",
    }
}
