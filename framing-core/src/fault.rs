//! Faults a receiver may answer with, and their URIs.

use core::fmt;

/// Declares the published faults with their URIs.
macro_rules! faults {
    ( $( $(#[$doc:meta])* $constant:ident = $name:literal; )+ ) => {
        impl Fault<'static> {
            $(
                $(#[$doc])*
                pub const $constant: Self = Fault(concat!(
                    "http://schemas.microsoft.com/ws/2006/05/framing/faults/",
                    $name
                ));
            )+

            /// Every published fault, in alphabetical order.
            pub const PUBLISHED: &'static [Self] = &[ $( Self::$constant, )+ ];
        }
    };
}

/// The reason in a Fault Record ([MC-NMF] 2.2.5): a URI, published or of the peer's own making.
///
/// Equality is equality of the URIs. `Display` prints the short name of a published fault and the escaped URI of any other.
///
/// ```
/// use framing_core::Fault;
/// let fault = Fault::new("http://schemas.microsoft.com/ws/2006/05/framing/faults/EndpointNotFound");
/// assert_eq!(fault, Fault::ENDPOINT_NOT_FOUND);
/// assert_eq!(fault.name(), Some("EndpointNotFound"));
/// assert_eq!(Fault::new("urn:mine\n").to_string(), "urn:mine\\n");
/// ```
///
/// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fault<'a>(&'a str);

faults! {
    /// Handing the connection to the process behind the endpoint failed (sent by a port sharing service).
    CONNECTION_DISPATCH_FAILED = "ConnectionDispatchFailed";
    /// The endpoint does not support the encoding.
    CONTENT_TYPE_INVALID = "ContentTypeInvalid";
    /// The content type is longer than the receiver's limit. WCF never sends it.
    CONTENT_TYPE_TOO_LONG = "ContentTypeTooLong";
    /// The initiator may not use the endpoint. In the specification only.
    ENDPOINT_ACCESS_DENIED = "EndpointAccessDenied";
    /// No endpoint has this Via.
    ENDPOINT_NOT_FOUND = "EndpointNotFound";
    /// The endpoint is paused. In the specification only.
    ENDPOINT_PAUSED = "EndpointPaused";
    /// The endpoint exists and takes no connections now (sent by a port sharing service).
    ENDPOINT_UNAVAILABLE = "EndpointUnavailable";
    /// A record that must not come at this place, or no record at all. In the specification only.
    INVALID_RECORD_SEQUENCE = "InvalidRecordSequence";
    /// A sized envelope is larger than the receiver's limit. The name really ends in "Fault".
    MAX_MESSAGE_SIZE_EXCEEDED = "MaxMessageSizeExceededFault";
    /// Too few resources for another session.
    SERVER_TOO_BUSY = "ServerTooBusy";
    /// Starting the service behind the endpoint failed.
    SERVICE_ACTIVATION_FAILED = "ServiceActivationFailed";
    /// The mode is reserved, or the endpoint does not support it.
    UNSUPPORTED_MODE = "UnsupportedMode";
    /// The major version is not 1.
    UNSUPPORTED_VERSION = "UnsupportedVersion";
    /// The upgrade is unknown, not configured or already done.
    UPGRADE_INVALID = "UpgradeInvalid";
    /// The Via is longer than the receiver's limit. WCF never sends it.
    VIA_TOO_LONG = "ViaTooLong";
}

impl<'a> Fault<'a> {
    /// What the URIs of all published faults begin with. New faults must use another namespace ([MC-NMF] 1.8).
    ///
    /// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
    pub const NAMESPACE: &'static str = "http://schemas.microsoft.com/ws/2006/05/framing/faults/";

    /// A fault with any URI.
    ///
    /// ```
    /// use framing_core::Fault;
    /// assert_eq!(Fault::new("urn:mine").name(), None);
    /// ```
    #[must_use]
    pub const fn new(uri: &'a str) -> Self {
        Self(uri)
    }

    /// The URI, as it is on the wire.
    ///
    /// ```
    /// use framing_core::Fault;
    /// assert!(Fault::SERVER_TOO_BUSY.uri().starts_with(Fault::NAMESPACE));
    /// ```
    #[must_use]
    pub const fn uri(&self) -> &'a str {
        self.0
    }

    /// The last part of a published fault's URI, `None` for any other URI.
    ///
    /// ```
    /// use framing_core::Fault;
    /// assert_eq!(Fault::MAX_MESSAGE_SIZE_EXCEEDED.name(), Some("MaxMessageSizeExceededFault"));
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        Fault::PUBLISHED.contains(self).then(|| self.0.strip_prefix(Self::NAMESPACE)).flatten()
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => self.0.escape_debug().fmt(f),
        }
    }
}
