//! Rows 1 to 69 of docs/original.md §6.6.

use std::net::{IpAddr, SocketAddr};

use router::{Admission, Host, HostNameComparison, Miss, Prefix, RouteTable, Via};

pub(crate) const S: HostNameComparison = HostNameComparison::StrongWildcard;
pub(crate) const E: HostNameComparison = HostNameComparison::Exact;
pub(crate) const W: HostNameComparison = HostNameComparison::WeakWildcard;

/// Registered addresses, and which Via on which local address gives which of them.
pub(crate) struct Set {
    pub(crate) registered: &'static [(&'static str, HostNameComparison, &'static str)],
    pub(crate) rows: &'static [Row],
}

/// Number, Via, local address and port, result: a registration's name, `ENF` or `RST`.
pub(crate) type Row = (u8, &'static str, &'static str, u16, &'static str);

const LOOPBACK: &str = "127.0.0.1";
const OUTSIDE: &str = "192.0.2.5";

pub(crate) const SETS: &[Set] = &[
    Set {
        registered: &[
            ("A1", S, "net.tcp://localhost:9000/calc"),
            ("A2", S, "net.tcp://localhost:9000/calc/v2"),
            ("A3", S, "net.tcp://localhost:9000/Orders/"),
        ],
        rows: &[
            (1, "net.tcp://localhost:9000/calc", LOOPBACK, 9000, "A1"),
            (2, "net.tcp://srv1.example:9000/calc", OUTSIDE, 9000, "A1"),
            (3, "net.tcp://192.0.2.5:9000/calc/", OUTSIDE, 9000, "A1"),
            (4, "NET.TCP://LOCALHOST:9000/CALC", LOOPBACK, 9000, "A1"),
            (5, "net.tcp://localhost:9000/calc/v1", LOOPBACK, 9000, "A1"),
            (6, "net.tcp://localhost:9000/calc/v2/x/y", LOOPBACK, 9000, "A2"),
            (7, "net.tcp://localhost:9000/calc/v22", LOOPBACK, 9000, "A1"),
            (8, "net.tcp://localhost:9000/calculator", LOOPBACK, 9000, "ENF"),
            (9, "net.tcp://localhost:9000/orders", LOOPBACK, 9000, "A3"),
            (10, "net.tcp://localhost:9000/", LOOPBACK, 9000, "ENF"),
            (11, "net.tcp://localhost:9000", LOOPBACK, 9000, "ENF"),
            (12, "net.tcp://localhost:9001/calc", LOOPBACK, 9000, "A1"),
            (13, "net.tcp://localhost/calc", LOOPBACK, 9000, "A1"),
            (14, "net.tcp://localhost:9000//calc///v2", LOOPBACK, 9000, "A2"),
            (15, "net.tcp://localhost:9000/calc/../Orders/7", LOOPBACK, 9000, "A3"),
            (16, "net.tcp://localhost:9000/calc%2Fv2", LOOPBACK, 9000, "A2"),
            (17, r"net.tcp://localhost:9000/calc\v2", LOOPBACK, 9000, "A2"),
            (18, "net.tcp://localhost:9000/%63alc", LOOPBACK, 9000, "A1"),
            (19, "net.tcp://localhost:9000/calc?x=1", LOOPBACK, 9000, "ENF"),
            (20, "net.tcp://localhost:9000/calc/?x=1", LOOPBACK, 9000, "A1"),
            (21, "net.tcp://localhost:9000/calc/v2?x=1", LOOPBACK, 9000, "A1"),
            (22, "net.tcp://localhost:9000/calc#frag", LOOPBACK, 9000, "A1"),
            (23, "http://localhost:9000/calc", LOOPBACK, 9000, "ENF"),
            (24, "net.pipe://localhost/calc", LOOPBACK, 9000, "RST"),
            (25, "net.tcp://user@localhost:9000/calc", LOOPBACK, 9000, "RST"),
            (26, "calc", LOOPBACK, 9000, "RST"),
            (27, "net.tcp:///calc", LOOPBACK, 9000, "RST"),
            (28, "net.tcp://localhost:70000/calc", LOOPBACK, 9000, "RST"),
            (29, "net.tcp://*:9000/calc", LOOPBACK, 9000, "RST"),
            (30, "", LOOPBACK, 9000, "RST"),
        ],
    },
    Set {
        registered: &[("B1", S, "net.tcp://localhost:9000/"), ("B2", S, "net.tcp://localhost:9000/calc")],
        rows: &[
            (31, "net.tcp://any:9000/anything/else", LOOPBACK, 9000, "B1"),
            (32, "net.tcp://any:9000/calc/1", LOOPBACK, 9000, "B2"),
            (33, "net.tcp://any:9001/calc/1", LOOPBACK, 9001, "ENF"),
        ],
    },
    Set {
        registered: &[
            ("C1", E, "net.tcp://srv1:9000/calc"),
            ("C2", E, "net.tcp://srv2:9000/calc"),
            ("C3", E, "net.tcp://localhost:9000/calc"),
        ],
        rows: &[
            (34, "net.tcp://srv1:9000/calc", OUTSIDE, 9000, "C1"),
            (35, "net.tcp://SRV2:9000/Calc/add", OUTSIDE, 9000, "C2"),
            (36, "net.tcp://localhost:9000/calc", OUTSIDE, 9000, "C3"),
            (37, "net.tcp://127.0.0.1:9000/calc", OUTSIDE, 9000, "ENF"),
            (38, "net.tcp://srv1.example.com:9000/calc", OUTSIDE, 9000, "ENF"),
            (39, "net.tcp://srv1.:9000/calc", OUTSIDE, 9000, "ENF"),
            (40, "net.tcp://srv1:9001/calc", OUTSIDE, 9000, "ENF"),
            (41, "net.tcp://srv1:9000/calc?wsdl", OUTSIDE, 9000, "C1"),
        ],
    },
    Set {
        registered: &[
            ("D1", S, "net.tcp://localhost:9000/a"),
            ("D2", E, "net.tcp://srv1:9000/a/b"),
            ("D3", E, "net.tcp://srv1:9000/x/y"),
            ("D4", W, "net.tcp://srv1:9000/x/y/z"),
            ("D5", W, "net.tcp://srv1:9000/"),
        ],
        rows: &[
            (42, "net.tcp://srv1:9000/a/b", OUTSIDE, 9000, "D1"),
            (43, "net.tcp://srv1:9000/x/y/z/1", OUTSIDE, 9000, "D3"),
            (44, "net.tcp://srv9:9000/x/y/z/1", OUTSIDE, 9000, "D4"),
            (45, "net.tcp://srv1:9001/x/y/z/1", OUTSIDE, 9000, "D4"),
            (46, "net.tcp://srv1:9000/x", OUTSIDE, 9000, "D5"),
            (47, "net.tcp://srv9:9000/other", OUTSIDE, 9000, "D5"),
        ],
    },
    Set {
        registered: &[
            ("E1", S, "net.tcp://localhost/svc"),
            ("E2", S, "net.tcp://localhost:8080/svc"),
            ("E3", E, "net.tcp://srv1/ex"),
            ("E4", E, "net.tcp://srv1:8080/ex"),
        ],
        rows: &[
            (48, "net.tcp://h/svc", LOOPBACK, 808, "E1"),
            (49, "net.tcp://h:808/svc", LOOPBACK, 808, "E1"),
            (50, "net.tcp://h/svc", LOOPBACK, 8080, "E2"),
            (51, "net.tcp://h:8080/svc", LOOPBACK, 808, "E1"),
            (52, "net.tcp://srv1:808/ex", LOOPBACK, 808, "E3"),
            (53, "net.tcp://srv1/ex", LOOPBACK, 8080, "E3"),
            (54, "net.tcp://srv1:8080/ex", LOOPBACK, 808, "E4"),
        ],
    },
    Set {
        registered: &[
            ("F1", S, "net.tcp://127.0.0.1:9000/a/b"),
            ("F2", S, "net.tcp://localhost:9000/a"),
            ("F3", E, "net.tcp://192.0.2.5:9000/c"),
            ("F4", E, "net.tcp://[::1]:9000/d"),
            ("F5", W, "net.tcp://srv1:9000/a"),
        ],
        rows: &[
            (55, "net.tcp://x:9000/a/b", LOOPBACK, 9000, "F1"),
            (56, "net.tcp://x:9000/a/b", OUTSIDE, 9000, "F5"),
            (58, "net.tcp://x:9000/a/z", OUTSIDE, 9000, "F2"),
            (59, "net.tcp://192.0.2.5:9000/c", OUTSIDE, 9000, "F3"),
            (60, "net.tcp://192.0.2.5:9000/c", "198.51.100.7", 9000, "ENF"),
            (61, "net.tcp://[0:0:0:0:0:0:0:1]:9000/d", "::1", 9000, "F4"),
            (62, "net.tcp://localhost:9000/d", "::1", 9000, "ENF"),
        ],
    },
    Set {
        registered: &[
            ("F1", S, "net.tcp://127.0.0.1:9000/a/b"),
            ("F2", S, "net.tcp://localhost:9000/a"),
            ("F3", E, "net.tcp://192.0.2.5:9000/c"),
            ("F4", E, "net.tcp://[::1]:9000/d"),
        ],
        rows: &[(57, "net.tcp://x:9000/a/b", OUTSIDE, 9000, "ENF")],
    },
    Set {
        registered: &[("H1", S, "net.tcp://0.0.0.0:9000/e")],
        rows: &[(63, "net.tcp://x:9000/e", "203.0.113.9", 9000, "H1")],
    },
    Set {
        registered: &[
            ("G1", S, "net.tcp://localhost:9000/a%20b"),
            ("G2", S, "net.tcp://localhost:9000/café"),
            ("G3", S, "net.tcp://localhost:9000/~u"),
            ("G4", E, "net.tcp://bücher.example:9000/i"),
        ],
        rows: &[
            (64, "net.tcp://h:9000/A%20B", LOOPBACK, 9000, "G1"),
            (65, "net.tcp://h:9000/caf%c3%a9", LOOPBACK, 9000, "G2"),
            (66, "net.tcp://h:9000/CAFÉ", LOOPBACK, 9000, "ENF"),
            (67, "net.tcp://h:9000/%7Eu/1", LOOPBACK, 9000, "G3"),
            (68, "net.tcp://BÜCHER.example:9000/i", LOOPBACK, 9000, "G4"),
            (69, "net.tcp://xn--bcher-kva.example:9000/i", LOOPBACK, 9000, "ENF"),
        ],
    },
];

fn table(set: &Set) -> RouteTable<&'static str> {
    let mut table = RouteTable::new();
    for &(name, mode, address) in set.registered {
        let prefix = Prefix::parse(address, mode).expect("a valid address");
        table.register(prefix, name).expect("no conflict");
    }
    table
}

fn result(table: &RouteTable<&'static str>, via: &str, local: SocketAddr) -> &'static str {
    let Ok(via) = Via::parse(via) else { return "RST" };
    let found = table.lookup(&via, local);
    let asked = table.lookup_where(&via, local, |prefix, name| match prefix.host() {
        Host::Ip(ip) if !ip.is_unspecified() && ip != local.ip() => Admission::EmptyMode,
        _ => Admission::Admit(name),
    });
    assert_eq!(asked, found, "{via:?} on {local}");
    found.map_or("ENF", |found| found.value)
}

#[test]
fn the_69_rows_of_the_page() {
    let mut seen = Vec::new();
    for set in SETS {
        let table = table(set);
        for &(number, via, local, port, expected) in set.rows {
            let local = SocketAddr::new(local.parse::<IpAddr>().expect("an address"), port);
            assert_eq!(result(&table, via, local), expected, "row {number}: {via} on {local}");
            seen.push(number);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=69).collect::<Vec<u8>>());
}

#[test]
fn an_answer_says_why() {
    let set = &SETS[3];
    let table = table(set);
    let local: SocketAddr = "192.0.2.5:9000".parse().expect("an address");
    let via = Via::parse("net.tcp://srv1:9000/X/y/z/1").expect("a valid Via");
    let found = table.lookup(&via, local).expect("a registration");
    assert_eq!((found.mode, found.segments, found.prefix.address()), (E, 2, "net.tcp://srv1:9000/x/y"));

    let set = &SETS[6];
    let table = self::table(set);
    let via = Via::parse("net.tcp://x:9000/a/b").expect("a valid Via");
    let miss = table.lookup(&via, local).expect_err("the address check fails");
    assert_eq!(miss.mode(), Some(S));
    assert_eq!(
        miss.to_string(),
        "net.tcp://127.0.0.1:9000/a/b (strong_wildcard) matches, but the connection came in on 192.0.2.5"
    );
    let via = Via::parse("net.tcp://x:9000/nowhere").expect("a valid Via");
    assert_eq!(table.lookup(&via, local), Err(Miss::NoRegistration));
    assert_eq!((Miss::NoRegistration.mode(), Miss::OtherScheme.mode()), (None, None));
    let via = Via::parse("http://x:9000/a/z").expect("a valid Via");
    assert_eq!(table.lookup(&via, local), Err(Miss::OtherScheme));
}

#[test]
fn of_several_whose_address_check_fails_the_first_is_named() {
    let mut table = RouteTable::new();
    assert!(table.is_empty());
    for (name, mode) in [("weak", W), ("exact", E), ("strong", S)] {
        let prefix = Prefix::parse("net.tcp://127.0.0.1:9000/a", mode).expect("an address");
        table.register(prefix, name).expect("another mode");
        assert!(!table.is_empty());
        let via = Via::parse("net.tcp://127.0.0.1:9000/a").expect("a Via");
        let local = "192.0.2.5:9000".parse().expect("an address");
        assert_eq!(result(&table, "net.tcp://127.0.0.1:9000/a", local), "ENF");
        let miss = table.lookup(&via, local).expect_err("the address check fails");
        assert_eq!(miss.mode(), Some(mode), "{name}");
    }
}

#[test]
fn a_host_is_never_taken_for_host_and_path_of_another() {
    let local: SocketAddr = "192.0.2.5:9000".parse().expect("an address");
    for (registered, via) in [
        ("net.tcp://h:9000/", "net.tcp://gö:9000/b"),
        ("net.tcp://h:9000/a", "net.tcp://gnö:9000/"),
        ("net.tcp://n:9000/n/n", "net.tcp://aaaé:9000/n"),
    ] {
        let mut table = RouteTable::new();
        table.register(Prefix::parse(registered, E).expect("an address"), ()).expect("the table was empty");
        let via = Via::parse(via).expect("a Via");
        assert_eq!(table.lookup(&via, local), Err(Miss::NoRegistration), "{registered} {via:?}");
        let other = format!("net.tcp://{}:9000/other", via.host());
        table.register(Prefix::parse(&other, E).expect("an address"), ()).expect("another host");
        assert_eq!(table.lookup(&via, local), Err(Miss::NoRegistration), "{registered} {via:?}");
    }
}
