//! What reading takes at most, in octets of memory for each octet of the document: the claims of the crate's first page, and the
//! documents that come closest to them.

use message_encoding::dictionary::Strings;
use message_encoding::envelope::{Decoder, Element, MessageEncoding};
use message_encoding::event::{Event, Reader, ReaderState};
use message_encoding::{Int31, Quotas};

/// A few more than doubled, so that what grows by doubling has just done so.
const MANY: usize = (1 << 14) + 1;

fn int31(number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    Int31::new(number as u32).unwrap().encode(&mut out);
    out
}

/// `start`, then `count` times what `one` says, then `end`.
fn many(start: &[u8], count: usize, one: impl Fn(usize) -> Vec<u8>, end: &[u8]) -> Vec<u8> {
    [start, &(0..count).flat_map(one).collect::<Vec<u8>>(), end].concat()
}

/// A short string for a number, three small octets at most.
fn short(number: usize) -> Vec<u8> {
    let text: Vec<u8> = [number / 4096, number / 64 % 64, number % 64].map(|digit| b'0' + digit as u8).into();
    let digits = text.iter().skip_while(|octet| **octet == b'0').copied().collect::<Vec<_>>();
    [vec![digits.len() as u8], digits].concat()
}

/// Element records with dictionary names of 16 octets and fewer, `count` in turn.
fn static_name(number: usize, names: usize) -> u8 {
    [0x02, 0x08, 0x0A, 0x0E, 0x10, 0x12, 0x1E, 0x2A][number % names]
}

/// Documents by what is done too much in them.
fn documents() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |name: &str, document: Vec<u8>| all.push((name.to_owned(), document));
    for depth in [100, MANY, MANY + 5] {
        add(&format!("{depth} deep"), many(b"", depth, |_| b"\x42\x02".to_vec(), &vec![1; depth]));
        add(&format!("{depth} deep and cut"), many(b"", depth, |_| b"\x42\x02".to_vec(), b""));
        add(
            &format!("{depth} deep, a default namespace each"),
            many(b"", depth, |_| b"\x42\x02\x0A\x02".to_vec(), b""),
        );
        add(
            &format!("{depth} deep, a letter each"),
            many(b"", depth, |_| b"\x42\x02\x0B\x01p\x02".to_vec(), b""),
        );
    }
    let letters: Vec<u8> = (b'a'..=b'z').flat_map(|letter| [0x0B, 1, letter, 2]).collect();
    add("26 letters each", many(b"", MANY / 26 + 1, |_| [b"\x42\x02\x0A\x02", &letters[..]].concat(), b""));
    for count in [MANY, MANY + 5] {
        let prefix = |number: usize| [&[0x0B], &short(number + 64)[..], &[2]].concat();
        add(&format!("{count} prefixes"), many(b"\x42\x02", count, prefix, b"\x01"));
        let prefix = |number: usize| [&[0x42, 0x02, 0x0B], &short(number + 64)[..], &[2]].concat();
        add(&format!("{count} prefixes, nested"), many(b"", count, prefix, b""));
        let prefix = |number: usize| [&[0x42, 0x02, 0x0B], &short(number + 64)[..], &[2, 0x01]].concat();
        add(&format!("{count} prefixes, one by one"), many(b"\x42\x02", count, prefix, b"\x01"));
        let attribute = |number: usize| [&[0x04], &short(number)[..], &[0x80]].concat();
        add(&format!("{count} attributes"), many(b"\x42\x02", count, attribute, b"\x01"));
        add(
            &format!("{count} equal attributes"),
            many(b"\x42\x02", count, |_| b"\x06\x02\x80".to_vec(), b"\x01"),
        );
    }
    for count in [60_000, 65_537] {
        let array = [b"\x42\x02\x03\x42\x02\x01\xB5", &int31(count)[..], &vec![1; count], b"\x01"].concat();
        add(&format!("{count} booleans"), array);
        let array =
            [b"\x42\x02\x03\x42\x02\x01\x8B", &int31(count / 2)[..], &vec![1; count & !1], b"\x01"].concat();
        add(&format!("{count} octets of integers"), array);
    }
    // Where a list of children or headers, which grows by an eighth, has just grown.
    let grown = core::iter::successors(Some(4), |size| Some(size + (size / 8).max(4)));
    for count in
        grown.skip_while(|size| *size < 60_000).take_while(|size| *size < 160_000).map(|size| size + 1)
    {
        let array = [b"\x42\x02\x03\x42\x02\x01\xB5", &int31(count)[..], &vec![1; count], b"\x01"].concat();
        add(&format!("{count} booleans"), array);
    }
    let item =
        [b"\x42\x02\x03\x40", &int31(60_000)[..], &[b'n'; 60_000], b"\x01\xB5", &int31(60_000)[..]].concat();
    add("60000 booleans with a long name", [item, vec![1; 60_000], vec![1]].concat());
    let arrays =
        |count| b"\x03\x42\x02\x01\xB5".iter().copied().chain(int31(count)).chain(vec![1; count]).collect();
    add("arrays of 1", many(b"\x42\x02", MANY, |_| arrays(1), b"\x01"));
    add("arrays of 5", many(b"\x42\x02", MANY / 2, |_| arrays(5), b"\x01"));
    for names in [1, 2, 3, 8] {
        let name = |number| static_name(number, names);
        add(&format!("empty, {names} names"), many(b"\x42\x02", MANY, |n| vec![0x42, name(n), 1], b"\x01"));
        add(
            &format!("numbers, {names} names"),
            many(b"\x42\x02", MANY, |n| vec![0x42, name(n), 0x81], b"\x01"),
        );
        add(
            &format!("dictionary texts, {names} names"),
            many(b"\x42\x02", MANY, |n| vec![0x42, name(n), 0xAB, name(n + 1)], b"\x01"),
        );
        add(
            &format!("a prefix and a dictionary text, {names} names"),
            many(b"\x42\x02\x0B\x01a\x04", MANY, |n| vec![0x44, name(n), 0xAB, name(n + 1)], b"\x01"),
        );
        add(
            &format!("an attribute, {names} names"),
            many(b"\x42\x02", MANY, |n| vec![0x42, name(n), 0x06, name(n + 1), 0x80, 1], b"\x01"),
        );
        add(
            &format!("an attribute with a prefix, {names} names"),
            many(
                b"\x42\x02\x0B\x01a\x04",
                MANY,
                |n| vec![0x44, name(n), 0x0C, name(n + 1), 0xAA, name(n), 1],
                b"\x01",
            ),
        );
        add(
            &format!("a qualified name, {names} names"),
            many(b"\x42\x02\x0B\x01a\x04", MANY, |n| vec![0x42, name(n), 0xBD, 0, name(n + 1)], b"\x01"),
        );
    }
    for depth in [1, 3, 30, 100] {
        let chain = [b"\x42\x1E".repeat(depth), vec![0x01; depth]].concat();
        add(
            &format!("chains of {depth}"),
            many(b"\x42\x02", 100_000 / chain.len(), |_| chain.clone(), b"\x01"),
        );
    }
    for texts in [2, 100] {
        let texts = b"\x98\x01x".repeat(texts);
        let one = [b"\x42\x02", &texts[..], b"\x01"].concat();
        add("split texts", many(b"\x42\x02", 100_000 / one.len(), |_| one.clone(), b"\x01"));
    }
    add("one letter", many(b"\x42\x02", MANY, |_| b"\x42\x02\x99\x01x".to_vec(), b"\x01"));
    add("empty octets", many(b"\x42\x02", MANY, |_| b"\x42\x02\x9F\x00".to_vec(), b"\x01"));
    add("lists", many(b"\x42\x02", MANY, |_| b"\x42\x02\xA4\xA6\x01".to_vec(), b"\x01"));
    add(
        "dates",
        many(
            b"\x42\x02",
            MANY,
            |_| b"\x42\x02\xA4\xAE\0\0\0\0\0\0\0\0\xAE\0\0\0\0\0\0\0\0\xA6\x01".to_vec(),
            b"\x01",
        ),
    );
    all
}

/// The octets of memory that `read` takes at most for each of the document's, and `besides`.
fn ratio(document: &[u8], besides: u64, read: impl FnOnce(&[u8])) -> f64 {
    let taken = allocation_counter::measure(|| read(document)).bytes_max;
    taken.saturating_sub(besides) as f64 / document.len() as f64
}

/// Sees that the one that takes most takes `claim` or less, and more than nine tenths of it. The claims are those of machines with
/// pointers of 64 bits; others need less.
fn most(mut ratios: Vec<(f64, String)>, claim: f64) {
    ratios.sort_by(|one, other| other.0.total_cmp(&one.0));
    let worst = ratios[0].0;
    let enough = cfg!(not(target_pointer_width = "64")) || worst > 0.9 * claim;
    assert!(worst <= claim && enough, "{:?}", &ratios[..3]);
}

#[test]
fn a_reader_takes_what_is_claimed() {
    let read = |document: &[u8]| {
        let mut state = ReaderState::new();
        let mut reader = Reader::new(&mut state, document, Strings::STATIC, Quotas::MAX);
        while let Ok(Some(_)) = reader.next() {}
    };
    most(
        documents().into_iter().map(|(name, document)| (ratio(&document, 1024, read), name)).collect(),
        31.0,
    );
}

#[test]
fn a_tree_takes_what_is_claimed() {
    let read = |document: &[u8]| {
        let mut state = ReaderState::new();
        let mut reader = Reader::new(&mut state, document, Strings::STATIC, Quotas::MAX);
        if let Ok(Some(Event::Start(root))) = reader.next() {
            drop(Element::read(&mut reader, root));
        }
    };
    most(
        documents().into_iter().map(|(name, document)| (ratio(&document, 48 << 10, read), name)).collect(),
        155.0,
    );
}

/// The document's elements are headers.
#[test]
fn headers_take_what_is_claimed() {
    let read = |document: &[u8]| {
        let mut decoder = Decoder::new(MessageEncoding::Binary, Quotas::MAX);
        drop(decoder.decode(document));
    };
    let mut all = documents();
    let long = [b"\x42\x02\x09\x01p", &int31(2000)[..], &[b'u'; 2000]].concat();
    all.push((
        "a long namespace".into(),
        many(&long, MANY, |_| b"\x40\x00\x01\x5E\x01a\x01".to_vec(), b"\x01"),
    ));
    all.push((
        "a long namespace, as a value".into(),
        many(&long, MANY, |_| b"\x42\x02\x99\x02p:".to_vec(), b"\x01"),
    ));
    let headers = |document: Vec<u8>| {
        // The root is the envelope's header.
        let root = [b"\x56\x02\x0B\x01s\x04\x56\x08", &document[2..]].concat();
        if document.starts_with(b"\x42\x02") { root } else { document }
    };
    most(
        all.into_iter().map(|(name, document)| (ratio(&headers(document), 48 << 10, read), name)).collect(),
        171.0,
    );
}
