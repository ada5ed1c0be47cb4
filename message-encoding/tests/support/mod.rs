//! The corpus of `testvectors/nbfx`, and what the readers make of it in the corpus's own shape.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::io::Read;
use std::path::Path;

use message_encoding::dictionary::{ReaderSession, Strings};
use message_encoding::event::{
    Attribute, Event, Name, Progress, ReadError, Reader, ReaderState, StreamReader,
};
use message_encoding::record::{Record, Records};
use message_encoding::{Quotas, Value};
use serde_json::{Value as Json, json};

/// The lines of a file of the corpus.
pub fn lines(file: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testvectors/nbfx")
        .join(file)
        .with_extension("jsonl.gz");
    let mut text = String::new();
    let compressed = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    flate2::read::GzDecoder::new(compressed).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A member that is a string.
pub fn text<'a>(line: &'a Json, member: &str) -> &'a str {
    line[member].as_str().unwrap_or_else(|| panic!("no {member} in {line}"))
}

/// A member that is octets in base64.
pub fn octets(line: &Json, member: &str) -> Vec<u8> {
    Value::from(text(line, member)).to_bytes().unwrap().into_owned()
}

/// A member that is a list of strings, or null.
pub fn table(strings: &Json) -> Option<ReaderSession> {
    strings.as_array().map(|strings| strings.iter().map(|string| string.as_str().unwrap()).collect())
}

/// The dictionaries of a document.
pub fn dictionaries(table: Option<&ReaderSession>) -> Strings<'_> {
    table.map_or(Strings::STATIC, Strings::with_session)
}

/// One document of the corpus.
pub struct Document {
    pub name: String,
    pub octets: Vec<u8>,
    pub table: Option<ReaderSession>,
    pub accepted: bool,
    pub events: Vec<Json>,
}

/// All documents that are read without a quota.
pub fn documents() -> Vec<Document> {
    let mut all = Vec::new();
    for line in lines("documents") {
        let strings = &line["session"];
        let table = strings.is_object().then(|| {
            let [before, added] = ["before", "added"].map(|member| strings[member].as_array().unwrap());
            before.iter().chain(added).map(|string| string.as_str().unwrap()).collect()
        });
        all.push(document(&line, text(&line, "name").into(), table, true));
    }
    for session in lines("sessions") {
        let mut table = ReaderSession::new();
        for (index, message) in session["messages"].as_array().unwrap().iter().enumerate() {
            message["added"]
                .as_array()
                .unwrap()
                .iter()
                .for_each(|string| table.push(string.as_str().unwrap()));
            let name = format!("{} message {index}", text(&session, "name"));
            all.push(document(message, name, Some(table.clone()), true));
        }
    }
    for file in ["handmade", "malformed"] {
        for line in lines(file) {
            if line["messages"].is_null() && line["quotas"].is_null() {
                let accepted = text(&line, "result") == "accepted";
                all.push(document(&line, text(&line, "name").into(), table(&line["session"]), accepted));
            }
        }
    }
    all
}

fn document(line: &Json, name: String, table: Option<ReaderSession>, accepted: bool) -> Document {
    let events = line["events"].as_array().unwrap().clone();
    Document { name, octets: octets(line, "binary"), table, accepted, events }
}

/// What a reader says of a document: its events, and why it refuses it, if it does.
pub type Said = (Vec<Json>, Option<ReadError>);

/// What the reader says.
pub fn read(octets: &[u8], strings: Strings<'_>, quotas: Quotas) -> Said {
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, octets, strings, quotas);
    read_on(&mut reader)
}

/// What the reader says from here on.
pub fn read_on(reader: &mut Reader<'_, '_>) -> Said {
    let mut events = Vec::new();
    loop {
        let shown = match reader.next() {
            Ok(Some(event)) => show(event, &mut reader.attributes()),
            Ok(None) => return (events, None),
            Err(error) => Err(error),
        };
        match shown {
            Ok(event) => events.push(event),
            Err(error) => return (events, Some(error)),
        }
    }
}

/// What the stream reader says when the octets come in `pieces`.
pub fn read_pieces<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    strings: Strings<'_>,
    quotas: Quotas,
) -> Said {
    let mut reader = StreamReader::new(quotas);
    let mut pieces = pieces.into_iter();
    let mut events = Vec::new();
    loop {
        let shown = match reader.next(strings) {
            Ok(Progress::NeedMore(_)) => {
                match pieces.next() {
                    Some(piece) => reader.push(piece),
                    None => reader.finish(),
                }
                continue;
            }
            Ok(Progress::Done) => return (events, None),
            Ok(Progress::Event(Event::Start(name))) => {
                let start = members("start", name);
                add_attributes(start, &mut reader.attributes(strings))
            }
            Ok(Progress::Event(event)) => show(event, &mut core::iter::empty()),
            Err(error) => Err(error),
        };
        match shown {
            Ok(event) => events.push(event),
            Err(error) => return (events, Some(error)),
        }
    }
}

fn show(event: Event<'_>, attributes: &mut dyn Iterator<Item = Attribute<'_>>) -> Result<Json, ReadError> {
    Ok(match event {
        Event::Start(name) => return add_attributes(members("start", name), attributes),
        Event::Text(value) => json!({"e": "text", "value": value.text()?}),
        Event::Comment(comment) => json!({"e": "comment", "value": comment}),
        Event::End => json!({"e": "end"}),
        other => panic!("{other:?}"),
    })
}

fn members(event: &str, name: Name<'_>) -> Json {
    json!({"e": event, "prefix": name.prefix, "local": name.local, "ns": name.namespace})
}

fn add_attributes(
    mut start: Json,
    attributes: &mut dyn Iterator<Item = Attribute<'_>>,
) -> Result<Json, ReadError> {
    let mut shown = Vec::new();
    for Attribute { name, value } in attributes {
        let value = value.text()?;
        shown.push(json!({"prefix": name.prefix, "local": name.local, "ns": name.namespace, "value": value}));
    }
    start["attrs"] = shown.into();
    Ok(start)
}

/// Where the recorded reader is plainly wrong, and what is right: octets in a list, and a list that ends with 0xA7.
pub fn known_difference(document: &Document, (events, refused): &Said) -> bool {
    if refused.is_some() {
        return false;
    }
    if !document.accepted {
        // A list that ends with its element says the same as one that ends before it.
        let mut longer = Vec::new();
        let mut found = false;
        for record in Records::new(&document.octets).map(Result::unwrap) {
            if let Record::EndList { end: true } = record {
                found = true;
                longer.extend_from_slice(&[0xA6, 0x01]);
            } else {
                record.encode(&mut longer);
            }
        }
        let same = read(&longer, dictionaries(document.table.as_ref()), Quotas::MAX);
        return found && same == (events.clone(), None) && events.starts_with(&document.events);
    }
    // Octets in a list: everything else is as recorded, and what is there is base64.
    let differs = |(ours, theirs): (&Json, &Json)| {
        let (ours, theirs) = (ours.to_string(), theirs.to_string());
        let mut rest = ours.as_str();
        let mut parts = theirs.split("System.Byte[]");
        rest = rest.strip_prefix(parts.next()?)?;
        for part in parts {
            let end = rest.find(|digit: char| !(digit.is_ascii_alphanumeric() || "+/=".contains(digit)))?;
            rest = rest[end..].strip_prefix(part)?;
        }
        rest.is_empty().then_some(ours != theirs)
    };
    let pairs: Option<Vec<bool>> = events.iter().zip(&document.events).map(differs).collect();
    events.len() == document.events.len() && pairs.is_some_and(|pairs| pairs.contains(&true))
}
