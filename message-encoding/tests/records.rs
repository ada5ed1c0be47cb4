//! Records one by one: what they say of themselves, and of octets that are none.

use message_encoding::record::{Inline, Record, RecordError, Records, StringRef};

fn all(octets: &[u8]) -> Vec<Result<Record<'_>, RecordError>> {
    Records::new(octets).collect()
}

#[test]
fn a_name_knows_how_long_its_length_was() {
    for (octets, length) in [(&b"\x40\x01a"[..], 1), (b"\x40\x81\x00a", 2), (b"\x40\x81\x80\x80\x00a", 4)] {
        let Ok((Record::Element { local: StringRef::Inline(name), .. }, used)) = Record::decode(octets)
        else {
            panic!()
        };
        assert_eq!((name.octets(), name.length_octets(), used), (&b"a"[..], length, octets.len()));
    }
    assert_eq!(
        [1, 127, 128, 16_384].map(|octets| Inline::new(&vec![0; octets]).unwrap().length_octets()),
        [1, 1, 2, 3]
    );
}

#[test]
fn what_is_missing_is_said_by_its_length() {
    for (octets, missing) in
        [(&b"\x98\x05a"[..], 4), (b"\x98\x05", 5), (b"\x40\x03ab", 1), (b"\x8C\x00", 3), (b"\x98", 1)]
    {
        assert_eq!(Record::decode(octets).err(), Some(RecordError::NeedMore(missing)), "{octets:?}");
    }
}

#[test]
fn utf16_has_no_half_units() {
    for length in [1, 3, 5] {
        let octets = [&[0xB6, length][..], b"abcdefg"].concat();
        assert_eq!(Record::decode(&octets).err(), Some(RecordError::OddLength));
    }
    for length in [0, 2, 4] {
        let octets = [&[0xB6, length][..], b"abcdefg"].concat();
        assert_eq!(Record::decode(&octets).unwrap().1, 2 + usize::from(length));
    }
}

#[test]
fn a_qualified_name_has_one_of_26_prefixes() {
    assert!(Record::decode(b"\xBC\x19\x00").is_ok());
    assert_eq!(Record::decode(b"\xBC\x1A\x00").err(), Some(RecordError::QNamePrefix(26)));
}

#[test]
fn an_array_of_nothing_is_over_at_once() {
    let records = all(b"\x03\x40\x01i\x01\x8B\x00\x40\x01j\x01");
    assert_eq!(records.len(), 6);
    assert!(records.iter().all(Result::is_ok), "{records:?}");
    assert!(matches!(records[5], Ok(Record::EndElement)));
}
