//! Prefixes, what they stand for and where, and what may stand outside of the root.

use message_encoding::dictionary::{StaticString, Strings};
use message_encoding::event::{
    Event, Progress, Reader, ReaderState, StreamReader, XML_NAMESPACE, XMLNS_NAMESPACE,
};
use message_encoding::{Int31, Quotas, ReadError, RecordError};

fn sized(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// An empty element, or its start, with one declaration.
fn element(prefix: &str, local: &str, declared: Option<&str>, ended: bool) -> Vec<u8> {
    let kind: &[u8] = if prefix.is_empty() { b"\x40" } else { b"\x41" };
    let prefix = if prefix.is_empty() { Vec::new() } else { sized(prefix) };
    let declaration = match declared {
        Some(uri) if prefix.is_empty() => [b"\x08", &sized(uri)[..]].concat(),
        Some(uri) => [b"\x09", &prefix[..], &sized(uri)].concat(),
        None => Vec::new(),
    };
    [kind, &prefix, &sized(local), &declaration, if ended { b"\x01" } else { b"" }].concat()
}

/// The namespaces of the elements of a document, or what is wrong with it.
fn namespaces<'d>(state: &mut ReaderState, document: &'d [u8]) -> Result<Vec<&'d str>, ReadError> {
    let mut reader = Reader::new(state, document, Strings::STATIC, Quotas::DEFAULT);
    let mut namespaces = Vec::new();
    while let Some(event) = reader.next()? {
        if let Event::Start(name) = event {
            namespaces.push(name.namespace);
        }
    }
    Ok(namespaces)
}

fn read(document: &[u8]) -> Result<Vec<&str>, ReadError> {
    namespaces(&mut ReaderState::new(), document)
}

#[test]
fn some_prefixes_and_namespaces_are_one_another_s() {
    for (prefix, uri, refused) in [
        ("p", "urn:1", None),
        ("pp", "urn:1", None),
        ("p", "", Some(ReadError::EmptyNamespace)),
        ("pp", "", Some(ReadError::EmptyNamespace)),
        ("", "", None),
        ("xml", XML_NAMESPACE, None),
        ("xml", "urn:1", Some(ReadError::ReservedPrefix)),
        ("xmlns", XMLNS_NAMESPACE, None),
        ("xmlns", "urn:1", Some(ReadError::ReservedPrefix)),
    ] {
        assert_eq!(read(&element(prefix, "e", Some(uri), true)).err(), refused, "{prefix} {uri}");
        if !prefix.is_empty() {
            let declaration = [&sized(prefix)[..], &sized(uri)].concat();
            let unused = [b"\x40\x01e\x09", &declaration[..], b"\x01"].concat();
            assert_eq!(read(&unused).err(), refused, "{prefix} {uri}");
        }
    }
}

/// Declares these letters, each as a namespace of its own.
fn declared(letters: impl Iterator<Item = u8>) -> Vec<u8> {
    letters.flat_map(|letter| [0x09, 1, letter, 1, letter.to_ascii_uppercase()]).collect()
}

/// `mustUnderstand`, with each letter as its prefix and without a value of its own: the tag that is read in the shortest way.
#[test]
fn a_letter_stands_for_itself() {
    for number in 0..26 {
        let letter = b'a' + number;
        let tag = |attributes: &[u8], letters: &[u8]| {
            let [element, record] = [0x5E + number, 0x0C + number];
            let attributes: Vec<u8> = attributes
                .iter()
                .flat_map(|&other| [if other == 0 { record } else { other }, 0, 0x82])
                .collect();
            [&[element, 1, b'e'][..], &attributes, &declared(letters.iter().copied()), b"\x01"].concat()
        };
        let others: Vec<u8> = (b'a'..=b'z').filter(|&other| other != letter).collect();
        let all: Vec<u8> = (b'a'..=b'z').collect();
        let namespace = char::from(letter.to_ascii_uppercase()).to_string();
        for letters in [&all[..], &[letter]] {
            for attributes in [&[][..], &[0]] {
                assert_eq!(read(&tag(attributes, letters)), Ok(vec![namespace.as_str()]), "{letters:?}");
            }
            assert_eq!(read(&tag(&[0, 0], letters)), Err(ReadError::DuplicateAttribute));
        }
        let root = [b"\x40\x01r", &tag(&[0], &others)[3..]].concat();
        assert_eq!(read(&root), Err(ReadError::UndeclaredPrefix), "{letter}");
        assert_eq!(read(&tag(&[], &others)), Err(ReadError::UndeclaredPrefix), "{letter}");
        if letter != b'a' {
            let two = [b"\x40\x01r", &tag(&[0x0C, 0], &[letter])[3..]].concat();
            assert_eq!(read(&two), Err(ReadError::UndeclaredPrefix), "{letter}");
            assert!(read(&[b"\x40\x01r", &tag(&[0x0C, 0], &all)[3..]].concat()).is_ok());
        }
        let twice = [b"\x40\x01r", &declared([letter, letter].into_iter())[..], b"\x01"].concat();
        assert_eq!(read(&twice), Err(ReadError::DuplicateAttribute));
    }
}

#[test]
fn a_prefix_of_several_letters_stands_for_what_is_nearest() {
    for prefix in ["p", "pp", "ppp"] {
        let open = |uri| element(prefix, "e", Some(uri), false);
        let inner = element(prefix, "f", Some("urn:2"), true);
        let plain = element(prefix, "g", None, true);
        let document =
            [&b"\x40\x01r"[..], &open("urn:1"), &plain, &inner, &plain, &inner, &plain, b"\x01"].concat();
        let known = ["", "urn:1", "urn:1", "urn:2", "urn:1", "urn:2", "urn:1"];
        assert_eq!(read(&[&document[..], b"\x01"].concat()).unwrap(), known, "{prefix}");
        let behind = [&document[..], &plain, b"\x01"].concat();
        assert_eq!(read(&behind), Err(ReadError::UndeclaredPrefix));
    }
}

#[test]
fn an_attribute_without_prefix_is_in_no_namespace() {
    let document = b"\x40\x01r\x08\x05urn:d\x04\x01a\x82\x26\x01b\x82\x09\x01a\x05urn:a\x01";
    let mut reader = Reader::from_slice(document);
    reader.next().unwrap();
    let attributes: Vec<_> = reader
        .attributes()
        .filter(|attribute| attribute.name.namespace != XMLNS_NAMESPACE)
        .map(|attribute| (attribute.name.local, attribute.name.namespace))
        .collect();
    assert_eq!(attributes.first(), Some(&("a", "")));
}

#[test]
fn an_attribute_has_the_name_of_its_id() {
    for id in (0..=972).step_by(2) {
        let mut name = Vec::new();
        Int31::new(id).unwrap().encode(&mut name);
        for value in [&b"\x82"[..], b"\x88\x07", b"\x98\x01x"] {
            let document = [b"\x40\x01r\x0C", &name[..], value, b"\x09\x01a\x01u\x40\x01s\x01\x01"].concat();
            let mut reader = Reader::from_slice(&document);
            reader.next().unwrap();
            let first = reader.attributes().next().unwrap();
            assert_eq!(
                (first.name.local, first.name.namespace),
                (StaticString::from_id(id).unwrap().as_str(), "u")
            );
            assert_eq!(reader.position(), document.len() - 5);
            assert!(matches!(reader.next(), Ok(Some(Event::Start(name))) if name.local == "s"));
        }
    }
}

/// A state that was left in the middle of a document knows nothing of it in the next one.
#[test]
fn a_state_begins_anew_with_each_document() {
    for prefix in ["p", "pp"] {
        let mut state = ReaderState::new();
        let cut = [&element(prefix, "e", Some("urn:1"), false)[..], b"\x82"].concat();
        assert!(namespaces(&mut state, &cut).is_err());
        let whole = element(prefix, "e", Some("urn:2"), true);
        assert_eq!(namespaces(&mut state, &whole), Ok(vec!["urn:2"]));
        assert!(namespaces(&mut state, &cut).is_err());
        let undeclared = element(prefix, "e", None, true);
        let undeclared = namespaces(&mut state, &undeclared);
        assert_eq!(undeclared, Err(ReadError::UndeclaredPrefix));
        assert!(namespaces(&mut state, &cut).is_err());
        assert_eq!(namespaces(&mut state, b"\x01"), Err(ReadError::SurplusEnd));
    }
}

#[test]
fn outside_of_the_root_stand_white_space_and_values_that_end_nothing() {
    for (text, refused) in [
        (&b"\x98\x01 "[..], false),
        (b"\x98\x01x", true),
        (b"\xB6\x02 \0", false),
        (b"\xB6\x02x\0", true),
        (b"\x9E\x01\0", true),
        (b"\x9E\x00", false),
        (b"\xA8", false),
        (b"\xA9", false),
        (b"\xAA\x00", false),
        (b"\x82", false),
        (b"\x83", true),
        (b"\x88\x2A", false),
        (b"\x89\x2A", true),
    ] {
        for document in [[text, b"\x40\x01r\x01"].concat(), [b"\x40\x01r\x01", text].concat()] {
            let read = read(&document);
            assert_eq!(read == Err(ReadError::TextOutsideRoot), refused, "{document:02x?} {read:?}");
        }
    }
}

#[test]
fn what_is_no_string_and_no_value_is_named() {
    assert_eq!(read(b"\x40\x01r\x04\x01a\xAA\x03\x01"), Err(ReadError::UnknownString(3)));
    assert_eq!(read(b"\x40\x01r\xAB\x03"), Err(ReadError::UnknownString(3)));
    // A list that ends its element, as a value of an attribute.
    let unknown = |octet| Err(ReadError::Record(RecordError::UnknownRecord(octet)));
    assert_eq!(read(b"\x40\x01r\x04\x01a\xA4\x82\xA7"), unknown(0xA7));
    assert_eq!(read(b"\x40\x01r\x04\x01a\x83"), unknown(0x83));
    assert!(read(b"\x40\x01r\x04\x01a\xA4\x82\xA6\x01").is_ok());
}

fn events(stream: &mut StreamReader, octets: &[u8]) -> Vec<String> {
    let mut events = Vec::new();
    for octet in octets {
        stream.push(&[*octet]);
        loop {
            match stream.next(Strings::STATIC) {
                Ok(Progress::Event(event)) => events.push(format!("{event:?}")),
                Ok(_) => break,
                Err(error) => return vec![format!("{error:?}")],
            }
        }
    }
    events
}

#[test]
fn an_array_may_come_in_pieces_and_be_the_root() {
    let array = b"\x03\x40\x01i\x01\x8B\x01\x07\x00";
    assert_eq!(events(&mut StreamReader::new(Quotas::DEFAULT), array).len(), 3);
    let nested = [b"\x40\x01r", &array[..], b"\x01"].concat();
    assert_eq!(events(&mut StreamReader::new(Quotas::DEFAULT), &nested).len(), 5);
    let second = [&nested[..], b"\x40\x01s\x01"].concat();
    assert_eq!(events(&mut StreamReader::new(Quotas::DEFAULT), &second), ["SecondRoot"]);
}

#[test]
fn a_start_tag_is_told_when_it_is_over() {
    let mut stream = StreamReader::new(Quotas::DEFAULT);
    assert!(events(&mut stream, b"\x40\x01r\x04\x01a\x86").is_empty(), "an attribute may follow");
    assert_eq!(events(&mut stream, b"\x99").len(), 1);
}
