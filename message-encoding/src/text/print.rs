//! From events to text XML.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::characters::is_name;
use crate::envelope::EncodeError;
use crate::event::{Event, Name, ReadError, Reader, ReaderState};
use crate::{Quotas, Value, ValueError};

/// Writes events as XML, on one line or indented.
///
/// It says what the events say, for people and for text encodings: adjacent texts run into one, and what a number was on
/// the wire no longer shows. Nothing that was printed is kept or looked at again, and no piece is longer than one value, for a
/// few octets may stand for much text. Whether `out` has failed is for `out` to remember; the printer goes on.
#[derive(Clone, Debug, Default)]
pub struct XmlPrinter {
    open: Vec<String>,
    /// The start tag is not closed yet.
    in_tag: bool,
    /// Something was printed.
    begun: bool,
    indent: Option<usize>,
    /// Per open element: whether it has had a text, and whether it has had an element.
    mixed: Vec<(bool, bool)>,
    /// What XML has no way to write.
    fault: Option<EncodeError>,
}

impl XmlPrinter {
    /// A printer that adds no white space.
    pub fn new() -> Self {
        Self::default()
    }

    /// A printer that puts each element that contains elements on lines of its own, `spaces` further in.
    pub fn indented(spaces: usize) -> Self {
        Self { indent: Some(spaces), ..Self::default() }
    }

    /// Appends the next event of `reader` to `out`: false at the end of the document.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: what the reader gives, or a value that has no text.
    pub fn event(
        &mut self,
        reader: &mut Reader<'_, '_>,
        out: &mut impl fmt::Write,
    ) -> Result<bool, ReadError> {
        match reader.next()? {
            None => return Ok(false),
            Some(Event::Start(name)) => {
                self.before_child(out);
                let mut tag = String::new();
                self.name(name, &mut tag);
                out.push('<');
                out.push_str(&tag);
                for attribute in reader.attributes() {
                    out.push(' ');
                    self.name(attribute.name, out);
                    out.push_str("=\"");
                    self.escaped(&attribute.value, true, out)?;
                    out.push('"');
                }
                self.open.push(tag);
                self.mixed.push((false, false));
                self.in_tag = true;
            }
            Some(Event::Text(value)) => {
                self.close_tag(out);
                if let Some((text, _)) = self.mixed.last_mut() {
                    *text = true;
                }
                self.escaped(&value, false, out)?;
            }
            Some(Event::Comment(comment)) => {
                self.before_child(out);
                out.push_str("<!--");
                // Binary XML has comments that text cannot have.
                let mut last = ' ';
                for unit in comment.chars() {
                    if unit == '-' && last == '-' {
                        out.push(' ');
                    }
                    self.unescaped(unit, out);
                    last = unit;
                }
                if last == '-' {
                    out.push(' ');
                }
                out.push_str("-->");
            }
            Some(Event::End) => {
                let (text, child) = self.mixed.pop().unwrap_or_default();
                let tag = self.open.pop().unwrap_or_default();
                if self.in_tag {
                    self.in_tag = false;
                    out.push_str("/>");
                } else {
                    if child && !text {
                        self.line(out);
                    }
                    out.push_str("</");
                    out.push_str(&tag);
                    out.push('>');
                }
            }
        }
        Ok(true)
    }

    /// Ends the elements that are open, where a document is refused in the middle.
    pub fn close(&mut self, out: &mut impl fmt::Write) {
        self.close_tag(out);
        while let Some(tag) = self.open.pop() {
            let (text, child) = self.mixed.pop().unwrap_or_default();
            if child && !text {
                self.line(out);
            }
            out.push_str("</");
            out.push_str(&tag);
            out.push('>');
        }
    }

    fn before_child(&mut self, out: &mut impl fmt::Write) {
        self.close_tag(out);
        let text = self.mixed.last().is_some_and(|(text, _)| *text);
        if let Some((_, child)) = self.mixed.last_mut() {
            *child = true;
        }
        if core::mem::replace(&mut self.begun, true) && !text {
            self.line(out);
        }
    }

    fn line(&self, out: &mut impl fmt::Write) {
        if let Some(spaces) = self.indent {
            out.push('\n');
            (0..spaces * self.open.len()).for_each(|_| out.push(' '));
        }
    }

    fn close_tag(&mut self, out: &mut impl fmt::Write) {
        if core::mem::take(&mut self.in_tag) {
            out.push('>');
        }
    }

    fn name(&mut self, name: Name<'_>, out: &mut impl fmt::Write) {
        if !is_name(name.local) || !name.prefix.is_empty() && !is_name(name.prefix) {
            self.fault = self.fault.or(Some(EncodeError::Name));
        }
        if !name.prefix.is_empty() {
            name.prefix.chars().for_each(|unit| self.unescaped(unit, out));
            out.push(':');
        }
        name.local.chars().for_each(|unit| self.unescaped(unit, out));
    }

    /// A character of a name or comment, where XML has no escapes. A terminal shall not obey it.
    fn unescaped(&mut self, unit: char, out: &mut impl fmt::Write) {
        if unit.is_control() && !matches!(unit, '\t' | '\n') || matches!(unit, '\u{FFFE}' | '\u{FFFF}') {
            self.fault = self.fault.or(Some(EncodeError::Character(unit)));
            out.push(char::REPLACEMENT_CHARACTER);
        } else {
            out.push(unit);
        }
    }

    fn escaped(
        &mut self,
        value: &Value<'_>,
        attribute: bool,
        out: &mut impl fmt::Write,
    ) -> Result<(), ReadError> {
        if let Value::List(list) = *value {
            // One by one: a few octets of each may stand for a long string.
            for (index, value) in list.enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                match value {
                    Value::QName(..) => return Err(ValueError::QNameInList.into()),
                    value => self.escaped(&value, attribute, out)?,
                }
            }
            return Ok(());
        }
        for unit in value.text()?.chars() {
            match unit {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' if attribute => out.push_str("&quot;"),
                '\r' => out.push_str("&#xD;"),
                '\n' if attribute => out.push_str("&#xA;"),
                '\t' if attribute => out.push_str("&#x9;"),
                '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {
                    // XML has no such character: .NET writes it all the same, and reads it.
                    out.push_str("&#x");
                    out.push_str(&alloc::format!("{:X};", u32::from(unit)));
                }
                // Allowed, but a terminal may obey them.
                '\u{7F}'..='\u{9F}' => out.push_str(&alloc::format!("&#x{:X};", u32::from(unit))),
                unit => out.push(unit),
            }
        }
        Ok(())
    }
}

/// Printing to what remembers itself if it has failed.
trait Print: fmt::Write {
    fn push(&mut self, unit: char) {
        let _ = self.write_char(unit);
    }

    fn push_str(&mut self, string: &str) {
        let _ = self.write_str(string);
    }
}

impl<W: fmt::Write> Print for W {}

/// Appends the rest of a document as XML.
///
/// # Errors
///
/// As [`XmlPrinter::event`]; what was before stays in `out`.
pub fn print(
    printer: &mut XmlPrinter,
    reader: &mut Reader<'_, '_>,
    out: &mut impl fmt::Write,
) -> Result<(), ReadError> {
    while printer.event(reader, out)? {}
    Ok(())
}

/// A document that needs no session as XML, on one line, without quotas.
///
/// ```
/// use message_encoding::to_xml;
///
/// assert_eq!(to_xml(b"\x40\x01r\x04\x01a\x86\x89\x2A")?, r#"<r a="true">42</r>"#);
/// # Ok::<(), message_encoding::ReadError>(())
/// ```
///
/// # Errors
///
/// What is wrong with the document.
pub fn to_xml(document: &[u8]) -> Result<String, ReadError> {
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, document, crate::dictionary::Strings::STATIC, Quotas::MAX);
    let mut out = String::new();
    print(&mut XmlPrinter::new(), &mut reader, &mut out)?;
    Ok(out)
}

/// Appends a document that was written as records, without a session.
pub(crate) fn push_records(records: &[u8], out: &mut String) -> Result<(), EncodeError> {
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, records, crate::dictionary::Strings::STATIC, Quotas::MAX);
    let mut printer = XmlPrinter::new();
    print(&mut printer, &mut reader, out).map_err(EncodeError::Read)?;
    printer.fault.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_neither_names_nor_comments_nor_texts() {
        // <e‹ESC›c a‹BEL›="‹ESC›"><!--‹ESC›c-->‹U+0085›</…>, each as the document has it.
        let document = b"\x40\x03e\x1Bc\x04\x02a\x07\x98\x01\x1B\x02\x02\x1Bc\x99\x02\xC2\x85";
        let mut state = ReaderState::new();
        let strings = crate::dictionary::Strings::STATIC;
        let mut reader = Reader::new(&mut state, document, strings, Quotas::DEFAULT);
        let (mut printer, mut out) = (XmlPrinter::new(), String::new());
        print(&mut printer, &mut reader, &mut out).unwrap();
        assert_eq!(out, "<e\u{FFFD}c a\u{FFFD}=\"&#x1B;\"><!--\u{FFFD}c-->&#x85;</e\u{FFFD}c>");
        assert_eq!(printer.fault, Some(EncodeError::Name));
    }
}
