//! Envelopes of the calculator, as Mono and .NET send them, and what a service reads of one.

use message_encoding::envelope::{
    ADDRESSING, Decoder, Element, Encoder, MessageEncoding, MessageId, Outgoing, SOAP_12,
};
use message_encoding::event::{Event, Writer};
use message_encoding::value::Uuid;
use message_encoding::{Int31, Quotas, Value};

const NAMESPACE: &str = "http://Microsoft.ServiceModel.Samples";

/// The request `Add(100, 15.99)` as .NET sends it first in a session: everything goes into the string table.
///
/// # Panics
///
/// If the encoder refuses it, which is a fault of the encoder.
pub fn net_request() -> Vec<u8> {
    let mut encoder = Encoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let mut out = Vec::new();
    encoder.encode(&request(), &mut out).expect("it can be written");
    out
}

/// The same as Mono sends it: only the names of parameters go into the table.
///
/// # Panics
///
/// If the encoder refuses it, which is a fault of the encoder.
pub fn mono_request() -> Vec<u8> {
    use message_encoding::dictionary::StaticString;
    use message_encoding::event::DictionaryString;
    let name = |name: &str| StaticString::find(name).expect("a word of SOAP");
    let mut encoder = Encoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let mut out = Vec::new();
    let write = |writer: &mut Writer<'_>| {
        writer.start("s", name("Envelope"))?;
        writer.declare("s", name(SOAP_12))?;
        writer.declare("a", name(ADDRESSING))?;
        writer.start("s", name("Header"))?;
        writer.start("a", name("Action"))?;
        writer.attribute("s", name("mustUnderstand"), Value::Int(1))?;
        writer.text("http://Microsoft.ServiceModel.Samples/ICalculator/Add".into())?;
        writer.end()?;
        writer.start("a", name("MessageID"))?;
        writer.text(Value::UniqueId(Uuid::from_random([7; 16])))?;
        writer.end()?;
        writer.start("a", name("ReplyTo"))?;
        writer.start("a", "Address")?;
        writer.text("http://www.w3.org/2005/08/addressing/anonymous".into())?;
        writer.end()?;
        writer.end()?;
        writer.start("a", name("To"))?;
        writer.attribute("s", name("mustUnderstand"), Value::Int(1))?;
        writer.text("net.tcp://localhost:9001/calculator/SALT".into())?;
        writer.end()?;
        writer.end()?;
        writer.start("s", name("Body"))?;
        writer.start("", "Add")?;
        writer.declare("", NAMESPACE)?;
        for (parameter, value) in [("n1", Value::Int(100)), ("n2", Value::Double(15.99))] {
            writer.start("", DictionaryString::InBand(parameter))?;
            writer.text(value)?;
            writer.end()?;
        }
        (0..3).try_for_each(|_| writer.end())
    };
    encoder.encode_with(&mut out, write).expect("it can be written");
    out
}

/// The request as a message.
pub fn request() -> Outgoing {
    Outgoing::request(
        "http://Microsoft.ServiceModel.Samples/ICalculator/Add",
        "net.tcp://localhost:9001/calculator/SALT",
        MessageId::Uuid(Uuid::from_random([7; 16])),
        Element::new(NAMESPACE, "Add").child("n1", 100.0).child("n2", 15.99),
    )
}

/// The reply to it.
pub fn reply() -> Outgoing {
    let body = Element::new(NAMESPACE, "AddResponse").child("AddResult", 115.99);
    let mut reply = Outgoing::new("http://Microsoft.ServiceModel.Samples/ICalculator/AddResponse", body);
    reply.relates_to = Some(MessageId::Uuid(Uuid::from_random([7; 16])));
    reply.to = Some("http://www.w3.org/2005/08/addressing/anonymous".into());
    reply
}

/// A document of one element with 1 MiB of octets.
///
/// # Panics
///
/// If the encoder refuses it, which is a fault of the encoder.
pub fn bulk() -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, None);
    writer.start("", "octets").expect("it can be written");
    writer.text(Value::Bytes(&vec![0x5A; 1 << 20])).expect("it can be written");
    writer.end().expect("it can be written");
    out
}

/// The same octets as .NET's writer writes them: a record of whole groups of three, and one of the rest.
///
/// # Panics
///
/// Never: 1 MiB is a number of 32 bits.
pub fn bulk_in_two() -> Vec<u8> {
    const REST: usize = (1 << 20) % 3;
    let size = u32::try_from((1 << 20) - REST).expect("an octet count").to_le_bytes();
    let mut out = b"\x40\x06octets\xA2".to_vec();
    out.extend_from_slice(&size);
    out.resize(out.len() + (1 << 20) - REST, 0x5A);
    out.extend_from_slice(&[0x9F, REST as u8]);
    out.resize(out.len() + REST, 0x5A);
    out
}

/// An envelope without its string table: what comes when the strings are known.
///
/// # Panics
///
/// If `envelope` does not begin with a table.
pub fn without_table(envelope: &[u8]) -> Vec<u8> {
    let size = Int31::decode(envelope).expect("a table");
    let document = &envelope[size.octets() + size.value() as usize..];
    [&[0], document].concat()
}

/// Reads an envelope to its end, the headers and the two numbers of the body: their sum.
pub fn walk(decoder: &mut Decoder, envelope: &[u8]) -> Option<f64> {
    let mut incoming = decoder.decode(envelope).ok()?;
    let reader = incoming.reader();
    let mut sum = 0.0;
    while let Some(event) = reader.next().ok()? {
        if let Event::Text(value) = event {
            sum += value.to_f64().ok()?;
        }
    }
    Some(sum)
}
