//! SOAP 1.2 envelopes with WS-Addressing 1.0 headers as UTF-8 text, known encoding 3 of MC-NMF.

use core::str;
use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use crate::message::{ADDRESSING, Body, Fault, Message, SOAP, SOAP_FAULT};
use crate::xml::Element;

/// Reads an envelope. A fault's text in another language than the first is passed over.
///
/// # Errors
/// The fault that tells the sender what is wrong with it.
pub fn decode(octets: &[u8]) -> Result<Message, Fault> {
    let text = str::from_utf8(octets).map_err(|error| Fault::no_envelope(error.to_string()))?;
    let envelope = Element::parse(text).map_err(Fault::no_envelope)?;
    if !envelope.is(SOAP, "Envelope") {
        return Err(Fault {
            code: "VersionMismatch".into(),
            ..Fault::no_envelope("not a SOAP 1.2 envelope")
        });
    }
    let body = envelope.child(SOAP, "Body").ok_or_else(|| Fault::no_envelope("the envelope has no body"))?;
    let headers = envelope.child(SOAP, "Header").map_or(&[][..], |header| &header.children);
    let mut message = Message {
        action: String::new(),
        message_id: None,
        relates_to: None,
        reply_to: None,
        to: None,
        body: decode_body(body)?,
    };
    for header in headers {
        let value = || header.text.trim().to_owned();
        match (header.namespace.as_str(), header.name.as_str()) {
            (ADDRESSING, "Action") => message.action = value(),
            (ADDRESSING, "MessageID") => message.message_id = Some(value()),
            (ADDRESSING, "RelatesTo") => message.relates_to = Some(value()),
            (ADDRESSING, "To") => message.to = Some(value()),
            (ADDRESSING, "ReplyTo") => {
                message.reply_to =
                    header.child(ADDRESSING, "Address").map(|address| address.text.trim().to_owned());
            }
            (ADDRESSING, "From" | "FaultTo") => {}
            (namespace, name) => {
                if matches!(header.attribute(SOAP, "mustUnderstand"), Some("1" | "true")) {
                    return Err(Fault::must_understand(namespace, name));
                }
            }
        }
    }
    Ok(message)
}

fn decode_body(body: &Element) -> Result<Body, Fault> {
    match body.children.as_slice() {
        [] => Ok(Body::Content(None)),
        [content] if content.is(SOAP, "Fault") => Ok(Body::Fault(decode_fault(content))),
        [content] => Ok(Body::Content(Some(content.clone()))),
        _ => Err(Fault::no_envelope("the body holds more than one element")),
    }
}

/// Codes are QNames; their prefix is the sender's choice and says nothing here.
fn decode_fault(fault: &Element) -> Fault {
    let value = |code: &Element| {
        let text = code.child(SOAP, "Value").map_or("", |value| value.text.trim());
        text.rsplit(':').next().unwrap_or_default().to_owned()
    };
    let code = fault.child(SOAP, "Code");
    let subcode = code.and_then(|code| code.child(SOAP, "Subcode"));
    let reason = fault.child(SOAP, "Reason").and_then(|reason| reason.child(SOAP, "Text"));
    Fault {
        action: SOAP_FAULT,
        code: code.map(value).unwrap_or_default(),
        subcode: subcode.map(|subcode| (String::new(), value(subcode))),
        reason: reason.map(|text| text.text.clone()).unwrap_or_default(),
    }
}

/// Writes an envelope.
///
/// # Errors
/// None in practice: writing into memory does not fail.
pub fn encode(message: &Message) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::with_capacity(1024));
    let envelope = writer.create_element("s:Envelope").with_attribute(("xmlns:s", SOAP));
    envelope.with_attribute(("xmlns:a", ADDRESSING)).write_inner_content(|writer| {
        writer.create_element("s:Header").write_inner_content(|writer| encode_headers(writer, message))?;
        writer.create_element("s:Body").write_inner_content(|writer| match &message.body {
            Body::Content(None) => Ok(()),
            Body::Content(Some(element)) => encode_element(writer, element, ""),
            Body::Fault(fault) => encode_fault(writer, fault),
        })?;
        Ok(())
    })?;
    Ok(writer.into_inner())
}

fn encode_headers(writer: &mut Writer<Vec<u8>>, message: &Message) -> io::Result<()> {
    let text = BytesText::new;
    let understood = ("s:mustUnderstand", "1");
    writer.create_element("a:Action").with_attribute(understood).write_text_content(text(&message.action))?;
    if let Some(id) = &message.message_id {
        writer.create_element("a:MessageID").write_text_content(text(id))?;
    }
    if let Some(id) = &message.relates_to {
        writer.create_element("a:RelatesTo").write_text_content(text(id))?;
    }
    if let Some(address) = &message.reply_to {
        writer.create_element("a:ReplyTo").write_inner_content(|writer| {
            writer.create_element("a:Address").write_text_content(text(address))?;
            Ok(())
        })?;
    }
    if let Some(to) = &message.to {
        writer.create_element("a:To").with_attribute(understood).write_text_content(text(to))?;
    }
    Ok(())
}

/// Attributes of body elements are not written: data contracts have none.
fn encode_element(writer: &mut Writer<Vec<u8>>, element: &Element, outer: &str) -> io::Result<()> {
    let mut start = writer.create_element(element.name.as_str());
    if element.namespace != outer {
        start = start.with_attribute(("xmlns", element.namespace.as_str()));
    }
    start.write_inner_content(|writer| {
        writer.write_event(quick_xml::events::Event::Text(BytesText::new(&element.text)))?;
        element.children.iter().try_for_each(|child| encode_element(writer, child, &element.namespace))
    })?;
    Ok(())
}

fn encode_fault(writer: &mut Writer<Vec<u8>>, fault: &Fault) -> io::Result<()> {
    writer.create_element("s:Fault").write_inner_content(|writer| {
        writer.create_element("s:Code").write_inner_content(|writer| {
            let value = format!("s:{}", fault.code);
            writer.create_element("s:Value").write_text_content(BytesText::new(&value))?;
            let Some((namespace, name)) = &fault.subcode else { return Ok(()) };
            writer.create_element("s:Subcode").write_inner_content(|writer| {
                let value = format!("c:{name}");
                let subcode =
                    writer.create_element("s:Value").with_attribute(("xmlns:c", namespace.as_str()));
                subcode.write_text_content(BytesText::new(&value))?;
                Ok(())
            })?;
            Ok(())
        })?;
        writer.create_element("s:Reason").write_inner_content(|writer| {
            let text = writer.create_element("s:Text").with_attribute(("xml:lang", "en"));
            text.write_text_content(BytesText::new(&fault.reason))?;
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ANONYMOUS;

    const MONO_ADD: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><s:Envelope \
        xmlns:a=\"http://www.w3.org/2005/08/addressing\" xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Header>\
        <a:Action s:mustUnderstand=\"1\">http://Microsoft.ServiceModel.Samples/ICalculator/Add</a:Action>\
        <a:MessageID>urn:uuid:e5b22873-61cb-4f37-a746-7874710b49ee</a:MessageID><a:ReplyTo>\
        <a:Address>http://www.w3.org/2005/08/addressing/anonymous</a:Address></a:ReplyTo>\
        <a:To s:mustUnderstand=\"1\">net.tcp://localhost:9001/calculator/SALT</a:To></s:Header><s:Body>\
        <Add xmlns=\"http://Microsoft.ServiceModel.Samples\"><n1>100</n1><n2>15.99</n2></Add></s:Body></s:Envelope>";

    #[test]
    fn what_mono_writes() {
        let message = decode(MONO_ADD.as_bytes()).unwrap();
        assert_eq!(message.action, "http://Microsoft.ServiceModel.Samples/ICalculator/Add");
        assert_eq!(message.message_id.as_deref(), Some("urn:uuid:e5b22873-61cb-4f37-a746-7874710b49ee"));
        assert_eq!(message.reply_to.as_deref(), Some(ANONYMOUS));
        let Body::Content(Some(body)) = &message.body else { panic!("{message:?}") };
        assert_eq!(body.child("http://Microsoft.ServiceModel.Samples", "n2").unwrap().text, "15.99");
        assert_eq!(decode(&encode(&message).unwrap()).unwrap(), message);
    }

    #[test]
    fn faults_survive() {
        let request = decode(MONO_ADD.as_bytes()).unwrap();
        let refused = request.refuse(Fault::action_not_supported("<&>"));
        let read = decode(&encode(&refused).unwrap()).unwrap();
        assert_eq!(read.relates_to, request.message_id);
        let Body::Fault(fault) = read.body else { panic!("{read:?}") };
        assert_eq!(fault.code, "Sender");
        assert_eq!(fault.subcode.unwrap().1, "ActionNotSupported");
        assert!(fault.reason.contains("<&>"));
    }

    #[test]
    fn refusals() {
        let soap11 = "<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'><Body/></Envelope>";
        assert_eq!(decode(soap11.as_bytes()).unwrap_err().code, "VersionMismatch");
        assert_eq!(decode(b"\xff").unwrap_err().code, "Sender");
        assert_eq!(decode(b"").unwrap_err().code, "Sender");
        let stranger = MONO_ADD
            .replace("a:MessageID>", "a:Strange>")
            .replace("<a:Strange", "<a:Strange s:mustUnderstand='1'");
        assert_eq!(decode(stranger.as_bytes()).unwrap_err().code, "MustUnderstand");
    }
}
