//! The headers of an envelope: WS-Addressing 1.0, as far as a service needs it.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use super::SoapVersion;
use super::element::{Element, Shared, push};
use super::error::DecodeError;
use super::header::Header;
use super::names::{
    ADDRESSING_STRING, BODY, ENVELOPE, HEADER, NO_ADDRESSING, REPLY_RELATIONSHIP, SOAP_11_STRING,
    SOAP_12_STRING,
};
use crate::Value;
use crate::event::{Name, ReadError, Reader, same};
use crate::value::{Uuid, XML_SPACE};

/// Where the headers of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Addressing {
    /// WS-Addressing 1.0 (`http://www.w3.org/2005/08/addressing`).
    Wsa10,
    /// None: WCF's own `Action` and `To` in requests, nothing in replies.
    None,
}

/// The identity of a message: a GUID nearly always. Two are one if their GUIDs are, be their letters large or small.
#[derive(Clone, Debug)]
pub enum MessageId<'a> {
    /// `urn:uuid:…`.
    Uuid(Uuid),
    /// Any other URI, or a GUID in letters that are not small, which an answer repeats as they are.
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

    /// The GUID, if it is one.
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Self::Uuid(id) => Some(*id),
            Self::Other(id) => id.strip_prefix("urn:uuid:")?.parse().ok(),
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
        let small = |id: &&str| !id.bytes().any(|octet| octet.is_ascii_uppercase());
        match text.strip_prefix("urn:uuid:").filter(small).map(str::parse) {
            Some(Ok(id)) => Self::Uuid(id),
            _ => Self::Other(text),
        }
    }
}

impl PartialEq for MessageId<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(one), Self::Other(other)) if one == other => true,
            _ => self.uuid().is_some_and(|id| other.uuid() == Some(id)),
        }
    }
}

impl Eq for MessageId<'_> {}

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
    /// The headers that are none of these and for the receiver of the message, in their order.
    pub application: Vec<Header>,
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
            application: Vec::new(),
        }
    }

    /// The first header of the application with this namespace and name.
    pub fn header(&self, namespace: &str, name: &str) -> Option<&Header> {
        self.application
            .iter()
            .find(|header| (header.element.namespace(), header.element.name()) == (namespace, name))
    }

    /// The first header that must be understood, and is not by what `understands` says of its namespace and name.
    pub fn not_understood(&self, understands: impl Fn(&str, &str) -> bool) -> Option<&Header> {
        let understood = |header: &Header| understands(header.element.namespace(), header.element.name());
        self.application.iter().find(|header| header.must_understand && !understood(header))
    }

    /// Reads an envelope as far as the start of its body.
    pub(super) fn read(&mut self, reader: &mut Reader<'a, '_>) -> Result<(), DecodeError> {
        self.soap = read_envelope(reader)?;
        let soap = self.soap.namespace();
        let mut part = reader.child()?;
        if part && reader.name.is(soap, HEADER.as_str()) {
            let mut shared = None;
            while reader.child()? {
                self.read_header(reader, &mut shared)?;
            }
            part = reader.child()?;
        }
        if part && reader.name.is(soap, BODY.as_str()) { Ok(()) } else { Err(DecodeError::NotSoap) }
    }

    /// Reads what tells who is to be answered, of an envelope that is refused for something else in it.
    pub(super) fn read_identity(&mut self, reader: &mut Reader<'a, '_>) -> Result<(), DecodeError> {
        self.addressing = Addressing::Wsa10;
        self.soap = read_envelope(reader)?;
        if reader.child()? && reader.name.is(self.soap.namespace(), HEADER.as_str()) {
            while reader.child()? {
                match reader.name.local {
                    "MessageID" | "ReplyTo" | "RelatesTo" => self.read_header(reader, &mut None)?,
                    _ => {
                        if reader.name.namespace == NO_ADDRESSING {
                            self.addressing = Addressing::None;
                        }
                        reader.skip()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn read_header(
        &mut self,
        reader: &mut Reader<'a, '_>,
        shared: &mut Option<Shared>,
    ) -> Result<(), DecodeError> {
        let Name { namespace, local, .. } = reader.name;
        let wsa = same(namespace, ADDRESSING_STRING.as_str());
        if !self.is_ours(reader)? {
            return Ok(reader.skip()?);
        } else if wsa {
            self.addressing = Addressing::Wsa10;
        } else if namespace != NO_ADDRESSING {
            return Ok(self.read_application(reader, shared)?);
        }
        match local {
            "Action" => once(&mut self.action, read_uri(reader)?, "Action"),
            "To" => once(&mut self.to, read_uri(reader)?, "To"),
            "MessageID" => once(&mut self.message_id, read_id(reader)?, "MessageID"),
            "RelatesTo" if relates_as_reply(reader)? => {
                once(&mut self.relates_to, read_id(reader)?, "RelatesTo")
            }
            "ReplyTo" => match read_address(reader)? {
                Some(address) => once(&mut self.reply_to, address, "ReplyTo"),
                None => Ok(()),
            },
            // Also WS-Addressing: faults go where replies go, and where a message came from does not matter.
            "RelatesTo" | "FaultTo" | "From" => Ok(reader.skip()?),
            _ => Ok(self.read_application(reader, shared)?),
        }
    }

    /// Whether the header that started last is for the receiver of the message.
    fn is_ours(&self, reader: &Reader<'a, '_>) -> Result<bool, ReadError> {
        let attributes = reader.attributes();
        if attributes.is_empty() {
            return Ok(true);
        }
        let role = match self.soap {
            SoapVersion::Soap11 => "actor",
            SoapVersion::Soap12 => "role",
        };
        match attributes.find_named(self.soap.namespace(), role) {
            Some(attribute) => Ok(self.soap.is_receiver(&attribute.value.text()?)),
            None => Ok(true),
        }
    }

    #[cold]
    fn read_application(
        &mut self,
        reader: &mut Reader<'a, '_>,
        shared: &mut Option<Shared>,
    ) -> Result<(), ReadError> {
        let name = reader.name;
        let attribute = reader.attributes().find_named(self.soap.namespace(), "mustUnderstand");
        let must_understand = attribute.map_or(Ok(false), |attribute| attribute.value.to_bool())?;
        let depth = reader.depth();
        let element = match Element::read_with(reader, name, shared.get_or_insert_default()) {
            Ok(mut element) => {
                element.remove_attributes(self.soap.namespace());
                element
            }
            // Text beside elements: nobody here has a use for it, so it is left out unless it must be understood.
            Err(ReadError::Unexpected(_)) => {
                while reader.depth() >= depth {
                    reader.next()?.ok_or(ReadError::UnexpectedEnd)?;
                }
                if !must_understand {
                    return Ok(());
                }
                Element::new(name.namespace, name.local)
            }
            Err(error) => return Err(error),
        };
        push(&mut self.application, Header { element, must_understand });
        Ok(())
    }
}

/// Keeps what a header says that may be there once.
#[inline(always)]
fn once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::RepeatedHeader(name)),
    }
}

/// Reads the start of an envelope, which tells its version.
#[inline(always)]
fn read_envelope(reader: &mut Reader<'_, '_>) -> Result<SoapVersion, DecodeError> {
    match reader.root()? {
        Some(name) if name.is(SOAP_12_STRING.as_str(), ENVELOPE.as_str()) => Ok(SoapVersion::Soap12),
        Some(name) if name.is(SOAP_11_STRING.as_str(), ENVELOPE.as_str()) => Ok(SoapVersion::Soap11),
        _ => Err(DecodeError::NotSoap),
    }
}

fn read_id<'a>(reader: &mut Reader<'a, '_>) -> Result<MessageId<'a>, ReadError> {
    match reader.read_unique_id()? {
        Ok(id) => Ok(MessageId::Uuid(id)),
        Err(text) => Ok(trimmed(text).into()),
    }
}

fn read_uri<'a>(reader: &mut Reader<'a, '_>) -> Result<Cow<'a, str>, ReadError> {
    reader.read_text().map(trimmed)
}

/// A URI without the white space around it, which is not part of it.
#[inline]
fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.as_bytes() {
        [0..=b' ', ..] | [.., 0..=b' '] => trim(text),
        _ => text,
    }
}

#[cold]
fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(XML_SPACE)),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(XML_SPACE).into()),
    }
}

/// Whether the header that started last says what the message answers, and not another relationship.
fn relates_as_reply(reader: &Reader<'_, '_>) -> Result<bool, ReadError> {
    match reader.attributes().find(|attribute| attribute.name.is("", "RelationshipType")) {
        Some(attribute) => Ok(attribute.value.text()?.trim_matches(XML_SPACE) == REPLY_RELATIONSHIP),
        None => Ok(true),
    }
}

/// The address within an endpoint reference.
fn read_address<'a>(reader: &mut Reader<'a, '_>) -> Result<Option<Cow<'a, str>>, ReadError> {
    let mut address = None;
    while reader.child()? {
        if reader.name.local == "Address" {
            address = Some(read_uri(reader)?);
        } else {
            reader.skip()?;
        }
    }
    Ok(address)
}
