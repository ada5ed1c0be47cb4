//! The corpus walked whole: read, refused and written back as recorded.

mod support;

use std::borrow::Cow;

use message_encoding::dictionary::Strings;
use message_encoding::envelope::{DecodeError, Decoder, MessageEncoding};
use message_encoding::event::{Event, Reader, ReaderState};
use message_encoding::record::{Record, Records};
use message_encoding::value::DateTime;
use message_encoding::{Quotas, ReadError, RecordError, Value};
use serde_json::Value as Json;
use support::{
    Said, dictionaries, documents, known_difference, lines, octets, read, read_pieces, table, text,
};

#[test]
fn every_document_gives_its_events_or_is_refused() {
    let (mut count, mut differences) = (0, 0);
    for document in documents() {
        let said = read(&document.octets, dictionaries(document.table.as_ref()), Quotas::MAX);
        count += 1;
        if said.0 == document.events && said.1.is_none() == document.accepted {
            continue;
        }
        assert!(known_difference(&document, &said), "{}: {said:?}", document.name);
        differences += 1;
    }
    assert_eq!((count, differences), (300 + 258 + 1095 + 459, 17));
}

/// The corpus has no list that ends so in an attribute. .NET refuses any; here it is one only where it ends an element.
#[test]
fn a_list_in_an_attribute_does_not_end_an_element() {
    let list = |end: u8| {
        read(&[0x40, 0x01, b'r', 0x04, 0x01, b'a', 0xA4, 0x82, end, 0x01], Strings::STATIC, Quotas::MAX)
    };
    assert_eq!(list(0xA6).1, None);
    let (events, refused) = list(0xA7);
    assert!(events.is_empty());
    assert_eq!(refused, Some(ReadError::Record(RecordError::UnknownRecord(0xA7))));
}

#[test]
fn every_record_is_written_back_as_it_was() {
    for document in documents() {
        let mut records = Records::new(&document.octets);
        let mut again = Vec::new();
        while let Some(Ok(record)) = records.next() {
            record.encode(&mut again);
        }
        assert_eq!(again, document.octets[..records.position()], "{}", document.name);
        assert!(!document.accepted || again.len() == document.octets.len(), "{}", document.name);
    }
}

/// At every split in two, and octet by octet; only at some where a document is long.
#[test]
fn pieces_give_the_same_events() {
    for document in documents() {
        let strings = dictionaries(document.table.as_ref());
        let whole = read(&document.octets, strings, Quotas::MAX);
        let octets = document.octets.as_slice();
        let same = |said: Said| assert_eq!(said, whole, "{}", document.name);
        if octets.len() < 2000 {
            same(read_pieces(octets.chunks(1), strings, Quotas::MAX));
        }
        same(read_pieces(octets.chunks(1000), strings, Quotas::MAX));
        let step = octets.len() / 100 + 1;
        for at in (0..octets.len()).step_by(step).filter(|_| octets.len() < 1000) {
            same(read_pieces([&octets[..at], &octets[at..]], strings, Quotas::MAX));
        }
    }
}

#[test]
fn quotas_act_as_recorded() {
    let mut seen = 0;
    for line in lines("malformed") {
        let Some((quota, limit)) = line["quotas"].as_object().and_then(|quotas| quotas.iter().next()) else {
            continue;
        };
        let limit = limit.as_u64().unwrap() as usize;
        let quotas = match quota.as_str() {
            "MaxDepth" => Quotas { max_depth: limit, ..Quotas::MAX },
            "MaxStringContentLength" => Quotas { max_string_content_length: limit, ..Quotas::MAX },
            "MaxArrayLength" => Quotas { max_array_length: limit, ..Quotas::MAX },
            "MaxBytesPerRead" => Quotas { max_bytes_per_read: limit, ..Quotas::MAX },
            // There is no table of names here that could grow.
            "MaxNameTableCharCount" => continue,
            other => panic!("{other}"),
        };
        seen += 1;
        let name = text(&line, "name");
        let document = octets(&line, "binary");
        let table = table(&line["session"]);
        let strings = dictionaries(table.as_ref());
        check(name, &line, read(&document, strings, quotas));
        if !line["from_stream"].is_null() {
            for size in [1, 7, document.len()] {
                check(name, &line["from_stream"], read_pieces(document.chunks(size), strings, quotas));
            }
        }
        if quota != "MaxDepth" && quota != "MaxBytesPerRead" {
            check_content(name, &line["as_string"], &document, strings, quotas, |reader| reader.read_text());
        }
        if quota == "MaxArrayLength" {
            check_content(name, &line["as_base64"], &document, strings, quotas, |reader| {
                let bytes = reader.read_bytes()?;
                Ok(Cow::Owned(Value::Bytes(&bytes).text()?.into_owned()))
            });
        }
    }
    assert_eq!(seen, 20);
}

fn check(name: &str, line: &Json, (events, refused): Said) {
    assert_eq!(&events, line["events"].as_array().unwrap(), "{name}");
    assert_eq!(refused.is_none(), text(line, "result") == "accepted", "{name}: {refused:?}");
}

/// What reading the content of the root as one value gives.
fn check_content(
    name: &str,
    recorded: &Json,
    document: &[u8],
    strings: Strings<'_>,
    quotas: Quotas,
    content: impl for<'a> Fn(&mut Reader<'a, '_>) -> Result<Cow<'a, str>, ReadError>,
) {
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, document, strings, quotas);
    let Ok(Some(Event::Start(_))) = reader.next() else { panic!("{name}") };
    match (content(&mut reader), recorded["value"].as_str()) {
        (Ok(value), Some(recorded)) => assert_eq!(value, recorded, "{name}"),
        (Err(_), None) => {}
        (value, recorded) => panic!("{name}: {value:?} is not {recorded:?}"),
    }
}

#[test]
fn sessions_carry_their_strings_from_envelope_to_envelope() {
    let unbounded = Quotas { max_table_octets: usize::MAX, ..Quotas::MAX };
    for session in lines("sessions") {
        let mut decoder = Decoder::new(MessageEncoding::BinarySession, unbounded);
        for message in session["messages"].as_array().unwrap() {
            let envelope = octets(message, "nbfse");
            let mut reader = decoder.document(&envelope).unwrap();
            let said = support::read_on(&mut reader);
            assert_eq!(
                (&said.0, said.1),
                (message["events"].as_array().unwrap(), None),
                "{}",
                text(&session, "name")
            );
        }
    }
}

#[test]
fn string_tables_are_refused_as_recorded() {
    let mut seen = 0;
    for line in lines("malformed") {
        let Some(messages) = line["messages"].as_array() else { continue };
        seen += 1;
        let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
        for message in messages {
            let envelope = octets(message, "nbfse");
            let read = decoder.document(&envelope).map(|mut reader| support::read_on(&mut reader));
            let accepted = matches!(&read, Ok((_, None)));
            assert_eq!(accepted, text(message, "result") == "accepted", "{}: {read:?}", text(&line, "name"));
        }
    }
    assert_eq!(seen, 18);
}

#[test]
fn after_a_malformed_table_every_envelope_is_refused() {
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    assert_eq!(decoder.document(&[0x02, 0x05, b'a', 0x40]).unwrap_err(), DecodeError::StringTable);
    assert_eq!(decoder.document(&[0x00, 0x40, 0x01, b'a', 0x01]).unwrap_err(), DecodeError::SessionBroken);
}

#[test]
fn local_times_are_shown_in_the_zone_of_the_reader() {
    let (mut shown_right, mut refused, mut by_the_sun) = (0, 0, 0);
    for line in lines("datetime-zones") {
        let document = octets(&line, "binary");
        let Some(Ok(Record::Text { text: message_encoding::record::Text::DateTime(value), .. })) =
            Records::new(&document).nth(1)
        else {
            panic!("{line}")
        };
        let Some(shown) = line["value"].as_str() else {
            // Past the year 9999 on a clock that is ahead of UTC.
            assert!(value.text_at(60).is_err(), "{line}");
            refused += 1;
            continue;
        };
        let Some(offset) = offset_minutes(value, shown, text(&line, "tz")) else {
            by_the_sun += 1;
            continue;
        };
        assert_eq!(value.text_at(offset).unwrap(), shown, "{line}");
        shown_right += 1;
    }
    assert_eq!((shown_right, refused, by_the_sun), (52, 2, 6));
}

/// The offset that a shown time has, if it is one of whole minutes: before there were time zones, places had the time of
/// their sun, and .NET then shows another offset than it adds.
fn offset_minutes(value: DateTime, shown: &str, zone: &str) -> Option<i32> {
    if zone == "UTC" || value.ticks(0).is_ok() && !shown[19..].contains(['+', '-']) {
        return Some(0);
    }
    let (hours, minutes) = shown[shown.len() - 5..].split_once(':')?;
    let minutes: i32 = hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?;
    let sign = if shown.as_bytes()[shown.len() - 6] == b'-' { -1 } else { 1 };
    (minutes % 15 == 0).then_some(sign * minutes)
}

#[test]
fn captured_envelopes_decode_and_their_records_are_written_back() {
    let mut sessions: std::collections::HashMap<String, Decoder> = std::collections::HashMap::new();
    let unbounded = Quotas { max_table_octets: 2048, ..Quotas::MAX };
    let mut with_action = 0;
    for line in lines("envelopes") {
        let encoding = MessageEncoding::from_known(line["encoding"].as_u64().unwrap() as u8).unwrap();
        let session = format!("{}/{}/{}", line["capture"], line["file"], line["session"]);
        let decoder = sessions.entry(session).or_insert_with(|| Decoder::new(encoding, unbounded));
        let payload = octets(&line, "payload");
        let mut reader = decoder.document(&payload).unwrap();
        let mut xml = String::new();
        let mut printer = message_encoding::text::XmlPrinter::new();
        message_encoding::text::print(&mut printer, &mut reader, &mut xml).unwrap();
        assert_eq!(comparable(&xml), comparable(text(&line, "xml")), "{line}");

        let document = &payload[line["nbfx_offset"].as_u64().unwrap() as usize..];
        let mut again = Vec::new();
        Records::new(document).for_each(|record| record.unwrap().encode(&mut again));
        assert_eq!(again, document);

        // The strings came with the payload above: the document alone is an envelope without a table.
        let no_table = if encoding == MessageEncoding::BinarySession { &[0][..] } else { &[] };
        let plain = [no_table, document].concat();
        let incoming = decoder.decode(&plain).unwrap();
        let action = action_of(text(&line, "xml"));
        assert_eq!(incoming.action(), action, "{line}");
        with_action += usize::from(!action.is_empty());
    }
    assert!(sessions.len() > 30 && with_action > 100, "{} sessions, {with_action} actions", sessions.len());
}

/// The text of the header `Action` in an envelope as XML, empty if it has none.
fn action_of(xml: &str) -> &str {
    let headers = xml.split_once(":Body").map_or(xml, |(headers, _)| headers);
    headers
        .split('<')
        .filter_map(|tag| tag.split_once('>'))
        .find(|(tag, _)| {
            let name = tag.split(' ').next().unwrap_or_default();
            !name.starts_with('/') && name.rsplit(':').next() == Some("Action")
        })
        .map_or("", |(_, text)| text)
}

/// XML up to the ways of writing an empty element and a character.
fn comparable(xml: &str) -> String {
    let mut out = String::new();
    for part in xml.split_inclusive('>') {
        let at = part.rfind('<').unwrap_or(0);
        let tag = &part[at..];
        if let Some(empty) = tag.strip_suffix("/>") {
            let name = empty[1..].split([' ', '>']).next().unwrap();
            out.push_str(&part[..at]);
            out.push_str(empty.trim_end());
            out.push_str("></");
            out.push_str(name);
            out.push('>');
        } else {
            out.push_str(part);
        }
    }
    out.replace("&#xD;", "\r").replace("&#xd;", "\r").replace("&#xA;", "\n").replace("&gt;", ">")
}
