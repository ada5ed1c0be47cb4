//! Who has registered what: the only writer of the route table. It belongs to one thread, and nobody waits for a lock of it.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use handoff::tokio::AsyncControlPeer;
use handoff::{
    AcceptSender, AcceptSocket, PROTOCOL_VERSION, PeerCredentials, Refused, RefusedReason, Register,
    Registered, accept_pair,
};
use router::{HostNameComparison, Prefix, PrefixError, RouteTable};

use super::absent::Absent;
use super::conflicts::{Asking, Way, conflicts};
use super::denied::{Denied, refused};
use super::given_back::{GivenBack, not_listened_on};
use super::lookup::{lookup, own};
use super::ports::Ports;
use super::quota::Quotas;
use super::registration::{Owner, Registration};
use crate::command::Command;
use crate::config::NO_PORT;
use crate::routes::figures::Figures;
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
    pub(super) quotas: Arc<Quotas>,
    pub(super) ports: Ports,
    /// By their numbers.
    pub(super) registrations: BTreeMap<u64, Registration>,
    pub(super) absent: Absent,
    /// Counts the choices among those that share an address.
    pub(super) turns: Arc<AtomicUsize>,
    pub(super) last_id: u64,
    /// Routes of the broker before this one.
    pub(super) known_routes: Vec<Known>,
}

/// A static route as the broker before this one had it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: u64,
    pub(super) prefix: Prefix,
    pub(super) draining: bool,
    pub(super) figures: Figures,
}

/// A request whose members make sense.
#[derive(Debug)]
struct Checked {
    prefixes: Vec<Prefix>,
    bound: Bound,
    per_message: usize,
    grace: Duration,
}

impl Registry {
    pub(crate) fn new(shared: Arc<Shared>, quotas: Arc<Quotas>, mut ports: Ports) -> Self {
        ports.store = shared.store.clone();
        let (registrations, absent, turns) = (BTreeMap::new(), Absent::default(), Arc::default());
        let known_routes = Vec::new();
        Self { shared, quotas, ports, registrations, absent, turns, last_id: 0, known_routes }
    }

    /// Registers all addresses of a request or none; the socket is the worker's end.
    pub(crate) fn register(
        &mut self,
        request: &Register,
        peer: &Arc<AsyncControlPeer>,
    ) -> Result<(Registered, AcceptSocket), Denied> {
        let quotas = &self.quotas;
        let checked = check(request, quotas.addresses_per_registration())?;
        let Checked { prefixes, bound, per_message, grace } = checked;
        let PeerCredentials { uid, pid, .. } = peer.credentials();

        let table = self.shared.table.load_full();
        let asking = Asking::worker(uid, request.share);
        let Way { past, taken } = conflicts(&self.registrations, &table, &prefixes, &bound, asking)?;
        let handed = self.prepare(taken).map_err(Denied::NoDescriptor)?;
        let instead_of = handed.iter().filter(|handed| handed.ends()).count();
        let wanted = prefixes.iter().flat_map(|prefix| self.ports.wanted(prefix, &bound));
        let wanted: HashSet<SocketAddr> = wanted.map(|wanted| wanted.address).collect();
        self.quotas
            .admits(uid, wanted, instead_of)
            .map_err(|why| refused(RefusedReason::RegistrationQuotaExceeded, None, why))?;
        let (sender, ours, theirs) = accept_socket().map_err(Denied::NoDescriptor)?;
        let open = self.listen(&prefixes, &bound)?;

        let id = self.next_id();
        let queue = Queue::new(id, shown(&request.addresses), sender, ours, per_message);
        let queue = if request.share { queue.sharing(&self.turns) } else { queue };
        let holder = Holder::Worker(Arc::new(queue.of(Worker { pid: seen(pid), uid })));
        let mut table = Table::clone(&table);
        let mut ended = self.forget_past(past, &mut table);
        ended.extend(self.make_way(handed, &mut table));
        for prefix in &prefixes {
            table.insert(Target::new(prefix.clone(), holder.clone(), &bound).share(request.share));
        }
        self.quotas.begin(uid, &open);
        let mut listening = open.clone();
        listening.sort_unstable();
        listening.dedup();
        let (owner, share) = (Owner::Worker(Arc::clone(peer)), request.share);
        let registration =
            Registration { holder, prefixes, open, bound, owner, draining: false, share, grace };
        self.registrations.insert(id, registration);
        self.publish(table);
        self.keep(id);
        // Only now: what these left behind finds the new registration.
        self.end_all(ended);
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
        // The process of a worker that has left may be another's by now.
        let worker =
            registration.filter(|of| of.owner.until().is_none()).and_then(|of| of.owner.credentials());
        routed.pid = worker.and_then(|worker| seen(worker.pid));
        routed
    }

    /// Which of a worker's registrations a session with this Via belongs to, on a connection that it has.
    pub(crate) fn validate(&self, validate: &handoff::Validate, registrations: &[u64]) -> Option<u64> {
        own(&self.shared.table.load(), &validate.via, validate.local, registrations)
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

    /// The registration is in the table no longer. First nothing more can be sent to it, then what is left is taken back, and
    /// dispatched again.
    pub(super) fn end(&mut self, registration: Registration, reason: &'static str) {
        self.end_by(registration, reason, Command::Ended);
    }

    /// Each of these, and why.
    pub(super) fn end_all(&mut self, ended: Vec<(Registration, &'static str)>) {
        for (registration, reason) in ended {
            self.end(registration, reason);
        }
    }

    /// The same; the command says what becomes of what is left.
    pub(super) fn end_by(
        &mut self,
        registration: Registration,
        reason: &'static str,
        left: fn(Arc<Queue>) -> Command,
    ) {
        let Registration { holder, prefixes, open, owner, .. } = registration;
        self.keep_no_longer(holder.id());
        if let Holder::Worker(queue) = &holder {
            queue.end();
        }
        let credentials = owner.credentials();
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
            self.shared.commands.send(left(queue));
        }
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
        self.absent.end(&registration.owner, id);
        for prefix in &registration.prefixes {
            table.remove(prefix, id);
        }
        Some(registration)
    }
}

/// The sending end, our copy of the receiving end, and the worker's.
pub(super) fn accept_socket() -> io::Result<(AcceptSender, AcceptSocket, AcceptSocket)> {
    let (sender, theirs) = accept_pair()?;
    Ok((sender, theirs.try_clone()?, theirs))
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
    let grace = Duration::from_secs(request.grace_seconds);
    if grace > Register::LONGEST_GRACE {
        let (asked, most) = (request.grace_seconds, Register::LONGEST_GRACE.as_secs());
        return invalid(None, format!("grace_seconds is {asked}; it is at most {most}"));
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
    Ok(Checked { prefixes, bound, per_message: request.sockets_per_message(), grace })
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
pub(super) fn shown(addresses: &[String]) -> String {
    match addresses {
        [] => String::new(),
        [address] => address.clone(),
        [first, more @ ..] => format!("{first} and {} more", more.len()),
    }
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
