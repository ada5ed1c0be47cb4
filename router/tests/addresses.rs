//! How long addresses and Vias may be, and what modes are called.

use router::{HostNameComparison, Prefix, PrefixError, Via, ViaError};

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
fn a_via_has_at_most_2048_octets_and_its_scheme_1024() {
    for octets in 2046..2052 {
        let via = format!("net.tcp://h/{:a<1$}", "", octets - "net.tcp://h/".len());
        assert_eq!(Via::parse(&via).err(), (octets > 2048).then_some(ViaError::TooLong { octets }));
    }
    for octets in 1022..1028 {
        let via = format!("{:x<octets$}://h/", "");
        assert_eq!(Via::parse(&via).err(), (octets > 1024).then_some(ViaError::Scheme), "{octets}");
    }
}

/// Letters with a iota below have capitals with one beside: the only ones that are not one character in capitals.
#[test]
fn greek_letters_with_a_iota_are_their_capitals() {
    let prefix = |host: char| Prefix::parse(&format!("net.tcp://{host}/"), HostNameComparison::Exact);
    for (small, capital) in [
        ('\u{1F80}', '\u{1F88}'),
        ('\u{1F87}', '\u{1F8F}'),
        ('\u{1F93}', '\u{1F9B}'),
        ('\u{1FA7}', '\u{1FAF}'),
        ('\u{1FB3}', '\u{1FBC}'),
        ('\u{1FC3}', '\u{1FCC}'),
        ('\u{1FF3}', '\u{1FFC}'),
    ] {
        assert_eq!(prefix(small), prefix(capital), "{small}");
        assert_ne!(prefix(small), prefix('\u{3B1}'), "{small}");
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
