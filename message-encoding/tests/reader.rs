//! What a reader gives, and what that borrows from.

use std::borrow::Cow;

use message_encoding::dictionary::Strings;
use message_encoding::event::{Event, Name, Progress, Reader, ReaderState, StreamReader};
use message_encoding::record::ArrayType;
use message_encoding::{Quotas, ReadError, Value, ValueError};

/// It compiles: what is read outlives the state it was read with.
#[test]
fn texts_borrow_from_the_document_alone() {
    fn lent<'d>(document: &'d [u8], state: &mut ReaderState) -> Result<Cow<'d, str>, ReadError> {
        let mut reader = Reader::new(state, document, Strings::STATIC, Quotas::DEFAULT);
        reader.next_child()?;
        reader.read_text()
    }
    fn own(document: &[u8]) -> Result<Option<Name<'_>>, ReadError> {
        Reader::from_slice(document).next_child()
    }
    let document = b"\x40\x01r\x99\x02hi";
    let (text, name) = (lent(document, &mut ReaderState::new()), own(document));
    assert!(matches!(text, Ok(Cow::Borrowed("hi"))));
    assert_eq!(name.unwrap().unwrap().local, "r");
}

/// What the root, which contains these records, is as one value.
fn value<T>(
    records: &[u8],
    quotas: Quotas,
    of: impl FnOnce(&Value<'_>) -> Result<T, ValueError>,
) -> Result<T, ReadError> {
    let document = [b"\x40\x01r", records].concat();
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, &document, Strings::STATIC, quotas);
    reader.next_child()?;
    let value = reader.read_value(of)?;
    assert_eq!(reader.next(), Ok(None));
    Ok(value)
}

#[test]
fn a_value_may_be_split_into_records() {
    // Octets as .NET's writer splits them: groups of three, then the rest; and anywhere else.
    let octets: Vec<u8> = (0..100).collect();
    for cut in 0..=octets.len() {
        let (start, rest) = octets.split_at(cut);
        let records = [&[0x9E, start.len() as u8], start, &[0x9F, rest.len() as u8], rest].concat();
        let read = value(&records, Quotas::DEFAULT, |value| value.to_bytes().map(Cow::into_owned));
        assert_eq!(read.as_ref(), Ok(&octets), "cut at {cut}");
    }
    let text = |records: &[u8]| value(records, Quotas::DEFAULT, |value| value.to_text());
    assert_eq!(
        value(b"\x98\x01-\x82\x02\x01c\x8B\x2A\x00", Quotas::DEFAULT, |value| value.to_i64()),
        Ok(-142)
    );
    assert_eq!(
        text(b"\x9E\x01\x01\x9E\x01\x02\x98\x01x\x9E\x03\x01\x02\x03\x01").as_deref(),
        Ok("AQI=xAQID")
    );
    assert_eq!(text(b"\x82\x9F\x03\x01\x02\x03").as_deref(), Ok("1AQID"));
    assert_eq!(text(b"\x01").as_deref(), Ok(""));
    assert_eq!(text(b"\x82\x40\x01e\x01\x01"), Err(ReadError::Unexpected("a text")));
}

#[test]
fn a_value_that_is_split_has_the_quotas_of_its_kind() {
    let quotas = Quotas { max_array_length: 4, max_string_content_length: 9, ..Quotas::DEFAULT };
    let octets = |records| value(records, quotas, |value| value.to_bytes().map(|octets| octets.len()));
    assert_eq!(octets(b"\x9E\x03\x01\x02\x03\x9F\x01\x04"), Ok(4));
    assert_eq!(octets(b"\x9E\x03\x01\x02\x03\x9F\x02\x04\x05"), Err(ReadError::ArrayTooLong(4)));
    let text = |records| value(records, quotas, |value| value.to_text());
    assert_eq!(text(b"\x9E\x03\x01\x02\x03\x9E\x01\x04\x99\x01x").as_deref(), Ok("AQIDBA==x"));
    assert_eq!(text(b"\x9E\x03\x01\x02\x03\x9E\x01\x04\x99\x02xy"), Err(ReadError::StringTooLong(9)));
}

/// A reader may look at the attributes of the outer element while an array behind it is not there as a whole.
#[test]
fn attributes_last_until_the_next_element_is_there() {
    let document = b"\x40\x01r\x04\x01a\x82\x03\x40\x01i\x04\x01b\x80\x01\x8B\x02\x01\x00\x02\x00\x01";
    let names = |reader: &StreamReader| -> Vec<String> {
        reader.attributes(Strings::STATIC).map(|attribute| attribute.name.local.to_owned()).collect()
    };
    let (mut reader, mut octets) = (StreamReader::new(Quotas::DEFAULT), document.iter());
    let mut shown = Vec::new();
    loop {
        match reader.next(Strings::STATIC).unwrap() {
            Progress::NeedMore(_) => match octets.next() {
                Some(octet) => reader.push(&[*octet]),
                None => reader.finish(),
            },
            Progress::Done => break,
            Progress::Event(_) => {}
        }
        shown.push(names(&reader).concat());
    }
    shown.dedup();
    // Those of r, of i, and nothing from the end of i on, again for the second item.
    assert_eq!(shown, ["", "a", "b", ""]);
}

#[test]
fn an_array_is_read_at_once_within_its_quota() {
    let document = b"\x40\x01r\x03\x40\x01i\x01\x8B\x04\x01\0\x02\0\x03\0\x04\0\x40\x01j\x01\x01";
    for max_array_length in 1..8 {
        let mut state = ReaderState::new();
        let quotas = Quotas { max_array_length, ..Quotas::DEFAULT };
        let mut reader = Reader::new(&mut state, document, Strings::STATIC, quotas);
        reader.next().unwrap();
        assert!(reader.array().unwrap().is_none(), "r is no item");
        reader.next().unwrap();
        if max_array_length < 4 {
            assert_eq!(reader.array().err(), Some(ReadError::ArrayTooLong(max_array_length)));
            continue;
        }
        let items = reader.array().unwrap().unwrap();
        assert_eq!((items.item(), items.octets()), (ArrayType::Int16, &document[10..18]));
        assert!(items.values().eq([1, 2, 3, 4].map(Value::Int)));
        assert_eq!(reader.next(), Ok(Some(Event::End)), "that of i");
        assert!(matches!(reader.next(), Ok(Some(Event::Start(name))) if name.local == "j"));
        assert_eq!(
            [reader.next(), reader.next(), reader.next()],
            [Ok(Some(Event::End)), Ok(Some(Event::End)), Ok(None)]
        );
    }
}

/// Octets of an item are no records, whatever they look like.
#[test]
fn the_text_of_an_item_is_its_number() {
    let document = b"\x40\x01r\x03\x40\x01i\x01\x8B\x02\x99\0\xAB\x02\x01";
    let mut reader = Reader::from_slice(document);
    reader.next().unwrap();
    for text in ["153", "683"] {
        reader.next_child().unwrap().unwrap();
        assert_eq!(reader.read_text(), Ok(text.into()));
    }
    assert_eq!(reader.next_child(), Ok(None));
}

#[test]
fn between_children_there_is_white_space_at_most() {
    for (text, refused) in [(" \t\r\n", false), ("", false), (" x", true), ("\u{A0}", true)] {
        let length = u8::try_from(text.len()).unwrap();
        let document = [b"\x40\x01r\x98", &[length][..], text.as_bytes(), b"\x40\x01c\x01\x01"].concat();
        let mut reader = Reader::from_slice(&document);
        reader.next().unwrap();
        let child = reader.next_child().map(|child| child.map(|name| name.local));
        assert_eq!(child.is_err(), refused, "{text:?} {child:?}");
        assert!(refused || child == Ok(Some("c")));
    }
}

#[test]
fn a_document_has_one_root() {
    for second in [&b"\x40\x01b\x01"[..], b"\x44\x0A\x0B\x01a\x02\x01", b"\x41\x01p\x01b\x09\x01p\x01u\x01"] {
        let document = [b"\x40\x01a\x40\x01c\x01\x01", second].concat();
        let mut reader = Reader::from_slice(&document);
        let read = (0..10).map(|_| reader.next()).find(|event| !matches!(event, Ok(Some(_))));
        assert_eq!(read, Some(Err(ReadError::SecondRoot)), "{second:?}");
    }
}

#[test]
fn lists_are_one_if_their_values_are() {
    let value = |document: &'static [u8]| {
        let mut reader = Reader::from_slice(document);
        reader.next().unwrap();
        reader.attributes().next().unwrap().value
    };
    let list = value(b"\x40\x01r\x04\x01a\xA4\x82\x88\x07\xA6\x01");
    assert_eq!(list, value(b"\x40\x01r\x04\x01a\xA4\x82\x8A\x07\x00\xA6\x01"));
    assert_ne!(list, value(b"\x40\x01r\x04\x01a\xA4\x82\x88\x08\xA6\x01"));
    assert_ne!(list, value(b"\x40\x01r\x04\x01a\xA4\x82\xA6\x01"));
}

/// In UTF-16 units, as that of any that has more behind it.
#[test]
fn a_text_from_the_dictionary_has_a_length() {
    use message_encoding::dictionary::ReaderSession;
    let mut session = ReaderSession::new();
    session.push(&"x".repeat(400));
    session.push(&"é".repeat(200));
    let text = |records: &[u8], quota| {
        let quotas = Quotas { max_string_content_length: quota, ..Quotas::DEFAULT };
        let document = [b"\x40\x01r\x09\x01a\x01u", records].concat();
        let mut state = ReaderState::new();
        let mut reader = Reader::new(&mut state, &document, Strings::with_session(&session), quotas);
        reader.next_child()?;
        reader.read_value(|value| value.to_text().map(|text| text.chars().count()))
    };
    for (record, more) in [(&b"\xAA"[..], 1), (b"\xBC\x00", 3)] {
        for (id, length) in [(1, 400 + more), (3, 200 + more)] {
            let last = [record[0] + 1];
            for texts in [
                [record, &[id], b"\x99\x01x"].concat(),
                [b"\x98\x01x", &last[..], &record[1..], &[id]].concat(),
            ] {
                assert_eq!(text(&texts, length), Ok(length));
                assert_eq!(text(&texts, length - 1), Err(ReadError::StringTooLong(length - 1)));
            }
        }
    }
}
