//! Which ports are open, and for how many registrations.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use router::{Host, Prefix};
use rustix::net::{Shutdown, shutdown};
use tokio::sync::mpsc::UnboundedSender;

use crate::command::{Command, Commands, Job};
use crate::listening::{ListenError, Listening, is_here, open};
use crate::routes::table::Bound;
use crate::store::keeper::Store;
use crate::store::name::Name;

/// An address that a registration wants open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) address: SocketAddr,
    /// One of several that mean "all": may be missing on this machine as long as another is not.
    pub(crate) optional: bool,
}

/// The open ports. The loop accepts from them.
///
/// A socket for one address takes that address's connections away from the socket for all, and when it closes, those that
/// the kernel is still making for it are lost. So none closes beside the other: what comes to a port that is open on all
/// addresses gets no socket of its own, and a socket that was there before stays until "all" leaves.
#[derive(Debug)]
pub(crate) struct Ports {
    commands: Arc<Commands>,
    pub(super) jobs: UnboundedSender<Job>,
    /// What "all addresses" means; empty: all.
    listen: Vec<IpAddr>,
    pub(super) open: BTreeMap<SocketAddr, Open>,
    /// New sockets. The loop gets them when the registration that wants them can be found.
    pub(super) unheard: Vec<Listening>,
    pub(super) leaving: Vec<Leaving>,
    /// Another process still accepts from what is open; no loop of this one does.
    pub(super) foreign: bool,
    pub(super) store: Option<Arc<Store>>,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) users: usize,
    pub(super) since: SystemTime,
    /// `None`: the socket for all addresses takes its connections.
    pub(super) listening: Option<Listening>,
}

/// A socket for all addresses that nobody wants any more. The kernel may still be making connections through it, and these
/// addresses, which are wanted, had no socket of their own until now.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) listening: Listening,
    pub(super) covered: Vec<SocketAddr>,
}

impl Ports {
    pub(crate) fn new(commands: Arc<Commands>, jobs: UnboundedSender<Job>, listen: Vec<IpAddr>) -> Self {
        Self {
            commands,
            jobs,
            listen,
            open: BTreeMap::new(),
            unheard: Vec::new(),
            leaving: Vec::new(),
            foreign: false,
            store: None,
        }
    }

    /// What a registration of this address listens on.
    pub(crate) fn wanted(&self, prefix: &Prefix, bound: &Bound) -> Vec<Wanted> {
        wanted(&self.listen, prefix, bound)
    }

    /// Opens all of these, or none; returns those that are open now, to be closed again. What comes waits in the kernel until
    /// [`Ports::accept`].
    pub(crate) fn acquire(&mut self, wanted: &[Wanted]) -> Result<Vec<SocketAddr>, ListenError> {
        let mut acquired = Vec::new();
        let mut absent = None;
        for &Wanted { address, optional } in wanted {
            match self.acquire_one(address) {
                Ok(()) => acquired.push(address),
                Err(error) if optional && error.is_absent() => absent = Some(error),
                Err(error) => {
                    self.release(&acquired);
                    return Err(error);
                }
            }
        }
        match absent {
            Some(error) if acquired.is_empty() => Err(error),
            _ => Ok(acquired),
        }
    }

    /// Whether a connection to this address finds a socket of ours.
    pub(crate) fn listens_on(&self, local: SocketAddr) -> bool {
        let used = self.open.iter().filter(|(_, open)| open.users > 0);
        covers(used.map(|(address, _)| address), local)
    }

    /// What is open, and since when.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (SocketAddr, SystemTime)> + Clone {
        let used = self.open.iter().filter(|(_, open)| open.users > 0);
        used.map(|(address, open)| (*address, open.since))
    }

    fn acquire_one(&mut self, address: SocketAddr) -> Result<(), ListenError> {
        if let Some(open) = self.open.get_mut(&address) {
            open.users += 1;
            return Ok(());
        }
        let listening = if self.open.contains_key(&all(address)) {
            is_here(address)?;
            None
        } else {
            Some(self.listen_on(address)?)
        };
        self.open.insert(address, Open { users: 1, since: SystemTime::now(), listening });
        Ok(())
    }

    fn listen_on(&mut self, address: SocketAddr) -> Result<Listening, ListenError> {
        let leaving = self.leaving.iter().map(|leaving| &leaving.listening);
        let ours = self.open.values().filter_map(|open| open.listening.as_ref()).chain(leaving);
        let ours: Vec<Listening> =
            ours.filter(|other| other.address.port() == address.port()).cloned().collect();
        let listening = open(address, &ours)?;
        tracing::info!("listening on {address}");
        self.unheard.push(listening.clone());
        Ok(listening)
    }

    /// Has what is open kept for the next broker.
    pub(super) fn keep_all(&self) {
        if let Some(store) = &self.store {
            let listening = self.open.values().filter_map(|open| open.listening.as_ref());
            listening.for_each(|listening| keep(store, listening));
        }
    }

    /// Lets the loop accept from what was opened.
    pub(crate) fn accept(&mut self) {
        for listening in self.unheard.drain(..) {
            self.store.iter().for_each(|store| keep(store, &listening));
            self.commands.send(Command::Listen(listening));
        }
    }

    /// Closes those that nobody else uses. Connections that are queued are accepted first.
    pub(crate) fn release(&mut self, addresses: &[SocketAddr]) {
        // First all of them: what covers another is not to leave it a socket of its own that closes at once.
        for address in addresses {
            self.open.entry(*address).and_modify(|open| open.users -= 1);
        }
        for address in addresses {
            if self.open.get(address).is_some_and(|open| open.users == 0) {
                self.close_unused(*address);
            }
        }
    }

    /// Closes what is not needed any more of the family and port of this address.
    pub(super) fn close_unused(&mut self, address: SocketAddr) {
        let all = all(address);
        let mut literals = Vec::new();
        for (other, open) in &self.open {
            if other.port() == all.port() && other.is_ipv4() == all.is_ipv4() && *other != all {
                literals.push((*other, open.users > 0, open.listening.is_some()));
            }
        }
        let all_stays = self.open.get(&all).is_some_and(|open| open.users > 0);
        for (literal, _, listens) in literals.iter().filter(|(_, used, _)| !used) {
            if !(all_stays && *listens) {
                self.close(*literal);
            }
        }
        if !all_stays && self.open.contains_key(&all) {
            let covered = literals.iter().filter(|(_, used, listens)| *used && !listens);
            self.leave(all, covered.map(|(literal, ..)| *literal).collect());
        }
        let done =
            |leaving: &mut Leaving| !leaving.covered.iter().any(|literal| self.open.contains_key(literal));
        let done: Vec<Leaving> = self.leaving.extract_if(.., done).collect();
        done.iter().for_each(|leaving| self.commands.unlisten(&leaving.listening));
    }

    /// Closes the socket for all addresses. Those whose connections it took get sockets of their own before, and what it still
    /// has for them is waited for; it takes no new connections meanwhile.
    fn leave(&mut self, all: SocketAddr, covered: Vec<SocketAddr>) {
        let opened = covered.iter().try_for_each(|literal| {
            let listening = self.listen_on(*literal)?;
            self.open.entry(*literal).and_modify(|open| open.listening = Some(listening));
            Ok(())
        });
        self.accept();
        if let Err::<(), ListenError>(error) = opened {
            tracing::error!(%error, "{all} stays open, too");
            return;
        }
        if covered.is_empty() {
            return self.close(all);
        }
        let Some(listening) = self.open.remove(&all).and_then(|open| open.listening) else { return };
        tracing::info!("closed {all}");
        listening.turn_away();
        if let Some(store) = &self.store {
            store.forget(Name::listening(&listening.socket));
        }
        let _ = self.jobs.send(Job::CloseLater(Arc::downgrade(&listening.socket)));
        self.leaving.push(Leaving { listening, covered });
    }

    /// Closes a socket that was left a moment ago.
    pub(crate) fn close_left(&mut self, left: &Weak<OwnedFd>) {
        self.leaving.retain(|Leaving { listening, .. }| {
            let stays = Arc::as_ptr(&listening.socket) != left.as_ptr();
            if !stays {
                self.commands.unlisten(listening);
            }
            stays
        });
    }

    fn close(&mut self, address: SocketAddr) {
        if let Some(listening) = self.open.remove(&address).and_then(|open| open.listening) {
            let heard = self.unheard.extract_if(.., |new| new.is(&listening)).next().is_none();
            if heard && !self.foreign {
                self.commands.unlisten(&listening);
            }
            // The service manager may have it for a moment longer.
            if self.store.as_ref().is_some_and(|store| store.forget(Name::listening(&listening.socket))) {
                let _ = shutdown(&listening.socket, Shutdown::Read);
            }
            tracing::info!("closed {address}");
        }
    }
}

/// Has a socket kept for the next broker.
fn keep(store: &Store, listening: &Listening) {
    store.keep(Name::listening(&listening.socket), &[listening.socket.as_fd()]);
}

/// All addresses of this one's family, on its port.
fn all(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, address.port())
}

/// Whether a connection to this address finds one of these.
pub(crate) fn covers<'a>(mut open: impl Iterator<Item = &'a SocketAddr>, local: SocketAddr) -> bool {
    open.any(|&address| address == local || address == all(local))
}

/// What a registration of this address listens on.
pub(crate) fn wanted(listen: &[IpAddr], prefix: &Prefix, bound: &Bound) -> Vec<Wanted> {
    const EVERYTHING: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let asked: &[IpAddr] = match (&bound.0, prefix.host()) {
        (Some(bound), _) => bound,
        (None, Host::Ip(ip)) => &[ip],
        (None, Host::Name(_)) => &EVERYTHING,
    };
    let all = bound.0.is_none() && matches!(prefix.host(), Host::Name(_));
    let mut wanted = Vec::new();
    for &ip in asked {
        let narrowed = listen.iter().copied().filter(|narrow| narrow.is_ipv4() == ip.is_ipv4());
        let ips: Vec<IpAddr> =
            if ip.is_unspecified() && !listen.is_empty() { narrowed.collect() } else { vec![ip] };
        for ip in ips {
            let one =
                Wanted { address: SocketAddr::new(ip, prefix.port()), optional: all && listen.is_empty() };
            if !wanted.contains(&one) {
                wanted.push(one);
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests;
