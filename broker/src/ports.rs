//! Which ports are open, and for how many registrations.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use router::{Host, Prefix};
use tokio::sync::mpsc::UnboundedSender;

use crate::line::{Command, Errand, Line, Listening};
use crate::listening::{ListenError, open};
use crate::table::Bound;

/// An address that a registration wants open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) address: SocketAddr,
    /// One of several that mean "all": may be missing on this machine as long as another is not.
    pub(crate) optional: bool,
}

/// The open ports. The loop accepts from them.
#[derive(Debug)]
pub(crate) struct Ports {
    line: Arc<Line>,
    errands: UnboundedSender<Errand>,
    /// What "all addresses" means; empty: all.
    listen: Vec<IpAddr>,
    open: BTreeMap<SocketAddr, Open>,
}

#[derive(Debug)]
struct Open {
    /// 0: deaf, and about to be closed.
    users: usize,
    listening: Listening,
}

impl Ports {
    pub(crate) fn new(line: Arc<Line>, errands: UnboundedSender<Errand>, listen: Vec<IpAddr>) -> Self {
        Self { line, errands, listen, open: BTreeMap::new() }
    }

    /// What a registration of this address listens on.
    pub(crate) fn wanted(&self, prefix: &Prefix, bound: &Bound) -> Vec<Wanted> {
        wanted(&self.listen, prefix, bound)
    }

    /// Opens all of these, or none; returns those that are open now, to be closed again.
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

    fn acquire_one(&mut self, address: SocketAddr) -> Result<(), ListenError> {
        if let Some(open) = self.open.get_mut(&address) {
            if open.users == 0 {
                open.listening.hear();
                tracing::info!("listening on {address}");
            }
            open.users += 1;
            return Ok(());
        }
        let same_port: Vec<Listening> = self
            .open
            .values()
            .map(|open| &open.listening)
            .filter(|listening| listening.address.port() == address.port())
            .cloned()
            .collect();
        let listening = open(address, &same_port)?;
        tracing::info!("listening on {address}");
        self.line.send(Command::Listen(listening.clone()));
        self.open.insert(address, Open { users: 1, listening });
        Ok(())
    }

    /// Closes those that nobody else uses. Connections that are queued are accepted first.
    ///
    /// Beside another socket of ours on the port this takes a moment: the kernel may still keep connections from us that
    /// were made through the one that closes and are for who stays. It takes no new ones meanwhile.
    pub(crate) fn release(&mut self, addresses: &[SocketAddr]) {
        for address in addresses {
            let Some(open) = self.open.get_mut(address).filter(|open| open.users > 0) else { continue };
            open.users -= 1;
            if open.users > 0 {
                continue;
            }
            tracing::info!("closed {address}");
            if self.is_beside_another(*address) {
                if let Some(open) = self.open.get(address) {
                    open.listening.deafen();
                }
                let _ = self.errands.send(Errand::CloseLater(*address));
            } else {
                self.close(*address);
            }
        }
    }

    fn is_beside_another(&self, address: SocketAddr) -> bool {
        let others = self.open.iter().filter(|(other, open)| **other != address && open.users > 0);
        others
            .into_iter()
            .any(|(other, _)| other.port() == address.port() && other.is_ipv4() == address.is_ipv4())
    }

    /// Closes a port that nobody has come back to.
    pub(crate) fn close_unused(&mut self, address: SocketAddr) {
        if self.open.get(&address).is_some_and(|open| open.users == 0) {
            self.close(address);
        }
    }

    /// This one, and those that were kept only because of it.
    fn close(&mut self, address: SocketAddr) {
        self.line.unlisten(address);
        self.open.remove(&address);
        let unused =
            self.open.iter().filter(|(other, open)| other.port() == address.port() && open.users == 0);
        let unused: Vec<SocketAddr> =
            unused.map(|(other, _)| *other).filter(|other| !self.is_beside_another(*other)).collect();
        for other in unused {
            self.line.unlisten(other);
            self.open.remove(&other);
        }
    }
}

fn wanted(listen: &[IpAddr], prefix: &Prefix, bound: &Bound) -> Vec<Wanted> {
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

    use super::*;

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
}
