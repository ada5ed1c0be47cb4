//! From text XML to records, by way of quick-xml.

use alloc::string::String;
use alloc::vec::Vec;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use crate::envelope::DecodeError;
use crate::record::{Inline, Letter, Prefix, Record, StringRef, Text, Width};

/// Appends the records of an XML document: names and texts inline, prefixes and namespaces as they stand.
///
/// Whether prefixes are declared, attributes differ and so on is for the reader of the records to see.
pub(crate) fn to_records(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = quick_xml::Reader::from_str(text);
    // Characters, references and CDATA sections side by side are one text.
    let mut pending = String::new();
    loop {
        let event = reader.read_event();
        let wrong = |reader: &quick_xml::Reader<_>| DecodeError::Xml(reader.error_position() as usize);
        let event = event.map_err(|_| wrong(&reader))?;
        match &event {
            Event::Text(text) => pending.push_str(&text.xml10_content()),
            Event::CData(text) => pending.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(unit)) => pending.push(unit),
                Ok(None) => {
                    let name = reference.xml10_content();
                    pending.push_str(
                        quick_xml::escape::resolve_predefined_entity(&name).ok_or_else(|| wrong(&reader))?,
                    );
                }
                Err(_) => return Err(wrong(&reader)),
            },
            _ => flush(&mut pending, out)?,
        }
        match event {
            Event::Start(tag) => start(&tag, out).ok_or_else(|| wrong(&reader))?,
            Event::Empty(tag) => {
                start(&tag, out).ok_or_else(|| wrong(&reader))?;
                Record::EndElement.encode(out);
            }
            Event::End(_) => Record::EndElement.encode(out),
            Event::Comment(comment) => {
                let comment = comment.xml10_content();
                Record::Comment(inline(&comment)?).encode(out);
            }
            // A SOAP message may not have one, and what it declares can be as large as it likes.
            Event::DocType(_) => return Err(wrong(&reader)),
            Event::Eof => return Ok(()),
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

fn flush(pending: &mut String, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    if !pending.is_empty() {
        inline(pending)?;
        let text = Text::Chars(Width::of(pending.len()), pending.as_bytes());
        Record::Text { text, end: false }.encode(out);
        pending.clear();
    }
    Ok(())
}

fn start(tag: &BytesStart<'_>, out: &mut Vec<u8>) -> Option<()> {
    let name = tag.name();
    let (prefix, local) = split(name.as_ref());
    Record::Element { prefix: prefix_of(prefix)?, local: string(local)? }.encode(out);
    // Duplicates are found where namespaces are known, and not in quadratic time.
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute.ok()?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
        match split(attribute.key.as_ref()) {
            ("", "xmlns") => Record::Xmlns { prefix: None, uri: string(&value)? }.encode(out),
            ("xmlns", prefix) => {
                Record::Xmlns { prefix: Some(Inline::new(prefix.as_bytes())?), uri: string(&value)? }
                    .encode(out);
            }
            (prefix, local) => {
                Record::Attribute { prefix: prefix_of(prefix)?, local: string(local)? }.encode(out);
                Inline::new(value.as_bytes())?;
                let text = Text::Chars(Width::of(value.len()), value.as_bytes());
                Record::Text { text, end: false }.encode(out);
            }
        }
    }
    Some(())
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

fn prefix_of(prefix: &str) -> Option<Prefix<'_>> {
    Some(match Letter::of(prefix) {
        Some(letter) => Prefix::Letter(letter),
        None if prefix.is_empty() => Prefix::None,
        None => Prefix::Inline(Inline::new(prefix.as_bytes())?),
    })
}

fn string(string: &str) -> Option<StringRef<'_>> {
    Inline::new(string.as_bytes()).map(StringRef::Inline)
}

fn inline(string: &str) -> Result<Inline<'_>, DecodeError> {
    Inline::new(string.as_bytes()).ok_or(DecodeError::Xml(0))
}
