//! What a document that comes in pieces may have in one piece, and what is kept of it.

use message_encoding::dictionary::Strings;
use message_encoding::event::{Event, Progress, StreamReader};
use message_encoding::{Quotas, ReadError, Value};

/// The events of what comes in pieces of `size` octets, as far as they go.
fn events(quotas: Quotas, octets: &[u8], size: usize) -> Result<Vec<String>, ReadError> {
    let mut stream = StreamReader::new(quotas);
    let mut events = Vec::new();
    for piece in octets.chunks(size) {
        stream.push(piece);
        while let Progress::Event(event) = stream.next(Strings::STATIC)? {
            events.push(format!("{event:?}"));
        }
    }
    Ok(events)
}

#[test]
fn what_has_to_be_there_as_a_whole_has_a_bound() {
    let quotas = Quotas { max_bytes_per_read: 50, max_string_content_length: 20, ..Quotas::DEFAULT };
    let bound = 55;
    for (kind, rest) in [(&b"\x02"[..], &b""[..]), (b"\x40", b"\x01")] {
        for length in [1, bound - 3, bound - 2, bound - 1, bound, bound + 1, 120] {
            let text = vec![b'x'; length];
            let document = [b"\x40\x01r", kind, &[length as u8], &text, rest, b"\x01"].concat();
            let expected = length + 2 <= bound;
            for size in [document.len(), 1, 7] {
                let read = events(quotas, &document, size);
                match read {
                    Ok(_) => assert!(expected, "{kind:?} {length} {size}"),
                    Err(error) => {
                        assert_eq!(
                            (expected, error),
                            (false, ReadError::StringTooLong(bound)),
                            "{kind:?} {length} {size}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn only_the_start_tags_of_open_elements_are_kept() {
    let mut stream = StreamReader::new(Quotas::DEFAULT);
    assert_eq!(stream.buffered(), 0);
    stream.push(b"\x40\x01r\x40\x01s\x98\x05hello");
    assert_eq!(stream.buffered(), 13);
    let event = |stream: &mut StreamReader| matches!(stream.next(Strings::STATIC), Ok(Progress::Event(_)));
    assert!(event(&mut stream) && event(&mut stream) && event(&mut stream));
    stream.push(b"");
    assert_eq!(stream.buffered(), 6, "r and s");
    stream.push(b"\x01\x01");
    assert!(event(&mut stream) && event(&mut stream));
    stream.push(b"");
    assert_eq!(stream.buffered(), 0);
}

/// Text that comes at once with a start tag behind it leaves nothing.
#[test]
fn a_start_tag_moves_to_those_around_it() {
    let (r, s, c) = (b"\x40\x01r", b"\x41\x03pre\x01s\x09\x03pre\x01u", b"\x41\x03pre\x01c");
    let text = b"\x98\x05hello";
    let mut stream = StreamReader::new(Quotas::DEFAULT);
    stream.push(&[&r[..], text, s, text, c, text].concat());
    let event = |stream: &mut StreamReader| matches!(stream.next(Strings::STATIC), Ok(Progress::Event(_)));
    assert!((0..6).all(|_| event(&mut stream)));
    for _ in 0..2 {
        stream.push(b"");
        assert_eq!(stream.buffered(), r.len() + s.len() + c.len());
        assert_eq!(stream.namespace("pre", Strings::STATIC), Some("u"));
    }
    for kept in [r.len() + s.len(), r.len(), 0] {
        stream.push(b"\x01");
        assert!(event(&mut stream));
        stream.push(b"");
        assert_eq!(stream.buffered(), kept);
    }
}

#[test]
fn each_item_of_an_array_has_its_name() {
    let document = b"\x40\x01r\x03\x41\x01p\x02it\x09\x01p\x01u\x01\x8B\x03\x01\0\x02\0\x03\0\x01";
    for size in [1, 3, document.len()] {
        let starts: Vec<_> = events(Quotas::DEFAULT, document, size)
            .unwrap()
            .into_iter()
            .filter(|event| event.starts_with("Start") && event.contains("\"it\"") && event.contains("\"u\""))
            .collect();
        assert_eq!(starts.len(), 3, "{size}");
    }
}

/// How many octets the pieces have that a long text comes in.
fn pieces(max_bytes_per_read: usize, kind: u8, octets: &[u8]) -> Vec<usize> {
    let quotas = Quotas { max_bytes_per_read, ..Quotas::DEFAULT };
    let mut stream = StreamReader::new(quotas);
    let end: &[u8] = if kind.is_multiple_of(2) { b"\x01" } else { b"" };
    stream.push(&[b"\x40\x01r", &[kind, octets.len() as u8][..], octets, end].concat());
    let mut pieces = Vec::new();
    loop {
        match stream.next(Strings::STATIC).unwrap() {
            Progress::Event(Event::Text(
                Value::Bytes(piece) | Value::Chars(piece) | Value::Unicode(piece),
            )) => {
                pieces.push(piece.len());
            }
            Progress::Event(Event::End) => return pieces,
            Progress::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// As .NET has them, where its buffer is as small as the quota, and never less than a few octets.
#[test]
fn a_long_text_comes_in_pieces_that_split_nothing() {
    let [chars, octets, unicode] = [0x98, 0x9E, 0xB6];
    assert_eq!(pieces(48, octets, &[7; 100]), [42, 42, 16]);
    assert_eq!(pieces(48, chars, &[b'x'; 100]), [37, 37, 26]);
    assert_eq!(pieces(48, unicode, &[b'x'; 100]), [38, 38, 24]);
    for kind in [chars, octets, unicode] {
        assert_eq!(pieces(48, kind, &[b'x'; 42]), [42]);
    }
    for small in [0, 14] {
        assert_eq!(pieces(small, octets, &[7; 30]), [9, 9, 9, 3]);
        assert_eq!(pieces(small, chars, &[b'x'; 30]), [4, 4, 4, 4, 4, 10]);
        assert_eq!(pieces(small, unicode, &[b'x'; 30]), [4, 4, 4, 4, 4, 10]);
    }
    assert_eq!(pieces(48, octets, &[7; 43]), [43]);
    assert_eq!(pieces(48, octets, &[7; 44]), [42, 2]);
    // that end their element
    for kind in [chars, octets, unicode] {
        assert_eq!(pieces(48, kind + 1, &[b'x'; 100]), pieces(48, kind, &[b'x'; 100]));
    }
    // no characters at all
    assert_eq!(pieces(48, chars, &[&[0xF0][..], &[0x80; 99]].concat()), [38, 38, 24]);
    // of two and of three octets
    assert_eq!(pieces(48, chars, "é".repeat(50).as_bytes()), [36, 36, 28]);
    assert_eq!(pieces(48, chars, "漢".repeat(33).as_bytes()), [36, 36, 27]);
    // two units each
    let pairs: Vec<u8> = "😀".repeat(25).encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(pieces(48, unicode, &pairs), [36, 36, 28]);
}

#[test]
fn outside_of_the_root_a_long_text_is_white_space() {
    let quotas = Quotas { max_bytes_per_read: 48, ..Quotas::DEFAULT };
    for (octet, refused) in [(b' ', false), (b'x', true)] {
        let text = [&b"\x98\x64"[..], &[octet; 100]].concat();
        for document in [text.clone(), [b"\x40\x01r\x01", &text[..]].concat()] {
            let read = events(quotas, &document, document.len());
            assert_eq!(read.is_err(), refused, "{read:?}");
            assert!(!refused || read == Err(ReadError::TextOutsideRoot));
        }
    }
}
