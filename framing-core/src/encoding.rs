//! The envelope encoding a preamble announces: a known code or a content type.

use core::fmt;

use crate::KnownEncoding;

/// How the envelopes of a session are encoded ([MC-NMF] 2.2.3.4).
///
/// ```
/// use framing_core::{Encoding, KnownEncoding};
/// assert_eq!(Encoding::from_content_type("application/soap+msbin1"), Encoding::Known(KnownEncoding::BINARY));
/// let gzip = "application/soap+msbinsession1+gzip";
/// assert_eq!(Encoding::from_content_type(gzip), Encoding::Extensible(gzip));
/// assert_eq!(Encoding::Known(KnownEncoding(0x55)).content_type(), None);
/// ```
///
/// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Encoding<'a> {
    /// A Known Encoding Record (type 0x03): one octet, reserved codes included.
    Known(KnownEncoding),
    /// An Extensible Encoding Record (type 0x04): a MIME content type. May be empty on the wire; no endpoint takes that.
    Extensible(&'a str),
}

impl<'a> Encoding<'a> {
    /// The content type, or `None` for a reserved known code.
    ///
    /// ```
    /// use framing_core::{Encoding, KnownEncoding};
    /// assert_eq!(Encoding::Known(KnownEncoding::BINARY).content_type(), Some("application/soap+msbin1"));
    /// assert_eq!(Encoding::Extensible("a/b").content_type(), Some("a/b"));
    /// ```
    #[must_use]
    pub const fn content_type(&self) -> Option<&'a str> {
        match *self {
            Self::Known(code) => code.content_type(),
            Self::Extensible(content_type) => Some(content_type),
        }
    }

    /// The encoding as WCF announces it: the known code if the text is exactly its content type, else the text itself.
    ///
    /// ```
    /// use framing_core::{Encoding, KnownEncoding};
    /// let encoding = Encoding::from_content_type("application/soap+msbinsession1");
    /// assert_eq!(encoding, Encoding::Known(KnownEncoding::BINARY_SESSION));
    /// // Compared exactly, as WCF does.
    /// assert!(matches!(Encoding::from_content_type("text/xml;charset=utf-8"), Encoding::Extensible(_)));
    /// ```
    #[must_use]
    pub fn from_content_type(content_type: &'a str) -> Self {
        (0..=KnownEncoding::BINARY_SESSION.0)
            .map(KnownEncoding)
            .find(|code| code.content_type() == Some(content_type))
            .map_or(Self::Extensible(content_type), Self::Known)
    }
}

/// The content type; for a reserved code `unknown` and the code in decimal, as WCF's decoder names it. Escaped.
impl fmt::Display for Encoding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.content_type()) {
            (Self::Known(code), None) => write!(f, "unknown{}", code.0),
            (_, content_type) => content_type.unwrap_or_default().escape_debug().fmt(f),
        }
    }
}
