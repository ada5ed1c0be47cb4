//! Oracles for message-encoding. Long: one case after the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use message_encoding::dictionary::{ReaderSession, Strings};
use message_encoding::envelope::{
    ADDRESSING, Decoder, Element, Encoder, Headers, MessageEncoding, MessageId, Outgoing,
};
use message_encoding::event::{Attribute, Event, Progress, Reader, ReaderState, StreamReader, Writer};
use message_encoding::record::Records;
use message_encoding::{Int31, Quotas, Value};

/// Any octets as a document: nothing panics; its records are written back as they were; read in pieces it gives the same
/// events; if it is accepted, writing what it says gives a document that says the same.
///
/// The first octet chooses the dictionary and how the document is cut.
pub fn nbfx(octets: &[u8]) {
    let Some((&choice, document)) = octets.split_first() else { return };
    let table: ReaderSession = ["first", "urn:second", "third é"].into_iter().collect();
    let strings = if choice & 1 == 0 { Strings::STATIC } else { Strings::with_session(&table) };
    records_are_lossless(document);

    let whole = read_whole(document, strings, Quotas::MAX);
    let piece = usize::from(choice >> 1) + 1;
    assert_eq!(whole, read_pieces(document, strings, Quotas::MAX, piece), "in pieces of {piece}");
    let small =
        Quotas { max_bytes_per_read: 16, max_depth: 4, max_string_content_length: 16, ..Quotas::DEFAULT };
    assert_eq!(
        read_pieces(document, strings, small, piece),
        read_pieces(document, strings, small, usize::MAX),
        "with small quotas, in pieces of {piece}"
    );
    // The stream reader goes no short ways. It gives long texts in pieces, so they are left out where that matters.
    for narrow in [Quotas { max_depth: 3, ..Quotas::MAX }, Quotas { max_bytes_per_read: 16, ..Quotas::MAX }] {
        let tags = |(mut events, accepted): (Vec<String>, bool)| {
            events.retain(|event| !event.starts_with("Text"));
            (events, accepted)
        };
        let whole = tags(read_whole(document, strings, narrow));
        assert_eq!(whole, tags(read_pieces(document, strings, narrow, usize::MAX)), "with {narrow:?}");
    }
    // Each record gives at most three events, and each item of an array three for an octet.
    assert!(whole.0.len() <= 3 * document.len());
    if whole.1 {
        says_the_same_again(document, strings);
    }
}

fn records_are_lossless(document: &[u8]) {
    let mut records = Records::new(document);
    let mut again = Vec::new();
    while let Some(Ok(record)) = records.next() {
        record.encode(&mut again);
    }
    assert_eq!(again, document[..records.position()]);
}

/// Events as text, and whether the document was accepted.
fn read_whole(document: &[u8], strings: Strings<'_>, quotas: Quotas) -> (Vec<String>, bool) {
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, document, strings, quotas);
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(event)) => events.push(show(event, reader.attributes().map(show_attribute))),
            Ok(None) => return (events, true),
            Err(error) => {
                assert_eq!(reader.next(), Err(error), "an error stays");
                return (events, false);
            }
        }
    }
}

fn read_pieces(document: &[u8], strings: Strings<'_>, quotas: Quotas, piece: usize) -> (Vec<String>, bool) {
    let mut reader = StreamReader::new(quotas);
    let mut events = Vec::new();
    let mut pieces = document.chunks(piece);
    loop {
        match reader.next(strings) {
            // The name is shown with the attributes, which are the reader's.
            Ok(Progress::Event(Event::Start(name))) => {
                let name = format!("{name:?}");
                let attributes: Vec<_> = reader.attributes(strings).map(show_attribute).collect();
                events.push(format!("Start{name}{attributes:?}"));
            }
            Ok(Progress::Event(event)) => events.push(show(event, std::iter::empty())),
            Ok(Progress::NeedMore(_)) => match pieces.next() {
                Some(piece) => reader.push(piece),
                None => reader.finish(),
            },
            Ok(Progress::Done) => return (events, true),
            Err(_) => return (events, false),
        }
    }
}

fn show(event: Event<'_>, attributes: impl Iterator<Item = String>) -> String {
    match event {
        Event::Start(name) => format!("Start{name:?}{:?}", attributes.collect::<Vec<_>>()),
        Event::Text(value) => format!("Text{:?}", value.text()),
        other => format!("{other:?}"),
    }
}

fn show_attribute(attribute: Attribute<'_>) -> String {
    format!("{:?}={:?}", attribute.name, attribute.value.text())
}

/// What a document says, but for what a writer may change: which record a number has, where byte strings are cut.
#[derive(Debug, PartialEq)]
enum Said {
    Start(String, Vec<(String, Said)>),
    Text(String),
    Number(f64),
    NoNumber,
    Bytes(Vec<u8>),
    List(Vec<Said>),
    Comment(String),
    End,
}

fn says_the_same_again(document: &[u8], strings: Strings<'_>) {
    let Some(said) = listen(document, strings) else { return };
    let mut again = Vec::new();
    let Some(()) = repeat(document, strings, &mut Writer::new(&mut again, None)) else { return };
    let heard = listen(&again, Strings::STATIC);
    assert_eq!(heard.as_ref(), Some(&said), "written again: {again:02x?}");
}

/// Nothing if a value has no text, or stands where a writer cannot put it.
fn listen(document: &[u8], strings: Strings<'_>) -> Option<Vec<Said>> {
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, document, strings, Quotas::MAX);
    let mut said = Vec::new();
    while let Some(event) = reader.next().ok()? {
        match event {
            // The items of an array that is the root: no writer writes them one by one.
            Event::Start(_) if reader.depth() == 1 && !said.is_empty() && said.last() == Some(&Said::End) => {
                return None;
            }
            Event::Start(name) => {
                let mut attributes = Vec::new();
                for attribute in reader.attributes() {
                    attributes.push((format!("{:?}", attribute.name), say(attribute.value)?));
                }
                // Declarations go behind attributes.
                attributes.sort_by(|one, other| one.0.cmp(&other.0));
                said.push(Said::Start(format!("{name:?}"), attributes));
            }
            Event::Text(_) if reader.depth() == 0 => return None,
            Event::Text(value) => match (say(value)?, said.last_mut()) {
                (Said::Text(text), _) if text.is_empty() => {}
                (Said::Bytes(octets), Some(Said::Bytes(before))) => before.extend(octets),
                (value, _) => said.push(value),
            },
            Event::Comment(comment) => said.push(Said::Comment(comment.into())),
            Event::End => said.push(Said::End),
            other => panic!("{other:?}"),
        }
    }
    Some(said)
}

fn say(value: Value<'_>) -> Option<Said> {
    let text = value.text().ok()?;
    Some(match value {
        Value::List(list) => Said::List(list.map(say).collect::<Option<_>>()?),
        Value::Bytes([]) => Said::Text(String::new()),
        Value::Bytes(octets) => Said::Bytes(octets.to_vec()),
        Value::Float(value) if value.is_nan() => Said::NoNumber,
        Value::Double(value) if value.is_nan() => Said::NoNumber,
        Value::Float(value) => Said::Number(f64::from(value)),
        Value::Double(value) => Said::Number(value),
        Value::Int(value) => Said::Number(value as f64),
        Value::UInt(value) => Said::Number(value as f64),
        _ if text == "0" || text == "1" => Said::Number(text.parse().ok()?),
        _ => Said::Text(text.into_owned()),
    })
}

/// Writes what a document says. Nothing if a writer does not write that.
fn repeat(document: &[u8], strings: Strings<'_>, writer: &mut Writer<'_>) -> Option<()> {
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, document, strings, Quotas::MAX);
    while let Some(event) = reader.next().ok()? {
        match event {
            Event::Start(name) => {
                writer.start(name.prefix, name.local).ok()?;
                for attribute in reader.attributes() {
                    let name = attribute.name;
                    let text = attribute.value.text().ok()?;
                    match (name.prefix, name.local) {
                        _ if name.namespace != message_encoding::event::XMLNS_NAMESPACE => {
                            writer.attribute(name.prefix, name.local, attribute.value).ok()?;
                        }
                        ("", "xmlns") => writer.declare("", text.as_ref()).ok()?,
                        ("xmlns", prefix) => writer.declare(prefix, text.as_ref()).ok()?,
                        _ => writer.attribute(name.prefix, name.local, attribute.value).ok()?,
                    }
                }
            }
            Event::Text(value) => writer.text(value).ok()?,
            Event::Comment(comment) => writer.comment(comment).ok()?,
            Event::End => writer.end().ok()?,
            other => panic!("{other:?}"),
        }
    }
    Some(())
}

/// The envelopes of a session: the decoder agrees with a naive one about the string tables, and what it accepts is the
/// same when an encoder has written it again.
///
/// Each envelope has its length before it, in two octets, the lower one first.
pub fn nbfse_session(octets: &[u8]) {
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let mut naive = NaiveSession { strings: Vec::new(), left: 2048, broken: false };
    let mut encoder = Encoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let mut again =
        Decoder::new(MessageEncoding::BinarySession, Quotas { max_table_octets: 1 << 20, ..Quotas::MAX });
    let mut rest = octets;
    while let Some((&length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(length));
        let (envelope, behind) = behind.split_at(behind.len().min(length));
        rest = behind;
        let expected = naive.table(envelope);
        assert_eq!(decoder.document(envelope).is_ok(), expected, "{envelope:02x?}");
        let strings: Vec<_> = (0..decoder.strings().len()).map(|at| decoder.strings().get(at)).collect();
        if !naive.broken {
            assert_eq!(strings, naive.strings.iter().map(|string| Some(string.as_str())).collect::<Vec<_>>());
        }
        // The table was taken above: the document alone is an envelope without one.
        let Some(document) = expected.then(|| behind_table(envelope)).flatten() else { continue };
        let mut plain = vec![0];
        plain.extend_from_slice(document);
        let Ok(mut incoming) = decoder.decode(&plain) else { continue };
        let headers = incoming.headers().clone();
        agrees_with_events(&headers, document, &table_of(&naive.strings));
        let Ok(body) = incoming.body() else { continue };
        let mut message = Outgoing::new(headers.action.as_deref().unwrap_or(""), Element::new("", ""));
        message.addressing = headers.addressing;
        message.message_id = headers.message_id.map(|id| id.into_owned());
        message.relates_to = headers.relates_to.map(|id| id.into_owned());
        message.to = headers.to.as_deref().map(Into::into);
        message.body = Ok(body.clone());
        let mut out = Vec::new();
        if encoder.encode(&message, &mut out).is_err() {
            continue;
        }
        let mut heard = again.decode(&out).expect("what was encoded is decoded");
        if message.addressing == message_encoding::envelope::Addressing::Wsa10 {
            assert_eq!(heard.action(), message.action);
            assert_eq!(heard.headers().to.as_deref(), message.to.as_deref());
        }
        let heard = heard.body().expect("what was encoded is decoded");
        match (&heard, &body) {
            (None, None) => {}
            (Some(heard), Some(body)) => assert!(alike(heard, body), "{heard:?} is not {body:?}"),
            _ => panic!("{heard:?} is not {body:?}"),
        }
    }
}

fn table_of(strings: &[String]) -> ReaderSession {
    strings.iter().collect()
}

/// Headers are what the events of the stream reader, which goes no short ways, say.
fn agrees_with_events(headers: &Headers<'_>, document: &[u8], table: &ReaderSession) {
    let mut found = BTreeMap::new();
    let mut open: Vec<(String, String)> = Vec::new();
    let mut reader = StreamReader::new(Quotas::MAX);
    reader.push(document);
    reader.finish();
    // Behind the headers the document may be wrong.
    while let Ok(Progress::Event(event)) = reader.next(Strings::with_session(table)) {
        match event {
            Event::Start(name) => {
                open.push((name.namespace.to_owned(), name.local.to_owned()));
                if open.len() == 2 && name.local == "Body" {
                    break;
                }
                let [_, _, header, inner @ ..] = open.as_slice() else { continue };
                // One for another node, or with another relationship, does not count: that is not told apart here.
                let tells = |name: &str| matches!(name, "role" | "actor" | "RelationshipType");
                if inner.is_empty()
                    && reader.attributes(Strings::with_session(table)).any(|found| tells(found.name.local))
                {
                    return;
                }
                // An address that comes again in a reference replaces the one before.
                if inner.is_empty() || inner.len() == 1 && inner[0].1 == "Address" && header.1 == "ReplyTo" {
                    let namespace = header.0.clone();
                    found.insert(
                        (namespace, open[2..].iter().map(|(_, local)| local.clone()).collect()),
                        String::new(),
                    );
                }
            }
            Event::Text(value) => {
                let Ok(text) = value.text() else { return };
                let [_, _, header, inner @ ..] = open.as_slice() else { continue };
                let path: Vec<String> =
                    [header].into_iter().chain(inner).map(|(_, local)| local.clone()).collect();
                if let Some(whole) = found.get_mut(&(header.0.clone(), path)) {
                    whole.push_str(&text);
                }
            }
            Event::End => drop(open.pop()),
            _ => {}
        }
    }
    let text = |path: &[&str]| {
        let path: Vec<String> = path.iter().map(|&local| local.to_owned()).collect();
        let space: &[char] = &[' ', '\t', '\r', '\n'];
        let of = |namespace: &str| {
            found.get(&(namespace.to_owned(), path.clone())).map(|text| text.trim_matches(space).to_owned())
        };
        // Which of the two came last is not told apart here.
        match (of(ADDRESSING), of("http://schemas.microsoft.com/ws/2005/05/addressing/none")) {
            (Some(one), None) | (None, Some(one)) => Some(Some(one)),
            (None, None) => Some(None),
            _ => None,
        }
    };
    let id =
        |path: &[&str]| text(path).map(|text| text.map(|text| MessageId::from(Cow::from(text)).into_owned()));
    let same = |said: Option<&str>, path: &[&str]| {
        assert!(text(path).is_none_or(|text| text.as_deref() == said), "{path:?}: {headers:?}");
    };
    same(headers.action.as_deref(), &["Action"]);
    same(headers.to.as_deref(), &["To"]);
    for (said, name) in [(&headers.message_id, "MessageID"), (&headers.relates_to, "RelatesTo")] {
        let said = said.clone().map(MessageId::into_owned);
        assert!(id(&[name]).is_none_or(|id| id == said), "{name}: {headers:?}");
    }
    // Of several references the last counts, even if it has no address.
    if let (Some(Some(_)), Some(Some(address))) = (text(&["ReplyTo"]), text(&["ReplyTo", "Address"])) {
        assert!(headers.reply_to.as_deref().is_none_or(|said| said == address), "{headers:?}");
    }
}

struct NaiveSession {
    strings: Vec<String>,
    left: usize,
    broken: bool,
}

impl NaiveSession {
    /// Reads a string table, octet by octet.
    fn table(&mut self, envelope: &[u8]) -> bool {
        if self.broken {
            return false;
        }
        let read = self.try_table(envelope);
        self.broken = read.is_none();
        read.is_some()
    }

    fn try_table(&mut self, envelope: &[u8]) -> Option<()> {
        let mut at = 0;
        let size = number(envelope, &mut at)?;
        let end = at.checked_add(size).filter(|&end| end <= envelope.len())?;
        self.left = self.left.checked_sub(size)?;
        while at < end {
            let length = number(&envelope[..end], &mut at)?;
            let stop = at.checked_add(length).filter(|&stop| stop <= end)?;
            self.strings.push(String::from_utf8_lossy(&envelope[at..stop]).into_owned());
            at = stop;
        }
        Some(())
    }
}

fn number(octets: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_u64;
    for shift in 0..5 {
        let octet = *octets.get(*at)?;
        *at += 1;
        value += u64::from(octet & 0x7F) << (7 * shift);
        if octet & 0x80 == 0 {
            return (value < 1 << 31).then_some(value as usize);
        }
    }
    None
}

fn behind_table(envelope: &[u8]) -> Option<&[u8]> {
    let size = Int31::decode(envelope).ok()?;
    envelope.get(size.octets() + size.value() as usize..)
}

/// Whether two trees say the same; numbers may have become others of the same value.
fn alike(one: &Element, other: &Element) -> bool {
    let number = |element: &Element| match element.value() {
        Value::Float(value) => Some(f64::from(value)),
        Value::Double(value) => Some(value),
        Value::Int(value) => Some(value as f64),
        _ => None,
    };
    let values = match (number(one), number(other)) {
        (Some(one), Some(other)) => one == other || one.is_nan() && other.is_nan(),
        _ => one.value().to_text().ok() == other.value().to_text().ok(),
    };
    one.name() == other.name()
        && one.namespace() == other.namespace()
        && values
        && one.children().len() == other.children().len()
        && one.children().iter().zip(other.children()).all(|(one, other)| alike(one, other))
}
