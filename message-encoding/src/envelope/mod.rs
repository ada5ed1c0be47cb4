//! SOAP envelopes as WCF sends them over net.tcp, in every encoding that MC-NMF has a number for but MTOM.
//!
//! An [`Encoder`] and a [`Decoder`] live as long as a framing session, one for each direction: with the encoding
//! [`MessageEncoding::BinarySession`] they carry the in-band dictionary of that direction. A text envelope is read by the same
//! interface: its XML becomes records first.

mod decoder;
mod element;
mod encoder;
mod error;
mod fault;
mod header;
mod headers;
mod names;
mod service;

use crate::dictionary::StaticString;
pub use decoder::{Decoder, Incoming};
pub use element::{Content, Element, Scalar};
pub use encoder::{Encoder, Outgoing};
pub use error::{DecodeError, EncodeError};
pub use fault::{Code, MessageFault};
pub use header::Header;
pub use headers::{Addressing, Headers, MessageId};
pub use names::{
    ADDRESSING, ANONYMOUS, DISPATCHER, FAULT_ACTION, NO_ADDRESS, SCHEMA_INSTANCE, SOAP_11, SOAP_12,
};
use names::{SOAP_11_STRING, SOAP_12_STRING};
pub use service::{Reply, Request, Service, answer};

/// How an envelope is encoded: what a Known Encoding Record of the framing says ([MC-NMF] section 2.2.3.4.1), or the content type
/// in an Extensible Encoding Record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageEncoding {
    /// SOAP 1.1, UTF-8 text: 0.
    Soap11Utf8,
    /// SOAP 1.1, UTF-16 text, little-endian with a byte order mark: 1.
    Soap11Utf16,
    /// SOAP 1.1, UTF-16LE text: 2.
    Soap11Utf16Le,
    /// SOAP 1.1, UTF-16BE text: by content type only.
    Soap11Utf16Be,
    /// SOAP 1.2, UTF-8 text: 3.
    Soap12Utf8,
    /// SOAP 1.2, UTF-16 text, little-endian with a byte order mark: 4.
    Soap12Utf16,
    /// SOAP 1.2, UTF-16LE text: 5.
    Soap12Utf16Le,
    /// SOAP 1.2, UTF-16BE text: by content type only.
    Soap12Utf16Be,
    /// SOAP 1.2, binary with the static dictionary: 7.
    Binary,
    /// SOAP 1.2, binary with the static and an in-band dictionary: 8.
    BinarySession,
}

impl MessageEncoding {
    /// All that there are.
    pub const ALL: [Self; 10] = [
        Self::Soap11Utf8,
        Self::Soap11Utf16,
        Self::Soap11Utf16Le,
        Self::Soap11Utf16Be,
        Self::Soap12Utf8,
        Self::Soap12Utf16,
        Self::Soap12Utf16Le,
        Self::Soap12Utf16Be,
        Self::Binary,
        Self::BinarySession,
    ];

    /// The encoding with this number on the wire; nothing for MTOM (6) and unknown ones.
    pub const fn from_known(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Soap11Utf8,
            1 => Self::Soap11Utf16,
            2 => Self::Soap11Utf16Le,
            3 => Self::Soap12Utf8,
            4 => Self::Soap12Utf16,
            5 => Self::Soap12Utf16Le,
            7 => Self::Binary,
            8 => Self::BinarySession,
            _ => return None,
        })
    }

    /// The number on the wire, if it has one.
    pub const fn known(self) -> Option<u8> {
        Some(match self {
            Self::Soap11Utf8 => 0,
            Self::Soap11Utf16 => 1,
            Self::Soap11Utf16Le => 2,
            Self::Soap12Utf8 => 3,
            Self::Soap12Utf16 => 4,
            Self::Soap12Utf16Le => 5,
            Self::Binary => 7,
            Self::BinarySession => 8,
            Self::Soap11Utf16Be | Self::Soap12Utf16Be => return None,
        })
    }

    /// The content type that WCF calls it by.
    pub const fn content_type(self) -> &'static str {
        self.content_types()[0]
    }

    /// All content types that WCF calls it by: what the framing calls it, then what the text encoder does.
    pub const fn content_types(self) -> &'static [&'static str] {
        match self {
            Self::Soap11Utf8 => &["text/xml; charset=utf-8"],
            Self::Soap11Utf16 => &["text/xml; charset=utf16", "text/xml; charset=utf-16LE"],
            Self::Soap11Utf16Le => &["text/xml; charset=unicodeFFFE"],
            Self::Soap11Utf16Be => &["text/xml; charset=utf-16BE"],
            Self::Soap12Utf8 => &["application/soap+xml; charset=utf-8"],
            Self::Soap12Utf16 => {
                &["application/soap+xml; charset=utf16", "application/soap+xml; charset=utf-16LE"]
            }
            Self::Soap12Utf16Le => &["application/soap+xml; charset=unicodeFFFE"],
            Self::Soap12Utf16Be => &["application/soap+xml; charset=utf-16BE"],
            Self::Binary => &["application/soap+msbin1"],
            Self::BinarySession => &["application/soap+msbinsession1"],
        }
    }

    /// The encoding of that content type, be its letters large or small.
    ///
    /// ```
    /// use message_encoding::envelope::MessageEncoding;
    ///
    /// let of = MessageEncoding::from_content_type;
    /// assert_eq!(of("application/soap+msbin1"), Some(MessageEncoding::Binary));
    /// assert_eq!(of("application/soap+xml; charset=utf-16BE"), Some(MessageEncoding::Soap12Utf16Be));
    /// ```
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| {
            encoding.content_types().iter().any(|known| known.eq_ignore_ascii_case(content_type))
        })
    }

    /// Whether envelopes are .NET Binary XML.
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Binary | Self::BinarySession)
    }

    /// The version of SOAP that goes with it.
    pub const fn soap(self) -> SoapVersion {
        match self {
            Self::Soap11Utf8 | Self::Soap11Utf16 | Self::Soap11Utf16Le | Self::Soap11Utf16Be => {
                SoapVersion::Soap11
            }
            _ => SoapVersion::Soap12,
        }
    }
}

/// A version of SOAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SoapVersion {
    /// SOAP 1.1.
    Soap11,
    /// SOAP 1.2.
    Soap12,
}

impl SoapVersion {
    /// The namespace of its envelope.
    pub const fn namespace(self) -> &'static str {
        self.dictionary_string().as_str()
    }

    /// Whether the receiver of a message is who this role (SOAP 1.1: actor) means. It is if there is none.
    fn is_receiver(self, role: &str) -> bool {
        match (self, role.trim()) {
            (_, "") => true,
            (Self::Soap11, role) => role == "http://schemas.xmlsoap.org/soap/actor/next",
            (Self::Soap12, role) => role
                .strip_prefix(SOAP_12)
                .is_some_and(|role| matches!(role, "/role/next" | "/role/ultimateReceiver")),
        }
    }

    /// The same in the static dictionary.
    const fn dictionary_string(self) -> StaticString {
        match self {
            Self::Soap11 => SOAP_11_STRING,
            Self::Soap12 => SOAP_12_STRING,
        }
    }
}
