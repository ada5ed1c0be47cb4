//! Properties over random values, streams, cuts and operation sequences. The fuzz oracles in `fuzz/` judge more
//! strictly and longer; these run with every test.

use framing_core::{
    Decoded, EncodeError, Encoding, Fault, KnownEncoding, Limits, Mode, OwnedPreamble, Preamble,
    PreambleView, Record, preamble, size,
};
use proptest::collection::vec;
use proptest::prelude::*;
use support::drive::{self, Upgrades};
use support::pair::{Operation, Pair};
use support::{naive, seen::Seen, views};

mod support;

fn record(text: &str, octet: u8, number: u32) -> [Record<'_>; 13] {
    [
        Record::Version { major: 1, minor: octet },
        Record::Mode(Mode(octet)),
        Record::Via(text),
        Record::KnownEncoding(KnownEncoding(octet)),
        Record::ExtensibleEncoding(text),
        Record::UnsizedEnvelope,
        Record::SizedEnvelope { size: number },
        Record::End,
        Record::Fault(Fault::new(text)),
        Record::UpgradeRequest(text),
        Record::UpgradeResponse,
        Record::PreambleAck,
        Record::PreambleEnd,
    ]
}

/// Octets that follow the grammar more often than not: whole records, their beginnings, and noise.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let preamble = (1..=5_u8, "[a-z/:.é]{1,40}", prop_oneof![Just(None), "[a-z/+]{0,12}".prop_map(Some)])
        .prop_map(|(mode, via, content_type)| {
            let encoding =
                content_type.as_deref().map_or(Encoding::Known(KnownEncoding(7)), Encoding::Extensible);
            let mut out = vec![0; 256];
            let len = Preamble { mode: Mode(mode), via: &via, encoding }.encode(&mut out).expect("fits");
            out.truncate(len);
            out
        });
    let piece = prop_oneof![
        4 => preamble,
        2 => Just(b"\x0C".to_vec()),
        2 => Just(b"\x0B".to_vec()),
        1 => Just(b"\x0A".to_vec()),
        1 => Just(b"\x09\x03tls".to_vec()),
        1 => Just(b"\x08\x05urn:x".to_vec()),
        3 => vec(any::<u8>(), 0..20).prop_map(|mut payload| {
            let mut record = vec![6, payload.len() as u8];
            record.append(&mut payload);
            record
        }),
        3 => vec(vec(any::<u8>(), 1..9), 0..4).prop_map(|chunks| {
            let mut record = vec![5];
            for mut chunk in chunks {
                record.push(chunk.len() as u8);
                record.append(&mut chunk);
            }
            record.push(0);
            record
        }),
        3 => Just(b"\x07".to_vec()),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn sizes_round_trip(value in 0..=size::MAX, extra in 0..3_usize) {
        let mut out = [0xEE; size::MAX_OCTETS + 3];
        let len = size::encode(value, &mut out).expect("fits");
        prop_assert_eq!(len, size::encoded_len(value));
        prop_assert_eq!(size::decode(&out[..len + extra]), Ok(Decoded::Complete { value, consumed: len }));
        prop_assert!(matches!(size::decode(&out[..len - 1]), Ok(Decoded::NeedMore(_))));
        prop_assert_eq!(size::encode(value, &mut out[..len - 1]), Err(EncodeError::BufferTooShort { needed: len }));
    }

    #[test]
    fn records_round_trip(text in "\\PC{1,300}", octet in any::<u8>(), number in 1..=size::MAX, which in 0..13_usize) {
        let limits = Limits { via: 1200, content_type: 1200, upgrade: 1200, fault: 1200, envelope: u64::MAX };
        let record = record(&text, octet, number)[which];
        let mut out = [0xEE; 1300];
        let written = record.encode(&mut out).expect("fits");
        prop_assert_eq!(written, record.encoded_len());
        prop_assert!(out[written..].iter().all(|octet| *octet == 0xEE));
        let whole = Record::decode(&out[..written], &limits);
        prop_assert_eq!(whole, Ok(Decoded::Complete { value: record, consumed: written }));
        for end in 0..written {
            prop_assert!(matches!(Record::decode(&out[..end], &limits), Ok(Decoded::NeedMore(_))));
            prop_assert_eq!(record.encode(&mut [0; 1300][..end]), Err(EncodeError::BufferTooShort { needed: written }));
        }
    }

    #[test]
    fn preambles_are_kept(mode in 1..=2_u8, via in "\\PC{1,80}", content_type in "\\PC{0,40}", code in any::<u8>()) {
        for encoding in [Encoding::Known(KnownEncoding(code)), Encoding::Extensible(&content_type)] {
            let preamble = Preamble { mode: Mode(mode), via: &via, encoding };
            let owned = OwnedPreamble::<400, 200>::try_from(preamble).expect("fits");
            let mut out = [0; 600];
            let len = preamble.encode(&mut out).expect("fits");
            let PreambleView::Encoding { mode, via, encoding, consumed } =
                preamble::view(&out[..len], &Limits::DEFAULT).expect("valid")
            else {
                panic!("whole");
            };
            prop_assert_eq!(consumed, len);
            prop_assert_eq!(Preamble { mode, via, encoding }, owned.as_preamble());
        }
    }

    #[test]
    fn machines_agree_with_the_naive_decoder(
        octets in stream(), cuts in vec(0..300_usize, 0..6), one_way: bool, asked in 0..3_usize, tight: bool,
    ) {
        let limits = match tight {
            true => Limits { via: 24, content_type: 8, upgrade: 2, fault: 4, envelope: 12 },
            false => Limits::DEFAULT,
        };
        views::agree(&octets, &limits);
        let mut cuts = cuts;
        cuts.sort_unstable();
        let pieces = drive::pieces(&octets, &cuts);
        let whole = drive::receiver(&[&octets], &limits, one_way, Upgrades::Inside);
        prop_assert_eq!(&whole, &naive::receiver(&octets, &limits, one_way));
        prop_assert_eq!(drive::receiver(&pieces, &limits, one_way, Upgrades::Inside), whole);
        for mode in [Mode::DUPLEX, Mode::SINGLETON_UNSIZED] {
            let whole = drive::initiator(&[&octets], &limits, mode, asked, Upgrades::Inside);
            prop_assert_eq!(&whole, &naive::initiator(&octets, &limits, mode, asked));
            prop_assert_eq!(drive::initiator(&pieces, &limits, mode, asked, Upgrades::Inside), whole);
        }
    }

    #[test]
    fn initiator_and_receiver_understand_each_other(operations in vec(any::<[u8; 3]>(), 0..400)) {
        let mut pair = Pair::default();
        for operation in operations {
            pair.carry_out(Operation::from_octets(operation));
        }
        pair.settle();
    }
}

/// What the specification wants to have at least one octet is not written without.
#[test]
fn empty_values_are_not_written() {
    for (number, record) in record("", 0, 0).into_iter().enumerate() {
        let empty = record.encode(&mut [0; 16]).is_err_and(|error| matches!(error, EncodeError::Empty(_)));
        // Via, SizedEnvelope, Fault, UpgradeRequest; an empty content type is for the endpoint to refuse.
        assert_eq!(empty, [2, 6, 8, 9].contains(&number), "{record:?}");
    }
}

/// The generator of streams is worth something: it reaches every kind of event.
#[test]
fn streams_reach_every_event() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..2000 {
        let octets = stream().new_tree(&mut runner).expect("a stream").current();
        let mut seen = naive::receiver(&octets, &Limits::DEFAULT, true).seen;
        seen.extend(naive::initiator(&octets, &Limits::DEFAULT, Mode::DUPLEX, 0).seen);
        seen.extend(naive::initiator(&octets, &Limits::DEFAULT, Mode::DUPLEX, 1).seen);
        for event in seen {
            kinds.insert(match event {
                Seen::Failed(error) => {
                    format!("{error:?}").split([' ', '(']).next().expect("a name").to_owned()
                }
                event => format!("{event:?}").split([' ', '(']).next().expect("a name").to_owned(),
            });
        }
    }
    for kind in
        ["Preamble", "UpgradeRequest", "UpgradeResponse", "PreambleEnd", "PreambleAck", "EnvelopeStart"]
            .into_iter()
            .chain([
                "Payload",
                "EnvelopeEnd",
                "End",
                "Fault",
                "UnexpectedRecord",
                "NotFraming",
                "UnsupportedMode",
            ])
    {
        assert!(kinds.contains(kind), "{kind} is missing in {kinds:?}");
    }
}
