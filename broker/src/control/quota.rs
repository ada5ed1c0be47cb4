//! How much of the broker the workers of one user may hold, so that a service that runs wild takes nothing from the others.
//!
//! Root and the broker's own user have the same bounds as everybody: what runs wild is mostly theirs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::config::Quota;
use crate::limits::{Descriptors, share};
use crate::lock::lock;

/// See the module.
#[derive(Debug)]
pub(crate) struct Quotas {
    most: Mutex<Most>,
    /// Descriptors for the workers of all users together.
    descriptors: usize,
    held: Mutex<HashMap<u32, Held>>,
}

/// What is configured, or follows; a reload may change it. Whoever has more keeps it.
#[derive(Clone, Copy, Debug)]
struct Most {
    addresses_per_registration: usize,
    registrations: usize,
    listeners: usize,
    control_connections: usize,
}

impl Most {
    /// What is not configured follows from how many descriptors there are for workers.
    fn new(quota: &Quota, descriptors: usize) -> Self {
        let usual = |configured: Option<usize>, usual: usize| configured.unwrap_or(usual);
        Self {
            addresses_per_registration: usual(quota.addresses_per_registration, 1024),
            registrations: usual(quota.registrations_per_user, descriptors / 4),
            listeners: usual(quota.listeners_per_user, (descriptors / 8).min(1024)),
            control_connections: usual(quota.control_connections_per_user, descriptors / 4),
        }
    }
}

/// What one user's workers hold.
#[derive(Debug, Default)]
struct Held {
    control_connections: usize,
    registrations: usize,
    /// The addresses they listen on, with how many registrations do.
    listeners: HashMap<SocketAddr, usize>,
}

impl Held {
    /// Of a registration's accept socket the broker has two ends.
    fn descriptors(&self) -> usize {
        self.control_connections + 2 * self.registrations + self.listeners.len()
    }

    fn is_nothing(&self) -> bool {
        self.descriptors() == 0
    }
}

/// A control connection that is counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Connected {
    quotas: Arc<Quotas>,
    uid: u32,
}

impl Quotas {
    pub(crate) fn new(quota: &Quota, descriptors: &Descriptors) -> Self {
        let descriptors = descriptors.workers;
        Self { most: Mutex::new(Most::new(quota, descriptors)), descriptors, held: Mutex::default() }
    }

    /// Other bounds from now on.
    pub(crate) fn set(&self, quota: &Quota) {
        *lock(&self.most) = Most::new(quota, self.descriptors);
    }

    /// How many addresses one registration may have.
    pub(crate) fn addresses_per_registration(&self) -> usize {
        self.most().addresses_per_registration
    }

    fn most(&self) -> Most {
        *lock(&self.most)
    }

    /// Counts a control connection.
    ///
    /// # Errors
    /// Why this user may have no further one.
    pub(crate) fn connect(self: &Arc<Self>, uid: u32) -> Result<Connected, String> {
        let mut held = lock(&self.held);
        let has = held.get(&uid).map_or(0, |user| user.control_connections);
        self.within(uid, "control connections", has, 1, self.most().control_connections)?;
        self.leaves_room(&held, uid, 1)?;
        held.entry(uid).or_default().control_connections += 1;
        Ok(Connected { quotas: Arc::clone(self), uid })
    }

    /// Counts a control connection that another process had, whether it may be or not.
    pub(crate) fn connect_again(self: &Arc<Self>, uid: u32) -> Connected {
        lock(&self.held).entry(uid).or_default().control_connections += 1;
        Connected { quotas: Arc::clone(self), uid }
    }

    /// Whether this user may have one registration more, which listens on these addresses, in place of so many.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admits(
        &self,
        uid: u32,
        listeners: impl IntoIterator<Item = SocketAddr>,
        instead_of: usize,
    ) -> Result<(), String> {
        let most = self.most();
        let held = lock(&self.held);
        let user = held.get(&uid);
        let new = |address: &SocketAddr| user.is_none_or(|user| !user.listeners.contains_key(address));
        let new = listeners.into_iter().filter(new).count();
        let (registrations, listening) =
            user.map_or((0, 0), |user| (user.registrations, user.listeners.len()));
        let others = registrations.saturating_sub(instead_of);
        self.within(uid, "registrations", others, 1, most.registrations)?;
        self.within(uid, "listeners", listening, new, most.listeners)?;
        self.leaves_room(&held, uid, (2 + new).saturating_sub(2 * instead_of))
    }

    /// Counts a registration.
    pub(crate) fn begin(&self, uid: u32, listeners: &[SocketAddr]) {
        let mut held = lock(&self.held);
        let user = held.entry(uid).or_default();
        user.registrations += 1;
        for address in listeners {
            *user.listeners.entry(*address).or_default() += 1;
        }
    }

    /// Counts it no longer.
    pub(crate) fn end(&self, uid: u32, listeners: &[SocketAddr]) {
        self.less(uid, |user| {
            user.registrations -= 1;
            for address in listeners {
                let count = user.listeners.entry(*address).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    user.listeners.remove(address);
                }
            }
        });
    }

    fn less(&self, uid: u32, change: impl FnOnce(&mut Held)) {
        let mut held = lock(&self.held);
        let Some(user) = held.get_mut(&uid) else { return };
        change(user);
        if user.is_nothing() {
            held.remove(&uid);
        }
    }

    fn within(&self, uid: u32, what: &str, has: usize, more: usize, most: usize) -> Result<(), String> {
        if has + more <= most {
            return Ok(());
        }
        let key = what.replace(' ', "_");
        Err(format!("user {uid} would have {} {what}; the broker's max_{key}_per_user is {most}", has + more))
    }

    /// Each may have as much as is still free for all, so that another finds room.
    fn leaves_room(&self, held: &HashMap<u32, Held>, uid: u32, more: usize) -> Result<(), String> {
        let taken = held.values().map(Held::descriptors).sum();
        let has = held.get(&uid).map_or(0, Held::descriptors);
        if more == 0 || has + more <= share(usize::MAX, self.descriptors, taken) {
            return Ok(());
        }
        Err(format!(
            "the workers of user {uid} hold {has} of the {} descriptors that the broker has for workers, of which {taken} are \
             taken; raise its limit of open files (LimitNOFILE)",
            self.descriptors
        ))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.quotas.less(self.uid, |user| user.control_connections -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(limit: u64, quota: &Quota) -> Arc<Quotas> {
        Arc::new(Quotas::new(quota, &Descriptors::within(limit)))
    }

    fn at(port: u16) -> [SocketAddr; 2] {
        ["0.0.0.0", "::"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
    }

    /// As many registrations as one user gets, each on a control connection and a port of its own.
    fn greedy(quotas: &Arc<Quotas>, uid: u32) -> (Vec<Connected>, String) {
        let mut connections = Vec::new();
        for port in 1.. {
            let admitted = quotas.connect(uid).and_then(|connected| {
                quotas.admits(uid, at(port), 0)?;
                quotas.begin(uid, &at(port));
                Ok(connected)
            });
            match admitted {
                Ok(connected) => connections.push(connected),
                Err(why) => return (connections, why),
            }
        }
        unreachable!()
    }

    #[test]
    fn whoever_takes_all_it_may_leaves_room() {
        for limit in [256, 1024, 20_000, 1 << 20] {
            let quotas = quotas(limit, &Quota::default());
            let mut services = Vec::new();
            for uid in 0..4 {
                let (connections, why) = greedy(&quotas, uid);
                assert!(!connections.is_empty(), "{limit} {uid}: {why}");
                services.push(connections);
            }
            let taken: usize = lock(&quotas.held).values().map(Held::descriptors).sum();
            assert!(taken < usize::try_from(limit).unwrap() / 2, "{taken} of {limit}");
        }
    }

    #[test]
    fn forty_services_of_one_user_fit_the_usual_limit() {
        let quotas = quotas(1024, &Quota::default());
        let services: Vec<_> = (0..40)
            .map(|_| {
                quotas.admits(0, at(808), 0).unwrap();
                quotas.begin(0, &at(808));
                quotas.connect(0).unwrap()
            })
            .collect();
        assert_eq!(lock(&quotas.held)[&0].descriptors(), 40 * 3 + 2);
        drop(services);
        (0..40).for_each(|_| quotas.end(0, &at(808)));
        assert!(lock(&quotas.held).is_empty());
    }

    #[test]
    fn each_bound_is_named() {
        let quota = Quota {
            registrations_per_user: Some(2),
            listeners_per_user: Some(3),
            control_connections_per_user: Some(1),
            addresses_per_registration: None,
        };
        let quotas = quotas(1024, &quota);
        let connected = quotas.connect(7).unwrap();
        let why = quotas.connect(7).unwrap_err();
        assert_eq!(
            why,
            "user 7 would have 2 control connections; the broker's max_control_connections_per_user is 1"
        );
        quotas.connect(8).unwrap();
        drop(connected);
        quotas.connect(7).unwrap();
        quotas.begin(7, &at(1));
        assert!(quotas.admits(7, at(2), 0).unwrap_err().contains("max_listeners_per_user is 3"));
        assert_eq!(quotas.admits(7, at(1), 0), Ok(()), "it has those already");
        quotas.begin(7, &at(1));
        assert!(quotas.admits(7, at(1), 0).unwrap_err().contains("max_registrations_per_user is 2"));
        quotas.end(7, &at(1));
        assert_eq!(quotas.admits(7, at(1), 0), Ok(()));
    }

    #[test]
    fn listeners_are_counted_by_who_uses_them() {
        let quota = Quota { listeners_per_user: Some(2), ..Quota::default() };
        let quotas = quotas(1024, &quota);
        for _ in 0..3 {
            quotas.begin(7, &at(1));
        }
        for _ in 0..2 {
            quotas.end(7, &at(1));
            assert!(quotas.admits(7, at(2), 0).is_err(), "somebody still listens");
        }
        quotas.end(7, &at(1));
        assert_eq!(quotas.admits(7, at(2), 0), Ok(()));
    }

    /// A registration takes two descriptors, and each new listener one.
    #[test]
    fn the_last_descriptor_is_given_away_and_no_further_one() {
        let many = Some(1000);
        let quota = Quota {
            registrations_per_user: many,
            listeners_per_user: many,
            control_connections_per_user: many,
            addresses_per_registration: many,
        };
        let quotas = quotas(1024, &quota);
        let mut connections = Vec::new();
        let free = |connections: usize| quotas.descriptors - connections;
        while free(connections.len()) > connections.len() + 3 {
            connections.push(quotas.connect(7).unwrap());
        }
        let ports = |count| (1..=count).map(|port| SocketAddr::new("::".parse().unwrap(), port));
        let admitted: Vec<bool> = (0..6).map(|count| quotas.admits(7, ports(count), 0).is_ok()).collect();
        let room = free(connections.len()) - connections.len();
        let expected: Vec<bool> = (0..6).map(|count| 2 + count <= room).collect();
        assert!((2..4).contains(&room), "{room}");
        assert_eq!(admitted, expected);
    }
}
