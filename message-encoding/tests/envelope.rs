//! What encoders, decoders and trees keep of what they are given, each decision by itself.

use message_encoding::dictionary::StaticString;
use message_encoding::envelope::{
    Addressing, Content, DecodeError, Decoder, Element, Encoder, Header, MessageEncoding, MessageFault,
    MessageId, Outgoing, Reply, Request, SCHEMA_INSTANCE, SOAP_12, Scalar, answer,
};
use message_encoding::{Quotas, Value};

fn encoded(encoding: MessageEncoding, message: &Outgoing) -> Vec<u8> {
    let mut octets = Vec::new();
    Encoder::new(encoding, Quotas::DEFAULT).encode(message, &mut octets).unwrap();
    octets
}

/// The text of an envelope that says this, without what is around its body.
fn written(body: Element) -> String {
    let text =
        String::from_utf8(encoded(MessageEncoding::Soap12Utf8, &Outgoing::new("urn:act", body))).unwrap();
    let (_, body) = text.split_once("<s:Body>").unwrap();
    body.split_once("</s:Body>").unwrap().0.to_owned()
}

/// The first element in the body of a SOAP 1.2 envelope with this content.
fn read(quotas: Quotas, content: &str) -> Result<Element, DecodeError> {
    let text = format!("<s:Envelope xmlns:s='{SOAP_12}'><s:Body>{content}</s:Body></s:Envelope>");
    Ok(Decoder::new(MessageEncoding::Soap12Utf8, quotas).decode(text.as_bytes())?.body()?.unwrap())
}

#[test]
fn a_decoder_knows_the_strings_of_its_session() {
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    assert!(decoder.strings().is_empty());
    let body = Element::new("urn:b", "b");
    decoder.decode(&encoded(MessageEncoding::BinarySession, &Outgoing::new("urn:act", body))).unwrap();
    let strings = decoder.strings();
    assert!(!strings.is_empty());
    let all: Vec<_> = (0..strings.len()).map(|at| strings.get(at).unwrap()).collect();
    assert_eq!(all, ["urn:act", "b", "urn:b"]);
    assert_eq!(strings.get(3), None);
}

#[test]
fn an_element_has_the_value_that_it_was_given_last() {
    let element = Element::new("", "e").child("c", 1).with_attribute("", "a", 2).with_value(3);
    assert_eq!(element.content(), &Content::Value(Scalar::Int(3)));
    assert_eq!(element.attribute("", "a"), Some(Value::Int(2)));
}

#[test]
fn attributes_have_the_prefixes_that_dotnet_gives_them() {
    let element =
        Element::new("", "e").with_attribute(SCHEMA_INSTANCE, "a", 1).with_attribute("urn:x", "b", 2);
    assert_eq!(
        written(element),
        format!("<e i:a=\"1\" n:b=\"2\" xmlns:i=\"{SCHEMA_INSTANCE}\" xmlns:n=\"urn:x\"/>")
    );
}

/// The default namespace is kept for what may be a name in it, and for nothing else.
#[test]
fn a_text_that_is_no_name_keeps_no_namespace() {
    for (text, kept) in
        [("Name", true), ("_n", true), (" n ", true), ("1", false), ("two words", false), ("-", false)]
    {
        let content = format!("<p:e xmlns:p='urn:p' xmlns='urn:d'>{text}</p:e>");
        let element = read(Quotas::DEFAULT, &content).unwrap();
        assert_eq!(element.namespace_of(""), Some(if kept { "urn:d" } else { "urn:p" }), "{text:?}");
        let content = format!("<p:e xmlns:p='urn:p' xmlns='urn:d' a='{text}'/>");
        let element = read(Quotas::DEFAULT, &content).unwrap();
        assert_eq!(element.namespace_of(""), Some(if kept { "urn:d" } else { "urn:p" }), "{text:?}");
    }
}

/// `count` byte strings of 10 octets side by side, read as a tree.
fn octets(count: usize, max_array_length: usize) -> Result<Element, DecodeError> {
    let text = [&b"\x9E\x0A0123456789"[..]].repeat(count).concat();
    let document = [b"\x56\x02\x0B\x01s\x04\x56\x0E\x40\x01e", &text[..], b"\x01\x01\x01"].concat();
    let quotas = Quotas { max_array_length, ..Quotas::DEFAULT };
    Ok(Decoder::new(MessageEncoding::Binary, quotas).decode(&document)?.body()?.unwrap())
}

#[test]
fn octets_side_by_side_are_counted_together() {
    for count in 1..5 {
        for length in count * 10..count * 10 + 3 {
            let read = octets(count, length).unwrap();
            assert!(matches!(read.value(), Value::Bytes(octets) if octets.len() == count * 10));
        }
        for length in 1..count * 10 {
            assert!(octets(count, length).is_err(), "{count} {length}");
        }
    }
}

#[test]
fn a_fault_in_place_of_an_answer_takes_what_it_says_and_no_more() {
    let id = MessageId::Other("urn:1".into());
    let mut answer = Outgoing::request("urn:act", "urn:to", id.clone(), Element::new("", "b"));
    answer.headers.push(Header::new(Element::new("", "h")));
    let fault = MessageFault::sender("no").with_subcode("urn:s", "Sub").with_detail(Element::new("", "d"));
    assert_eq!(fault.subcode, Some(("urn:s".to_owned(), "Sub".to_owned())));
    assert_eq!(fault.detail.as_deref(), Some(&Element::new("", "d")));
    let refused = answer.with_fault(fault.clone());
    assert_eq!((&refused.headers[..], &refused.body), (&[][..], &Err(fault)));
    assert_eq!((refused.message_id, refused.to.as_deref()), (Some(id), Some("urn:to")));
}

/// In binary, where one attribute is found past another in several ways.
#[test]
fn a_header_is_read_with_its_attributes_in_any_order() {
    let none = format!("{SOAP_12}/role/none");
    let next = format!("{SOAP_12}/role/next");
    let must = ("mustUnderstand", "1");
    for (attributes, ours, must_understand) in [
        (&[][..], true, false),
        (&[must][..], true, true),
        (&[("mustUnderstand", "0")], true, false),
        (&[must, ("role", &none)], false, false),
        (&[("role", &none), must], false, false),
        (&[must, ("role", &next)], true, true),
        (&[("role", &next), must], true, true),
        (&[("relay", "1"), ("encodingStyle", "0"), must, ("role", &next)], true, true),
        (&[("relay", "1"), ("encodingStyle", "0"), ("role", &none)], false, false),
    ] {
        let mut octets = Vec::new();
        let mut encoder = Encoder::new(MessageEncoding::Binary, Quotas::DEFAULT);
        let written = encoder.encode_with(&mut octets, |writer| {
            writer.start("s", "Envelope")?;
            writer.declare("s", SOAP_12)?;
            writer.start("s", "Header")?;
            writer.start("", "hh")?;
            for (name, value) in attributes {
                match StaticString::find(name) {
                    Some(name) => writer.attribute("s", name, Value::from(*value))?,
                    None => writer.attribute("s", *name, Value::from(*value))?,
                }
            }
            writer.end()?;
            writer.end()?;
            writer.start("s", "Body")?;
            writer.end()?;
            writer.end()
        });
        written.unwrap();
        let mut decoder = Decoder::new(MessageEncoding::Binary, Quotas::DEFAULT);
        let incoming = decoder.decode(&octets).unwrap();
        let header = incoming.headers().header("", "hh");
        assert_eq!(
            header.map(|header| header.must_understand),
            ours.then_some(must_understand),
            "{attributes:?}"
        );
    }
}

/// Before an envelope there may be comments and white space.
#[test]
fn an_envelope_is_the_first_that_is_said() {
    let envelope = b"\x56\x02\x0B\x01s\x04\x56\x0E\x01\x01";
    for (before, is_one) in [
        (&b""[..], true),
        (b"\x02\x01c", true),
        (b"\x98\x01 ", true),
        (b"\x02\x01c\x98\x02\r\n\x02\x01d", true),
        (b"\x98\x01x", false),
    ] {
        let octets = [before, envelope].concat();
        let mut decoder = Decoder::new(MessageEncoding::Binary, Quotas::DEFAULT);
        let decoded = decoder.decode(&octets).map(|incoming| incoming.headers().soap);
        assert_eq!(decoded.is_ok(), is_one, "{before:?} {decoded:?}");
    }
}

#[test]
fn encodings_are_binary_or_text_and_have_a_name() {
    for encoding in MessageEncoding::ALL {
        let name = encoding.content_type();
        assert_eq!(encoding.is_binary(), name.starts_with("application/soap+msbin"), "{name}");
        assert_eq!(MessageEncoding::from_content_type(name), Some(encoding));
    }
}

#[test]
fn a_text_says_how_it_is_encoded() {
    for encoding in MessageEncoding::ALL.into_iter().filter(|encoding| !encoding.is_binary()) {
        let octets = encoded(encoding, &Outgoing::new("urn:act", Element::new("", "b")));
        let name = if octets.contains(&0) { "utf-16" } else { "utf-8" };
        let text: String = octets
            .iter()
            .filter(|octet| (1..0x80).contains(*octet))
            .map(|&octet| char::from(octet))
            .collect();
        let start = format!("<?xml version=\"1.0\" encoding=\"{name}\"?><s:Envelope ");
        assert!(text.starts_with(&start), "{encoding:?} {text}");
        let mark: &[u8] = match encoding {
            MessageEncoding::Soap11Utf8 | MessageEncoding::Soap12Utf8 => b"<?",
            MessageEncoding::Soap11Utf16Be | MessageEncoding::Soap12Utf16Be => b"\xFE\xFF\x00<",
            _ => b"\xFF\xFE<\x00",
        };
        assert!(octets.starts_with(mark), "{encoding:?}");
    }
}

#[test]
fn an_envelope_has_a_header_if_there_is_something_in_it() {
    let header = |message: &Outgoing| {
        let text = String::from_utf8(encoded(MessageEncoding::Soap12Utf8, message)).unwrap();
        text.contains("<s:Header>")
    };
    let mut plain = Outgoing::new("", Element::new("", "b"));
    plain.addressing = Addressing::None;
    assert!(!header(&plain));
    let mut with_action = plain.clone();
    with_action.action = "urn:act".into();
    assert!(header(&with_action));
    let mut with_header = plain.clone();
    with_header.headers.push(Header::new(Element::new("", "h")));
    assert!(header(&with_header));
    let mut not_understood = plain.clone();
    not_understood.body = Err(MessageFault::not_understood("urn:n", "h"));
    assert!(header(&not_understood));
    let mut fault = plain.clone();
    fault.body = Err(MessageFault::internal());
    assert!(!header(&fault));
    plain.addressing = Addressing::Wsa10;
    assert!(header(&plain));
}

#[test]
fn headers_of_the_application_are_found_by_namespace_and_name() {
    let text = format!(
        "<s:Envelope xmlns:s='{SOAP_12}' xmlns:a='http://www.w3.org/2005/08/addressing'><s:Header>\
         <a:FaultTo><a:Address>urn:f</a:Address></a:FaultTo><a:From><a:Address>urn:f</a:Address></a:From>\
         <a:RelatesTo RelationshipType='urn:other'>urn:r</a:RelatesTo>\
         <h xmlns='urn:1'>one</h><h xmlns='urn:2'>two</h><g xmlns='urn:2'>three</g>\
         </s:Header><s:Body/></s:Envelope>"
    );
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    let incoming = decoder.decode(text.as_bytes()).unwrap();
    let headers = incoming.headers();
    let found = |namespace: &str, name: &str| {
        headers.header(namespace, name).map(|header| header.element.value().text().unwrap().into_owned())
    };
    assert_eq!(found("urn:1", "h").as_deref(), Some("one"));
    assert_eq!(found("urn:2", "h").as_deref(), Some("two"));
    assert_eq!(found("urn:2", "g").as_deref(), Some("three"));
    assert_eq!((found("urn:1", "g"), headers.application.len()), (None, 3));
    assert_eq!(headers.relates_to, None, "it is no answer to that");
}

#[test]
fn a_service_sees_its_body_and_its_headers_and_answers_with_both() {
    let id = MessageId::Other("urn:1".into());
    let mut request = Outgoing::request("urn:act", "urn:to", id, Element::new("urn:b", "b"));
    request.headers.push(Header::new(Element::new("urn:h", "h").with_value(7)));
    let octets = encoded(MessageEncoding::Binary, &request);
    let mut seen = false;
    let mut service = |request: &Request<'_>| {
        assert_eq!(request.body_named("urn:b", "b").ok(), request.body());
        for (namespace, name) in [("urn:b", "c"), ("urn:c", "b")] {
            let fault = request.body_named(namespace, name).unwrap_err();
            let said = format!("the body is no element '{name}' of the namespace '{namespace}'");
            assert_eq!(fault, MessageFault::deserialization_failed(said));
        }
        assert_eq!(request.header("urn:h", "h").map(Element::value), Some(Value::Int(7)));
        assert_eq!(request.header("urn:h", "g"), None);
        seen = true;
        Ok(Some(Reply::from(Element::new("urn:b", "r")).with_header(Header::new(Element::new("urn:h", "h")))))
    };
    let mut decoder = Decoder::new(MessageEncoding::Binary, Quotas::DEFAULT);
    let answer = answer(&mut decoder, &octets, &mut service).unwrap();
    assert_eq!(answer.body, Ok(Some(Element::new("urn:b", "r"))));
    assert_eq!(answer.headers, [Header::new(Element::new("urn:h", "h"))]);
    assert!(seen);
}
