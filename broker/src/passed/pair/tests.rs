use std::collections::HashSet;
use std::thread;

use proptest::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

use super::*;
use crate::passed::manifest::{
    Address, Counted, Figures, Held, Left, Lingering, Listening, Parked, Queue, Registration, Worker,
};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// What a descriptor is of: an eventfd has an inode that all share, and a number of its own.
fn mark(number: u64) -> OwnedFd {
    let mark = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
    rustix::io::write(&mark, &(number + 1).to_ne_bytes()).unwrap();
    mark
}

fn marked(descriptor: &OwnedFd) -> u64 {
    let mut octets = [0; 8];
    rustix::io::read(descriptor, &mut octets).unwrap();
    let is_closed_on_exec =
        rustix::io::fcntl_getfd(descriptor).unwrap().contains(rustix::io::FdFlags::CLOEXEC);
    assert!(is_closed_on_exec, "no program that the broker starts has it");
    u64::from_ne_bytes(octets) - 1
}

fn figures() -> impl Strategy<Value = Figures> {
    any::<[u64; 7]>().prop_map(|[a, b, c, d, e, f, g]| Figures {
        age_milliseconds: a,
        relaying: b,
        relayed: c,
        refused: d,
        taken_back: e,
        octets_in: f,
        octets_out: g,
    })
}

fn queue() -> impl Strategy<Value = Queue> {
    (any::<[u64; 2]>(), any::<[u32; 2]>(), ".*", 1..33_usize, any::<bool>(), figures()).prop_map(
        |([id, handed_over], [sender, receiver], address, per_message, stuck, figures)| Queue {
            id,
            sender,
            receiver,
            address,
            per_message,
            handed_over,
            stuck,
            figures,
        },
    )
}

fn connection() -> impl Strategy<Value = Connection> {
    (any::<u32>(), any::<[Option<u32>; 2]>(), any::<bool>()).prop_map(
        |(socket, [accepted, known], handed_over)| Connection {
            socket,
            accepted_milliseconds: accepted,
            known_milliseconds: known,
            handed_over,
        },
    )
}

fn registration() -> impl Strategy<Value = Registration> {
    let address = (".*", ".*").prop_map(|(address, mode)| Address { address, mode });
    let addresses = prop::collection::vec(address, 0..4);
    let bound = any::<Option<Vec<std::net::IpAddr>>>();
    let open = any::<Vec<std::net::SocketAddrV4>>();
    let left = any::<Option<([u32; 3], u64)>>().prop_map(|left| {
        left.map(|([uid, gid, pid], rest_milliseconds)| Left { uid, gid, pid, rest_milliseconds })
    });
    let whose = (any::<Option<usize>>(), left);
    (any::<[u64; 2]>(), whose, addresses, bound, open, any::<[bool; 2]>(), queue()).prop_map(
        |([id, grace_milliseconds], (worker, left), addresses, bound, open, [draining, share], queue)| {
            Registration {
                id,
                worker,
                left,
                addresses,
                bound,
                open: open.into_iter().map(Into::into).collect(),
                draining,
                share,
                grace_milliseconds,
                queue,
            }
        },
    )
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let counted = (any::<[u64; 3]>(), any::<BTreeMap<String, u64>>()).prop_map(
        |([accepted, taken_back, returned], outcomes)| Counted { accepted, taken_back, returned, outcomes },
    );
    let listening = (any::<std::net::SocketAddrV4>(), any::<u64>(), any::<Option<u32>>())
        .prop_map(|(address, since, socket)| Listening { address: address.into(), since, socket });
    let worker =
        (any::<u32>(), any::<bool>()).prop_map(|(socket, administrator)| Worker { socket, administrator });
    let parked = (connection(), any::<bool>(), any::<u64>()).prop_map(|(connection, refused, waited)| {
        Parked { connection, refused, waited_milliseconds: waited }
    });
    let held = (any::<u64>(), prop::collection::vec(connection(), 0..4))
        .prop_map(|(queue, connections)| Held { queue, connections });
    let lingering = (any::<u32>(), any::<Option<u32>>(), any::<u64>(), any::<BTreeMap<u64, u64>>())
        .prop_map(|(pid, pair, connections, relaying)| Lingering { pid, pair, connections, relaying });
    (
        any::<[u64; 2]>(),
        counted,
        prop::collection::vec(listening, 0..4),
        prop::collection::vec(worker, 0..4),
        prop::collection::vec(registration(), 0..4),
        prop::collection::vec(parked, 0..4),
        prop::collection::vec(held, 0..4),
        prop::collection::vec(queue(), 0..2),
        prop::collection::vec(lingering, 0..3),
    )
        .prop_map(
            |(
                [frozen_at, last_id],
                counted,
                listening,
                workers,
                registrations,
                parked,
                held,
                left,
                lingering,
            )| {
                Manifest {
                    frozen_at,
                    last_id,
                    counted,
                    listening,
                    workers,
                    registrations,
                    parked,
                    held,
                    left,
                    lingering,
                    ..Manifest::default()
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Descriptors too, each as what it was.
    #[test]
    fn what_is_passed_is_what_arrives(manifest in manifest(), count in 0..600_usize) {
        let (old, new) = Pair::new().unwrap();
        let new = Pair::from_socket(new);
        let marks: Vec<OwnedFd> = (0..count as u64).map(mark).collect();
        let mut given = Given::default();
        let numbers: Vec<u32> = marks.iter().map(|mark| given.give(mark)).collect();
        prop_assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), count);
        let (passed, mut taken) = thread::scope(|scope| {
            let passed = scope.spawn(|| new.receive_manifest(soon()));
            old.send_manifest(&manifest, &given, soon()).unwrap();
            passed.join().unwrap()
        }).unwrap();
        prop_assert_eq!(&passed, &manifest);
        // In any order.
        for number in numbers.into_iter().rev() {
            prop_assert_eq!(marked(&taken.take(number).unwrap()), u64::from(number));
            prop_assert!(taken.take(number).is_err(), "once");
        }
        prop_assert!(taken.take(u32::try_from(count).unwrap()).is_err());
    }
}

/// 10,000 registrations are more than fits a message, and more than the socket buffers.
#[test]
fn a_long_manifest_arrives() {
    let (old, new) = Pair::new().unwrap();
    let new = Pair::from_socket(new);
    let queue = Queue {
        id: 1,
        sender: 0,
        receiver: 0,
        address: "x".repeat(100),
        per_message: 1,
        handed_over: 0,
        stuck: false,
        figures: Figures::default(),
    };
    let manifest = Manifest { left: vec![queue; 10_000], ..Manifest::default() };
    let passed = thread::scope(|scope| {
        let passed = scope.spawn(|| new.receive_manifest(soon()));
        old.send_manifest(&manifest, &Given::default(), soon()).unwrap();
        passed.join().unwrap()
    });
    assert!(passed.unwrap().0 == manifest);
}

#[test]
fn what_a_newer_broker_adds_is_ignored() {
    let manifest: Manifest = serde_json::from_str(r#"{"last_id": 7, "cheese": {"a": [1]}}"#).unwrap();
    assert_eq!(manifest, Manifest { last_id: 7, ..Manifest::default() });
    assert_eq!(parse(br#"{"cheese": 1}"#), Message::Unknown);
    assert_eq!(parse(br#"{"ended": {"cheese": 1}}"#), Message::Ended(Ended::default()));
    assert_eq!(parse(br#""go""#), Message::Go);
}

#[test]
fn who_is_gone_or_silent_is_told_apart() {
    let (old, new) = Pair::new().unwrap();
    let now = Instant::now();
    assert!(matches!(old.receive(now), Err(PairError::TimedOut)));
    assert_eq!(old.next().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    // It reads nothing.
    let full = (0..10_000).find_map(|_| old.send(&Message::Reopen, None, now).err());
    assert!(matches!(full, Some(PairError::TimedOut)), "{full:?}");
    drop(new);
    assert!(matches!(old.send(&Message::Go, None, soon()), Err(PairError::Closed)));
    assert!(matches!(old.receive(soon()), Err(PairError::Closed)));
}

/// The first message may be anything, but no manifest is taken for another.
#[test]
fn half_a_manifest_is_none() {
    for (said, part, descriptors) in [
        (Message::Go, &b"{}"[..], 0),
        (Message::Manifest { octets: 2, descriptors: 1 }, b"{}", 0),
        (Message::Manifest { octets: 2, descriptors: 0 }, b"{}", 1),
        (Message::Manifest { octets: 1, descriptors: 0 }, b"{}", 0),
        (Message::Manifest { octets: 2, descriptors: 0 }, b"[[", 0),
    ] {
        let (old, new) = Pair::new().unwrap();
        let new = Pair::from_socket(new);
        old.send(&said, None, soon()).unwrap();
        let marks: Vec<OwnedFd> = (0..descriptors).map(mark).collect();
        let descriptors: Vec<BorrowedFd<'_>> = marks.iter().map(AsFd::as_fd).collect();
        old.send_part(part, &descriptors, soon()).unwrap();
        let taken = new.receive_manifest(soon());
        assert!(matches!(taken, Err(PairError::Malformed(_))), "{said:?}: {taken:?}");
    }
}
