//! The route table: who gets the connections of an address, on which local addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use router::{Admission, Host, Match, Miss, Prefix, RouteTable, Via};

use crate::routes::holder::Holder;
use crate::routes::sharing;

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
    /// It gets no new connections where another could have them, and refuses them else.
    pub(crate) draining: bool,
    /// Others of the same user may have the address as well, if they share it, too.
    pub(crate) share: bool,
    /// It drains or shares, so that another may have to be chosen. One question on the line instead of two.
    one_of_several: bool,
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

    /// Whether another than `id` is there who takes all that comes for its address: one that shares it, or the next.
    pub(crate) fn is_served_by_another(&self, prefix: &Prefix, bound: &Bound, id: u64) -> bool {
        let bound = bound.of(prefix);
        let targets = self.routes.get(prefix).map(|(_, endpoint)| &*endpoint.targets).unwrap_or_default();
        targets.iter().any(|target| {
            let is_another = target.holder.id() != id && target.bound.covers(&bound);
            is_another && !target.draining && !target.holder.is_absent()
        })
    }

    /// Puts a target beside those that it does not overlap with, or shares its address with.
    pub(crate) fn insert(&mut self, target: Target) {
        let prefix = target.prefix.clone();
        match self.routes.get(&prefix).map(|(_, endpoint)| endpoint.with(target.clone())) {
            Some(endpoint) => drop(self.routes.replace(&prefix, endpoint)),
            None => drop(self.routes.register(prefix, Endpoint { targets: Arc::from([target]) })),
        }
    }

    /// Lets a holder drain at one of its addresses, or no longer.
    pub(crate) fn set_draining(&mut self, prefix: &Prefix, id: u64, draining: bool) {
        if let Some((_, endpoint)) = self.routes.get(prefix) {
            let endpoint = endpoint.draining(id, draining);
            drop(self.routes.replace(prefix, endpoint));
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

    /// The same with one that drains, or does so no longer.
    fn draining(&self, id: u64, draining: bool) -> Self {
        let set = |target: &Target| match target.holder.id() == id {
            true => target.clone().draining(draining),
            false => target.clone(),
        };
        Self { targets: self.targets.iter().map(set).collect() }
    }

    /// The target whose listener could accept a connection to `local`.
    fn direct(&self, local: IpAddr) -> Option<&Target> {
        let mut targets = self.targets.iter();
        let first = targets.find(|target| target.bound.accepts(local))?;
        if first.one_of_several { self.among(|target| target.bound.accepts(local)) } else { Some(first) }
    }

    /// The target that can be reached over loopback.
    fn bridged(&self, local: IpAddr) -> Option<&Target> {
        let may = |target: &Target| {
            let could = target.bound.loopback_of_the_other_family(local).is_some();
            could && !target.by_literal && target.holder.is_worker()
        };
        let first = self.targets.iter().find(|target| may(target))?;
        if first.one_of_several { self.among(may) } else { Some(first) }
    }

    /// Of several that may have the connection: those whose worker is there come before those who wait for one, and these before
    /// those that drain.
    #[cold]
    #[inline(never)]
    fn among(&self, may: impl Fn(&Target) -> bool) -> Option<&Target> {
        let may = || self.targets.iter().filter(|target| may(target));
        let here = may().filter(|target| !target.draining && !target.holder.is_absent());
        let least = sharing::least(here, |target| target.holder.load());
        least.or_else(|| may().find(|target| !target.draining)).or_else(|| may().next())
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
        let bound = bound.of(&prefix);
        Self { prefix, holder, bound, by_literal, draining: false, share: false, one_of_several: false }
    }

    /// The same, which drains or not.
    pub(crate) fn draining(self, draining: bool) -> Self {
        Self { draining, one_of_several: draining || self.share, ..self }
    }

    /// The same, which shares its address or not.
    pub(crate) fn share(self, share: bool) -> Self {
        Self { share, one_of_several: share || self.draining, ..self }
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

    /// Whether each connection that the other accepts could be accepted by this.
    fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, _) => true,
            (Some(_), Some(theirs)) => theirs.iter().all(|&bound| self.accepts(bound)),
            (Some(ours), None) => {
                ours.contains(&Ipv4Addr::UNSPECIFIED.into()) && ours.contains(&Ipv6Addr::UNSPECIFIED.into())
            }
        }
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
mod tests;
