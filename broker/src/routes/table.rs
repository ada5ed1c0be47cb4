//! The route table: who gets the connections of an address, on which local addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use router::{Admission, Host, Match, Miss, Prefix, RouteTable, Via};

use super::holder::Holder;

/// One generation of the table, read without a lock; an edited copy replaces it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    routes: RouteTable<Endpoint>,
}

/// What is behind an address: one target, or several that are bound to different local addresses.
#[derive(Clone, Debug)]
struct Endpoint {
    targets: Arc<[Target]>,
}

/// One address of a registration, or one static route.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) prefix: Prefix,
    pub(crate) holder: Holder,
    bound: Bound,
    /// Bound by the IP literal in its address alone, so that the original's rule holds (docs/original.md §6.4): a connection to another
    /// local address goes to no shorter address of the mode either, and over no bridge.
    by_literal: bool,
}

/// The local addresses that a worker's own listener would have had; `None`: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bound(pub(crate) Option<Arc<[IpAddr]>>);

/// What is to be done with a connection that arrived on some local address.
#[derive(Debug)]
pub(crate) enum Choice<'t> {
    /// The target's own listener could have accepted it.
    Direct(&'t Target, Found),
    /// Only over a loopback connection to this address, which is of the target's family.
    Bridge(&'t Target, IpAddr, Found),
    /// It depends on the local address, of which only the family is known.
    Unknown,
    /// No target's listener could have accepted it.
    None(Miss),
}

/// How an address matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) mode: router::HostNameComparison,
    pub(crate) segments: usize,
}

impl Table {
    /// Where a connection to `local` goes that asks for `via`: to the first address in the router's order whose listener could
    /// accept it, by bridge if there is no other way. Where `local` is all addresses of a family, the kernel has not been asked.
    #[inline]
    pub(crate) fn choose(&self, via: &Via<'_>, local: SocketAddr) -> Choice<'_> {
        let (ip, mut unknown) = (local.ip(), false);
        let found = self.routes.lookup_where(via, local, |_, endpoint| {
            unknown |= ip.is_unspecified() && endpoint.differs_within(ip);
            endpoint.admission(endpoint.direct(ip))
        });
        if unknown {
            return Choice::Unknown;
        }
        match found {
            Ok(Match { value: target, mode, segments, .. }) => {
                Choice::Direct(target, Found { mode, segments })
            }
            Err(miss) => self.bridge(via, local).unwrap_or(Choice::None(miss)),
        }
    }

    /// Only loopback: there the connection that the broker makes is the same but for its family. What is not loopback but a socket
    /// for a whole family is asked about when the address is known.
    #[cold]
    #[inline(never)]
    fn bridge(&self, via: &Via<'_>, local: SocketAddr) -> Option<Choice<'_>> {
        let (ip, mut unknown) = (local.ip(), false);
        let found = self.routes.lookup_where(via, local, |_, endpoint| {
            let bridged = endpoint.bridged(ip);
            unknown |= bridged.is_some() && ip.is_unspecified();
            endpoint.admission(bridged)
        });
        if unknown {
            return Some(Choice::Unknown);
        }
        let Match { value: target, mode, segments, .. } = found.ok().filter(|_| ip.is_loopback())?;
        let to = target.bound.loopback_of_the_other_family(ip)?;
        Some(Choice::Bridge(target, to, Found { mode, segments }))
    }

    /// Those that have this address on a local address of these.
    pub(crate) fn overlapping<'t>(
        &'t self,
        prefix: &Prefix,
        bound: &Bound,
    ) -> impl Iterator<Item = &'t Target> + use<'t> {
        let bound = bound.of(prefix);
        let targets = self.routes.get(prefix).map(|(_, endpoint)| &*endpoint.targets).unwrap_or_default();
        targets.iter().filter(move |target| target.bound.overlaps(&bound))
    }

    /// Puts a target beside those that it does not overlap with.
    pub(crate) fn insert(&mut self, target: Target) {
        let prefix = target.prefix.clone();
        match self.routes.get(&prefix).map(|(_, endpoint)| endpoint.with(target.clone())) {
            Some(endpoint) => drop(self.routes.replace(&prefix, endpoint)),
            None => drop(self.routes.register(prefix, Endpoint { targets: Arc::from([target]) })),
        }
    }

    /// Takes an address of a holder out.
    pub(crate) fn remove(&mut self, prefix: &Prefix, id: u64) {
        match self.routes.get(prefix).map(|(_, endpoint)| endpoint.without(id)) {
            Some(Some(rest)) => drop(self.routes.replace(prefix, rest)),
            Some(None) => drop(self.routes.unregister(prefix)),
            None => {}
        }
    }
}

impl Endpoint {
    /// The same with one target more.
    fn with(&self, target: Target) -> Self {
        Self { targets: self.targets.iter().cloned().chain([target]).collect() }
    }

    /// The same without a holder; `None` if it was the only one.
    fn without(&self, id: u64) -> Option<Self> {
        let targets: Arc<[Target]> =
            self.targets.iter().filter(|target| target.holder.id() != id).cloned().collect();
        (!targets.is_empty()).then_some(Self { targets })
    }

    /// The target whose listener could accept a connection to `local`.
    fn direct(&self, local: IpAddr) -> Option<&Target> {
        self.targets.iter().find(|target| target.bound.accepts(local))
    }

    /// The target that can be reached over loopback.
    fn bridged(&self, local: IpAddr) -> Option<&Target> {
        let may = |target: &&Target| !target.by_literal && target.holder.is_worker();
        let mut targets = self.targets.iter().filter(may);
        targets.find(|target| target.bound.loopback_of_the_other_family(local).is_some())
    }

    /// What becomes of a connection for which this target was found, or none.
    fn admission<'t>(&self, target: Option<&'t Target>) -> Admission<'t, Target> {
        match target {
            Some(target) => Admission::Admit(target),
            None if self.targets.iter().any(|target| target.by_literal) => Admission::EmptyMode,
            None => Admission::PassOver,
        }
    }

    /// Whether not all addresses of this family are the same to it.
    fn differs_within(&self, family: IpAddr) -> bool {
        self.targets.iter().any(|target| target.bound.differs_within(family))
    }
}

impl Target {
    pub(crate) fn new(prefix: Prefix, holder: Holder, bound: &Bound) -> Self {
        let by_literal = bound.0.is_none() && literal(&prefix).is_some();
        Self { bound: bound.of(&prefix), holder, prefix, by_literal }
    }
}

/// The only local address that a connection for this registered address may have come to.
fn literal(prefix: &Prefix) -> Option<IpAddr> {
    match prefix.host() {
        Host::Ip(ip) if !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

impl Bound {
    /// What is left of these for an address that may have an IP literal for its host.
    fn of(&self, prefix: &Prefix) -> Self {
        literal(prefix).map_or_else(|| self.clone(), |literal| Self(Some(Arc::from([literal]))))
    }

    /// Whether no connection for this address could be accepted: its IP literal is none of these.
    pub(crate) fn excludes(&self, prefix: &Prefix) -> bool {
        literal(prefix).is_some_and(|literal| !self.accepts(literal))
    }

    fn differs_within(&self, family: IpAddr) -> bool {
        self.0.as_ref().is_some_and(|addresses| {
            let mut of_family = addresses.iter().filter(|bound| same_family(**bound, family));
            of_family.clone().next().is_some() && !of_family.any(IpAddr::is_unspecified)
        })
    }

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
    use proptest::prelude::*;
    use router::HostNameComparison;

    use super::super::holder::StaticRoute;
    use super::super::queue::Queue;
    use super::*;
    use crate::config::RelayTo;

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

    /// Two of each family, and one that is not loopback.
    const LOCALS: [&str; 5] = ["127.0.0.1", "127.0.0.2", "192.0.2.1", "::1", "2001:db8::1"];
    const MODES: [HostNameComparison; 3] =
        [HostNameComparison::StrongWildcard, HostNameComparison::Exact, HostNameComparison::WeakWildcard];

    /// An address as somebody registers it.
    #[derive(Clone, Debug)]
    struct Asked {
        mode: HostNameComparison,
        host: &'static str,
        path: Vec<&'static str>,
        bound: Option<Vec<IpAddr>>,
        relay: bool,
    }

    impl Asked {
        fn prefix(&self) -> Prefix {
            Prefix::parse(&format!("net.tcp://{}:9000/{}", self.host, self.path.join("/")), self.mode)
                .unwrap()
        }

        fn bound(&self) -> Bound {
            Bound(self.bound.as_ref().map(|bound| bound.iter().copied().collect()))
        }

        fn literal(&self) -> Option<IpAddr> {
            self.host.trim_matches(['[', ']']).parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified())
        }

        /// Whether its own listener would accept a connection to this address.
        fn accepts(&self, local: IpAddr) -> bool {
            let listens = self.bound.as_ref().is_none_or(|bound| {
                bound.contains(&local)
                    || bound.iter().any(|ip| ip.is_unspecified() && ip.is_ipv4() == local.is_ipv4())
            });
            listens && self.literal().is_none_or(|literal| literal == local)
        }

        /// Whether it is reached over the other family of loopback.
        fn bridged(&self, local: IpAddr) -> bool {
            let other = |ip: &str| {
                let ip: IpAddr = ip.parse().unwrap();
                ip.is_loopback() && ip.is_ipv4() != local.is_ipv4() && self.accepts(ip)
            };
            self.bound.is_some() && !self.relay && local.is_loopback() && LOCALS.into_iter().any(other)
        }

        fn same_text(&self, other: &Self) -> bool {
            self.mode == other.mode
                && self.path == other.path
                && (self.mode != HostNameComparison::Exact || self.host == other.host)
        }

        fn conflicts(&self, other: &Self) -> bool {
            let both = |ip: &str| self.accepts(ip.parse().unwrap()) && other.accepts(ip.parse().unwrap());
            self.same_text(other) && LOCALS.into_iter().any(both)
        }

        fn matches(&self, host: &str, path: &[&str]) -> bool {
            path.starts_with(&self.path) && (self.mode != HostNameComparison::Exact || self.host == host)
        }
    }

    /// Which of these takes a connection, by the rules one after the other: modes in their order, longest addresses first; one that
    /// cannot take it leaves it to the next, but an IP literal without more to the next mode.
    fn naive(asked: &[Asked], host: &str, path: &[&str], takes: impl Fn(&Asked) -> bool) -> Option<usize> {
        for mode in MODES {
            for length in (0..=path.len()).rev() {
                let here =
                    |one: &Asked| one.mode == mode && one.path.len() == length && one.matches(host, path);
                let mut here = (0..asked.len()).filter(|n| here(&asked[*n]));
                if let Some(n) = here.clone().find(|n| takes(&asked[*n])) {
                    return Some(n);
                }
                if here.any(|n| asked[n].literal().is_some() && asked[n].bound.is_none()) {
                    break;
                }
            }
        }
        None
    }

    fn asked() -> impl Strategy<Value = Asked> {
        let mode = proptest::sample::select(&MODES);
        let host = proptest::sample::select(&["h", "g", "127.0.0.1", "127.0.0.2", "[::1]", "0.0.0.0"]);
        let path = proptest::collection::vec(proptest::sample::select(&["a", "b"]), 0..3);
        let ips = ["127.0.0.1", "127.0.0.2", "192.0.2.1", "::1", "0.0.0.0", "::"];
        let ip = proptest::sample::select(ips.map(|ip| ip.parse::<IpAddr>().unwrap()).to_vec());
        let bound = proptest::option::weighted(0.7, proptest::collection::vec(ip, 1..3));
        (mode, host, path, bound, proptest::bool::weighted(0.2)).prop_map(
            |(mode, host, path, bound, relay)| Asked {
                mode,
                host,
                path,
                bound: bound.filter(|_| !relay),
                relay,
            },
        )
    }

    fn holder(n: usize, relay: bool) -> Holder {
        let id = n.try_into().unwrap();
        if relay {
            return Holder::Route(Arc::new(StaticRoute { id, to: RelayTo::Name("back-end:1".to_owned()) }));
        }
        let (sender, theirs) = handoff::accept_pair().unwrap();
        Holder::Worker(Arc::new(Queue::new(id, String::new(), sender, theirs, 1)))
    }

    /// Which one this is.
    fn number(target: &Target) -> usize {
        target.holder.id().try_into().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn whoever_registers_gets_what_its_own_listener_would(
            wanted in proptest::collection::vec(asked(), 1..7),
            leaving in proptest::collection::vec(any::<bool>(), 7),
            extra in proptest::collection::vec(proptest::sample::select(&["a", "b"]), 0..3),
        ) {
            let (mut table, mut here) = (Table::default(), Vec::<Asked>::new());
            let mut names = Vec::new();
            for (n, one) in wanted.iter().enumerate() {
                let (prefix, bound) = (one.prefix(), one.bound());
                prop_assert_eq!(bound.excludes(&prefix), !LOCALS.iter().any(|ip| one.accepts(ip.parse().unwrap())));
                if bound.excludes(&prefix) {
                    continue;
                }
                let conflict = table.overlapping(&prefix, &bound).next().map(number);
                let naive = here.iter().position(|other| other.conflicts(one)).map(|n| names[n]);
                prop_assert_eq!(conflict, naive);
                if conflict.is_none() {
                    table.insert(Target::new(prefix, holder(n, one.relay), &bound));
                    here.push(one.clone());
                    names.push(n);
                }
            }
            for (n, leaves) in (0..wanted.len()).zip(leaving) {
                if let Some(at) = names.iter().position(|name| leaves && *name == n && !wanted[n].relay) {
                    table.remove(&here.remove(at).prefix(), names.remove(at).try_into().unwrap());
                }
            }
            let vias = here.iter().flat_map(|one| ["h", "x", one.host].map(|host| (host, one.path.clone())));
            for (host, mut path) in vias.chain([("h", Vec::new())]).collect::<Vec<_>>() {
                path.extend(&extra);
                let text = format!("net.tcp://{host}:9000/{}", path.join("/"));
                let via = Via::parse(&text).unwrap();
                for ip in LOCALS {
                    let local = SocketAddr::new(ip.parse().unwrap(), 9000);
                    let direct = naive(&here, host, &path, |one| one.accepts(local.ip()));
                    let bridge = naive(&here, host, &path, |one| one.bridged(local.ip()));
                    let expected = direct.or(bridge).map(|n| (names[n], direct.is_none()));
                    let chosen = |choice: &Choice<'_>| match choice {
                        Choice::Direct(target, _) => Some((number(target), false)),
                        Choice::Bridge(target, ..) => Some((number(target), true)),
                        Choice::None(_) | Choice::Unknown => None,
                    };
                    let choice = table.choose(&via, local);
                    prop_assert!(!matches!(choice, Choice::Unknown));
                    prop_assert_eq!(chosen(&choice), expected, "{} on {}", text, ip);
                    // What is said before the address is known holds whatever it is.
                    let of_family: IpAddr =
                        if local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                    let early = table.choose(&via, SocketAddr::new(of_family, 9000));
                    if !matches!(early, Choice::Unknown) {
                        prop_assert_eq!(chosen(&early), expected, "{} on {}, not asked", text, ip);
                    }
                }
            }
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
