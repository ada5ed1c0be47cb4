//! A SOAP message as a service sees it, whatever it was encoded with: what to do, whose answer it is, and a body.

use core::fmt;

use crate::xml::Element;

/// SOAP 1.2.
pub const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
/// WS-Addressing 1.0.
pub const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
/// What WCF's dispatcher calls its own fault codes.
pub const DISPATCHER: &str =
    "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher";
/// The reply address that means "back the way it came".
pub const ANONYMOUS: &str = "http://www.w3.org/2005/08/addressing/anonymous";

/// A message: addressing headers and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What the receiver is asked to do (`wsa:Action`).
    pub action: String,
    /// The name of this message (`wsa:MessageID`), which the reply repeats.
    pub message_id: Option<String>,
    /// The message that this one answers (`wsa:RelatesTo`).
    pub relates_to: Option<String>,
    /// Where the answer goes (`wsa:ReplyTo`'s address).
    pub reply_to: Option<String>,
    /// Whom it is for (`wsa:To`).
    pub to: Option<String>,
    /// What it says.
    pub body: Body,
}

/// The body of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// One element, or none.
    Content(Option<Element>),
    /// A SOAP fault.
    Fault(Fault),
}

impl Message {
    /// The answer to this message. A fault's action says what kind of fault it is.
    pub fn reply(&self, action: impl Into<String>, body: Body) -> Self {
        Self {
            action: action.into(),
            message_id: None,
            relates_to: self.message_id.clone(),
            reply_to: None,
            to: None,
            body,
        }
    }

    /// The answer to this message that says what was wrong with it.
    pub fn refuse(&self, fault: Fault) -> Self {
        self.reply(fault.action, Body::Fault(fault))
    }
}

/// A SOAP 1.2 fault (part 1, section 5.4): whose mistake it was, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The action its message carries.
    pub action: &'static str,
    /// `Sender`, `Receiver`, `MustUnderstand`, `VersionMismatch`.
    pub code: String,
    /// Namespace and name of the finer code.
    pub subcode: Option<(String, String)>,
    /// What a person reads.
    pub reason: String,
}

/// The action of faults that WS-Addressing defines itself.
const ADDRESSING_FAULT: &str = "http://www.w3.org/2005/08/addressing/fault";
/// The action of all other SOAP faults.
pub const SOAP_FAULT: &str = "http://www.w3.org/2005/08/addressing/soap/fault";
/// The action of WCF's dispatcher faults.
const DISPATCHER_FAULT: &str =
    "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher/fault";

impl Fault {
    /// No operation has this action.
    pub fn action_not_supported(action: &str) -> Self {
        let subcode = Some((ADDRESSING.into(), "ActionNotSupported".into()));
        let reason = format!("no operation of this contract has the action '{action}'");
        Self { action: ADDRESSING_FAULT, code: "Sender".into(), subcode, reason }
    }

    /// The body is not what the operation takes.
    pub fn deserialization_failed(reason: impl Into<String>) -> Self {
        let subcode = Some((DISPATCHER.into(), "DeserializationFailed".into()));
        Self { action: DISPATCHER_FAULT, code: "Sender".into(), subcode, reason: reason.into() }
    }

    /// A header must be understood, and is not.
    pub fn must_understand(namespace: &str, name: &str) -> Self {
        let reason = format!("the header '{name}' of the namespace '{namespace}' is not understood");
        Self { action: SOAP_FAULT, code: "MustUnderstand".into(), subcode: None, reason }
    }

    /// The octets are no SOAP 1.2 envelope with WS-Addressing 1.0 headers.
    pub fn no_envelope(reason: impl Into<String>) -> Self {
        Self { action: SOAP_FAULT, code: "Sender".into(), subcode: None, reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fault", self.code)?;
        if let Some((_, subcode)) = &self.subcode {
            write!(f, " {subcode}")?;
        }
        write!(f, ": {}", self.reason.escape_debug())
    }
}

impl std::error::Error for Fault {}
