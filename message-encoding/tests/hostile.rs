//! Documents that want too much: refused by a quota, or read in time and memory linear in their size.

mod support;

use message_encoding::dictionary::Strings;
use message_encoding::envelope::{DecodeError, Decoder, MessageEncoding};
use message_encoding::event::{Event, Progress, Reader, ReaderState, StreamReader};
use message_encoding::{Int31, Quotas, ReadError};

fn count(document: &[u8]) -> Result<usize, ReadError> {
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, document, Strings::STATIC, Quotas::MAX);
    let mut events = 0;
    while reader.next()?.is_some() {
        events += 1;
    }
    Ok(events)
}

fn name(out: &mut Vec<u8>, kind: u8, name: &str) {
    out.push(kind);
    Int31::new(name.len() as u32).unwrap().encode(out);
    out.extend_from_slice(name.as_bytes());
}

/// A million open elements need no stack.
#[test]
fn depth_costs_no_stack() {
    let deep = [b"\x40\x01d".repeat(1_000_000), vec![0x01; 1_000_000]].concat();
    assert_eq!(count(&deep), Ok(2_000_000));
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, &deep, Strings::STATIC, Quotas::DEFAULT);
    let refused = (0..).find_map(|_| reader.next().err());
    assert_eq!(refused, Some(ReadError::DepthExceeded(32)));
}

/// Were every attribute compared with every other, or every prefix looked for among all, this would take hours.
#[test]
fn many_attributes_and_many_prefixes_take_linear_time() {
    let mut attributes = vec![0x40, 0x01, b'r'];
    let mut prefixes = vec![0x40, 0x01, b'r'];
    let mut used = Vec::new();
    for number in 0..100_000 {
        let local = format!("a{number}");
        name(&mut attributes, 0x04, &local);
        attributes.push(0x80);
        name(&mut prefixes, 0x09, &local);
        prefixes.extend_from_slice(b"\x01u");
        name(&mut used, 0x41, &local);
        used.extend_from_slice(b"\x01e\x01");
    }
    let mut twice = attributes.clone();
    name(&mut twice, 0x04, "a777");
    twice.extend_from_slice(&[0x80, 0x01]);
    attributes.push(0x01);
    prefixes.extend(used);
    prefixes.push(0x01);
    assert_eq!(count(&attributes), Ok(2));
    assert_eq!(count(&prefixes), Ok(200_002));
    assert_eq!(count(&twice), Err(ReadError::DuplicateAttribute));
}

/// Sizes that are only claimed are not believed.
#[test]
fn claimed_sizes_allocate_nothing() {
    let array = b"\x03\x40\x01i\x01\x8F\xFF\xFF\xFF\xFF\x07";
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, array, Strings::STATIC, Quotas::MAX);
    assert!(matches!(reader.next(), Ok(Some(Event::Start(_)))));
    assert_eq!(reader.array().unwrap_err(), ReadError::UnexpectedEnd);
    for text in [&b"\x40\x01r\x9C\xFF\xFF\xFF\x7F"[..], b"\x40\x01r\x02\xFF\xFF\xFF\xFF\x07"] {
        assert_eq!(count(text), Err(ReadError::UnexpectedEnd));
    }
    let mut stream = StreamReader::new(Quotas::DEFAULT);
    stream.push(b"\x40\x01r\x02\xFF\xFF\xFF\xFF\x07");
    assert!(stream.next(Strings::STATIC).is_ok());
    assert!(matches!(stream.next(Strings::STATIC), Err(ReadError::StringTooLong(_))));
}

/// A stream of any length is read in the memory of its open elements and one piece.
#[test]
fn a_long_body_is_read_in_little_memory() {
    let mut reader = StreamReader::new(Quotas::DEFAULT);
    let mut octets = 0;
    reader.push(b"\x40\x01r\xA2\x00\x00\x40\x00");
    let mut pushed = 0;
    loop {
        match reader.next(Strings::STATIC).unwrap() {
            Progress::NeedMore(_) if pushed < 1 << 22 => {
                assert!(reader.buffered() < 16_384);
                reader.push(&[7; 4096]);
                pushed += 4096;
            }
            Progress::NeedMore(_) => break,
            Progress::Event(Event::Text(value)) => octets += value.to_bytes().unwrap().len(),
            _ => {}
        }
    }
    assert_eq!(octets, 1 << 22);
}

#[test]
fn string_tables_have_a_quota_for_the_session() {
    let mut decoder =
        Decoder::new(MessageEncoding::BinarySession, Quotas { max_table_octets: 8, ..Quotas::DEFAULT });
    assert!(decoder.document(b"\x04\x03one\x40\x01r\x01").is_ok());
    assert!(decoder.document(b"\x04\x03two\x40\x01r\x01").is_ok());
    assert_eq!(decoder.document(b"\x01\x00\x40\x01r\x01").unwrap_err(), DecodeError::StringTableTooLong(8));
    assert_eq!(decoder.document(b"\x00\x40\x01r\x01").unwrap_err(), DecodeError::SessionBroken);
}

/// An element may name a long string of the session in two octets: a tree has it once.
#[test]
fn a_tree_does_not_copy_what_the_document_has_once() {
    use message_encoding::envelope::Element;
    let long: message_encoding::dictionary::ReaderSession = ["x".repeat(2000)].into_iter().collect();
    let document = [&b"\x40\x01r"[..], &b"\x42\x01\x01".repeat(10_000), b"\x01"].concat();
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, &document, Strings::with_session(&long), Quotas::DEFAULT);
    let Ok(Some(Event::Start(root))) = reader.next() else { panic!() };
    let tree = Element::read(&mut reader, root).unwrap();
    let first = tree.children()[0].name().as_ptr();
    assert!(tree.children().iter().all(|child| child.name().as_ptr() == first));
}

/// A long string that stands in the document once and is used many times is looked through once.
#[test]
fn what_is_used_often_is_looked_through_once() {
    const MANY: usize = 300_000;
    let long = "u".repeat(MANY);
    let with_long = |start: &[u8]| {
        let mut out = start.to_vec();
        Int31::new(long.len() as u32).unwrap().encode(&mut out);
        out.extend_from_slice(long.as_bytes());
        out
    };

    // The name of an array's items.
    let mut items = [with_long(b"\x03\x40"), vec![0x01, 0xB5]].concat();
    Int31::new(MANY as u32).unwrap().encode(&mut items);
    items.extend(vec![1; MANY]);
    assert_eq!(count(&items), Ok(3 * MANY));

    // The namespace of a prefix of two letters, and that of the last of many prefixes.
    let two = [with_long(b"\x40\x01r\x09\x02pp"), b"\x41\x02pp\x01e\x01".repeat(MANY / 10)].concat();
    assert_eq!(count(&[two, vec![0x01]].concat()), Ok(2 + 2 * (MANY / 10)));
    let many: Vec<u8> = (b'a'..=b'y').flat_map(|letter| [0x09, 1, letter, 1, b'u']).collect();
    let start = [b"\x40\x01r", many.as_slice(), b"\x09\x01z"].concat();
    let last = [with_long(&start), b"\x77\x01e\x01".repeat(MANY / 10), vec![0x01]].concat();
    assert_eq!(count(&last), Ok(2 + 2 * (MANY / 10)));

    // The namespace of attributes: compared, and shown.
    let declared = with_long(b"\x40\x01r\x09\x01p");
    let twice = [declared.as_slice(), &b"\x35\x01a\x80".repeat(MANY), b"\x01"].concat();
    assert_eq!(count(&twice), Err(ReadError::DuplicateAttribute));
    let mut many = declared;
    for number in 0..MANY / 10 {
        name(&mut many, 0x35, &format!("a{number}"));
        many.push(0x80);
    }
    many.push(0x01);
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, &many, Strings::STATIC, Quotas::MAX);
    reader.next().unwrap();
    assert_eq!(
        reader.attributes().filter(|attribute| attribute.name.namespace.len() == MANY).count(),
        MANY / 10
    );
}

/// White space before many children is looked at once.
#[test]
fn children_behind_white_space_take_linear_time() {
    use message_encoding::envelope::Element;
    let spaces = [&300_000_u32.to_le_bytes()[..], " ".repeat(300_000).as_bytes()].concat();
    let document = [&b"\x42\x02\x9C"[..], &spaces, &b"\x42\x02\x01".repeat(100_000), b"\x01"].concat();
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, &document, Strings::STATIC, Quotas::MAX);
    let Ok(Some(Event::Start(root))) = reader.next() else { panic!() };
    assert_eq!(Element::read(&mut reader, root).unwrap().children().len(), 100_000);
}

/// The code of a fault has the quota of any text, and is looked through once.
#[test]
fn a_fault_code_has_a_quota() {
    let start = b"\x00\x56\x02\x0B\x01s\x04\x56\x0E\x56\x86\x01\x56\x8E\x01\x56\x9A\x01";
    let envelope = [&start[..], &[0x86; 300_000], &[0x01; 5]].concat();
    let reply = |quotas| {
        let mut decoder = Decoder::new(MessageEncoding::BinarySession, quotas);
        decoder.decode(&envelope).unwrap().reply()
    };
    assert_eq!(reply(Quotas::DEFAULT), Err(DecodeError::Read(ReadError::StringTooLong(8192))));
    let fault = reply(Quotas::MAX).unwrap().unwrap_err();
    assert_eq!(fault.subcode.unwrap().1.len(), 4 * 300_000);
}

/// All events of a stream reader that gets the document in pieces of `size` octets.
fn count_pieces(document: &[u8], size: usize) -> Result<usize, ReadError> {
    let mut reader = StreamReader::new(Quotas::MAX);
    let (mut pieces, mut events) = (document.chunks(size), 0);
    loop {
        match reader.next(Strings::STATIC)? {
            Progress::Event(_) => events += 1,
            Progress::Done => return Ok(events),
            Progress::NeedMore(_) => match pieces.next() {
                Some(piece) => reader.push(piece),
                None => reader.finish(),
            },
        }
    }
}

/// An item has the name of the array, which is looked through once, whatever comes how late.
#[test]
fn a_stream_reads_long_item_names_in_linear_time() {
    const MANY: usize = 300_000;
    let mut document = Vec::from(&b"\x40\x01r\x03"[..]);
    name(&mut document, 0x40, &"u".repeat(MANY));
    document.extend_from_slice(b"\x01\xB5");
    Int31::new(MANY as u32).unwrap().encode(&mut document);
    document.extend(vec![1; MANY]);
    document.push(0x01);
    assert_eq!(count_pieces(&document, document.len()), Ok(2 + 3 * MANY));
    assert_eq!(count_pieces(&document, 50_000), Ok(2 + 3 * MANY));
}

/// What stands before the innermost start tag is not kept, nor what any element around it contains.
#[test]
fn a_stream_keeps_start_tags_alone() {
    let mut reader = StreamReader::new(Quotas::DEFAULT);
    let level = [&b"\x40\x01i\x83".repeat(10_000)[..], b"\x40\x03pad\x09\x02pp\x01u"].concat();
    for depth in 1..=20 {
        reader.push(if depth == 1 { &level[level.len() - 11..] } else { &level });
        while let Progress::Event(_) = reader.next(Strings::STATIC).unwrap() {}
        reader.push(&[0xA8]);
        // The octet behind a start tag tells that it is one.
        while let Progress::Event(_) = reader.next(Strings::STATIC).unwrap() {}
        reader.push(&[]);
        assert!(reader.buffered() <= 11 * depth, "{} octets, {depth} open", reader.buffered());
    }
}
