use std::os::fd::AsFd;

use proptest::prelude::*;
use router::HostNameComparison;

use super::*;
use crate::config::RelayTo;
use crate::limits::Descriptors;
use crate::routes::holder::StaticRoute;
use crate::routes::queue::{Bounds, Queue};

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
        Prefix::parse(&format!("net.tcp://{}:9000/{}", self.host, self.path.join("/")), self.mode).unwrap()
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
            let here = |one: &Asked| one.mode == mode && one.path.len() == length && one.matches(host, path);
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
    (mode, host, path, bound, proptest::bool::weighted(0.2)).prop_map(|(mode, host, path, bound, relay)| {
        Asked { mode, host, path, bound: bound.filter(|_| !relay), relay }
    })
}

fn holder(n: usize, relay: bool) -> Holder {
    let id = n.try_into().unwrap();
    if relay {
        return Holder::Route(Arc::new(StaticRoute::new(id, RelayTo::Name("back-end:1".to_owned()))));
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

/// What happens around an address that several share.
#[derive(Clone, Debug)]
enum Event {
    Arrives,
    /// What was chosen for this one and not sent yet is sent, or held for it.
    Sent(usize),
    Held(usize),
    Takes(usize),
    Drains(usize, bool),
    Leaves(usize),
}

/// One of them as the naive model knows it: each connection for itself.
#[derive(Clone, Debug, Default)]
struct Sharer {
    coming: Vec<()>,
    queued: Vec<()>,
    held: Vec<()>,
    draining: bool,
    left: bool,
    last_chosen: Option<usize>,
}

impl Sharer {
    fn waiting(&self) -> usize {
        self.coming.len() + self.queued.len() + self.held.len()
    }
}

/// Who gets the next connection: written down as the protocol says it.
fn next_of(sharers: &[Sharer]) -> usize {
    let all = || sharers.iter().enumerate();
    let mut here: Vec<(usize, &Sharer)> =
        all().filter(|(_, sharer)| !sharer.draining && !sharer.left).collect();
    here.sort_by_key(|(_, sharer)| sharer.last_chosen);
    here.sort_by_key(|(_, sharer)| sharer.waiting());
    let waits_for_the_next = all().find(|(_, sharer)| !sharer.draining);
    here.first().copied().or(waits_for_the_next).map_or(0, |(number, _)| number)
}

const SHARERS: usize = 3;

fn an_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Arrives),
        3 => (0..SHARERS).prop_map(Event::Sent),
        1 => (0..SHARERS).prop_map(Event::Held),
        3 => (0..SHARERS).prop_map(Event::Takes),
        1 => (0..SHARERS, any::<bool>()).prop_map(|(number, draining)| Event::Drains(number, draining)),
        1 => (0..SHARERS).prop_map(Event::Leaves),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Real accept sockets, which are asked how much is in them.
    #[test]
    fn of_several_the_naive_one_is_chosen(events in prop::collection::vec(an_event(), 1..60)) {
        let bounds = Bounds::new(100, &Descriptors::raise());
        let prefix = Prefix::parse("net.tcp://localhost:9000/x", HostNameComparison::default()).unwrap();
        let (mut table, turns) = (Table::default(), Arc::default());
        let mut workers = Vec::new();
        for id in 0..SHARERS {
            let (sender, worker) = handoff::accept_pair().unwrap();
            let id = u64::try_from(id).unwrap();
            let queue = Queue::new(id, String::new(), sender, worker.try_clone().unwrap(), 1);
            let queue = Arc::new(queue.sharing(&turns));
            let holder = Holder::Worker(Arc::clone(&queue));
            table.insert(Target::new(prefix.clone(), holder, &Bound::default()).share(true));
            workers.push((queue, handoff::AcceptReceiver::new(worker)));
        }
        let via = Via::parse("net.tcp://localhost:9000/x/y").unwrap();
        let local = "127.0.0.1:9000".parse().unwrap();
        let some_socket = std::fs::File::open("/dev/null").unwrap();
        let mut naive = vec![Sharer::default(); SHARERS];
        for (now, event) in events.into_iter().enumerate() {
            match event {
                Event::Arrives => {
                    let Choice::Direct(target, _) = table.choose(&via, local) else { panic!() };
                    let expected = next_of(&naive);
                    prop_assert_eq!(target.holder.id(), u64::try_from(expected).unwrap(), "{:?}", naive);
                    prop_assert_eq!(target.draining, naive[expected].draining);
                    if !target.draining {
                        workers[expected].0.comes();
                        naive[expected].coming.push(());
                        naive[expected].last_chosen = Some(now);
                    }
                }
                Event::Sent(number) => {
                    for () in std::mem::take(&mut naive[number].coming) {
                        let sockets = [some_socket.as_fd()];
                        prop_assert_eq!(workers[number].0.send(sockets.into_iter(), &bounds), Ok(1));
                        workers[number].0.came(1);
                        naive[number].queued.push(());
                    }
                }
                Event::Held(number) => {
                    for () in std::mem::take(&mut naive[number].coming) {
                        prop_assert!(workers[number].0.hold(&bounds));
                        workers[number].0.came(1);
                        naive[number].held.push(());
                    }
                }
                Event::Takes(number) => {
                    let taken = workers[number].1.try_accept().unwrap();
                    prop_assert_eq!(taken.is_some(), naive[number].queued.pop().is_some());
                }
                Event::Drains(number, draining) => {
                    table.set_draining(&prefix, u64::try_from(number).unwrap(), draining);
                    naive[number].draining = draining;
                }
                Event::Leaves(number) => {
                    workers[number].0.set_absent();
                    naive[number].left = true;
                }
            }
        }
    }
}

#[test]
fn who_covers_whom() {
    let (any, four) = (Bound(None), bound(&["0.0.0.0"]));
    for (one, other, covers) in [
        (&any, &any, true),
        (&any, &four, true),
        (&four, &any, false),
        (&bound(&["0.0.0.0", "::"]), &any, true),
        (&four, &bound(&["127.0.0.1"]), true),
        (&bound(&["127.0.0.1"]), &four, false),
        (&bound(&["127.0.0.1", "::1"]), &bound(&["::1"]), true),
        (&bound(&["127.0.0.1"]), &bound(&["127.0.0.1", "::1"]), false),
    ] {
        assert_eq!(one.covers(other), covers, "{one:?} {other:?}");
    }
}
