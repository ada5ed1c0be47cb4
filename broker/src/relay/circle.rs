//! Static routes that lead back to the broker itself: each connection would become another, until there are no more.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

use router::Via;

use crate::config::{Config, RelayTo, Route};
use crate::listening::is_here;
use crate::lock::lock;
use crate::routes::holder::Holder;
use crate::routes::table::{Choice, Table, Target};
use crate::socket_options::{local_address, peer_address};

/// The routes whose relays are found at a port of the broker, and which route each finds there. A back-end with a name, or
/// behind another machine, shows itself only in a connection: [`UnderWay`].
pub(crate) fn circles<'c>(config: &'c Config, table: &Table) -> impl Iterator<Item = (&'c Route, String)> {
    config.routes.iter().filter_map(|route| {
        let RelayTo::Tcp(to) = &route.relay else { return None };
        let at = with_loopback(*to);
        let listens = config.listen.is_empty() || config.listen.contains(&at.ip());
        // An exact address is found by its Via, whatever port that came to; but who comes needs a port that is open.
        let open = listens && config.routes.iter().any(|other| other.prefix.port() == at.port());
        // Port 0 is free: only the address is of interest.
        if !open || is_here(SocketAddr::new(at.ip(), 0)).is_err() {
            return None;
        }
        let via = Via::parse(route.prefix.address()).ok()?;
        let Choice::Direct(target @ Target { holder: Holder::Route(_), .. }, _) = table.choose(&via, at)
        else {
            return None;
        };
        let message = format!(
            "its relay leads back: {to} is the broker itself, and its route {}; write where the back-end listens",
            target.prefix.address()
        );
        Some((route, message))
    })
}

/// Where a connection to "all addresses" goes.
fn with_loopback(mut to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => to.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => to.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    to
}

/// Relays that do not leave this machine, by both addresses of their connection to the back-end.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashSet<(SocketAddr, SocketAddr)>>);

impl UnderWay {
    /// Notes a connection to a back-end, until the guard is dropped. Nothing may have been sent on it: by its preamble the other
    /// end of it would be found to be ours too early.
    pub(crate) fn note(self: &Arc<Self>, back_end: &OwnedFd, to: &RelayTo) -> Option<Noted> {
        let to = match to {
            RelayTo::Unix(_) => return None,
            RelayTo::Name(_) => peer_address(back_end)?,
            RelayTo::Tcp(to) => with_loopback(*to),
        };
        let from = local_address(back_end)?;
        // To an address of this machine the kernel goes from the same one, or from loopback to loopback.
        let stays = from.ip() == to.ip() || (from.ip().is_loopback() && to.ip().is_loopback());
        let ends = (from, to);
        (stays && lock(&self.0).insert(ends)).then(|| Noted { under_way: Arc::clone(self), ends })
    }

    /// Whether an accepted connection is the other end of one of these.
    pub(crate) fn has(&self, accepted: impl AsFd) -> bool {
        let under_way = lock(&self.0);
        !under_way.is_empty()
            && peer_address(&accepted)
                .zip(local_address(&accepted))
                .is_some_and(|ends| under_way.contains(&ends))
    }
}

/// See [`UnderWay::note`].
#[derive(Debug)]
pub(crate) struct Noted {
    under_way: Arc<UnderWay>,
    ends: (SocketAddr, SocketAddr),
}

impl Drop for Noted {
    fn drop(&mut self) {
        lock(&self.under_way.0).remove(&self.ends);
    }
}
