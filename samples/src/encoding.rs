//! The one seam between the octets of an envelope and the message that a service or client works with.

use crate::message::{Fault, Message};
use crate::soap;

/// How the envelopes of a session are written, chosen by the initiator's preamble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// SOAP 1.2 as UTF-8 text, known encoding 3.
    Text,
}

impl Encoding {
    /// All that the calculator speaks.
    pub const ALL: [Self; 1] = [Self::Text];

    /// The content type that a preamble names it by.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "application/soap+xml; charset=utf-8",
        }
    }

    /// The encoding of that content type.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.content_type() == content_type)
    }
}

/// Encodes and decodes the envelopes of one session, in their order.
#[derive(Debug)]
pub struct Codec {
    encoding: Encoding,
}

impl Codec {
    /// For a session that begins.
    pub const fn new(encoding: Encoding) -> Self {
        Self { encoding }
    }

    /// The octets of an envelope.
    ///
    /// # Errors
    /// None in practice: writing into memory does not fail.
    pub fn encode(&mut self, message: &Message) -> std::io::Result<Vec<u8>> {
        match self.encoding {
            Encoding::Text => soap::encode(message),
        }
    }

    /// The message in an envelope.
    ///
    /// # Errors
    /// The fault that tells the sender what is wrong with it.
    pub fn decode(&mut self, octets: &[u8]) -> Result<Message, Fault> {
        match self.encoding {
            Encoding::Text => soap::decode(octets),
        }
    }
}
