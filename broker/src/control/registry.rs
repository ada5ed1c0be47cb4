//! Who has registered what: the only writer of the route table. It belongs to one thread, and nobody waits for a lock of it.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use handoff::tokio::AsyncControlPeer;
use handoff::{
    AcceptSender, AcceptSocket, PROTOCOL_VERSION, PeerCredentials, Refused, RefusedReason, Register,
    Registered, accept_pair,
};
use router::{HostNameComparison, Prefix, PrefixError, RouteTable};
use rustix::process::getuid;

use super::denied::{Denied, already_registered, refused};
use super::given_back::{GivenBack, not_listened_on};
use super::lookup::{handed_to, lookup};
use super::ports::Ports;
use super::quota::Quotas;
use crate::command::Command;
use crate::config::NO_PORT;
use crate::routes::holder::Holder;
use crate::routes::queue::{Queue, Worker};
use crate::routes::table::{Bound, Table, Target};
use crate::shared::Shared;

/// The longest registered address, in octets, as in the original.
const LONGEST_ADDRESS: usize = 2048;

/// See the module.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) shared: Arc<Shared>,
    quotas: Arc<Quotas>,
    pub(super) ports: Ports,
    /// By their numbers.
    pub(super) registrations: BTreeMap<u64, Registration>,
    last_id: u64,
}

/// What one holder has.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) holder: Holder,
    pub(super) prefixes: Vec<Prefix>,
    /// What it keeps open.
    pub(super) open: Vec<SocketAddr>,
    /// The local addresses that the worker's own listener would have had.
    pub(super) bound: Bound,
    /// Who has asked for it; `None`: the configuration.
    pub(super) peer: Option<Arc<AsyncControlPeer>>,
    /// It gets no new connections.
    pub(super) draining: bool,
}

/// A request whose members make sense.
#[derive(Debug)]
struct Checked {
    prefixes: Vec<Prefix>,
    bound: Bound,
    per_message: usize,
}

impl Registry {
    pub(crate) fn new(shared: Arc<Shared>, quotas: Arc<Quotas>, ports: Ports) -> Self {
        Self { shared, quotas, ports, registrations: BTreeMap::new(), last_id: 0 }
    }

    /// Registers all addresses of a request or none; the socket is the worker's end.
    pub(crate) fn register(
        &mut self,
        request: &Register,
        peer: &Arc<AsyncControlPeer>,
    ) -> Result<(Registered, AcceptSocket), Denied> {
        let quotas = &self.quotas;
        let Checked { prefixes, bound, per_message } = check(request, quotas.addresses_per_registration())?;
        let PeerCredentials { uid, pid, .. } = peer.credentials();

        let table = self.shared.table.load_full();
        let past = self.conflicts(&table, &prefixes, &bound, uid)?;
        let wanted = prefixes.iter().flat_map(|prefix| self.ports.wanted(prefix, &bound));
        let wanted: HashSet<SocketAddr> = wanted.map(|wanted| wanted.address).collect();
        quotas
            .admits(uid, wanted)
            .map_err(|why| refused(RefusedReason::RegistrationQuotaExceeded, None, why))?;
        let (sender, ours, theirs) = accept_socket().map_err(Denied::NoDescriptor)?;
        let open = self.listen(&prefixes, &bound)?;

        let id = self.next_id();
        let queue = Queue::new(id, shown(&request.addresses), sender, ours, per_message);
        let holder = Holder::Worker(Arc::new(queue.of(Worker { pid: seen(pid), uid })));
        let mut table = Table::clone(&table);
        let ended: Vec<Registration> = past.iter().filter_map(|id| self.forget(*id, &mut table)).collect();
        for prefix in &prefixes {
            table.insert(Target::new(prefix.clone(), holder.clone(), &bound));
        }
        self.quotas.begin(uid, &open);
        let mut listening = open.clone();
        listening.sort_unstable();
        listening.dedup();
        let peer = Some(Arc::clone(peer));
        let registration = Registration { holder, prefixes, open, bound, peer, draining: false };
        self.registrations.insert(id, registration);
        self.publish(table);
        // Only now: what these left behind finds the new registration.
        for registration in ended {
            self.end(registration, "its worker has left");
        }
        let (addresses, pid) = (&request.addresses, seen(pid));
        tracing::info!(registration = id, pid, uid, ?addresses, "registered");
        Ok((Registered::new(id).with_listening(listening), theirs))
    }

    /// Ends a registration, if it has not ended.
    pub(crate) fn unregister(&mut self, id: u64, reason: &'static str) {
        let mut table = Table::clone(&self.shared.table.load());
        let Some(registration) = self.forget(id, &mut table) else { return };
        self.publish(table);
        self.end(registration, reason);
    }

    /// Where a connection would go.
    pub(crate) fn route(&self, route: &handoff::Route) -> handoff::Routed {
        let Shared { table, .. } = &*self.shared;
        let mut routed =
            lookup(&table.load(), self.shared.compatibility(), route, |local| self.ports.listens_on(local));
        let registration = routed.registration.and_then(|id| self.registrations.get(&id));
        let peer = registration.and_then(|of| of.peer.as_ref());
        routed.pid = peer.and_then(|peer| seen(peer.credentials().pid));
        routed
    }

    /// Which registration a session with this Via on a connection that a worker has would belong to.
    pub(crate) fn validate(&self, validate: &handoff::Validate) -> Option<u64> {
        handed_to(&self.shared.table.load(), &validate.via, validate.local)
    }

    /// A worker gives a connection back: it goes to the accept loop.
    pub(crate) fn take_back(&self, given: GivenBack) -> Result<(), Refused> {
        let GivenBack { socket, local } = given;
        let taken =
            self.ports.listens_on(local) && self.shared.commands.try_send(Command::Returned(socket)).is_ok();
        if taken { Ok(()) } else { Err(not_listened_on(local)) }
    }

    /// Closes a socket that was only kept for stragglers.
    pub(crate) fn close_left(&mut self, left: &Weak<OwnedFd>) {
        self.ports.close_left(left);
    }

    /// How many registrations and static routes there are.
    pub(crate) fn holders(&self) -> usize {
        self.registrations.len()
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// First the table, then the sockets: whoever comes through a new one finds what it was opened for.
    pub(super) fn publish(&mut self, table: Table) {
        self.shared.table.store(Arc::new(table));
        self.ports.accept();
    }

    /// The registration is in the table no longer. First nothing more can be sent to it, then what is left is taken back.
    pub(super) fn end(&mut self, registration: Registration, reason: &'static str) {
        let Registration { holder, prefixes, open, peer, .. } = registration;
        if let Holder::Worker(queue) = &holder {
            queue.end();
        }
        let credentials = peer.map(|peer| peer.credentials());
        if let Some(PeerCredentials { uid, .. }) = credentials {
            self.quotas.end(uid, &open);
        }
        self.ports.release(&open);
        let reason = if self.shared.failures.are_over() { "the broker ends" } else { reason };
        let addresses: Vec<&str> = prefixes.iter().map(Prefix::address).collect();
        let (pid, uid) = (credentials.and_then(|peer| seen(peer.pid)), credentials.map(|peer| peer.uid));
        let what = if holder.is_worker() { "registration" } else { "static route" };
        tracing::info!(registration = holder.id(), pid, uid, reason, ?addresses, "{what} ended");
        if let Holder::Worker(queue) = holder {
            self.shared.commands.send(Command::Ended(queue));
        }
    }

    /// Who has one of the addresses already. Those whose worker is gone are returned: they are about to end. One that drains makes
    /// way for the same user's next.
    pub(super) fn conflicts(
        &self,
        table: &Table,
        prefixes: &[Prefix],
        bound: &Bound,
        user: u32,
    ) -> Result<Vec<u64>, Denied> {
        let mut past = Vec::new();
        for prefix in prefixes {
            for target in table.overlapping(prefix, bound) {
                let id = target.holder.id();
                let other = self.registrations.get(&id);
                if target.draining && other.is_some_and(|other| other.user() == user) {
                    continue;
                }
                match other.and_then(|other| other.peer.as_ref()) {
                    Some(peer) if peer.has_ended() => past.push(id),
                    peer => return Err(conflict(prefix, &target.prefix, peer)),
                }
            }
        }
        past.sort_unstable();
        past.dedup();
        Ok(past)
    }

    pub(super) fn listen(&mut self, prefixes: &[Prefix], bound: &Bound) -> Result<Vec<SocketAddr>, Denied> {
        let mut open = Vec::new();
        for prefix in prefixes {
            let wanted = self.ports.wanted(prefix, bound);
            let acquired = if wanted.is_empty() {
                let message =
                    "none of the addresses that the broker may listen on is of this family".to_owned();
                Err(refused(RefusedReason::AddressNotAvailable, Some(prefix.address()), message).into())
            } else {
                self.ports.acquire(&wanted).map_err(|error| Denied::not_opened(prefix, error))
            };
            match acquired {
                Ok(acquired) => open.extend(acquired),
                Err(denied) => {
                    self.ports.release(&open);
                    return Err(denied);
                }
            }
        }
        Ok(open)
    }

    /// Takes a registration out of the books and out of `table`.
    pub(super) fn forget(&mut self, id: u64, table: &mut Table) -> Option<Registration> {
        let registration = self.registrations.remove(&id)?;
        for prefix in &registration.prefixes {
            table.remove(prefix, id);
        }
        Some(registration)
    }
}

/// The sending end, our copy of the receiving end, and the worker's.
fn accept_socket() -> io::Result<(AcceptSender, AcceptSocket, AcceptSocket)> {
    let (sender, theirs) = accept_pair()?;
    Ok((sender, theirs.try_clone()?, theirs))
}

impl Registration {
    /// Whose it is; a route of the configuration is the broker's own.
    pub(super) fn user(&self) -> u32 {
        self.peer.as_ref().map_or_else(|| getuid().as_raw(), |peer| peer.credentials().uid)
    }
}

/// The checks of the original in its order (docs/original.md §4.3), as far as they need no table.
fn check(request: &Register, most_addresses: usize) -> Result<Checked, Refused> {
    use RefusedReason as Reason;

    if request.protocol != PROTOCOL_VERSION {
        let message = format!("the broker speaks protocol {PROTOCOL_VERSION}, not {}", request.protocol);
        return Err(refused(Reason::VersionUnsupported, None, message));
    }
    let invalid =
        |address: Option<&str>, message: String| Err(refused(Reason::InvalidArgument, address, message));
    if request.addresses.is_empty() {
        return invalid(None, "a registration has at least one address".to_owned());
    }
    if request.addresses.len() > most_addresses {
        let message = format!(
            "the registration has {} addresses; the broker's max_addresses_per_registration is {most_addresses}",
            request.addresses.len()
        );
        return Err(refused(Reason::RegistrationQuotaExceeded, None, message));
    }
    if request.sockets_per_message == Some(0) {
        return invalid(None, "sockets_per_message is 0; it is at least 1".to_owned());
    }
    if request.bound.as_ref().is_some_and(Vec::is_empty) {
        return invalid(None, "bound is empty; no connection could be handed over".to_owned());
    }
    let mode = match request.host_name_comparison.as_deref().map(str::parse::<HostNameComparison>) {
        None => HostNameComparison::default(),
        Some(Ok(mode)) => mode,
        Some(Err(error)) => return invalid(None, format!("host_name_comparison: {error}")),
    };
    let mut prefixes = Vec::with_capacity(request.addresses.len());
    let mut seen = RouteTable::new();
    for address in &request.addresses {
        let prefix = parse(address, mode)?;
        if prefix.port() == 0 {
            return invalid(Some(address), format!("{address}: {NO_PORT}"));
        }
        if seen.register(prefix.clone(), ()).is_err() {
            let message = format!("{address} is in the registration twice");
            return Err(refused(Reason::ConflictingRegistration, Some(address), message));
        }
        prefixes.push(prefix);
    }
    let bound = Bound(request.bound.as_ref().map(|bound| bound.iter().copied().collect()));
    if let Some(prefix) = prefixes.iter().find(|prefix| bound.excludes(prefix)) {
        let message = format!(
            "no connection could be handed over: {} names an IP address that is not among those in bound",
            prefix.address()
        );
        return invalid(Some(prefix.address()), message);
    }
    Ok(Checked { prefixes, bound, per_message: request.sockets_per_message() })
}

fn parse(address: &str, mode: HostNameComparison) -> Result<Prefix, Refused> {
    let parsed = Prefix::parse(address, mode);
    let reason = match parsed {
        Err(PrefixError::Scheme) => RefusedReason::ProtocolUnsupported,
        Err(PrefixError::TooLong { .. }) => RefusedReason::PathTooLong,
        _ if address.len() > LONGEST_ADDRESS => RefusedReason::PathTooLong,
        Err(_) => RefusedReason::InvalidArgument,
        Ok(prefix) => return Ok(prefix),
    };
    let message = match parsed {
        Err(error) => error.to_string(),
        Ok(_) => format!("the address has {} octets, more than {LONGEST_ADDRESS}", address.len()),
    };
    Err(refused(reason, Some(address), message))
}

/// The number of a process, if the kernel tells it.
pub(super) fn seen(pid: u32) -> Option<u32> {
    (pid != 0).then_some(pid)
}

/// Addresses for the log.
fn shown(addresses: &[String]) -> String {
    match addresses {
        [] => String::new(),
        [address] => address.clone(),
        [first, more @ ..] => format!("{first} and {} more", more.len()),
    }
}

fn conflict(prefix: &Prefix, existing: &Prefix, peer: Option<&Arc<AsyncControlPeer>>) -> Denied {
    let (address, existing) = (prefix.address(), existing.address());
    if let Some(peer) = peer {
        let (address, existing) = (address.to_owned(), existing.to_owned());
        return Denied::Registered { address, existing, pid: peer.credentials().pid };
    }
    let message = already_registered(address, existing, "the broker's configuration");
    refused(RefusedReason::ConflictingRegistration, Some(address), message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_end_and_a_registration_a_number_of_them() {
        let reason = |addresses: &[String], most| {
            check(&Register::new(addresses), most).err().map(|refused| refused.reason)
        };
        let long = |octets: usize| format!("net.tcp://h:1/{}", "a".repeat(octets - 14));
        assert_eq!(reason(&[long(LONGEST_ADDRESS)], 1), None);
        for octets in [LONGEST_ADDRESS + 1, LONGEST_ADDRESS + 2, 70_000] {
            assert_eq!(reason(&[long(octets)], 1), Some(RefusedReason::PathTooLong));
        }
        let escaped = format!("net.tcp://h:1/{}", "é".repeat(700));
        assert_eq!(reason(&[escaped], 1), Some(RefusedReason::PathTooLong), "once it is escaped");
        let unescaped = format!("net.tcp://h:1/{}", "%61".repeat(700));
        assert_eq!(reason(&[unescaped], 1), Some(RefusedReason::PathTooLong), "as it is written");
        let two = [long(20), long(21)];
        assert_eq!(reason(&two, 1), Some(RefusedReason::RegistrationQuotaExceeded));
        assert_eq!((reason(&two, 2), reason(&two, 3)), (None, None));
    }

    #[test]
    fn of_several_addresses_the_log_shows_the_first() {
        let addresses = ["a", "b", "c"].map(str::to_owned);
        let shown: Vec<String> = (0..4).map(|count| shown(&addresses[..count])).collect();
        assert_eq!(shown, ["", "a", "a and 1 more", "a and 2 more"]);
    }
}
