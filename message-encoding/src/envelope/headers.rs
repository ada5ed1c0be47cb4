//! The headers of an envelope: WS-Addressing 1.0, as far as a service needs it.

use alloc::borrow::Cow;
use core::fmt;

use super::error::DecodeError;
use super::names::{ADDRESSING_STRING, BODY, HEADER, NO_ADDRESSING};
use super::{SOAP_11, SOAP_12, SoapVersion};
use crate::Value;
use crate::event::{Event, Name, ReadError, Reader, same};
use crate::value::Uuid;

/// Where the headers of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addressing {
    /// WS-Addressing 1.0 (`http://www.w3.org/2005/08/addressing`).
    Wsa10,
    /// None: WCF's own `Action` and `To` in requests, nothing in replies.
    None,
}

/// The identity of a message: a GUID nearly always.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageId<'a> {
    /// `urn:uuid:…`.
    Uuid(Uuid),
    /// Any other URI.
    Other(Cow<'a, str>),
}

impl MessageId<'_> {
    /// The same identity, borrowing nothing.
    pub fn into_owned(self) -> MessageId<'static> {
        match self {
            Self::Uuid(id) => MessageId::Uuid(id),
            Self::Other(id) => MessageId::Other(Cow::Owned(id.into_owned())),
        }
    }

    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Uuid(id) => Value::UniqueId(*id),
            Self::Other(id) => Value::String(id),
        }
    }
}

impl<'a> From<Cow<'a, str>> for MessageId<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text.strip_prefix("urn:uuid:").map(str::parse) {
            Some(Ok(id)) => Self::Uuid(id),
            _ => Self::Other(text),
        }
    }
}

impl fmt::Display for MessageId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(id) => write!(f, "urn:uuid:{id}"),
            Self::Other(id) => f.write_str(id),
        }
    }
}

/// What the headers of an envelope say. Texts borrow from the envelope where they are UTF-8 there.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Headers<'a> {
    /// The version of SOAP, told by the namespace of the envelope.
    pub soap: SoapVersion,
    /// Which headers there were; none if there were none.
    pub addressing: Addressing,
    /// What is to be done, or was.
    pub action: Option<Cow<'a, str>>,
    /// The identity of the message.
    pub message_id: Option<MessageId<'a>>,
    /// The identity of the message that this one answers.
    pub relates_to: Option<MessageId<'a>>,
    /// Where an answer should go.
    pub reply_to: Option<Cow<'a, str>>,
    /// Where the message goes.
    pub to: Option<Cow<'a, str>>,
    /// A header that is none of these, is for the receiver of the message and must be understood.
    pub not_understood: Option<Name<'a>>,
}

impl<'a> Headers<'a> {
    /// What an envelope without headers says.
    pub(super) const fn none(soap: SoapVersion) -> Self {
        Self {
            soap,
            addressing: Addressing::None,
            action: None,
            message_id: None,
            relates_to: None,
            reply_to: None,
            to: None,
            not_understood: None,
        }
    }

    /// Reads an envelope as far as the start of its body.
    pub(super) fn read(&mut self, reader: &mut Reader<'a, '_>) -> Result<(), DecodeError> {
        self.soap = read_envelope(reader)?;
        let soap = self.soap.namespace();
        let mut part = reader.child()?;
        if part && reader.name.is(soap, HEADER.as_str()) {
            while reader.child()? {
                self.header(reader)?;
            }
            part = reader.child()?;
        }
        if part && reader.name.is(soap, BODY.as_str()) { Ok(()) } else { Err(DecodeError::NotSoap) }
    }

    fn header(&mut self, reader: &mut Reader<'a, '_>) -> Result<(), ReadError> {
        let name = reader.name;
        let wsa = same(name.namespace, ADDRESSING_STRING.as_str());
        if wsa {
            self.addressing = Addressing::Wsa10;
        } else if name.namespace != NO_ADDRESSING {
            return self.other(reader, name);
        }
        match name.local {
            "Action" => self.action = Some(reader.read_text()?),
            "To" => self.to = Some(reader.read_text()?),
            "MessageID" => self.message_id = Some(read_id(reader)?),
            "RelatesTo" => self.relates_to = Some(read_id(reader)?),
            "ReplyTo" => self.reply_to = read_address(reader)?,
            // Also WS-Addressing: faults go where replies go, and where a message came from does not matter.
            "FaultTo" | "From" => reader.skip()?,
            _ => return self.other(reader, name),
        }
        Ok(())
    }

    #[cold]
    fn other(&mut self, reader: &mut Reader<'a, '_>, name: Name<'a>) -> Result<(), ReadError> {
        let (namespace, role) = match self.soap {
            SoapVersion::Soap11 => (SOAP_11, "actor"),
            SoapVersion::Soap12 => (SOAP_12, "role"),
        };
        let (mut must, mut ours) = (false, true);
        for attribute in reader.attributes() {
            if attribute.name.is(namespace, "mustUnderstand") {
                must = attribute.value.to_bool() == Ok(true);
            } else if attribute.name.is(namespace, role) {
                ours = self.soap.is_receiver(&attribute.value.text()?);
            }
        }
        if must && ours && self.not_understood.is_none() {
            self.not_understood = Some(name);
        }
        reader.skip()
    }
}

/// Reads the start of an envelope, which tells its version.
fn read_envelope(reader: &mut Reader<'_, '_>) -> Result<SoapVersion, DecodeError> {
    let envelope = loop {
        match reader.next()? {
            Some(Event::Start(name)) => break name,
            Some(Event::Comment(_)) => {}
            Some(Event::Text(value)) if value.is_white_space() => {}
            _ => return Err(DecodeError::NotSoap),
        }
    };
    match (envelope.namespace, envelope.local) {
        (SOAP_12, "Envelope") => Ok(SoapVersion::Soap12),
        (SOAP_11, "Envelope") => Ok(SoapVersion::Soap11),
        _ => Err(DecodeError::NotSoap),
    }
}

fn read_id<'a>(reader: &mut Reader<'a, '_>) -> Result<MessageId<'a>, ReadError> {
    match reader.read_unique_id()? {
        Ok(id) => Ok(MessageId::Uuid(id)),
        Err(text) => Ok(text.into()),
    }
}

/// The address within an endpoint reference.
fn read_address<'a>(reader: &mut Reader<'a, '_>) -> Result<Option<Cow<'a, str>>, ReadError> {
    let mut address = None;
    while reader.child()? {
        if reader.name.local == "Address" {
            address = Some(reader.read_text()?);
        } else {
            reader.skip()?;
        }
    }
    Ok(address)
}
