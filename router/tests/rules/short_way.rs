//! Vias that are canonical as they are go a short way; white space in front, which counts for nothing, sends them the long one.

use proptest::prelude::*;
use router::Via;

use crate::vias::{self, Random};

/// Mostly what clients send, with now and then something odd, so that both ways are gone.
fn nearly_plain() -> impl Strategy<Value = String> {
    let sixty_three = "x".repeat(63);
    let few = |often: &[&str], seldom: &[&str]| {
        let [often, seldom] =
            [often, seldom].map(|of| of.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        prop_oneof![8 => prop::sample::select(often), 1 => prop::sample::select(seldom)]
    };
    let label = few(
        &["h", "srv-1", "x_y", "localhost", "loopback", &"x".repeat(31)],
        &["Srv", "1h", "-h", "", "127", "0x7f", "ö", &sixty_three, &(sixty_three.clone() + "x")],
    );
    let port =
        few(&["", "", ":9000", ":65535", ":0"], &[":", ":00808", ":65536", ":000808", ":9a", ":9000\\"]);
    let piece = few(
        &["a", "A", "0123456789", "calc", "~", "_", "-", ".", "/", "/", "/.", "/..", "%20"],
        &[
            "%41", "%2f", "%2E", "%5c", "%c3%a9", "%C3", "%28", "%3a", "%", "!", "@", ":", "é", "?", "#",
            "\\", " ",
        ],
    );
    let host = prop::collection::vec(label, 1..3).prop_map(|labels| labels.join("."));
    let path = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    let slash = prop::sample::select(vec!["/", "/", "/", ""]);
    (host, port, slash, path)
        .prop_map(|(host, port, slash, path)| format!("net.tcp://{host}{port}{slash}{path}"))
}

fn same_both_ways(via: &str) -> Result<(), TestCaseError> {
    let long = format!(" {via}");
    let apart = |via: &str| {
        Via::parse(via).map(|via| {
            let texts = [via.host(), via.path(), via.wildcard_path()].map(str::to_owned);
            (via.is_net_tcp(), via.port(), texts)
        })
    };
    prop_assert_eq!(apart(via), apart(&long), "{}", via);
    Ok(())
}

/// Paths are looked at in blocks of 16 octets: what is odd, wherever it is and however often, is seen.
#[test]
fn no_place_hides_what_is_odd() {
    let octets = (0..0x80).map(|octet| char::from(octet).to_string());
    let more =
        ["/.", "/..", "/./", "/../", "/.a", "/...", "a.", "a./", "%41", "%2e", "%20", "é"].map(str::to_owned);
    for odd in octets.chain(more) {
        for before in 0..20 {
            for (behind, again) in [(0, false), (20, false), (3, true), (17, true)] {
                let again = if again { &*odd } else { "" };
                let path = format!("/{:a<before$}{odd}{:a<behind$}{again}{:a<9}", "", "", "");
                same_both_ways(&format!("net.tcp://h{path}")).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::model::cases() * 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_short_way_ends_where_the_long_one_does(via in nearly_plain(), seed in any::<u64>()) {
        same_both_ways(&via)?;
        same_both_ways(&vias::via(&mut Random::new(seed)))?;
    }
}
