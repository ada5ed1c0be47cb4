//! What the route table holds: who gets the connections of an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use router::RouteTable;

use crate::config::RelayTo;
use crate::queue::Queue;

/// One generation of the table, read without a lock; an edited copy replaces it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) routes: RouteTable<Endpoint>,
    /// Whether an address with an IP literal is registered, so that a lookup depends on the local address.
    pub(crate) literals: bool,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { routes: RouteTable::new(), literals: false }
    }
}

/// What is behind an address: one target, or several that are bound to different local addresses.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) targets: Arc<[Target]>,
}

/// One registration, or one static route.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) way: Way,
    pub(crate) bound: Bound,
}

/// How a connection gets where it belongs.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Into the accept socket of a registration.
    HandOver(Arc<Queue>),
    /// Copied to a back-end.
    Relay(Arc<RelayTo>),
}

/// The local addresses that a worker's own listener would have had; `None`: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bound(pub(crate) Option<Arc<[IpAddr]>>);

/// What is to be done with a connection that arrived on some local address.
#[derive(Debug)]
pub(crate) enum Choice<'a> {
    /// The target's own listener could have accepted it.
    Direct(&'a Way),
    /// Only over a loopback connection to this address, which is of the target's family.
    Bridge(&'a Arc<Queue>, IpAddr),
    /// No target's listener could have accepted it.
    None,
}

impl Endpoint {
    pub(crate) fn one(target: Target) -> Self {
        Self { targets: Arc::from([target]) }
    }

    /// The same with one target more.
    pub(crate) fn with(&self, target: Target) -> Self {
        Self { targets: self.targets.iter().cloned().chain([target]).collect() }
    }

    /// The same without a registration; `None` if it was the only one.
    pub(crate) fn without(&self, id: u64) -> Option<Self> {
        let targets: Arc<[Target]> =
            self.targets.iter().filter(|target| target.id() != Some(id)).cloned().collect();
        (!targets.is_empty()).then_some(Self { targets })
    }

    /// The target whose listener could accept a connection to `local`, by bridge if there is no other way.
    pub(crate) fn choose(&self, local: IpAddr) -> Choice<'_> {
        if let Some(target) = self.targets.iter().find(|target| target.bound.accepts(local)) {
            return Choice::Direct(&target.way);
        }
        if !local.is_loopback() {
            return Choice::None;
        }
        let mut bridges = self.targets.iter().filter_map(|target| match &target.way {
            Way::HandOver(queue) => Some((queue, target.bound.loopback_of_the_other_family(local)?)),
            Way::Relay(_) => None,
        });
        bridges.next().map_or(Choice::None, |(queue, to)| Choice::Bridge(queue, to))
    }
}

impl Target {
    pub(crate) fn id(&self) -> Option<u64> {
        match &self.way {
            Way::HandOver(queue) => Some(queue.id()),
            Way::Relay(_) => None,
        }
    }
}

impl Bound {
    /// Whether a listener on these addresses accepts a connection to `local`.
    pub(crate) fn accepts(&self, local: IpAddr) -> bool {
        self.0.as_ref().is_none_or(|addresses| {
            addresses
                .iter()
                .any(|&bound| bound == local || (bound.is_unspecified() && same_family(bound, local)))
        })
    }

    /// Whether some connection could be accepted by both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (Some(ours), Some(theirs)) = (&self.0, &other.0) else { return true };
        ours.iter().any(|&a| {
            theirs
                .iter()
                .any(|&b| a == b || (same_family(a, b) && (a.is_unspecified() || b.is_unspecified())))
        })
    }

    fn loopback_of_the_other_family(&self, local: IpAddr) -> Option<IpAddr> {
        let other = self.0.as_ref()?.iter().copied().filter(|&bound| !same_family(bound, local));
        other.into_iter().find_map(|bound| match bound {
            IpAddr::V4(ip) if ip.is_unspecified() => Some(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => Some(Ipv6Addr::LOCALHOST.into()),
            bound => bound.is_loopback().then_some(bound),
        })
    }
}

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(addresses: &[&str]) -> Bound {
        Bound(Some(addresses.iter().map(|address| address.parse().unwrap()).collect()))
    }

    #[test]
    fn accepts_as_the_listener_would() {
        let any = |address: &str| Bound(None).accepts(address.parse().unwrap());
        assert!(any("::1") && any("192.0.2.1"));
        for (addresses, local, accepted) in [
            (&["127.0.0.1"][..], "127.0.0.1", true),
            (&["127.0.0.1"], "127.0.0.2", false),
            (&["127.0.0.1"], "::1", false),
            (&["0.0.0.0"], "192.0.2.1", true),
            (&["0.0.0.0"], "::1", false),
            (&["::"], "127.0.0.1", false),
            (&["0.0.0.0", "::"], "::1", true),
        ] {
            assert_eq!(bound(addresses).accepts(local.parse().unwrap()), accepted, "{addresses:?} {local}");
        }
    }

    #[test]
    fn bridges_only_loopback_to_the_other_family() {
        for (addresses, local, to) in [
            (&["127.0.0.1"][..], "::1", Some("127.0.0.1")),
            (&["0.0.0.0"], "::1", Some("127.0.0.1")),
            (&["::"], "127.0.0.9", Some("::1")),
            (&["192.0.2.1"], "::1", None),
            (&["127.0.0.1"], "127.0.0.2", None),
        ] {
            let bridge = bound(addresses).loopback_of_the_other_family(local.parse().unwrap());
            assert_eq!(bridge, to.map(|to| to.parse().unwrap()), "{addresses:?} {local}");
        }
    }

    #[test]
    fn disjoint_listeners_do_not_overlap() {
        assert!(!bound(&["127.0.0.1"]).overlaps(&bound(&["::1"])));
        assert!(!bound(&["0.0.0.0"]).overlaps(&bound(&["::"])));
        assert!(bound(&["0.0.0.0"]).overlaps(&bound(&["127.0.0.1"])));
        assert!(bound(&["0.0.0.0"]).overlaps(&Bound(None)));
    }
}
