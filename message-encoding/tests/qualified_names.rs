//! Qualified names in values: what their prefixes stand for where they are.

use message_encoding::dictionary::Strings;
use message_encoding::envelope::{
    Decoder, Element, Encoder, Header, MessageEncoding, MessageId, Outgoing, SCHEMA_INSTANCE, SOAP_12,
};
use message_encoding::event::{Event, Progress, Reader, StreamReader, Writer};
use message_encoding::{Quotas, Value};

/// `<r t="p:x" xmlns="urn:r" xmlns:p="urn:1" xmlns:long="urn:2"><c t="p:x" xmlns:p="urn:3" xmlns=""/><c t="p:x"/></r>`
fn document() -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, None);
    let mut write = || {
        writer.start("", "r")?;
        writer.attribute("", "t", "p:x".into())?;
        writer.declare("", "urn:r")?;
        writer.declare("p", "urn:1")?;
        writer.declare("long", "urn:2")?;
        writer.start("", "c")?;
        writer.attribute("", "t", "p:x".into())?;
        writer.declare("p", "urn:3")?;
        writer.declare("", "")?;
        writer.end()?;
        writer.start("", "c")?;
        writer.attribute("", "t", "p:x".into())?;
        writer.end()?;
        writer.end()
    };
    write().unwrap();
    out
}

/// After each event: of the default namespace, p, long, and one that nobody has declared.
const SCOPES: [[Option<&str>; 4]; 6] = [
    [Some("urn:r"), Some("urn:1"), Some("urn:2"), None],
    [Some(""), Some("urn:3"), Some("urn:2"), None],
    [Some("urn:r"), Some("urn:1"), Some("urn:2"), None],
    [Some("urn:r"), Some("urn:1"), Some("urn:2"), None],
    [Some("urn:r"), Some("urn:1"), Some("urn:2"), None],
    [Some(""), None, None, None],
];
const PREFIXES: [&str; 4] = ["", "p", "long", "q"];

#[test]
fn a_reader_knows_the_prefixes_where_it_is() {
    let document = document();
    let mut reader = Reader::from_slice(&document);
    assert_eq!(PREFIXES.map(|prefix| reader.namespace(prefix)), SCOPES[5]);
    for scope in SCOPES {
        let event = reader.next().unwrap().unwrap();
        assert_eq!(PREFIXES.map(|prefix| reader.namespace(prefix)), scope);
        assert_eq!(reader.namespace("xml"), Some("http://www.w3.org/XML/1998/namespace"));
        if let Event::Start(_) = event {
            let value = reader.attributes().next().unwrap().value;
            assert_eq!(reader.qualified_name(&value), scope[1].map(|namespace| (namespace, "x".into())));
            assert_eq!(reader.qualified_name(&Value::from(" y\n")), Some((scope[0].unwrap(), "y".into())));
            assert_eq!(reader.qualified_name(&Value::from("q:y")), None);
        }
    }
    let mut stream = StreamReader::new(Quotas::DEFAULT);
    stream.push(&document);
    stream.finish();
    for scope in SCOPES {
        assert!(matches!(stream.next(Strings::STATIC), Ok(Progress::Event(_))));
        assert_eq!(PREFIXES.map(|prefix| stream.namespace(prefix, Strings::STATIC)), scope);
    }
}

/// The body of a text envelope with this content.
fn body(content: &str) -> Element {
    let text = format!(
        "<s:Envelope xmlns:s='{SOAP_12}' xmlns:i='{SCHEMA_INSTANCE}' xmlns:j='{SCHEMA_INSTANCE}' xmlns:out='urn:out' xmlns='urn:default'>\
         <s:Body>{content}</s:Body></s:Envelope>"
    );
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    decoder.decode(text.as_bytes()).unwrap().body().unwrap().unwrap()
}

fn names(element: &Element) -> Option<(String, String)> {
    let value = element.attribute(SCHEMA_INSTANCE, "type").unwrap_or_else(|| element.value());
    element.qualified_name(&value).map(|(namespace, local)| (namespace.to_owned(), local))
}

#[test]
fn an_element_knows_the_prefixes_of_its_values() {
    let long = "l".repeat(1500);
    for (content, name) in [
        ("<e i:type='out:X'/>", Some(("urn:out", "X"))),
        ("<e i:type='\n out:X '/>", Some(("urn:out", "X"))),
        ("<e i:type='out:X' xmlns:out='urn:nearer'/>", Some(("urn:nearer", "X"))),
        ("<e i:type='X'/>", Some(("urn:default", "X"))),
        ("<e i:type='X' xmlns=''/>", Some(("", "X"))),
        ("<out:e i:type='X'/>", Some(("urn:default", "X"))),
        ("<out:e i:type='X' xmlns=''/>", Some(("", "X"))),
        ("<e i:type='no:X'/>", None),
        ("<e i:type='xml:X'/>", Some(("http://www.w3.org/XML/1998/namespace", "X"))),
        ("<e>out:X</e>", Some(("urn:out", "X"))),
        ("<e> ou<!-- split -->t:X</e>", Some(("urn:out", "X"))),
        ("<e>X</e>", Some(("urn:default", "X"))),
        ("<out:e>X</out:e>", Some(("urn:default", "X"))),
        ("<out:e xmlns=''>_X</out:e>", Some(("", "_X"))),
        ("<e>no:X</e>", None),
        (&format!("<e i:type='{long}:X' xmlns:{long}='urn:long'/>"), Some(("urn:long", "X"))),
    ] {
        let name = name.map(|(namespace, local)| (namespace.to_owned(), local.to_owned()));
        let read = body(content);
        assert_eq!(names(&read), name, "{content}");
        // In another element, which has no such scope around.
        let child = &body(&format!("<w><a/><b>{content}</b></w>")).children()[1].children()[0].clone();
        assert_eq!(names(child), name, "{content}");
    }
    let both = body("<e i:type='out:X' xmlns:p='urn:p'>p:Y</e>");
    assert_eq!((both.namespace_of("out"), both.namespace_of("p")), (Some("urn:out"), Some("urn:p")));
    assert_eq!((both.namespace_of("s"), both.namespace_of("")), (None, Some("urn:default")));
}

/// What was read with a prefix is written with it, wherever, and whatever else has that prefix there.
#[test]
fn an_element_is_written_with_the_prefixes_of_its_values() {
    for (content, name) in [
        ("<e i:type='out:X'/>", ("urn:out", "X")),
        ("<e j:type='i:X' xmlns:i='urn:i'/>", ("urn:i", "X")),
        ("<e i:type='n:X' xmlns:n='urn:n' xmlns:o='urn:o' o:o='1'/>", ("urn:n", "X")),
        ("<e i:type='s:X' xmlns:s='urn:s'>s:Y</e>", ("urn:s", "X")),
        ("<e xmlns:a='urn:a'>a:X</e>", ("urn:a", "X")),
        ("<e>out:X</e>", ("urn:out", "X")),
    ] {
        let element = body(content);
        let wanted = Some((name.0.to_owned(), name.1.to_owned()));
        assert_eq!(names(&element), wanted, "{content}");
        for encoding in MessageEncoding::ALL {
            let id = MessageId::Other("urn:1".into());
            let mut message = Outgoing::request("urn:a", "urn:b", id, element.clone());
            message.headers.push(Header::new(element.clone()).must_be_understood());
            let mut octets = Vec::new();
            Encoder::new(encoding, Quotas::DEFAULT).encode(&message, &mut octets).unwrap();
            let mut decoder = Decoder::new(encoding, Quotas::DEFAULT);
            let mut heard = decoder.decode(&octets).unwrap();
            let header = heard.headers().application[0].clone();
            assert!(header.must_understand, "{content} {encoding:?}");
            assert_eq!(names(&header.element), wanted, "{content} {encoding:?}");
            let body = heard.body().unwrap().unwrap();
            assert_eq!(names(&body), wanted, "{content} {encoding:?}");
            assert_eq!(body.attributes().count(), element.attributes().count());
        }
    }
}

#[test]
fn a_program_may_say_a_type() {
    let element = Element::new("urn:e", "e")
        .with_prefix("g", "urn:old")
        .with_prefix("g", "urn:g")
        .with_prefix("", "urn:ignored")
        .with_attribute("urn:g", "own", 1)
        .with_attribute(SCHEMA_INSTANCE, "type", "g:Circle");
    assert_eq!(names(&element), Some(("urn:g".into(), "Circle".into())));
    let mut out = Vec::new();
    element.write(&mut Writer::new(&mut out, None), "").unwrap();
    assert_eq!(
        message_encoding::to_xml(&out).unwrap(),
        format!(
            "<e xmlns=\"urn:e\" g:own=\"1\" i:type=\"g:Circle\" xmlns:i=\"{SCHEMA_INSTANCE}\" xmlns:g=\"urn:g\"/>"
        )
    );
}
