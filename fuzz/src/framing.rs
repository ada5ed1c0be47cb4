//! Oracles of framing-core.

use arbitrary::{Arbitrary, Unstructured};
use framing_core::dump::{Dump, Dumper};
use framing_core::{DecodeError, Decoded, EncodeError, Limits, Mode, Record, size};

use crate::support::pair::{Operation, Pair};
use crate::support::{drive, naive, views};

/// The router's view agrees with the naive decoder at every length, with WCF's limits and with narrow ones.
pub fn preamble(octets: &[u8]) {
    for limits in [Limits::DEFAULT, Limits { via: 20, content_type: 3, ..Limits::DEFAULT }] {
        views::agree(octets, &limits);
    }
}

/// A stream of records: no octets make a decoder panic or read past its slice, and what it asks for is really missing.
/// Its dump does not depend on how it came.
pub fn record(octets: &[u8]) {
    dumps(octets);
    let limits = Limits { envelope: u64::MAX, ..Limits::DEFAULT };
    let mut rest = octets;
    while !rest.is_empty() {
        match Record::decode(rest, &limits) {
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return;
            }
            Ok(Decoded::NeedMore(missing)) => {
                // With one octet less than it asks for it must still be incomplete.
                let mut padded = rest.to_vec();
                padded.resize(rest.len() + missing.get() - 1, 0);
                assert!(matches!(Record::decode(&padded, &limits), Ok(Decoded::NeedMore(_))));
                return;
            }
            Ok(Decoded::Complete { value, consumed }) => {
                assert!(0 < consumed && consumed <= rest.len());
                assert_eq!(
                    Record::decode(&rest[..consumed], &limits),
                    Ok(Decoded::Complete { value, consumed })
                );
                assert!(matches!(
                    Record::decode(&rest[..consumed - 1], &limits),
                    Ok(Decoded::NeedMore(_)) | Err(DecodeError::Empty(_))
                ));
                rest = &rest[consumed..];
                if let Record::SizedEnvelope { size } = value {
                    rest = rest.get(size as usize..).unwrap_or_default();
                }
            }
        }
    }
}

fn dumps(octets: &[u8]) {
    let whole = Dump(octets).to_string();
    assert!(whole.chars().all(|character| character == '\n' || !character.is_control()));
    let step = usize::from(octets.first().copied().unwrap_or_default() % 7) + 1;
    let mut pieces = String::new();
    let mut dumper = Dumper::new();
    let dumped = octets.chunks(step).try_for_each(|piece| dumper.dump(piece, &mut pieces));
    if let Err(error) = dumped.and_then(|()| dumper.finish(&mut pieces)) {
        pieces.push_str(&format!("{} error: {error}\n", error.offset().expect("a string takes anything")));
    }
    assert_eq!(pieces, whole);
}

/// What is decoded, encoded and decoded again is the same, and so is any record made up and encoded.
pub fn record_round_trip(octets: &[u8]) {
    let limits = Limits { envelope: u64::MAX, ..Limits::DEFAULT };
    if let Ok(Decoded::Complete { value, consumed }) = Record::decode(octets, &limits) {
        round_trip(value, &limits, Some(consumed));
    }
    if let Ok(record) = Record::arbitrary(&mut Unstructured::new(octets)) {
        round_trip(
            record,
            &Limits { via: 1 << 20, upgrade: 1 << 20, fault: 1 << 20, content_type: 1 << 20, ..limits },
            None,
        );
    }
}

fn round_trip(record: Record<'_>, limits: &Limits, consumed: Option<usize>) {
    let needed = record.encoded_len();
    // Sizes may have been written longer than necessary, never shorter.
    assert!(consumed.is_none_or(|consumed| needed <= consumed));
    let mut out = vec![0xEE; needed + 1];
    match record.encode(&mut out) {
        Ok(written) => assert_eq!(written, needed),
        Err(EncodeError::Empty(_)) => {
            assert!(out.iter().all(|octet| *octet == 0xEE), "an error wrote something");
            return;
        }
        Err(EncodeError::SizeTooLarge) => {
            assert!(matches!(record, Record::SizedEnvelope { size } if size > size::MAX));
            return;
        }
        Err(error) => panic!("{record:?}: {error}"),
    }
    assert_eq!(out[needed], 0xEE, "wrote past its length");
    assert_eq!(record.encode(&mut out[..needed - 1]), Err(EncodeError::BufferTooShort { needed }));
    match Record::decode(&out[..needed], limits) {
        Ok(Decoded::Complete { value, consumed }) => assert_eq!((value, consumed), (record, needed)),
        Err(DecodeError::UnsupportedVersion { major }) => assert_ne!(major, 1),
        other => panic!("{record:?} became {other:?}"),
    }
}

/// Both machines give the naive decoder's events however the octets are cut. The first octets choose limits, mode and
/// cuts.
pub fn receiver_splits(octets: &[u8]) {
    let Some((&[choice, step, first], octets)) = octets.split_first_chunk::<3>() else { return };
    let limits = match choice & 3 {
        0 => Limits { via: 24, content_type: 8, upgrade: 8, fault: 60, envelope: 40 },
        _ => Limits::DEFAULT,
    };
    let one_way = choice & 4 != 0;
    let cuts: Vec<_> = match step {
        0 => vec![usize::from(first)],
        step => (usize::from(first)..octets.len()).step_by(usize::from(step)).collect(),
    };
    let pieces = drive::pieces(octets, &cuts);

    let naive = naive::receiver(octets, &limits, one_way);
    let whole = drive::receiver(&[octets], &limits, one_way, drive::Upgrades::Inside);
    assert_eq!(whole, naive);
    assert_eq!(drive::receiver(&pieces, &limits, one_way, drive::Upgrades::Inside), whole);

    let mode = if choice & 8 == 0 { Mode::DUPLEX } else { Mode::SINGLETON_UNSIZED };
    let asked = usize::from(choice >> 6);
    let naive = naive::initiator(octets, &limits, mode, asked);
    let whole = drive::initiator(&[octets], &limits, mode, asked, drive::Upgrades::Inside);
    assert_eq!(whole, naive);
    assert_eq!(drive::initiator(&pieces, &limits, mode, asked, drive::Upgrades::Inside), whole);
}

/// Any sequence of commands and deliveries between an initiator and a receiver: nothing panics, a command is refused
/// without a trace or its record arrives at the other side, in order, and neither side ever calls the other malformed.
pub fn initiator_vs_receiver(octets: &[u8]) {
    let mut pair = Pair::default();
    for operation in octets.as_chunks().0 {
        pair.carry_out(Operation::from_octets(*operation));
    }
    pair.settle();
}
