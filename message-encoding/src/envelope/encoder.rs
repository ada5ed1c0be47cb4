//! The sending side of a session.

use alloc::string::String;
use alloc::vec::Vec;

use super::element::Element;
use super::error::EncodeError;
use super::fault::MessageFault;
use super::header::Header;
use super::headers::{Addressing, MessageId};
use super::names::{
    ACTION, ADDRESS, ADDRESSING_STRING, ANONYMOUS, ANONYMOUS_STRING, BODY, ENVELOPE, HEADER, MESSAGE_ID,
    MUST_UNDERSTAND, NO_ADDRESSING_STRING, RELATES_TO, REPLY_TO, TO,
};
use super::{MessageEncoding, SoapVersion};
use crate::dictionary::{StaticString, WriterSession};
use crate::event::{DictionaryString, WriteError, Writer};
use crate::{Int31, Quotas, Value};

/// A message to be sent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outgoing {
    /// Which headers it gets.
    pub addressing: Addressing,
    /// What is to be done, or was.
    pub action: String,
    /// Its identity. A message that has one wants an answer.
    pub message_id: Option<MessageId<'static>>,
    /// The identity of the message that it answers.
    pub relates_to: Option<MessageId<'static>>,
    /// Where it goes.
    pub to: Option<String>,
    /// Headers of the application.
    pub headers: Vec<Header>,
    /// What it says: a fault, or an element, if anything.
    pub body: Result<Option<Element>, MessageFault>,
}

impl Outgoing {
    /// A message with WS-Addressing that says this, relates to none, and wants no answer.
    pub fn new(action: &str, body: Element) -> Self {
        Self::saying(action, Ok(Some(body)))
    }

    /// A request with WS-Addressing, to be answered.
    pub fn request(action: &str, to: &str, message_id: MessageId<'static>, body: Element) -> Self {
        Self { message_id: Some(message_id), to: Some(to.into()), ..Self::new(action, body) }
    }

    /// A fault that answers a message of which not even that can be read to which it is the answer.
    pub fn refusal(fault: MessageFault) -> Self {
        let action = String::from(fault.action());
        Self::saying(&action, Err(fault))
    }

    fn saying(action: &str, body: Result<Option<Element>, MessageFault>) -> Self {
        Self {
            addressing: Addressing::Wsa10,
            action: action.into(),
            message_id: None,
            relates_to: None,
            to: None,
            headers: Vec::new(),
            body,
        }
    }

    /// The same answer with a fault instead of what it says, such as where that [cannot be written](EncodeError).
    #[must_use]
    pub fn with_fault(self, fault: MessageFault) -> Self {
        let action = if self.action.is_empty() { self.action } else { fault.action().into() };
        Self { action, headers: Vec::new(), body: Err(fault), ..self }
    }
}

/// Encodes the envelopes of one direction of a session, in order.
///
/// ```
/// use message_encoding::Quotas;
/// use message_encoding::envelope::{Decoder, Element, Encoder, MessageEncoding, Outgoing};
///
/// let mut encoder = Encoder::new(MessageEncoding::BinarySession, Quotas::default());
/// let body = Element::new("urn:calculator", "Add").child("n1", 1);
/// let message = Outgoing::new("urn:calculator/Add", body);
/// let (mut first, mut second) = (Vec::new(), Vec::new());
/// encoder.encode(&message, &mut first)?;
/// encoder.encode(&message, &mut second)?;
/// assert!(second.len() < first.len()); // the strings went with the first
///
/// let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::default());
/// assert_eq!(decoder.decode(&first)?.body()?, message.body.clone()?);
/// assert_eq!(decoder.decode(&second)?.action(), "urn:calculator/Add");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Encoder {
    encoding: MessageEncoding,
    table: WriterSession,
    /// The document of an envelope that gets something before it, or becomes text.
    document: Vec<u8>,
}

impl Encoder {
    /// An encoder for a new session. Of the quotas only that of the string tables matters: it is the peer's.
    pub fn new(encoding: MessageEncoding, quotas: Quotas) -> Self {
        Self { encoding, table: WriterSession::new(quotas.max_table_octets), document: Vec::new() }
    }

    /// The encoding of the session.
    pub const fn encoding(&self) -> MessageEncoding {
        self.encoding
    }

    /// Appends an envelope to `out`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`]; nothing was appended then.
    pub fn encode(&mut self, message: &Outgoing, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let soap = self.encoding.soap();
        self.encode_with(out, |writer| write_envelope(writer, message, soap))
    }

    /// Appends a document that `write` writes, whatever it is, as an envelope of the session.
    ///
    /// # Errors
    ///
    /// What `write` gives, and what [`Encoder::encode`] does.
    pub fn encode_with(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), WriteError>,
    ) -> Result<(), EncodeError> {
        match self.encoding {
            MessageEncoding::Binary => {
                let before = out.len();
                write(&mut Writer::new(out, None)).inspect_err(|_| out.truncate(before))?;
            }
            MessageEncoding::BinarySession => {
                self.document.clear();
                // New strings are announced with this envelope or, if it fails, with the next one.
                write(&mut Writer::new(&mut self.document, Some(&mut self.table)))?;
                let size = self.table.fresh_octets();
                Int31::encode_padded(size, Int31::of(size).map_or(5, Int31::octets), out);
                self.table.take_fresh(out);
                out.extend_from_slice(&self.document);
            }
            encoding => {
                self.document.clear();
                write(&mut Writer::exact(&mut self.document))?;
                let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
                if encoding != MessageEncoding::Soap11Utf8 && encoding != MessageEncoding::Soap12Utf8 {
                    text = String::from("<?xml version=\"1.0\" encoding=\"utf-16\"?>");
                }
                crate::text::push_records(&self.document, &mut text)?;
                crate::text::encode(encoding, &text, out);
            }
        }
        Ok(())
    }
}

fn write_envelope(writer: &mut Writer<'_>, message: &Outgoing, soap: SoapVersion) -> Result<(), WriteError> {
    let wsa = message.addressing == Addressing::Wsa10;
    writer.start("s", ENVELOPE)?;
    writer.declare("s", soap.dictionary_string())?;
    if wsa {
        writer.declare("a", ADDRESSING_STRING)?;
    }
    let not_understood = message.body.as_ref().err().and_then(|fault| fault.not_understood.as_deref());
    let not_understood = not_understood.filter(|_| soap == SoapVersion::Soap12);
    if wsa || !message.action.is_empty() || !message.headers.is_empty() || not_understood.is_some() {
        writer.start("s", HEADER)?;
        if wsa {
            write_headers(writer, message)?;
        } else {
            write_plain_headers(writer, message)?;
        }
        for Header { element, must_understand } in &message.headers {
            element.write_with(writer, "", |writer| {
                if !must_understand {
                    return Ok(());
                }
                let prefix = element.free_prefix("s", &[]);
                writer.attribute(&prefix, MUST_UNDERSTAND, Value::Int(1))?;
                if prefix == "s" { Ok(()) } else { writer.declare(&prefix, soap.dictionary_string()) }
            })?;
        }
        if let Some((namespace, name)) = not_understood {
            write_not_understood(writer, namespace, name)?;
        }
        writer.end()?;
    }
    writer.start("s", BODY)?;
    match &message.body {
        Ok(Some(element)) => element.write(writer, "")?,
        Ok(None) => {}
        Err(fault) => fault.write(writer, soap)?,
    }
    writer.end()?;
    writer.end()
}

fn write_headers(writer: &mut Writer<'_>, message: &Outgoing) -> Result<(), WriteError> {
    header(writer, ACTION, DictionaryString::InBand(&message.action), true)?;
    if let Some(id) = &message.relates_to {
        writer.start("a", RELATES_TO)?;
        writer.text(id.value())?;
        writer.end()?;
    }
    if let Some(id) = &message.message_id {
        writer.start("a", MESSAGE_ID)?;
        writer.text(id.value())?;
        writer.end()?;
        writer.start("a", REPLY_TO)?;
        header(writer, ADDRESS, DictionaryString::Static(ANONYMOUS_STRING), false)?;
        writer.end()?;
    }
    match message.to.as_deref() {
        Some(ANONYMOUS) => header(writer, TO, DictionaryString::Static(ANONYMOUS_STRING), true),
        Some(to) => header(writer, TO, DictionaryString::InBand(to), true),
        None => Ok(()),
    }
}

fn header(
    writer: &mut Writer<'_>,
    name: StaticString,
    text: DictionaryString<'_>,
    must_understand: bool,
) -> Result<(), WriteError> {
    writer.start("a", name)?;
    if must_understand {
        writer.attribute("s", MUST_UNDERSTAND, Value::Int(1))?;
    }
    writer.text_string(text)?;
    writer.end()
}

/// Which header was not understood ([SOAP 1.2 Part 1] section 5.4.8).
fn write_not_understood(writer: &mut Writer<'_>, namespace: &str, name: &str) -> Result<(), WriteError> {
    writer.start("s", "NotUnderstood")?;
    if namespace.is_empty() {
        writer.attribute("", "qname", Value::String(name))?;
    } else {
        writer.attribute_qualified_name("", "qname", ("h", name.into()))?;
        writer.declare("h", namespace)?;
    }
    writer.end()
}

/// The two headers of a request without WS-Addressing.
fn write_plain_headers(writer: &mut Writer<'_>, message: &Outgoing) -> Result<(), WriteError> {
    let action = Some(&message.action).filter(|action| !action.is_empty());
    for (name, text) in [(ACTION, action), (TO, message.to.as_ref())] {
        let Some(text) = text else { continue };
        writer.start("", name)?;
        writer.attribute("s", MUST_UNDERSTAND, Value::Int(1))?;
        writer.declare("", NO_ADDRESSING_STRING)?;
        writer.text_string(DictionaryString::InBand(text))?;
        writer.end()?;
    }
    Ok(())
}
