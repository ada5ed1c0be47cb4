//! The typed writer against .NET's: the same calls give the same octets. Long: one case after the other.

mod support;

use message_encoding::dictionary::{StaticString, Strings, WriterSession};
use message_encoding::event::{
    ArrayItems, DictionaryString, Event, ListItem, Reader, ReaderState, WriteError, Writer,
};
use message_encoding::record::{ArrayType, Prefix, PrefixLetter, Record, Records, StringRef, Text, Width};
use message_encoding::value::{DateTime, Decimal, TimeSpan, Uuid};
use message_encoding::{Quotas, Value};
use serde_json::Value as Json;
use support::{lines, octets, text};

/// The calls that a document of .NET's writer was made with, told by its records, give the document again.
#[test]
fn documents_are_written_as_net_writes_them() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines("documents") {
        let strings = ["before", "added"].map(|member| strings_of(&line["session"][member]));
        count += 1;
        if !replays(&octets(&line, "binary"), &strings.concat(), line["session"].is_object()) {
            wrong.push(text(&line, "name").to_owned());
        }
    }
    for session in lines("sessions") {
        let mut strings = Vec::new();
        for (index, message) in session["messages"].as_array().unwrap().iter().enumerate() {
            strings.extend(strings_of(&message["added"]));
            count += 1;
            if !replays(&octets(message, "binary"), &strings, true) {
                wrong.push(format!("{} message {index}", text(&session, "name")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}: {wrong:?}", wrong.len());
}

fn strings_of(strings: &Json) -> Vec<String> {
    let strings = strings.as_array().map_or(&[][..], Vec::as_slice);
    strings.iter().map(|string| string.as_str().unwrap().to_owned()).collect()
}

fn replays(document: &[u8], strings: &[String], session: bool) -> bool {
    let mut table = WriterSession::new(usize::MAX);
    let mut announced = Vec::new();
    let mut writer = Writer::new(&mut announced, Some(&mut table));
    strings.iter().for_each(|string| writer.text_string(DictionaryString::InBand(string)).unwrap());
    let mut again = Vec::new();
    let mut writer = Writer::new(&mut again, session.then_some(&mut table));
    replay(document, strings, &mut writer).unwrap();
    again == merged(document)
}

/// The document as it is if nothing is split: octets side by side are one record, and an end is part of the text before it. Where
/// .NET's writer splits depends on its buffer.
fn merged(document: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // The last text, if it is content: where its record is, and its octets, if it is octets.
    let mut last: Option<(usize, Vec<u8>)> = None;
    let (mut attribute, mut list) = (false, false);
    for record in Records::new(document).map(Result::unwrap) {
        let before = last.take();
        let at = out.len();
        match (record, before) {
            (Record::EndElement, Some((at, _))) => out[at] += 1,
            (Record::Text { text: Text::Bytes(_, octets), end }, Some((at, before)))
                if !before.is_empty() =>
            {
                let whole = [&before, octets].concat();
                out.truncate(at);
                let width = match whole.len() {
                    0..=0xFF => Width::One,
                    0x100..=0xFFFF => Width::Two,
                    _ => Width::Four,
                };
                let text = Text::Bytes(width, &whole);
                Record::Text { text, end }.encode(&mut out);
                last = (!end).then_some((at, whole));
            }
            (record @ Record::Text { text, end }, _) => {
                record.encode(&mut out);
                let octets = if let Text::Bytes(_, octets) = text { octets.to_vec() } else { Vec::new() };
                last = (!end && !attribute && !list).then_some((at, octets));
            }
            (record, _) => record.encode(&mut out),
        }
        list = matches!(record, Record::StartList) || list && !matches!(record, Record::EndList { .. });
        attribute = matches!(record, Record::Attribute { .. });
    }
    out
}

fn replay(document: &[u8], strings: &[String], writer: &mut Writer<'_>) -> Result<(), WriteError> {
    let word = |string| word(string, strings);
    let mut records = Records::new(document).map(Result::unwrap).peekable();
    while let Some(record) = records.next() {
        match record {
            Record::Element { prefix, local } => writer.start(string(prefix.octets()), word(local))?,
            Record::Xmlns { prefix, uri } => {
                writer.declare(prefix.map_or("", |prefix| string(prefix.octets())), word(uri))?;
            }
            Record::Attribute { prefix, local } => {
                let prefix = string(prefix.octets());
                match records.next().unwrap() {
                    Record::StartList => {
                        writer.attribute_list(prefix, word(local), &list(&mut records, strings))?;
                    }
                    Record::Text { text: Text::Dictionary(id), .. } => {
                        writer.attribute_string(prefix, word(local), word(StringRef::Dictionary(id)))?;
                    }
                    Record::Text { text: Text::QName(letter, id), .. } => {
                        let name = (letter.as_str(), word(StringRef::Dictionary(id)));
                        writer.attribute_qualified_name(prefix, word(local), name)?;
                    }
                    Record::Text { text, .. } => {
                        writer.attribute(prefix, word(local), value(text, strings))?
                    }
                    other => panic!("{other:?}"),
                }
            }
            Record::EndElement => writer.end()?,
            Record::Comment(comment) => writer.comment(string(comment.octets()))?,
            Record::StartList => writer.list(&list(&mut records, strings))?,
            Record::Text { text, end } => {
                match text {
                    Text::Dictionary(id) => writer.text_string(word(StringRef::Dictionary(id)))?,
                    Text::QName(prefix, id) => {
                        writer.qualified_name(prefix.as_str(), word(StringRef::Dictionary(id)))?;
                    }
                    text => writer.text(value(text, strings))?,
                }
                if end {
                    writer.end()?;
                }
            }
            Record::Array => array(&mut records, strings, writer)?,
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

fn string(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap()
}

fn word<'a>(string: StringRef<'a>, strings: &'a [String]) -> DictionaryString<'a> {
    match string {
        StringRef::Inline(inline) => DictionaryString::Plain(inline.as_str().unwrap()),
        StringRef::Dictionary(id) => match StaticString::from_id(id.value()) {
            Some(string) => DictionaryString::Static(string),
            None => DictionaryString::InBand(&strings[id.value() as usize / 2]),
        },
    }
}

fn value<'a>(text: Text<'a>, strings: &'a [String]) -> Value<'a> {
    match text {
        Text::Zero => Value::Int(0),
        Text::One => Value::Int(1),
        Text::False => Value::Bool(false),
        Text::True => Value::Bool(true),
        Text::Int8(value) => Value::Int(value.into()),
        Text::Int16(value) => Value::Int(value.into()),
        Text::Int32(value) => Value::Int(value.into()),
        Text::Int64(value) => Value::Int(value),
        Text::UInt64(value) => Value::UInt(value),
        Text::Float(value) => Value::Float(value),
        Text::Double(value) => Value::Double(value),
        Text::Decimal(value) => Value::Decimal(value),
        Text::DateTime(value) => Value::DateTime(value),
        Text::TimeSpan(value) => Value::TimeSpan(value),
        Text::Uuid(value) => Value::Uuid(value),
        Text::UniqueId(value) => Value::UniqueId(value),
        Text::Chars(_, octets) => Value::Chars(octets),
        Text::Unicode(_, octets) => Value::Unicode(octets),
        Text::Bytes(_, octets) => Value::Bytes(octets),
        Text::Empty => Value::Empty,
        Text::Dictionary(id) => match word(StringRef::Dictionary(id), strings) {
            DictionaryString::Static(string) => Value::String(string.as_str()),
            DictionaryString::Plain(string) | DictionaryString::InBand(string) => Value::String(string),
        },
        other => panic!("{other:?}"),
    }
}

fn list<'a>(records: &mut dyn Iterator<Item = Record<'a>>, strings: &'a [String]) -> Vec<ListItem<'a>> {
    records
        .map_while(|record| match record {
            Record::Text { text: Text::Dictionary(id), .. } => {
                Some(ListItem::String(word(StringRef::Dictionary(id), strings)))
            }
            Record::Text { text, .. } => Some(value(text, strings).into()),
            _ => None,
        })
        .collect()
}

fn array<'a>(
    records: &mut std::iter::Peekable<impl Iterator<Item = Record<'a>>>,
    strings: &'a [String],
    writer: &mut Writer<'_>,
) -> Result<(), WriteError> {
    let Some(Record::Element { prefix, local }) = records.next() else { panic!("no element") };
    let mut namespaces = Vec::new();
    while let Some(Record::Xmlns { prefix, uri }) = records.peek().copied() {
        namespaces.push((prefix.map_or("", |prefix| string(prefix.octets())), word(uri, strings)));
        records.next();
    }
    assert_eq!(records.next(), Some(Record::EndElement));
    let Some(Record::ArrayItems { item, count }) = records.next() else { panic!("no items") };
    let items: Vec<Text<'_>> = (0..count.value())
        .map(|_| match records.next() {
            Some(Record::ArrayItem(text)) => text,
            other => panic!("{other:?}"),
        })
        .collect();
    macro_rules! items {
        ($variant:ident, $pattern:pat => $value:expr) => {
            ArrayItems::$variant(
                &items
                    .iter()
                    .map(|item| match *item {
                        $pattern => $value,
                        ref other => panic!("{other:?}"),
                    })
                    .collect::<Vec<_>>(),
            )
        };
    }
    let (prefix, local) = (string(prefix.octets()), word(local, strings));
    let mut write = |items| writer.array(prefix, local, &namespaces, items);
    match item {
        ArrayType::Bool => write(items!(Bool, Text::Bool(value) => value != 0)),
        ArrayType::Int16 => write(items!(Int16, Text::Int16(value) => value)),
        ArrayType::Int32 => write(items!(Int32, Text::Int32(value) => value)),
        ArrayType::Int64 => write(items!(Int64, Text::Int64(value) => value)),
        ArrayType::Float => write(items!(Float, Text::Float(value) => value)),
        ArrayType::Double => write(items!(Double, Text::Double(value) => value)),
        ArrayType::Decimal => write(items!(Decimal, Text::Decimal(value) => value)),
        ArrayType::DateTime => write(items!(DateTime, Text::DateTime(value) => value)),
        ArrayType::TimeSpan => write(items!(TimeSpan, Text::TimeSpan(value) => value)),
        ArrayType::Uuid => write(items!(Uuid, Text::Uuid(value) => value)),
    }
}

/// The rules of the README of the corpus, one by one.
#[test]
fn records_are_chosen_as_net_chooses_them() {
    let record = |value: Value<'_>| {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, None);
        writer.start("", "r").unwrap();
        writer.text(value).unwrap();
        writer.end().unwrap();
        out.split_off(3)
    };
    let nan = f64::from_bits(0x7FF8_0000_0000_0001);
    let huge = "x".repeat(70_000);
    for (value, start) in [
        (Value::Int(0), &[0x81][..]),
        (Value::UInt(1), &[0x83]),
        (Value::Int(-128), &[0x89, 0x80]),
        (Value::Int(128), &[0x8B, 0x80, 0x00]),
        (Value::Int(-32_769), &[0x8D, 0xFF, 0x7F, 0xFF, 0xFF]),
        (Value::Int(1 << 31), &[0x8F, 0, 0, 0, 0x80]),
        (Value::UInt(u64::MAX), &[0xB3, 0xFF]),
        (Value::Float(-0.0), &[0x81]),
        (Value::Float(32_767.0), &[0x8B, 0xFF, 0x7F]),
        (Value::Float(32_768.0), &[0x91, 0, 0, 0, 0x47]),
        (Value::Double(0.5), &[0x91, 0, 0, 0, 0x3F]),
        (Value::Double(0.1), &[0x93, 0x9A]),
        (Value::Double(nan), &[0x93, 0x01]),
        (Value::Float(f32::NAN), &[0x91]),
        (Value::Double(f64::INFINITY), &[0x93]),
        (Value::from("0"), &[0x81]),
        (Value::from("1"), &[0x83]),
        (Value::from("true"), &[0x99, 0x04]),
        (Value::from(true), &[0x87]),
        (Value::from("漢"), &[0x99, 0x03]),
        (Value::from("漢字"), &[0xB7, 0x04, 0x22, 0x6F]),
        (Value::from("😀😀"), &[0x99, 0x08]),
        (Value::from(""), &[0x01]),
        (Value::Bytes(&[]), &[0x01]),
        (Value::Bytes(&[7]), &[0x9F, 0x01, 0x07]),
        (Value::from(huge.as_str()), &[0x9D, 0x70, 0x11, 0x01, 0x00]),
        (Value::Uuid(Uuid::from_octets([1; 16])), &[0xB1, 1]),
        (Value::TimeSpan(TimeSpan::from_ticks(1)), &[0xAF, 1]),
        (Value::DateTime(DateTime::from_bits(2)), &[0x97, 2]),
        (Value::Decimal(Decimal::new(1, 0, true).unwrap()), &[0x95, 0, 0, 0, 0x80]),
    ] {
        let record = record(value);
        assert!(record.starts_with(start), "{value:?}: {:02x?}", &record[..record.len().min(12)]);
    }
    assert_eq!(record(Value::Bytes(&[0; 256]))[..3], [0xA1, 0x00, 0x01]);
}

/// An attribute always has a record, of a type without end.
#[test]
fn an_attribute_may_be_empty() {
    for value in [Value::Empty, Value::from(""), Value::Chars(b""), Value::Unicode(b""), Value::Bytes(b"")] {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, None);
        assert_eq!(writer.depth(), 0);
        writer.start("", "r").unwrap();
        writer.attribute("", "a", value).unwrap();
        writer.start("", "s").unwrap();
        assert_eq!(writer.depth(), 2);
        writer.end().unwrap();
        writer.end().unwrap();
        assert_eq!(writer.depth(), 0);
        assert_eq!(out, b"\x40\x01r\x04\x01a\xA8\x40\x01s\x01\x01", "{value:?}");
    }
}

#[test]
fn items_are_counted() {
    assert_eq!((ArrayItems::Bool(&[]).len(), ArrayItems::Bool(&[]).is_empty()), (0, true));
    assert_eq!((ArrayItems::Int16(&[1, 2]).len(), ArrayItems::Int16(&[1, 2]).is_empty()), (2, false));
}

#[test]
fn mistakes_are_told_and_nothing_else_changes_order() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, None);
    assert_eq!(writer.end(), Err(WriteError::NoOpenElement));
    assert_eq!(writer.attribute("", "a", Value::Int(1)), Err(WriteError::NotInStartTag));
    writer.start("p", "r").unwrap();
    writer.declare("p", "u").unwrap();
    writer.attribute("", "a", Value::Int(1)).unwrap();
    assert_eq!(
        writer.attribute("", "b", Value::Chars(&[0xFF])),
        Err(message_encoding::ValueError::InvalidUtf8.into())
    );
    writer.attribute("", "c", Value::Empty).unwrap();
    assert_eq!(writer.comment("a--b"), Err(WriteError::Comment));
    writer.text(Value::Empty).unwrap();
    assert_eq!(writer.declare("", "v"), Err(WriteError::NotInStartTag));
    assert_eq!(
        writer.list(&[Value::QName(PrefixLetter::of("p").unwrap(), "n").into()]),
        Err(WriteError::InList)
    );
    writer.end().unwrap();
    assert_eq!(out, b"\x6D\x01r\x09\x01p\x01u\x04\x01a\x82\x04\x01c\xA8\x01");
    let (events, refused) = support::read(&out, Strings::STATIC, Quotas::MAX);
    assert_eq!((events.len(), refused), (2, None));
}

#[test]
fn a_failed_call_leaves_everything_as_it_was() {
    const BAD: Value<'_> = Value::Chars(b"\xFF");
    // A list is looked at when its text is asked for, not when it is read.
    let document = b"\x40\x01r\xA4\x82\x98\x01\xFF\xA6\x01";
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, document, Strings::STATIC, Quotas::DEFAULT);
    reader.next().unwrap();
    let Ok(Some(Event::Text(list @ Value::List(_)))) = reader.next() else { panic!() };

    type Call<'a> = &'a dyn Fn(&mut Writer<'_>) -> Result<(), WriteError>;
    let qualified = Value::QName(PrefixLetter::of("p").unwrap(), "n");
    let fails: [Call<'_>; 6] = [
        &|writer| writer.text(BAD),
        &|writer| writer.text(Value::Unicode(&[0, 0xD8])),
        &|writer| writer.text(list),
        &|writer| writer.list(&[Value::Int(1).into(), BAD.into()]),
        &|writer| writer.list(&[Value::Int(1).into(), qualified.into()]),
        &|writer| writer.attribute_list("", "b", &[Value::Int(1).into(), BAD.into()]),
    ];
    // What is before and behind the call: a start tag, a text that the end goes into, octets that wait for a third.
    let around: [(Call<'_>, Call<'_>); 3] = [
        (&|writer| writer.declare("p", "u"), &|writer| writer.attribute("", "a", Value::Int(1))),
        (&|writer| writer.text(Value::Int(2)), &|_| Ok(())),
        (&|writer| writer.text(Value::Bytes(&[1])), &|writer| writer.text(Value::Bytes(&[2, 3]))),
    ];
    for (number, (before, behind)) in around.into_iter().enumerate() {
        let write = |call: Option<Call<'_>>| {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out, None);
            writer.start("", "r").unwrap();
            before(&mut writer).unwrap();
            if let Some(call) = call {
                assert!(call(&mut writer).is_err());
            }
            assert_eq!(writer.depth(), 1);
            behind(&mut writer).unwrap();
            writer.end().unwrap();
            out
        };
        for (call, fails) in fails.into_iter().enumerate() {
            assert_eq!(write(Some(fails)), write(None), "call {call} in place {number}");
        }
    }
}

/// What [`Prefix`] an element gets.
#[test]
fn one_letter_is_part_of_the_record() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, None);
    for prefix in ["", "z", "Z", "zz"] {
        writer.start(prefix, "n").unwrap();
    }
    let prefixes: Vec<_> = Records::new(&out)
        .map(|record| match record.unwrap() {
            Record::Element { prefix, .. } => matches!(prefix, Prefix::Inline(_)),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(prefixes, [false, false, true, true]);
}

/// Octets that come in many calls are one text, and what stands between them parts them.
#[test]
fn octets_side_by_side_are_one_record() {
    for sizes in
        [&[1, 2, 300][..], &[255, 1], &[256, 65_279, 1], &[65_535, 1, 0, 7], &[0, 3], &[70_000, 70_000]]
    {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, None);
        writer.start("", "r").unwrap();
        let mut all = Vec::new();
        for (number, &size) in sizes.iter().enumerate() {
            let octets = vec![number as u8; size];
            writer.text(Value::Bytes(&octets)).unwrap();
            all.extend(octets);
        }
        writer.end().unwrap();
        let records: Vec<_> = Records::new(&out).map(Result::unwrap).collect();
        assert_eq!(records.len(), 2, "{sizes:?}");
        let Record::Text { text: Text::Bytes(width, octets), end: true } = records[1] else {
            panic!("{sizes:?}")
        };
        let least = if all.len() < 256 {
            Width::One
        } else if all.len() < 65_536 {
            Width::Two
        } else {
            Width::Four
        };
        assert!(octets == all && width == least, "{sizes:?}");
    }
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, None);
    writer.start("", "r").unwrap();
    writer.text(Value::Bytes(&[1])).unwrap();
    writer.comment("").unwrap();
    writer.text(Value::Bytes(&[2])).unwrap();
    writer.end().unwrap();
    assert_eq!(out, b"\x40\x01r\x9E\x01\x01\x02\x00\x9F\x01\x02");
}
