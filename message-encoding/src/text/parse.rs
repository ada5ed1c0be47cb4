//! From text XML to records, by way of quick-xml.

use alloc::string::String;
use alloc::vec::Vec;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::characters::{is_character, is_name};
use crate::envelope::DecodeError;
use crate::record::{Inline, Prefix, PrefixLetter, Record, StringRef, Text, Width};

/// Appends the records of an XML document: names and texts inline, prefixes and namespaces as they stand.
///
/// Whether prefixes are declared, attributes differ and so on is for the reader of the records to see.
pub(crate) fn to_records(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_comments = true;
    // Characters, references and CDATA sections side by side are one text.
    let mut pending = String::new();
    loop {
        let at = reader.buffer_position() as usize;
        let wrong = || DecodeError::Xml(at);
        let event = reader.read_event().map_err(|_| DecodeError::Xml(reader.error_position() as usize))?;
        match &event {
            Event::Text(text) => characters(&text.xml10_content(), "]]>", &mut pending).ok_or_else(wrong)?,
            Event::CData(text) => characters(&text.xml10_content(), "]]>", &mut pending).ok_or_else(wrong)?,
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                // Any: .NET writes what XML has no character for as a reference, and reads it.
                Ok(Some(unit)) => pending.push(unit),
                // quick-xml has no references to U+0000.
                Err(_) if matches!(&*reference.xml10_content(), "#0" | "#x0") => pending.push('\0'),
                Ok(None) => {
                    let name = reference.xml10_content();
                    pending.push_str(quick_xml::escape::resolve_predefined_entity(&name).ok_or_else(wrong)?);
                }
                _ => return Err(wrong()),
            },
            _ => flush(&mut pending, out)?,
        }
        match event {
            Event::Start(tag) => start(&tag, out).ok_or_else(wrong)?,
            Event::Empty(tag) => {
                start(&tag, out).ok_or_else(wrong)?;
                Record::EndElement.encode(out);
            }
            Event::End(_) => Record::EndElement.encode(out),
            Event::Comment(comment) => {
                let mut text = String::new();
                characters(&comment.xml10_content(), "--", &mut text).ok_or_else(wrong)?;
                Record::Comment(inline(&text)?).encode(out);
            }
            // SOAP has neither ([SOAP 1.2 Part 1] section 5), and what a type declares can be as large as it likes.
            Event::DocType(_) | Event::PI(_) => return Err(wrong()),
            Event::Decl(_) if at > 0 => return Err(wrong()),
            Event::Eof => return Ok(()),
            Event::Decl(_) | Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {}
        }
    }
}

/// Adds characters that XML has, and among which these do not stand.
fn characters(text: &str, forbidden: &str, out: &mut String) -> Option<()> {
    let allowed = text.chars().all(is_character) && !text.contains(forbidden);
    allowed.then(|| out.push_str(text))
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
    Record::Element { prefix: prefix_of(prefix)?, local: StringRef::Inline(name_of(local)?) }.encode(out);
    // Duplicates are found where namespaces are known, and not in quadratic time.
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute.ok()?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
        if attribute.value.contains('<') || !attribute.value.chars().all(is_character) {
            return None;
        }
        match split(attribute.key.as_ref()) {
            ("", "xmlns") => Record::Xmlns { prefix: None, uri: string(&value)? }.encode(out),
            ("xmlns", prefix) => {
                Record::Xmlns { prefix: Some(name_of(prefix)?), uri: string(&value)? }.encode(out);
            }
            (prefix, local) => {
                Record::Attribute { prefix: prefix_of(prefix)?, local: StringRef::Inline(name_of(local)?) }
                    .encode(out);
                Inline::new(value.as_bytes())?;
                let text = Text::Chars(Width::of(value.len()), value.as_bytes());
                Record::Text { text, end: false }.encode(out);
            }
        }
    }
    Some(())
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').filter(|(prefix, _)| !prefix.is_empty()).unwrap_or(("", name))
}

fn prefix_of(prefix: &str) -> Option<Prefix<'_>> {
    Some(match PrefixLetter::of(prefix) {
        Some(letter) => Prefix::PrefixLetter(letter),
        None if prefix.is_empty() => Prefix::None,
        None => Prefix::Inline(name_of(prefix)?),
    })
}

fn name_of(name: &str) -> Option<Inline<'_>> {
    Inline::new(name.as_bytes()).filter(|_| is_name(name))
}

fn string(string: &str) -> Option<StringRef<'_>> {
    Inline::new(string.as_bytes()).map(StringRef::Inline)
}

fn inline(string: &str) -> Result<Inline<'_>, DecodeError> {
    Inline::new(string.as_bytes()).ok_or(DecodeError::Xml(0))
}
