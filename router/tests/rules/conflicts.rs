//! The rows of docs/original.md §7: which registrations exclude each other. (Row 14, a foreign program on the port, is
//! the broker's.)

use router::{HostNameComparison, Prefix, RouteTable};

use crate::rows::{E, S, W};

type Row = (u8, (HostNameComparison, &'static str), (HostNameComparison, &'static str), bool);

pub(crate) const CONFLICTS: &[Row] = &[
    (1, (S, "net.tcp://localhost:9000/calc"), (S, "net.tcp://localhost:9000/calc"), true),
    (2, (S, "net.tcp://localhost:9000/calc"), (S, "net.tcp://localhost:9000/CALC"), true),
    (3, (S, "net.tcp://localhost:9000/calc"), (S, "net.tcp://localhost:9000/calc/"), true),
    (4, (S, "net.tcp://localhost:9000/calc"), (S, "net.tcp://other:9000/calc"), true),
    (5, (S, "net.tcp://localhost:9000/calc"), (S, "net.tcp://127.0.0.1:9000/calc"), true),
    (6, (S, "net.tcp://localhost/calc"), (S, "net.tcp://localhost:808/calc"), true),
    (7, (S, "net.tcp://localhost:9000/calc"), (E, "net.tcp://srv1:9000/calc"), false),
    (8, (S, "net.tcp://localhost:9000/calc"), (W, "net.tcp://localhost:9000/calc"), false),
    (9, (S, "net.tcp://localhost:9000/calc"), (S, "net.tcp://localhost:9000/calc/v2"), false),
    (10, (S, "net.tcp://localhost:9000/calc"), (S, "net.tcp://localhost:9001/calc"), false),
    (11, (E, "net.tcp://srv1:9000/calc"), (E, "net.tcp://srv2:9000/calc"), false),
    (12, (E, "net.tcp://srv1:9000/calc"), (E, "net.tcp://SRV1:9000/Calc"), true),
    (13, (W, "net.tcp://localhost:808/app"), (W, "net.tcp://any:808/app"), true),
];

#[test]
fn the_13_rows_of_the_page() {
    for &(number, (first_mode, first), (second_mode, second), conflict) in CONFLICTS {
        let first = Prefix::parse(first, first_mode).expect("a valid address");
        let second = Prefix::parse(second, second_mode).expect("a valid address");
        assert_eq!(first == second, conflict, "row {number}");
        let mut table = RouteTable::new();
        table.register(first.clone(), 1).expect("the table was empty");
        match table.register(second.clone(), 2) {
            Err(with) => {
                assert!(conflict, "row {number}");
                assert_eq!((with.prefix.address(), with.value), (first.address(), 1), "row {number}");
                assert_eq!(table.len(), 1);
            }
            Ok(()) => {
                assert!(!conflict, "row {number}");
                assert_eq!(table.get(&second), Some((&second, &2)));
                assert_eq!(table.unregister(&second), Some(2));
                assert_eq!(table.unregister(&second), None);
            }
        }
        assert_eq!(table.get(&first), Some((&first, &1)));
        assert_eq!(table.replace(&first, 3), Some(1));
        assert_eq!(table.unregister(&first), Some(3));
        assert!(table.is_empty());
    }
}

#[test]
fn a_wildcard_as_host_is_told_what_is_meant() {
    use router::{PrefixError, Via, ViaError};
    for (sign, mode) in [("+", S), ("*", W)] {
        for rest in ["", ":808", "/", ":9000/calc", "/calc?x"] {
            let address = format!("net.tcp://{sign}{rest}");
            assert_eq!(Via::parse(&address).expect_err(&address), ViaError::Wildcard(mode), "{address}");
            let error = Prefix::parse(&address, S).expect_err(&address);
            assert_eq!(error, PrefixError::Invalid(ViaError::Wildcard(mode)), "{address}");
            let said = error.to_string();
            assert!(
                said.contains(&format!("write localhost for {sign}")) && said.contains(mode.as_str()),
                "{said}"
            );
            assert_eq!(said.contains("(the default)"), mode == S, "{said}");
        }
    }
    for address in ["net.tcp://++/", "net.tcp://*.h/", "net.tcp://h*/", "net.tcp://a@+/", "net.tcp://[+]/"] {
        let error = Prefix::parse(address, S).expect_err(address);
        assert!(!matches!(error, PrefixError::Invalid(ViaError::Wildcard(_))), "{address}");
    }
}

#[test]
fn what_cannot_be_registered() {
    use router::{PrefixError, ViaError};
    let refused = |address: &str| Prefix::parse(address, S).expect_err(address);
    assert_eq!(refused("calc"), PrefixError::Invalid(ViaError::Scheme));
    let error = refused("calc");
    assert_eq!(error.to_string(), ViaError::Scheme.to_string());
    assert!(std::error::Error::source(&error).is_none(), "the reason is said once");
    assert_eq!(refused("net.tcp://a@b/"), PrefixError::Invalid(ViaError::UserInfo));
    assert_eq!(refused("net.pipe://localhost/calc"), PrefixError::Scheme);
    assert_eq!(refused("http://localhost/calc"), PrefixError::Scheme);
    assert_eq!(refused("net.tcp://localhost/calc?wsdl"), PrefixError::Query);
    assert_eq!(refused("net.tcp://localhost/calc?"), PrefixError::Query);
    assert_eq!(refused("net.tcp://localhost/calc#top"), PrefixError::Fragment);
    let long = |octets: usize| format!("net.tcp://h/{}", "x".repeat(octets - "net.tcp://h/".len()));
    assert!(Prefix::parse(&long(2048), S).is_ok());
    assert_eq!(refused(&long(2049)), PrefixError::TooLong { octets: 2049 });
}
