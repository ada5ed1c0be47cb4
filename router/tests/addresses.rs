//! How long a registered address may be, and what its modes are called.

use router::{HostNameComparison, Prefix, PrefixError};

/// Of the canonical address, in which the default port is not written.
#[test]
fn an_address_has_at_most_2048_octets() {
    for (written, canonical) in [
        ("", ""),
        (":808", ""),
        (":1", ":1"),
        (":10", ":10"),
        (":999", ":999"),
        (":8080", ":8080"),
        (":65535", ":65535"),
    ] {
        for octets in 2040..2060 {
            let path = "a".repeat(octets - "net.tcp://h//".len() - canonical.len());
            let parsed =
                Prefix::parse(&format!("net.tcp://h{written}/{path}/"), HostNameComparison::default());
            let refused = parsed.err();
            assert_eq!(
                refused,
                (octets > 2048).then_some(PrefixError::TooLong { octets }),
                "{written} {octets}"
            );
        }
    }
}

#[test]
fn a_mode_has_the_name_that_it_is_shown_by() {
    for mode in
        [HostNameComparison::StrongWildcard, HostNameComparison::Exact, HostNameComparison::WeakWildcard]
    {
        assert_eq!(mode.to_string().parse(), Ok(mode));
        assert!("exactly".parse::<HostNameComparison>().is_err());
    }
}
