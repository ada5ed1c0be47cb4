//! The router's view of a preamble against the naive decoder.

use framing_core::Limits;
use framing_core::preamble::{Preamble, PreambleView, view};

use super::naive;
use super::seen::Seen;

/// Views every beginning of `octets`: each sees what the naive decoder sees, what a view asks for is really missing, and
/// once it is decided more octets change nothing.
pub fn agree(octets: &[u8], limits: &Limits) {
    let mut wanted = 0;
    let mut decided = None;
    for end in 0..=octets.len().min(limits.preamble_octets() + 3) {
        let octets = &octets[..end];
        let found = view(octets, limits);
        if let Some(decided) = decided {
            assert_eq!(found, decided, "more octets changed what was decided");
            continue;
        }
        match (found, naive::preamble(octets, limits)) {
            (Ok(PreambleView::NeedMore(missing)), Ok((None, None))) => {
                wanted = wanted.max(end + missing.get());
                continue;
            }
            (Ok(PreambleView::Via { mode, via, consumed, missing }), Ok((Some(naive), None))) => {
                assert_eq!((mode, via), (naive.0, naive.1.as_str()));
                assert!(consumed <= end);
                wanted = wanted.max(end + missing.get());
                continue;
            }
            (Ok(PreambleView::Encoding { mode, via, encoding, consumed }), Ok((Some(_), Some(naive)))) => {
                assert_eq!(Seen::preamble(&Preamble { mode, via, encoding }), naive);
                assert_eq!(consumed, end, "decided later than possible");
            }
            (Err(error), Err(naive)) => assert_eq!(error, naive),
            (found, naive) => panic!("{found:?}, but naively {naive:?}"),
        }
        assert!(end >= wanted, "decided at {end}, although it asked for {wanted}");
        decided = Some(found);
    }
}
