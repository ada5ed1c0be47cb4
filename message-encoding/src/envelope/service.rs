//! A service: what answers requests, with a reply or a fault.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::decoder::{Decoder, Incoming};
use super::element::Element;
use super::encoder::Outgoing;
use super::fault::MessageFault;
use super::header::Header;
use super::headers::{Addressing, Headers, MessageId};
use super::names::{ANONYMOUS, NO_ADDRESS};

/// What a service is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    headers: &'r Headers<'r>,
    body: Option<&'r Element>,
}

impl<'r> Request<'r> {
    /// What is to be done: empty if the message does not say.
    pub fn action(&self) -> &'r str {
        self.headers.action.as_deref().unwrap_or("")
    }

    /// The first element of the body, if there is one.
    pub const fn body(&self) -> Option<&'r Element> {
        self.body
    }

    /// What the body contains if that is the element that an operation takes.
    ///
    /// # Errors
    ///
    /// [`MessageFault::deserialization_failed`], which says what it should be.
    pub fn body_named(&self, namespace: &str, name: &str) -> Result<&'r Element, MessageFault> {
        self.body.filter(|body| (body.namespace(), body.name()) == (namespace, name)).ok_or_else(|| {
            MessageFault::deserialization_failed(alloc::format!(
                "the body is no element '{name}' of the namespace '{namespace}'"
            ))
        })
    }

    /// All that the headers say.
    pub const fn headers(&self) -> &'r Headers<'r> {
        self.headers
    }

    /// The first header of the application with this namespace and name.
    pub fn header(&self, namespace: &str, name: &str) -> Option<&'r Element> {
        self.headers.header(namespace, name).map(|header| &header.element)
    }
}

/// What a service answers.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// What the body contains.
    pub body: Option<Element>,
    /// Headers of the application.
    pub headers: Vec<Header>,
    /// The action, if it is another one than that of the request with `Response` behind it.
    pub action: Option<String>,
}

impl From<Element> for Reply {
    fn from(body: Element) -> Self {
        Self { body: Some(body), ..Self::default() }
    }
}

impl Reply {
    /// The reply with one more header.
    #[must_use]
    pub fn with_header(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }
}

/// What answers requests. A function from a [`Request`] to a reply or a fault is one that knows no headers.
///
/// ```
/// use message_encoding::envelope::{Element, Header, MessageFault, Reply, Request, Service};
///
/// /// Takes orders for the tenant that a header names.
/// struct Shop;
///
/// impl Service for Shop {
///     fn call(&mut self, request: &Request<'_>) -> Result<Option<Reply>, MessageFault> {
///         match request.action() {
///             "urn:shop/Order" => {
///                 let order = request.body_named("urn:shop", "Order")?;
///                 let copies = order.member("Copies").map_or(Ok(1), |copies| copies.value().to_i64())?;
///                 let tenant = request.header("urn:tenants", "Tenant").map_or(Ok("nobody".into()), |tenant| tenant.value().to_text())?;
///                 let served = Header::new(Element::new("urn:tenants", "Served").with_value(tenant));
///                 Ok(Some(Reply::from(Element::new("urn:shop", "OrderResponse").child("Copies", copies)).with_header(served)))
///             }
///             // One-way.
///             "urn:shop/Note" => Ok(None),
///             other => Err(MessageFault::action_not_supported(other)),
///         }
///     }
///
///     fn is_one_way(&self, action: &str) -> bool {
///         action == "urn:shop/Note"
///     }
///
///     fn understands(&self, namespace: &str, name: &str) -> bool {
///         (namespace, name) == ("urn:tenants", "Tenant")
///     }
/// }
/// ```
pub trait Service {
    /// Does what the request says. A reply that is nothing answers a one-way operation.
    ///
    /// # Errors
    ///
    /// The fault that is the answer.
    fn call(&mut self, request: &Request<'_>) -> Result<Option<Reply>, MessageFault>;

    /// Whether messages with this action are never answered, not with a fault either.
    fn is_one_way(&self, action: &str) -> bool {
        let _ = action;
        false
    }

    /// Whether the service does what a header of this namespace and name says, wherever one is. A request is answered with a fault if
    /// it has one that must be understood and is not.
    fn understands(&self, namespace: &str, name: &str) -> bool {
        let _ = (namespace, name);
        false
    }
}

impl<F: FnMut(&Request<'_>) -> Result<Option<Reply>, MessageFault>> Service for F {
    fn call(&mut self, request: &Request<'_>) -> Result<Option<Reply>, MessageFault> {
        self(request)
    }
}

/// Has `service` answer the next envelope of a session: the answer, or nothing if the message wants none.
///
/// A reply has the action of the request with `Response` behind it, as WCF's have unless they are told otherwise. Whatever is
/// wrong with a request, the answer is a fault which says that it is the answer to it (`RelatesTo`), as long as the request's identity
/// can be read at all. So it is for envelopes that are cut short, exceed a quota, or have a header that must be understood and is
/// not: the service is not called then.
///
/// Nothing is answered to a one-way operation, to [`NO_ADDRESS`], or to what is an answer itself. A message without identity is
/// answered all the same: in a streamed session, and without WS-Addressing, the only answer is that to the only request. In
/// [duplex](Decoder::in_duplex) nobody could tell what it answers, so it is a fault, and the service is not called, as in WCF.
///
/// ```
/// use message_encoding::Quotas;
/// use message_encoding::envelope::{Decoder, Element, MessageEncoding, MessageFault, Request, answer};
///
/// let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::default());
/// let request = br#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
///     xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header><a:Action>urn:Half</a:Action>
///     <a:MessageID>urn:uuid:6faed679-8bc4-4507-b9bb-f706ceb26c43</a:MessageID></s:Header>
///     <s:Body><n>8</n></s:Body></s:Envelope>"#;
/// let mut half = |request: &Request<'_>| match (request.action(), request.body()) {
///     ("urn:Half", Some(n)) => Ok(Some(Element::new("", "half").with_value(n.value().to_i64()? / 2).into())),
///     (other, _) => Err(MessageFault::action_not_supported(other)),
/// };
/// let reply = answer(&mut decoder, request, &mut half).unwrap();
/// assert_eq!(reply.action, "urn:HalfResponse");
/// assert_eq!(reply.body?.unwrap().value().to_i64()?, 4);
///
/// // Cut short in the middle of the body.
/// let fault = answer(&mut decoder, &request[..request.len() - 30], &mut half).unwrap();
/// assert!(fault.body.is_err());
/// assert_eq!(fault.relates_to.unwrap().to_string(), "urn:uuid:6faed679-8bc4-4507-b9bb-f706ceb26c43");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn answer(decoder: &mut Decoder, octets: &[u8], service: &mut impl Service) -> Option<Outgoing> {
    let duplex = decoder.is_duplex();
    match decoder.decode(octets) {
        Ok(request) => answer_request(request, duplex, service),
        Err(error) => decoder.identity(octets).answer("", Err(error.into())),
    }
}

fn answer_request(mut request: Incoming<'_>, duplex: bool, service: &mut impl Service) -> Option<Outgoing> {
    let body = request.body();
    let (headers, _) = request.into_parts();
    let action: String = headers.action.as_deref().unwrap_or("").into();
    let not_understood = headers.not_understood(|namespace, name| service.understands(namespace, name));
    let one_way = service.is_one_way(&action);
    let wants_id = duplex && !one_way && headers.addressing == Addressing::Wsa10;
    let result = match (body, not_understood) {
        (Err(error), _) => Err(error.into()),
        _ if wants_id && headers.message_id.is_none() => Err(MessageFault::without_message_id()),
        (Ok(_), Some(Header { element, .. })) => {
            Err(MessageFault::not_understood(element.namespace(), element.name()))
        }
        (Ok(body), None) => service.call(&Request { headers: &headers, body: body.as_ref() }),
    };
    if one_way {
        return None;
    }
    Identity::of(headers).answer(&action, result)
}

/// What the answer to a message depends on.
#[derive(Debug)]
pub(super) struct Identity {
    addressing: Addressing,
    message_id: Option<MessageId<'static>>,
    reply_to: Option<String>,
    is_answer: bool,
}

impl Default for Identity {
    /// Of a message about which nothing is known.
    fn default() -> Self {
        Self { addressing: Addressing::Wsa10, message_id: None, reply_to: None, is_answer: false }
    }
}

impl Identity {
    pub(super) fn of(headers: Headers<'_>) -> Self {
        Self {
            addressing: headers.addressing,
            message_id: headers.message_id.map(MessageId::into_owned),
            reply_to: headers.reply_to.map(Cow::into_owned),
            is_answer: headers.relates_to.is_some(),
        }
    }

    /// The answer to a request for `action`, if one is wanted.
    fn answer(self, action: &str, result: Result<Option<Reply>, MessageFault>) -> Option<Outgoing> {
        let (reply, fault) = match result {
            Ok(reply) => (reply?, None),
            Err(fault) => (Reply::default(), Some(fault)),
        };
        // Two sides that answer each other's faults would never end.
        if self.reply_to.as_deref() == Some(NO_ADDRESS) || self.is_answer && self.message_id.is_none() {
            return None;
        }
        let plain = self.addressing == Addressing::None;
        let action = match (&fault, reply.action) {
            // Without WS-Addressing an answer has no headers but those of the application.
            _ if plain => String::new(),
            (Some(fault), _) => fault.action().to_string(),
            (None, Some(action)) => action,
            (None, None) => [action, "Response"].concat(),
        };
        Some(Outgoing {
            addressing: self.addressing,
            action,
            message_id: None,
            relates_to: self.message_id,
            to: (!plain).then(|| self.reply_to.unwrap_or_else(|| ANONYMOUS.to_string())),
            headers: reply.headers,
            body: fault.map_or(Ok(reply.body), Err),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::super::names::{SOAP_11, SOAP_12};
    use super::super::{Code, MessageEncoding};
    use super::*;
    use crate::Quotas;

    /// What a service that says `<yes/>` answers to an envelope with these headers more.
    fn ask(encoding: MessageEncoding, headers: &str) -> Option<Result<Option<Element>, MessageFault>> {
        let soap = encoding.soap().namespace();
        let envelope = format!(
            "<s:Envelope xmlns:s='{soap}' xmlns:a='http://www.w3.org/2005/08/addressing'><s:Header>\
             <a:Action>urn:ask</a:Action><a:MessageID>urn:1</a:MessageID>{headers}</s:Header><s:Body/></s:Envelope>"
        );
        let mut decoder = Decoder::new(encoding, Quotas::default());
        let mut yes = |_: &Request<'_>| Ok(Some(Element::new("", "yes").into()));
        answer(&mut decoder, envelope.as_bytes(), &mut yes).map(|reply| reply.body)
    }

    #[test]
    fn nothing_is_sent_to_no_address() {
        let reply_to = |address: &str| format!("<a:ReplyTo><a:Address>{address}</a:Address></a:ReplyTo>");
        let unknown = "<h xmlns='urn:h' s:mustUnderstand='1'/>";
        for address in [ANONYMOUS, "net.tcp://client/"] {
            assert!(matches!(ask(MessageEncoding::Soap12Utf8, &reply_to(address)), Some(Ok(_))));
        }
        assert_eq!(ask(MessageEncoding::Soap12Utf8, &reply_to(NO_ADDRESS)), None);
        assert_eq!(ask(MessageEncoding::Soap12Utf8, &format!("{}{unknown}", reply_to(NO_ADDRESS))), None);
    }

    #[test]
    fn headers_for_other_nodes_need_not_be_understood() {
        let next_11 = "http://schemas.xmlsoap.org/soap/actor/next";
        let role_12 = |name: &str| format!("{SOAP_12}/role/{name}");
        for (encoding, role, ours) in [
            (MessageEncoding::Soap12Utf8, String::new(), true),
            (MessageEncoding::Soap12Utf8, "s:role=''".into(), true),
            (MessageEncoding::Soap12Utf8, format!("s:role='{}'", role_12("next")), true),
            (MessageEncoding::Soap12Utf8, format!("s:role='{}'", role_12("ultimateReceiver")), true),
            (MessageEncoding::Soap12Utf8, format!("s:role='{}'", role_12("none")), false),
            (MessageEncoding::Soap12Utf8, "s:role='urn:log'".into(), false),
            // Those of the other version, and of no version, say nothing.
            (MessageEncoding::Soap12Utf8, "s:actor='urn:log' role='urn:log'".into(), true),
            (MessageEncoding::Soap11Utf8, "s:actor=''".into(), true),
            (MessageEncoding::Soap11Utf8, format!("s:actor='{next_11}'"), true),
            (MessageEncoding::Soap11Utf8, "s:actor='urn:log'".into(), false),
            (
                MessageEncoding::Soap11Utf8,
                format!("s:role='urn:log' x:actor='urn:log' xmlns:x='{SOAP_11}x'"),
                true,
            ),
        ] {
            let header = format!("<h xmlns='urn:h' s:mustUnderstand='1' {role}/>");
            let refused =
                matches!(ask(encoding, &header), Some(Err(fault)) if fault.code == Code::MustUnderstand);
            assert_eq!(refused, ours, "{header}");
        }
    }
}
