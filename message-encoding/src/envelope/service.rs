//! A service: a function from action and body to a reply or a fault.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};

use super::decoder::Incoming;
use super::element::Element;
use super::encoder::Outgoing;
use super::error::DecodeError;
use super::fault::{Code, Fault};
use super::headers::{Addressing, MessageId};
use super::names::{ANONYMOUS, NO_ADDRESS};

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
/// A reply has the action of the request with `Response` behind it, as WCF's have unless they are told otherwise. A header
/// for this receiver that must be understood and is not is answered with a fault, and the service is not called. A message
/// that is to be answered to [`NO_ADDRESS`] wants neither reply nor fault.
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
    let wanted = match headers.addressing {
        Addressing::Wsa10 => headers.message_id.is_some() && headers.reply_to.as_deref() != Some(NO_ADDRESS),
        Addressing::None => true,
    };
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

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::super::names::{SOAP_11, SOAP_12};
    use super::super::{Decoder, Encoding};
    use super::*;
    use crate::Quotas;

    /// What a service that says `<yes/>` answers to an envelope with these headers more.
    fn ask(encoding: Encoding, headers: &str) -> Option<Result<Option<Element>, Fault>> {
        let soap = encoding.soap().namespace();
        let envelope = format!(
            "<s:Envelope xmlns:s='{soap}' xmlns:a='http://www.w3.org/2005/08/addressing'><s:Header>\
             <a:Action>urn:ask</a:Action><a:MessageID>urn:1</a:MessageID>{headers}</s:Header><s:Body/></s:Envelope>"
        );
        let mut decoder = Decoder::new(encoding, Quotas::default());
        let request = decoder.decode(envelope.as_bytes()).unwrap();
        let mut yes = |_: &str, _: Option<&Element>| Ok(Some(Element::new("", "yes")));
        answer(request, &mut yes).unwrap().map(|reply| reply.body)
    }

    #[test]
    fn nothing_is_sent_to_no_address() {
        let reply_to = |address: &str| format!("<a:ReplyTo><a:Address>{address}</a:Address></a:ReplyTo>");
        let unknown = "<h xmlns='urn:h' s:mustUnderstand='1'/>";
        for address in [ANONYMOUS, "net.tcp://client/"] {
            assert!(matches!(ask(Encoding::Soap12Utf8, &reply_to(address)), Some(Ok(_))));
        }
        assert_eq!(ask(Encoding::Soap12Utf8, &reply_to(NO_ADDRESS)), None);
        assert_eq!(ask(Encoding::Soap12Utf8, &format!("{}{unknown}", reply_to(NO_ADDRESS))), None);
    }

    #[test]
    fn headers_for_other_nodes_need_not_be_understood() {
        let next_11 = "http://schemas.xmlsoap.org/soap/actor/next";
        let role_12 = |name: &str| format!("{SOAP_12}/role/{name}");
        for (encoding, role, ours) in [
            (Encoding::Soap12Utf8, String::new(), true),
            (Encoding::Soap12Utf8, "s:role=''".into(), true),
            (Encoding::Soap12Utf8, format!("s:role='{}'", role_12("next")), true),
            (Encoding::Soap12Utf8, format!("s:role='{}'", role_12("ultimateReceiver")), true),
            (Encoding::Soap12Utf8, format!("s:role='{}'", role_12("none")), false),
            (Encoding::Soap12Utf8, "s:role='urn:log'".into(), false),
            // Those of the other version, and of no version, say nothing.
            (Encoding::Soap12Utf8, "s:actor='urn:log' role='urn:log'".into(), true),
            (Encoding::Soap11Utf8, "s:actor=''".into(), true),
            (Encoding::Soap11Utf8, format!("s:actor='{next_11}'"), true),
            (Encoding::Soap11Utf8, "s:actor='urn:log'".into(), false),
            (Encoding::Soap11Utf8, format!("s:role='urn:log' x:actor='urn:log' xmlns:x='{SOAP_11}x'"), true),
        ] {
            let header = format!("<h xmlns='urn:h' s:mustUnderstand='1' {role}/>");
            let refused =
                matches!(ask(encoding, &header), Some(Err(fault)) if fault.code == Code::MustUnderstand);
            assert_eq!(refused, ours, "{header}");
        }
    }
}
