//! Text XML: what .NET writes of the same documents, and every value as it is.

mod support;

use message_encoding::dictionary::ReaderSession;
use message_encoding::envelope::{
    DecodeError, Decoder, Element, EncodeError, Encoder, MessageEncoding, Outgoing,
};
use message_encoding::event::{Event, Reader, ReaderState, WriteError, Writer, XMLNS_NAMESPACE};
use message_encoding::text::XmlPrinter;
use message_encoding::{Quotas, Value};
use serde_json::Value as Json;
use support::{dictionaries, lines, octets, text};

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>";

/// The documents of the corpus, written from their events, against .NET's text of them.
#[test]
fn documents_are_printed_as_net_prints_them() {
    let mut seen = 0;
    for line in lines("documents") {
        let strings = ["before", "added"].map(|member| strings_of(&line["session"][member]));
        seen += usize::from(is_printed_the_same(&line, &strings.into_iter().flatten().collect()));
    }
    for session in lines("sessions") {
        let mut strings = ReaderSession::new();
        for message in session["messages"].as_array().unwrap() {
            strings_of(&message["added"]).iter().for_each(|string| strings.push(string));
            seen += usize::from(is_printed_the_same(message, &strings));
        }
    }
    assert_eq!(seen, 549);
}

fn strings_of(strings: &Json) -> Vec<String> {
    let strings = strings.as_array().map_or(&[][..], Vec::as_slice);
    strings.iter().map(|string| string.as_str().unwrap().to_owned()).collect()
}

/// A double that a float can hold has the digits of a double all the same, and zero keeps its sign.
#[test]
fn doubles_are_read_back_bit_by_bit() {
    let corners =
        [0, 1, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x3FF0_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF];
    let near = corners.into_iter().flat_map(|bits: u64| (0..8).map(move |more| bits.wrapping_add(more)));
    let powers = (0..2046).map(|exponent| exponent << 52);
    let floats = (0..2000_u32).map(|index| f64::from(f32::from_bits(index * 2_146_435)).to_bits());
    let whole = (0..64).flat_map(|shift| [-1.0, 0.0, 1.0].map(|more| (2_f64.powi(shift) + more).to_bits()));
    let all =
        near.chain(powers).chain(floats).chain(whole).map(f64::from_bits).filter(|number| !number.is_nan());
    let mut root = Element::new("", "r");
    let mut wanted = Vec::new();
    for number in all.flat_map(|number| [number, -number]) {
        root = root.child("d", number);
        wanted.push(number.to_bits());
    }
    for encoding in [MessageEncoding::Soap11Utf8, MessageEncoding::Soap12Utf8, MessageEncoding::Soap12Utf16] {
        let mut written = Vec::new();
        let message = Outgoing::new("", root.clone());
        Encoder::new(encoding, Quotas::MAX).encode(&message, &mut written).unwrap();
        let mut decoder = Decoder::new(encoding, Quotas::MAX);
        let read = decoder.decode(&written).unwrap().body().unwrap().unwrap();
        let read = read.children().iter().map(|child| child.value().to_f64().unwrap().to_bits());
        assert!(read.eq(wanted.iter().copied()), "{encoding:?}");
    }
    // As the calculator would say them.
    let said = |number: f64| {
        let mut written = Vec::new();
        let mut encoder = Encoder::new(MessageEncoding::Soap12Utf8, Quotas::MAX);
        encoder
            .encode_with(&mut written, |writer| {
                writer.start("", "d")?;
                writer.attribute("", "a", Value::Double(number))?;
                writer.text(Value::Double(number))?;
                writer.end()
            })
            .unwrap();
        String::from_utf8(written).unwrap()
    };
    for (number, text) in [(2_147_483_648.0, "2147483648"), (1.0 / 32768.0, "3.0517578125E-05"), (-0.0, "-0")]
    {
        assert_eq!(said(number), format!("{DECLARATION}<d a=\"{text}\">{text}</d>"));
    }
}

/// A document must be well-formed, and have nothing that a SOAP message may not have.
#[test]
fn what_is_no_message_is_refused() {
    let read = |text: &str| {
        let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
        let mut reader = decoder.document(text.as_bytes())?;
        while reader.next()?.is_some() {}
        Ok::<_, DecodeError>(())
    };
    for text in [
        "<a>&#x9;&#10;&#xD;&lt;&#x1F600;</a>",
        "<a><![CDATA[<&]]></a>",
        "<a.b-c_d é='&quot;&#xA;'/>",
        "<!-- - --><a/><!---->",
        "<?xml version='1.0'?><a/>",
        "\u{FEFF}<?xml version='1.0'?><a/>",
        "<a>&#xFFFD;</a >",
        "<a xmlns:p='u'><p:b p:c=''/></a>",
    ] {
        assert_eq!(read(text), Ok(()), "{text}");
    }
    for text in [
        "<?pi?><a/>",
        "<a><?pi x?></a>",
        "<a/><?pi?>",
        "<!DOCTYPE a><a/>",
        "<a/><?xml version='1.0'?>",
        " <?xml version='1.0'?><a/>",
        "<a>\u{1}</a>",
        "<a b='\u{1}'/>",
        "<a b='&#x0;'/>",
        "<a>\u{FFFE}</a>",
        "<a>&#xD800;</a>",
        "<a>]]></a>",
        "<a b='<'/>",
        "<a b=c/>",
        "<a b='&unknown;'/>",
        "<a>&unknown;</a>",
        "<a><!-- -- --></a>",
        "<a><!--\u{1}--></a>",
        "<1/>",
        "<a 1='2'/>",
        "<a:b:c xmlns:a='u'/>",
        "<:a/>",
        "<a:/>",
        "<a xmlns:='u'/>",
        "<a",
        "<a>",
        "<a></b>",
        "<a b='c' b='d'/>",
        "< a/>",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn names_that_xml_does_not_have_are_not_written() {
    for name in ["", "a b", "a><b", "1", "a:b", "\u{1}"] {
        let write = |encoding| {
            let message = Outgoing::new("", Element::new("", "r").with_child(Element::new("", name)));
            Encoder::new(encoding, Quotas::MAX).encode(&message, &mut Vec::new())
        };
        assert_eq!(write(MessageEncoding::Binary), Ok(()));
        assert_eq!(write(MessageEncoding::Soap12Utf8), Err(EncodeError::Name), "{name}");
    }
}

/// False if there is no text to compare with, or one that says something else.
fn is_printed_the_same(line: &Json, strings: &ReaderSession) -> bool {
    if line["xml"].is_null() || line["xml_lossy"] == true {
        return false;
    }
    let document = octets(line, "binary");
    let mut state = ReaderState::new();
    let mut reader = Reader::new(&mut state, &document, dictionaries(Some(strings)), Quotas::MAX);
    let mut written = Vec::new();
    let mut encoder = Encoder::new(MessageEncoding::Soap12Utf8, Quotas::MAX);
    encoder.encode_with(&mut written, |writer| copy(&mut reader, writer)).unwrap();
    let written = String::from_utf8(written).unwrap();
    // A terminal may obey the characters from U+007F to U+009F: ours are escaped.
    let written = written.strip_prefix(DECLARATION).unwrap();
    let written = written.replace("&#x7F;", "\u{7F}").replace("&#x85;", "\u{85}");
    let (written, wanted) = (comparable(&written), comparable(text(line, "xml")));
    let same = written.chars().zip(wanted.chars()).take_while(|(one, other)| one == other).count();
    let from_there = |xml: &str| xml.chars().skip(same).take(40).collect::<String>();
    assert_eq!(from_there(&written), from_there(&wanted), "{}", line["name"]);
    true
}

/// Says to `writer` what `reader` says.
fn copy(reader: &mut Reader<'_, '_>, writer: &mut Writer<'_>) -> Result<(), WriteError> {
    while let Some(event) = reader.next().unwrap() {
        match event {
            Event::Start(name) => {
                writer.start(name.prefix, name.local)?;
                for attribute in reader.attributes() {
                    let name = attribute.name;
                    match name.prefix {
                        _ if name.namespace != XMLNS_NAMESPACE => {
                            writer.attribute(name.prefix, name.local, attribute.value)?;
                        }
                        "" => writer.declare("", &*attribute.value.text()?)?,
                        _ => writer.declare(name.local, &*attribute.value.text()?)?,
                    }
                }
            }
            Event::Text(value) => writer.text(value)?,
            Event::Comment(comment) => writer.comment(comment)?,
            Event::End => writer.end()?,
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

/// The same XML with `<a></a>` for `<a/>` and the attributes sorted: .NET puts declarations in another order when it copies.
fn comparable(xml: &str) -> String {
    let mut out = String::new();
    for part in xml.split_inclusive('>') {
        let at = part.rfind('<').unwrap_or(0);
        let (text, tag) = part.split_at(at);
        let Some((name, attributes)) = tag.strip_prefix('<').and_then(|tag| tag.split_once([' ', '/', '>']))
        else {
            out.push_str(part);
            continue;
        };
        // No value has a quotation mark.
        let quoted: Vec<&str> = attributes.split('"').collect();
        let mut attributes: Vec<String> =
            quoted.chunks_exact(2).map(|pair| format!(" {}\"{}\"", pair[0].trim_start(), pair[1])).collect();
        attributes.sort();
        match tag.strip_suffix("/>") {
            _ if name.is_empty() => out.push_str(part),
            Some(_) => out.push_str(&format!("{text}<{name}{}></{name}>", attributes.concat())),
            None => out.push_str(&format!("{text}<{name}{}>", attributes.concat())),
        }
    }
    out
}

/// .NET's text writer writes a character that XML does not have as a reference, and its reader takes it. Unescaped it is refused there too.
#[test]
fn references_may_be_to_characters_that_xml_does_not_have() {
    let read = |text: &str| {
        let envelope = format!("<r a='{text}'>{text}</r>");
        let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
        let mut reader = decoder.document(envelope.as_bytes()).ok()?;
        reader.next_child().ok()?;
        let attribute = reader.attributes().next()?.value.to_text().ok()?;
        let content = reader.read_text().ok()?.into_owned();
        assert_eq!(attribute, content);
        Some(content)
    };
    for unit in ['\u{1}', '\u{B}', '\u{1F}', '\u{7F}', '\u{FFFE}', '\u{FFFF}', '\u{1F600}'] {
        assert_eq!(read(&format!("&#x{:X};", u32::from(unit))), Some(unit.into()));
    }
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    let mut reader = decoder.document(b"<r>&#x0;&#0;</r>").unwrap();
    reader.next_child().unwrap();
    assert_eq!(reader.read_text().unwrap(), "\0\0");
    for refused in ["&#x110000;", "\u{1}", "\u{FFFE}", "&#;", "&nope;"] {
        assert_eq!(read(refused), None, "{refused}");
    }
}

/// What a printer makes of a document, as far as it can be read.
fn printed(mut printer: XmlPrinter, document: &[u8]) -> String {
    let mut reader = Reader::from_slice(document);
    let mut text = String::new();
    while let Ok(true) = printer.event(&mut reader, &mut text) {}
    printer.close(&mut text);
    text
}

#[test]
fn lines_are_indented_where_there_is_no_text() {
    let document = b"\x40\x01r\x40\x01a\x99\x01t\x02\x01c\x40\x01b\x40\x01d\x01\x01\
                     \x40\x01m\x98\x01x\x40\x01n\x01\x02\x01e\x99\x01y\x01";
    let indented = "<r>\n  <a>t</a>\n  <!--c-->\n  <b>\n    <d/>\n  </b>\n  <m>x<n/><!--e-->y</m>\n</r>";
    assert_eq!(printed(XmlPrinter::indented(2), document), indented);
    let plain: String = indented.split('\n').map(str::trim_start).collect();
    assert_eq!(printed(XmlPrinter::new(), document), plain);
    // refused in the middle of b, behind d, and of m, behind n
    assert_eq!(
        printed(XmlPrinter::indented(2), &document[..20]),
        "<r>\n  <a>t</a>\n  <!--c-->\n  <b>\n    <d/>\n  </b>\n</r>"
    );
    assert_eq!(printed(XmlPrinter::indented(1), &document[..document.len() - 7]), {
        "<r>\n <a>t</a>\n <!--c-->\n <b>\n  <d/>\n </b>\n <m>x<n/></m>\n</r>"
    });
    assert_eq!(printed(XmlPrinter::indented(2), &document[..3]), "");
    assert_eq!(printed(XmlPrinter::indented(2), &document[..6]), "<r></r>");
}

#[test]
fn no_comment_has_two_hyphens_in_it() {
    for (comment, text) in
        [("--", "- - "), ("a--b", "a- -b"), ("a-b", "a-b"), ("---", "- - - "), ("-", "- "), ("a-", "a- ")]
    {
        let document = [b"\x40\x01r\x02", &[comment.len() as u8][..], comment.as_bytes(), b"\x01"].concat();
        assert_eq!(printed(XmlPrinter::new(), &document), format!("<r><!--{text}--></r>"));
    }
}

#[test]
fn characters_references_and_sections_are_one_text() {
    let text = b"<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'><s:Body>\
                 <t>a&lt;<![CDATA[<b>&amp;]]>&#99;</t></s:Body></s:Envelope>";
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    let body = decoder.decode(text).unwrap().body().unwrap().unwrap();
    assert_eq!(body.value(), Value::String("a<<b>&amp;c"));
}
