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
mod tests {
    use router::HostNameComparison;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    /// With a thread for the loop, which says in the end what it was told.
    fn ports() -> (Ports, UnboundedReceiver<Job>, impl FnOnce() -> Vec<String>) {
        let commands = Arc::new(Commands::new().unwrap());
        let (jobs, received) = unbounded_channel();
        let ports = Ports::new(Arc::clone(&commands), jobs, Vec::new());
        let heard = std::thread::spawn({
            let commands = Arc::clone(&commands);
            move || {
                let mut heard = Vec::new();
                loop {
                    rustix::event::poll(&mut [rustix::event::PollFd::new(&*commands, IN)], None).unwrap();
                    for command in commands.receive() {
                        match command {
                            Command::Listen(new) => heard.push(format!("listen {}", new.address.ip())),
                            Command::Unlisten(old, done) => {
                                heard.push(format!("unlisten {}", old.address.ip()));
                                done.send(()).unwrap();
                            }
                            _ => return heard,
                        }
                    }
                }
            }
        });
        (ports, received, move || {
            commands.send(Command::Stop);
            heard.join().unwrap()
        })
    }

    const IN: rustix::event::PollFlags = rustix::event::PollFlags::IN;
    const ABSENT: &str = "203.0.113.7";

    fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn at(ip: &str, port: u16) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), port)
    }

    #[test]
    fn of_all_what_is_here_is_opened() {
        let (mut ports, _jobs, _) = ports();
        let port = free_port();
        let mut acquire = |wanted: &[(&str, bool)]| {
            let wanted: Vec<Wanted> =
                wanted.iter().map(|&(ip, optional)| Wanted { address: at(ip, port), optional }).collect();
            let acquired = ports.acquire(&wanted).map_err(|error| error.is_absent());
            ports.release(acquired.as_deref().unwrap_or_default());
            assert!(ports.open.is_empty());
            acquired
        };
        let here = "127.0.0.1";
        assert_eq!(acquire(&[(ABSENT, true), (here, true)]), Ok(vec![at(here, port)]));
        assert_eq!(acquire(&[(here, true), (ABSENT, true)]), Ok(vec![at(here, port)]));
        assert_eq!(acquire(&[(here, true), (ABSENT, false)]), Err(true));
        assert_eq!(acquire(&[(ABSENT, true)]), Err(true));
        assert_eq!(acquire(&[]), Ok(vec![]));
    }

    #[test]
    fn what_closes_before_the_loop_knows_of_it_it_never_hears_of() {
        let (mut ports, _jobs, heard) = ports();
        let port = free_port();
        let wanted = ["127.0.0.1", "127.0.0.2"].map(|ip| Wanted { address: at(ip, port), optional: false });
        let acquired = ports.acquire(&wanted).unwrap();
        ports.release(&acquired[..1]);
        ports.accept();
        assert_eq!(heard(), ["listen 127.0.0.2"]);
    }

    #[test]
    fn a_socket_that_was_left_closes_when_it_is_said_to() {
        let (mut ports, mut jobs, heard) = ports();
        let mut left = Vec::new();
        for port in [free_port(), free_port()] {
            let wanted = |ip| Wanted { address: at(ip, port), optional: false };
            let all = ports.acquire(&[wanted("0.0.0.0")]).unwrap();
            ports.acquire(&[wanted("127.0.0.1")]).unwrap();
            ports.accept();
            ports.release(&all);
            let Ok(Job::CloseLater(socket)) = jobs.try_recv() else { panic!("it is not to be closed") };
            left.push(socket);
        }
        ports.close_left(&left[0]);
        let open: Vec<bool> = left.iter().map(|socket| socket.upgrade().is_some()).collect();
        assert_eq!(open, [false, true]);
        let heard = heard();
        assert_eq!(heard.iter().filter(|heard| *heard == "unlisten 0.0.0.0").count(), 1, "{heard:?}");
    }

    #[test]
    fn what_addresses_ask_for() {
        for (listen, address, bound, expected) in [
            (&[][..], "net.tcp://localhost/x", None, &["0.0.0.0:808", "[::]:808"][..]),
            (&[], "net.tcp://127.0.0.1:9000/x", None, &["127.0.0.1:9000"]),
            (&[], "net.tcp://0.0.0.0:9000/x", None, &["0.0.0.0:9000"]),
            (&[], "net.tcp://[::]:9000/x", None, &["[::]:9000"]),
            (&[], "net.tcp://h:9000/x", Some(&["127.0.0.1", "::1"][..]), &["127.0.0.1:9000", "[::1]:9000"]),
            (&["192.0.2.1", "::1"], "net.tcp://h:9000/x", None, &["192.0.2.1:9000", "[::1]:9000"]),
            (&["192.0.2.1"], "net.tcp://127.0.0.1:9000/x", None, &["127.0.0.1:9000"]),
            (&["192.0.2.1"], "net.tcp://h:9000/x", Some(&["0.0.0.0", "::"]), &["192.0.2.1:9000"]),
        ] {
            let listen: Vec<IpAddr> = listen.iter().map(|ip| ip.parse().unwrap()).collect();
            let prefix = Prefix::parse(address, HostNameComparison::default()).unwrap();
            let bound = Bound(bound.map(|ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect()));
            let wanted: Vec<String> =
                wanted(&listen, &prefix, &bound).iter().map(|wanted| wanted.address.to_string()).collect();
            assert_eq!(wanted, expected, "{address}");
        }
    }

    /// What the configuration or the registration names has to be here; of "all" one family may not be.
    #[test]
    fn all_may_be_in_part() {
        for (listen, address, bound, optional) in [
            (&[][..], "net.tcp://localhost/x", None, true),
            (&[], "net.tcp://0.0.0.0/x", None, false),
            (&[], "net.tcp://[::1]/x", None, false),
            (&[], "net.tcp://localhost/x", Some("::"), false),
            (&["192.0.2.1"], "net.tcp://localhost/x", None, false),
        ] {
            let listen: Vec<IpAddr> = listen.iter().map(|ip: &&str| ip.parse().unwrap()).collect();
            let prefix = Prefix::parse(address, HostNameComparison::default()).unwrap();
            let bound = Bound(bound.map(|ip: &str| [ip.parse().unwrap()].into_iter().collect()));
            let wanted = wanted(&listen, &prefix, &bound);
            assert!(!wanted.is_empty() && wanted.iter().all(|one| one.optional == optional), "{wanted:?}");
        }
    }
}
