//! What a service manager has kept may not fit the configuration of the broker that finds it, nor itself: a broker may be killed between
//! any two steps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use router::Prefix;
use rustix::net::{Shutdown, shutdown};

use super::prefix;
use crate::config::{Config, RelayTo};
use crate::control::ports::{covers, wanted};
use crate::control::static_routes::table_of;
use crate::passed::descriptors::Taken;
use crate::passed::manifest::{Left, Listening, Manifest, Registration};
use crate::routes::holder::{Holder, StaticRoute};
use crate::routes::table::{Bound, Table, Target};

/// Leaves out registrations that do not fit, which their workers then have to ask for again, with the control connections that hold them.
/// What waits in their accept sockets is dispatched again. Says which they are, and why.
pub(crate) fn fit(manifest: &mut Manifest, taken: &mut Taken, config: &Config) -> Vec<String> {
    let (mut said, mut table, mut users) = (Vec::new(), table_of(config), BTreeMap::new());
    let listening: Vec<SocketAddr> = manifest.listening.iter().map(|listening| listening.address).collect();
    let (mut left_out, mut closed) = (HashSet::new(), HashSet::new());
    // Of two for one address the newer was about to take the older one's place.
    for registration in manifest.registrations.iter().rev() {
        match fitting(registration, config, &listening, &table, &users) {
            Ok((prefixes, bound)) => {
                users.insert(registration.id, registration.left.map(|left| left.uid));
                for prefix in prefixes {
                    let nobody = StaticRoute::new(registration.id, RelayTo::Name(String::new()));
                    let target = Target::new(prefix, Holder::Route(Arc::new(nobody)), &bound);
                    table.insert(target.draining(registration.draining).share(registration.share));
                }
            }
            Err(why) => {
                said.push(format!(
                    "registration {} ({}): {why}",
                    registration.id, registration.queue.address
                ));
                left_out.insert(registration.id);
                closed.extend(registration.worker);
            }
        }
    }
    let (out, mut fit): (Vec<Registration>, Vec<Registration>) =
        manifest.registrations.drain(..).partition(|registration| left_out.contains(&registration.id));
    manifest.left.extend(out.into_iter().map(|registration| registration.queue));
    let mut places = HashMap::new();
    for (place, worker) in std::mem::take(&mut manifest.workers).into_iter().enumerate() {
        if !closed.contains(&place) {
            places.insert(place, manifest.workers.len());
            manifest.workers.push(worker);
        } else if let Ok(socket) = taken.take(worker.socket) {
            // The service manager may have it for a moment longer.
            let _ = shutdown(socket, Shutdown::Both);
        }
    }
    // Its other registrations wait for it to come again.
    for registration in &mut fit {
        registration.worker = registration.worker.and_then(|worker| places.get(&worker).copied());
    }
    manifest.registrations = fit;
    for address in manifest.registrations.iter().flat_map(|registration| registration.open.clone()) {
        if !manifest.listening.iter().any(|listening| listening.address == address) {
            manifest.listening.push(Listening { address, since: 0, socket: None });
        }
    }
    said
}

fn fitting(
    registration: &Registration,
    config: &Config,
    listening: &[SocketAddr],
    table: &Table,
    users: &BTreeMap<u64, Option<u32>>,
) -> Result<(Vec<Prefix>, Bound), String> {
    let prefixes: Vec<Prefix> = registration.addresses.iter().map(prefix).collect::<Result<_, _>>()?;
    let bound = Bound(registration.bound.clone().map(Into::into));
    let Some(Left { uid, .. }) = registration.left else { return Err("nobody knows whose it is".to_owned()) };
    let mut all = HashSet::new();
    for prefix in &prefixes {
        for other in table.overlapping(prefix, &bound) {
            let is_same_user = users.get(&other.holder.id()).is_some_and(|other| *other == Some(uid));
            let both_share = registration.share && other.share;
            if !(is_same_user && (registration.draining || other.draining || both_share)) {
                return Err(format!("{} is another's", prefix.address()));
            }
        }
        let wanted = wanted(&config.listen, prefix, &bound);
        if wanted.is_empty() {
            return Err(format!("the broker may not listen for {}", prefix.address()));
        }
        all.extend(wanted.into_iter().map(|wanted| wanted.address));
    }
    for address in &registration.open {
        if !all.contains(address) {
            return Err(format!("the broker may not listen on {address}"));
        }
        if !covers(listening.iter(), *address) {
            return Err(format!("{address} is not open"));
        }
    }
    Ok((prefixes, bound))
}
