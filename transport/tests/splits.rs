//! However a peer's octets are cut into segments, they mean the same.

mod common;

use std::io::Write;

use common::{DUPLEX, Raw, SINGLETON, TEXT, echo, preamble, via};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};
use tokio::runtime::Runtime;
use transport::ListenOptions;

/// One session: its mode, and the envelopes that are echoed.
type Session = (u8, Vec<Vec<u8>>);

fn session() -> impl Strategy<Value = Session> {
    let envelope = || collection::vec(any::<u8>(), 1..300);
    prop_oneof![
        (Just(DUPLEX), collection::vec(envelope(), 0..5)),
        (Just(SINGLETON), collection::vec(envelope(), 1..2)),
    ]
}

fn record_size(size: usize) -> Vec<u8> {
    let (low, high) = (u8::try_from(size & 0x7f).unwrap(), u8::try_from(size >> 7).unwrap());
    if high == 0 { vec![low] } else { vec![low | 0x80, high] }
}

/// What the initiator writes in a session, and what it must get.
fn octets(via: &str, (mode, envelopes): &Session) -> (Vec<u8>, Vec<u8>) {
    let mut written = preamble(*mode, via, &[3, 3, 12]);
    let mut expected = vec![11];
    for envelope in envelopes {
        let size = record_size(envelope.len());
        let whole = [&[if *mode == DUPLEX { 6 } else { 5 }], &*size, envelope].concat();
        expected.extend(&whole);
        if *mode == DUPLEX {
            written.extend(whole);
        } else {
            // the request in two chunks where it can be; the reply comes in one
            let (first, second) = envelope.split_at(envelope.len().div_ceil(2));
            written.push(5);
            for chunk in [first, second].into_iter().filter(|chunk| !chunk.is_empty()) {
                written.extend(record_size(chunk.len()));
                written.extend(chunk);
            }
            written.push(0);
            expected.push(0);
        }
    }
    written.push(7);
    expected.push(7);
    (written, expected)
}

#[test]
fn any_segments_same_answers() {
    let runtime = Runtime::new().unwrap();
    let echo = runtime.block_on(echo(|options: ListenOptions| options.content_type(TEXT)));
    let via = via(echo.address);
    proptest!(|(sessions in collection::vec(session(), 1..4), cuts in collection::vec(1..40_usize, 1..50))| {
        let (mut written, mut expected) = (Vec::new(), Vec::new());
        for session in &sessions {
            let (more_written, more_expected) = octets(&via, session);
            written.extend(more_written);
            expected.extend(more_expected);
        }
        let mut raw = Raw::connect(echo.address);
        raw.0.set_nodelay(true).unwrap();
        let mut rest = &*written;
        for cut in cuts {
            let (segment, later) = rest.split_at(cut.min(rest.len()));
            raw.0.write_all(segment).unwrap();
            rest = later;
        }
        raw.0.write_all(rest).unwrap();
        raw.expect(&expected);
    });
}
