//! Quotas of texts and octets count as .NET counts: `quotas.jsonl` has the least one with which that reads each document.

mod support;

use message_encoding::dictionary::Strings;
use message_encoding::envelope::Element;
use message_encoding::event::{Reader, ReaderState};
use message_encoding::{Quotas, ReadError};
use support::{lines, octets, text};

/// What `read` gives for the content of the root.
fn read<T>(
    document: &[u8],
    quotas: Quotas,
    read: impl Fn(&mut Reader<'_, '_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, document, Strings::STATIC, quotas);
    reader.next_child()?;
    read(&mut reader)
}

#[test]
fn a_text_has_as_many_characters_as_in_dotnet() {
    let mut seen = 0;
    for line in lines("quotas") {
        let document = octets(&line, "binary");
        let as_text = |quota| {
            let quotas = Quotas { max_string_content_length: quota, ..Quotas::MAX };
            read(&document, quotas, |reader| reader.read_text().map(|text| text.encode_utf16().count()))
        };
        let (least, units) = (line["MaxStringContentLength"].as_u64(), line["units"].as_u64());
        let (least, units) = (least.unwrap() as usize, units.unwrap() as usize);
        assert_eq!(as_text(least), Ok(units), "{}", text(&line, "name"));
        // .NET's quotas are positive, so it needs one of 1 for nothing.
        if units > 0 {
            let refused = Err(ReadError::StringTooLong(least - 1));
            assert_eq!(as_text(least - 1), refused, "{}", text(&line, "name"));
        }
        seen += 1;
    }
    assert_eq!(seen, 44);
}

#[test]
fn octets_are_as_many_as_in_dotnet() {
    let (mut accepted, mut refused) = (0, 0);
    for line in lines("quotas") {
        let document = octets(&line, "binary");
        let as_octets = |quota| {
            let quotas = Quotas { max_array_length: quota, ..Quotas::MAX };
            read(&document, quotas, |reader| reader.read_bytes().map(|octets| octets.len()))
        };
        let name = text(&line, "name");
        let Some(least) = line["MaxArrayLength"].as_u64().map(|least| least as usize) else {
            assert!(as_octets(usize::MAX).is_err(), "{name}");
            refused += 1;
            continue;
        };
        accepted += 1;
        match as_octets(least) {
            Ok(0) => {}
            read => {
                assert_eq!(read, Ok(least), "{name}");
                assert_eq!(as_octets(least - 1), Err(ReadError::ArrayTooLong(least - 1)), "{name}");
            }
        }
    }
    assert!(accepted > 10 && refused > 20, "{accepted} {refused}");
}

/// A tree counts as a reader does, but for a text that is one number and octets that are nothing else: they stay what they are.
#[test]
fn a_tree_has_the_same_quotas() {
    for line in lines("quotas") {
        let document = octets(&line, "binary");
        let as_tree = |quota| {
            let quotas = Quotas { max_string_content_length: quota, ..Quotas::MAX };
            read(&document, quotas, |reader| {
                Ok(Element::read(reader, reader_name())?.value().text()?.encode_utf16().count())
            })
        };
        let least = line["MaxStringContentLength"].as_u64().unwrap() as usize;
        let units = line["units"].as_u64().unwrap() as usize;
        let name = text(&line, "name");
        if name.starts_with("octets") && name != "octets_then_text" {
            assert!(as_tree(1).is_ok(), "{name}");
        } else {
            assert_eq!(as_tree(least), Ok(units), "{name}");
            assert!(units == 0 || as_tree(least - 1).is_err(), "{name}");
        }
    }
}

/// Attributes and declarations count together, whether the tag is one that nearly all are or one that is read the long way.
#[test]
fn a_start_tag_has_as_many_octets_of_attributes() {
    let plain = &b"\x09\x01a\x03urn\x0B\x01b\x04\x0C\x00\x82"[..]; // xmlns:a="urn" xmlns:b="…" a:mustUnderstand="1"
    let long = &b"\x09\x02aa\x03urn\x05\x02aa\x01n\x98\x01v"[..]; // xmlns:aa="urn" aa:n="v"
    for attributes in [plain, long] {
        let document = [b"\x40\x01r", attributes, b"\x01"].concat();
        let within = |quota| {
            let quotas = Quotas { max_bytes_per_read: quota, ..Quotas::MAX };
            read(&document, quotas, |reader| reader.read_text().map(|text| text.len()))
        };
        assert_eq!(within(attributes.len()), Ok(0));
        for quota in [0, attributes.len() - 1] {
            assert_eq!(within(quota), Err(ReadError::StartTagTooLong(quota)));
        }
    }
}

const fn reader_name() -> message_encoding::event::Name<'static> {
    message_encoding::event::Name { prefix: "", local: "r", namespace: "" }
}
