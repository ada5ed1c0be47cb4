//! A service: a function from action and body to a reply or a fault.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};

use super::decoder::Incoming;
use super::element::Element;
use super::encoder::Outgoing;
use super::error::DecodeError;
use super::fault::{Code, Fault};
use super::headers::{Addressing, MessageId};
use super::words::ANONYMOUS;

/// What answers messages.
///
/// Any function from an action and a body to a reply or a fault is one. A reply that is nothing answers a one-way operation.
pub trait Service {
    /// Does what `action` says with `body`.
    ///
    /// # Errors
    ///
    /// The fault that is the answer.
    fn call(&mut self, action: &str, body: Option<&Element>) -> Result<Option<Element>, Fault>;
}

impl<F: FnMut(&str, Option<&Element>) -> Result<Option<Element>, Fault>> Service for F {
    fn call(&mut self, action: &str, body: Option<&Element>) -> Result<Option<Element>, Fault> {
        self(action, body)
    }
}

/// Has `service` answer a message: the reply, or nothing if the message wants none.
///
/// A reply has the action of the request with `Response` behind it, as WCF's have unless they are told otherwise. A header that must be
/// understood and is not is answered with a fault, and the service is not called.
///
/// ```
/// use message_encoding::Quotas;
/// use message_encoding::envelope::{answer, Decoder, Element, Encoding, Fault};
///
/// let mut decoder = Decoder::new(Encoding::Soap12Utf8, Quotas::default());
/// let request = br#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
///     xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header><a:Action>urn:Half</a:Action>
///     <a:MessageID>urn:uuid:6faed679-8bc4-4507-b9bb-f706ceb26c43</a:MessageID></s:Header>
///     <s:Body><n>8</n></s:Body></s:Envelope>"#;
/// let mut half = |action: &str, body: Option<&Element>| match (action, body) {
///     ("urn:Half", Some(n)) => {
///         let n = n.value().to_i64().map_err(|error| Fault::sender(error.to_string()))?;
///         Ok(Some(Element::new("", "half").with_value(n / 2)))
///     }
///     _ => Err(Fault::action_not_supported(action)),
/// };
/// let reply = answer(decoder.decode(request)?, &mut half)?.unwrap();
/// assert_eq!(reply.action, "urn:HalfResponse");
/// assert_eq!(reply.body?.unwrap().value().to_i64()?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`DecodeError`] when the rest of the envelope is refused.
pub fn answer(
    mut request: Incoming<'_>,
    service: &mut impl Service,
) -> Result<Option<Outgoing>, DecodeError> {
    let body = request.body()?;
    let (headers, _) = request.into_parts();
    let action: String = headers.action.as_deref().unwrap_or("").into();
    let result = match headers.not_understood {
        Some(name) => Err(not_understood(name.local)),
        None => service.call(&action, body.as_ref()),
    };
    // Without WS-Addressing nothing tells whether an answer is wanted, but for what the service says.
    let wanted = headers.message_id.is_some() || headers.addressing == Addressing::None;
    if !wanted || result == Ok(None) {
        return Ok(None);
    }
    let action = match &result {
        Ok(_) => {
            let mut action = action;
            action.push_str("Response");
            action
        }
        Err(fault) => fault.action().to_string(),
    };
    let to = headers.reply_to.map_or_else(|| ANONYMOUS.to_string(), Cow::into_owned);
    Ok(Some(Outgoing {
        addressing: headers.addressing,
        action,
        message_id: None,
        relates_to: headers.message_id.map(MessageId::into_owned),
        to: (headers.addressing == Addressing::Wsa10).then_some(to),
        body: result,
    }))
}

fn not_understood(name: &str) -> Fault {
    let mut reason = String::from("the header '");
    reason.push_str(name);
    reason.push_str("' is not understood");
    Fault { code: Code::MustUnderstand, ..Fault::sender(reason) }
}
