//! Headers that are the application's own.

use super::element::Element;

/// A header that is none of WS-Addressing: an element, which its namespace and name tell apart.
///
/// ```
/// use message_encoding::Quotas;
/// use message_encoding::envelope::{Decoder, Element, Encoder, Header, MessageEncoding, MessageId, Outgoing};
///
/// let id = MessageId::Other("urn:1".into());
/// let mut request = Outgoing::request("urn:shop/Order", "net.tcp://shop/", id, Element::new("urn:shop", "Order"));
/// let tenant = Element::new("urn:tenants", "Tenant").with_value("blue");
/// request.headers.push(Header::new(tenant).must_be_understood());
/// let mut octets = Vec::new();
/// Encoder::new(MessageEncoding::Binary, Quotas::DEFAULT).encode(&request, &mut octets)?;
///
/// let mut decoder = Decoder::new(MessageEncoding::Binary, Quotas::DEFAULT);
/// let heard = decoder.decode(&octets)?;
/// let tenant = heard.headers().header("urn:tenants", "Tenant").unwrap();
/// assert_eq!(tenant.element.value().text()?, "blue");
/// assert!(tenant.must_understand);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// What it says, without the attributes that are SOAP's.
    pub element: Element,
    /// Whether a receiver that does not know it must not do what the message asks for.
    pub must_understand: bool,
}

impl Header {
    /// A header that a receiver may ignore.
    pub const fn new(element: Element) -> Self {
        Self { element, must_understand: false }
    }

    /// The header for receivers that do what it says, and answer with a fault otherwise.
    #[must_use]
    pub fn must_be_understood(self) -> Self {
        Self { must_understand: true, ..self }
    }
}
