//! SOAP faults, 1.1 and 1.2.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

use super::element::Element;
use super::error::DecodeError;
use super::names::{
    ADDRESSING_FAULT_ACTION, CODE, DETAIL, DISPATCHER, DISPATCHER_FAULT_ACTION, FAULT, FAULT_ACTION,
    FAULT_CODE, FAULT_DETAIL, FAULT_STRING, REASON, SUBCODE, TEXT, VALUE,
};
use super::{ADDRESSING, SoapVersion};
use crate::Value;
use crate::event::{ReadError, Reader, Units, WriteError, Writer};
use crate::value::split_name;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The message is wrong: `Sender` in SOAP 1.2, `Client` in 1.1.
    Sender,
    /// The service has failed: `Receiver`, `Server`.
    Receiver,
    /// A header that must be understood was not.
    MustUnderstand,
    /// The version of SOAP is another one.
    VersionMismatch,
    /// Something else, or a code that SOAP does not have, as Mono sends.
    Other,
}

/// What a service answers when it cannot give a reply ([SOAP 1.2 Part 1] section 5.4, [SOAP 1.1] section 4.4).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MessageFault {
    /// Whose fault it is.
    pub code: Code,
    /// What fault it is: a namespace and a name.
    pub subcode: Option<(String, String)>,
    /// What has happened, for people.
    pub reason: String,
    /// What has happened, for programs.
    pub detail: Option<Box<Element>>,
    /// The action of its message, if it is another one than its subcode has: WCF tells the type of a detail by it.
    pub action: Option<String>,
    /// The header that had to be understood and was not, by namespace and name: SOAP 1.2 names it in a header of the answer.
    pub not_understood: Option<Box<(String, String)>>,
}

impl MessageFault {
    /// A fault of the sender.
    pub fn sender(reason: impl Into<String>) -> Self {
        Self::new(Code::Sender, reason.into())
    }

    /// A fault of the receiver.
    pub fn receiver(reason: impl Into<String>) -> Self {
        Self::new(Code::Receiver, reason.into())
    }

    const fn new(code: Code, reason: String) -> Self {
        Self { code, subcode: None, reason, detail: None, action: None, not_understood: None }
    }

    /// The fault with the action of a fault contract, which goes with its detail: WCF's is that of the operation with the name of
    /// the detail and `Fault` behind it, unless `FaultContract(Action = …)` says otherwise.
    ///
    /// ```
    /// use message_encoding::envelope::{Element, MessageFault};
    ///
    /// let fault = MessageFault::sender("out of stock")
    ///     .with_detail(Element::new("urn:shop", "OutOfStock").child("Left", 2))
    ///     .with_action("urn:shop/IShop/OrderOutOfStockFault");
    /// assert_eq!(fault.action(), "urn:shop/IShop/OrderOutOfStockFault");
    /// ```
    #[must_use]
    pub fn with_action(self, action: &str) -> Self {
        Self { action: Some(action.to_string()), ..self }
    }

    /// The fault with a subcode.
    #[must_use]
    pub fn with_subcode(self, namespace: &str, name: &str) -> Self {
        Self { subcode: Some((namespace.to_string(), name.to_string())), ..self }
    }

    /// The fault with a detail.
    #[must_use]
    pub fn with_detail(self, detail: Element) -> Self {
        Self { detail: Some(Box::new(detail)), ..self }
    }

    /// What WCF answers when no operation has the action of a message.
    pub fn action_not_supported(action: &str) -> Self {
        let mut reason = String::from("no operation has the action '");
        reason.push_str(action);
        reason.push('\'');
        Self::sender(reason).with_subcode(ADDRESSING, "ActionNotSupported")
    }

    /// What WCF answers when an operation has failed in a way that is no business of the client.
    pub fn internal() -> Self {
        Self::receiver("the service has failed").with_subcode(DISPATCHER, "InternalServiceFault")
    }

    /// What WCF answers when an answer could not be told from others: for it a failure of the service.
    pub(super) fn without_message_id() -> Self {
        let reason = "the request has no MessageID, to which an answer in a duplex session relates";
        Self { reason: reason.to_string(), ..Self::internal() }
    }

    /// What WCF answers when the body is not what the operation takes.
    pub fn deserialization_failed(reason: impl Into<String>) -> Self {
        Self::sender(reason).with_subcode(DISPATCHER, "DeserializationFailed")
    }

    /// What to answer when a header must be understood and is not.
    pub fn not_understood(namespace: &str, name: &str) -> Self {
        let reason = alloc::format!("the header '{name}' of the namespace '{namespace}' is not understood");
        Self {
            not_understood: Some(Box::new((namespace.to_string(), name.to_string()))),
            ..Self::new(Code::MustUnderstand, reason)
        }
    }

    /// The action of a message with this fault: its own, else who defines the subcode decides.
    pub fn action(&self) -> &str {
        self.action.as_deref().unwrap_or_else(|| self.usual_action())
    }

    pub(super) fn usual_action(&self) -> &'static str {
        match self.subcode.as_ref().map(|(namespace, _)| namespace.as_str()) {
            Some(ADDRESSING) => ADDRESSING_FAULT_ACTION,
            Some(DISPATCHER) => DISPATCHER_FAULT_ACTION,
            _ => FAULT_ACTION,
        }
    }

    /// Writes the fault as the content of a body, where the prefix `s` stands for SOAP.
    pub(super) fn write(&self, writer: &mut Writer<'_>, soap: SoapVersion) -> Result<(), WriteError> {
        writer.start("s", FAULT)?;
        match soap {
            SoapVersion::Soap12 => {
                writer.start("s", CODE)?;
                writer.start("s", VALUE)?;
                writer.qualified_name("s", self.code.name(soap).into())?;
                writer.end()?;
                if let Some((namespace, name)) = &self.subcode {
                    writer.start("s", SUBCODE)?;
                    writer.start("s", VALUE)?;
                    writer.declare("a", namespace.as_str())?;
                    writer.qualified_name("a", name.as_str().into())?;
                    writer.end()?;
                    writer.end()?;
                }
                writer.end()?;
                writer.start("s", REASON)?;
                writer.start("s", TEXT)?;
                self.reason_text(writer)?;
                writer.end()?;
            }
            SoapVersion::Soap11 => {
                writer.start("", FAULT_CODE)?;
                match &self.subcode {
                    Some((namespace, name)) => {
                        writer.declare("a", namespace.as_str())?;
                        writer.qualified_name("a", name.as_str().into())?;
                    }
                    None => writer.qualified_name("s", self.code.name(soap).into())?,
                }
                writer.end()?;
                writer.start("", FAULT_STRING)?;
                self.reason_text(writer)?;
            }
        }
        if let Some(detail) = &self.detail {
            match soap {
                SoapVersion::Soap12 => writer.start("s", DETAIL)?,
                SoapVersion::Soap11 => writer.start("", FAULT_DETAIL)?,
            }
            detail.write(writer, "")?;
            writer.end()?;
        }
        writer.end()
    }

    /// The reason, its language and the end of its element.
    fn reason_text(&self, writer: &mut Writer<'_>) -> Result<(), WriteError> {
        writer.attribute("xml", "lang", Value::from("en-US"))?;
        writer.text(Value::from(self.reason.as_str()))?;
        writer.end()
    }

    /// Reads the fault whose start was the reader's last event, with its end.
    pub(super) fn read(reader: &mut Reader<'_, '_>, soap: SoapVersion) -> Result<Self, ReadError> {
        let mut fault = Self::new(Code::Other, String::new());
        while let Some(part) = reader.next_child()? {
            match (part.local, soap) {
                ("Code", SoapVersion::Soap12) => fault.read_code(reader, soap)?,
                ("Reason", SoapVersion::Soap12) => fault.read_reason(reader)?,
                ("faultcode", SoapVersion::Soap11) => fault.read_code_name(reader, soap)?,
                ("faultstring", SoapVersion::Soap11) => fault.reason = reader.read_text()?.into_owned(),
                ("Detail", SoapVersion::Soap12) | ("detail", SoapVersion::Soap11) => {
                    fault.detail = first_child(reader)?.map(Box::new);
                }
                _ => reader.skip()?,
            }
        }
        Ok(fault)
    }

    fn read_code(&mut self, reader: &mut Reader<'_, '_>, soap: SoapVersion) -> Result<(), ReadError> {
        while let Some(part) = reader.next_child()? {
            match part.local {
                "Value" => self.read_code_name(reader, soap)?,
                "Subcode" => {
                    while let Some(part) = reader.next_child()? {
                        // Subcodes may have subcodes; the first one is kept.
                        match part.local {
                            "Value" => self.subcode = Some(read_name(reader)?),
                            _ => reader.skip()?,
                        }
                    }
                }
                _ => reader.skip()?,
            }
        }
        Ok(())
    }

    fn read_code_name(&mut self, reader: &mut Reader<'_, '_>, soap: SoapVersion) -> Result<(), ReadError> {
        let (namespace, name) = read_name(reader)?;
        match Code::of(&namespace, &name, soap) {
            Some(code) => self.code = code,
            None => self.subcode = Some((namespace, name)),
        }
        Ok(())
    }

    fn read_reason(&mut self, reader: &mut Reader<'_, '_>) -> Result<(), ReadError> {
        while let Some(text) = reader.next_child()? {
            match text.local {
                "Text" if self.reason.is_empty() => self.reason = reader.read_text()?.into_owned(),
                _ => reader.skip()?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for MessageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.subcode {
            Some((_, name)) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for MessageFault {}

impl From<crate::ValueError> for MessageFault {
    /// A value of the body is not of its type.
    fn from(error: crate::ValueError) -> Self {
        Self::deserialization_failed(error.to_string())
    }
}

impl From<DecodeError> for MessageFault {
    /// What to tell a sender whose envelope is refused.
    fn from(error: DecodeError) -> Self {
        let fault = Self::sender(error.to_string());
        match error {
            DecodeError::NotSoap | DecodeError::SoapVersion => Self { code: Code::VersionMismatch, ..fault },
            DecodeError::NotUnderstood(header) => Self::not_understood(&header.0, &header.1),
            DecodeError::RepeatedHeader(_) => fault.with_subcode(ADDRESSING, "InvalidAddressingHeader"),
            _ => fault,
        }
    }
}

impl Code {
    fn name(self, soap: SoapVersion) -> &'static str {
        match (self, soap) {
            (Self::Sender, SoapVersion::Soap12) => "Sender",
            (Self::Sender, SoapVersion::Soap11) => "Client",
            (Self::Receiver | Self::Other, SoapVersion::Soap12) => "Receiver",
            (Self::Receiver | Self::Other, SoapVersion::Soap11) => "Server",
            (Self::MustUnderstand, _) => "MustUnderstand",
            (Self::VersionMismatch, _) => "VersionMismatch",
        }
    }

    fn of(namespace: &str, name: &str, soap: SoapVersion) -> Option<Self> {
        let codes = [Self::Sender, Self::Receiver, Self::MustUnderstand, Self::VersionMismatch];
        codes.into_iter().find(|code| namespace == soap.namespace() && code.name(soap) == name)
    }
}

/// A qualified name in a text: its namespace, as the prefix has it in the element, and its local name.
fn read_name(reader: &mut Reader<'_, '_>) -> Result<(String, String), ReadError> {
    let mut text = String::new();
    let mut units = Units::new();
    let mut namespace = None;
    while let Some(value) = reader.next_counted_text(&mut units)? {
        let before = text.len();
        value.push_text(&mut text)?;
        // The prefix stands for what it does inside of the element: it is looked up before the end, and once.
        if namespace.is_none()
            && let Some(colon) = text[before..].find(':')
        {
            let prefix = text[..before + colon].trim_start();
            namespace = Some(reader.namespace(prefix).unwrap_or_default().to_string());
        }
    }
    Ok((namespace.unwrap_or_default(), split_name(&text).1.to_string()))
}

fn first_child(reader: &mut Reader<'_, '_>) -> Result<Option<Element>, ReadError> {
    let mut first = None;
    while let Some(name) = reader.next_child()? {
        if first.is_none() {
            first = Some(Element::read(reader, name)?);
        } else {
            reader.skip()?;
        }
    }
    Ok(first)
}
