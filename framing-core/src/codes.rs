//! Open enums of the wire: record types, modes and known encodings. Unknown codes survive and print in hexadecimal.

use core::fmt;

/// Declares a newtype over one octet with named codes; `Display` gives the name, or the code in hexadecimal.
macro_rules! octet_codes {
    (
        $(#[$outer:meta])*
        $name:ident {
            $( $(#[$inner:meta])* $constant:ident = $code:literal, $text:literal; )+
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub struct $name(
            /// The octet on the wire.
            pub u8,
        );

        impl $name {
            $( $(#[$inner])* pub const $constant: Self = Self($code); )+

            /// The specification's name of this code, or `None` for a reserved one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $( Self::$constant => Some($text), )+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, "0x{:02X}", self.0),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

octet_codes! {
    /// The type octet of a record ([MC-NMF] 2.2.1). 0x0D to 0xFF are reserved.
    ///
    /// ```
    /// use framing_core::RecordType;
    /// assert_eq!(RecordType::VIA.0, 0x02);
    /// assert_eq!(RecordType::VIA.to_string(), "Via");
    /// assert_eq!(RecordType(0x47).to_string(), "0x47");
    /// ```
    ///
    /// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
    RecordType {
        /// Version Record (2.2.3.1), initiator to receiver.
        VERSION = 0x00, "Version";
        /// Mode Record (2.2.3.2), initiator to receiver.
        MODE = 0x01, "Mode";
        /// Via Record (2.2.3.3), initiator to receiver.
        VIA = 0x02, "Via";
        /// Known Encoding Record (2.2.3.4.1), initiator to receiver.
        KNOWN_ENCODING = 0x03, "KnownEncoding";
        /// Extensible Encoding Record (2.2.3.4.2), initiator to receiver.
        EXTENSIBLE_ENCODING = 0x04, "ExtensibleEncoding";
        /// Unsized Envelope Record (2.2.4.2), both ways.
        UNSIZED_ENVELOPE = 0x05, "UnsizedEnvelope";
        /// Sized Envelope Record (2.2.4.1), both ways.
        SIZED_ENVELOPE = 0x06, "SizedEnvelope";
        /// End Record (2.2.3.9), both ways.
        END = 0x07, "End";
        /// Fault Record (2.2.5), receiver to initiator.
        FAULT = 0x08, "Fault";
        /// Upgrade Request Record (2.2.3.5), initiator to receiver.
        UPGRADE_REQUEST = 0x09, "UpgradeRequest";
        /// Upgrade Response Record (2.2.3.6), receiver to initiator.
        UPGRADE_RESPONSE = 0x0A, "UpgradeResponse";
        /// Preamble Ack Record (2.2.3.8), receiver to initiator.
        PREAMBLE_ACK = 0x0B, "PreambleAck";
        /// Preamble End Record (2.2.3.7), initiator to receiver.
        PREAMBLE_END = 0x0C, "PreambleEnd";
    }
}

octet_codes! {
    /// The communication mode of a framing session ([MC-NMF] 2.2.3.2). 0x00 and 0x05 to 0xFF are reserved.
    ///
    /// Over TCP only [`SINGLETON_UNSIZED`](Self::SINGLETON_UNSIZED) and [`DUPLEX`](Self::DUPLEX) are legal
    /// ([MS-NMFTB] 3.1.1): the other two have no way back.
    ///
    /// ```
    /// use framing_core::Mode;
    /// assert!(Mode::DUPLEX.has_back_channel());
    /// assert!(!Mode::SIMPLEX.has_back_channel());
    /// assert_eq!(Mode(9).to_string(), "0x09");
    /// ```
    ///
    /// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
    /// [MS-NMFTB]: https://learn.microsoft.com/openspecs/windows_protocols/ms-nmftb/
    Mode {
        /// One envelope each way, in chunks of any number (WCF: every streamed transfer mode).
        SINGLETON_UNSIZED = 0x01, "SingletonUnsized";
        /// Any number of sized envelopes both ways (WCF: buffered transfer, the default).
        DUPLEX = 0x02, "Duplex";
        /// Any number of sized envelopes one way, nothing comes back (WCF: MSMQ).
        SIMPLEX = 0x03, "Simplex";
        /// One envelope one way, whose size the transport knows (WCF: MSMQ).
        SINGLETON_SIZED = 0x04, "SingletonSized";
    }
}

impl Mode {
    /// Whether the receiver answers in this mode: Preamble Ack, upgrades, envelopes, faults.
    ///
    /// ```
    /// use framing_core::Mode;
    /// assert!(Mode::SINGLETON_UNSIZED.has_back_channel());
    /// assert!(!Mode::SINGLETON_SIZED.has_back_channel());
    /// ```
    #[must_use]
    pub const fn has_back_channel(self) -> bool {
        matches!(self, Self::SINGLETON_UNSIZED | Self::DUPLEX)
    }

    /// Whether the mode is one of the four the specification defines.
    ///
    /// ```
    /// use framing_core::Mode;
    /// assert!(Mode::SIMPLEX.is_defined());
    /// assert!(!Mode(0).is_defined());
    /// ```
    #[must_use]
    pub const fn is_defined(self) -> bool {
        self.name().is_some()
    }
}

octet_codes! {
    /// The code of a Known Encoding Record ([MC-NMF] 2.2.3.4.1). 0x09 to 0xFF are reserved.
    ///
    /// A reserved code is no framing error: the endpoint that is addressed decides.
    ///
    /// ```
    /// use framing_core::KnownEncoding;
    /// assert_eq!(KnownEncoding::BINARY_SESSION.content_type(), Some("application/soap+msbinsession1"));
    /// assert_eq!(KnownEncoding(0x20).content_type(), None);
    /// ```
    ///
    /// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
    KnownEncoding {
        /// SOAP 1.1, UTF-8.
        SOAP11_UTF8 = 0x00, "Soap11Utf8";
        /// SOAP 1.1, UTF-16.
        SOAP11_UTF16 = 0x01, "Soap11Utf16";
        /// SOAP 1.1, Unicode little-endian.
        SOAP11_UNICODE_LE = 0x02, "Soap11UnicodeLittleEndian";
        /// SOAP 1.2, UTF-8.
        SOAP12_UTF8 = 0x03, "Soap12Utf8";
        /// SOAP 1.2, UTF-16.
        SOAP12_UTF16 = 0x04, "Soap12Utf16";
        /// SOAP 1.2, Unicode little-endian.
        SOAP12_UNICODE_LE = 0x05, "Soap12UnicodeLittleEndian";
        /// SOAP 1.2, MTOM.
        SOAP12_MTOM = 0x06, "Soap12Mtom";
        /// SOAP 1.2, binary ([MC-NBFS]); WCF uses it for streamed transfers.
        ///
        /// [MC-NBFS]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nbfs/
        BINARY = 0x07, "Binary";
        /// SOAP 1.2, binary with an in-band dictionary ([MC-NBFSE]); the default of `NetTcpBinding`.
        ///
        /// [MC-NBFSE]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nbfse/
        BINARY_SESSION = 0x08, "BinarySession";
    }
}

impl KnownEncoding {
    /// The content type WCF uses for this code, or `None` for a reserved code.
    ///
    /// ```
    /// use framing_core::KnownEncoding;
    /// assert_eq!(KnownEncoding::SOAP12_UTF8.content_type(), Some("application/soap+xml; charset=utf-8"));
    /// ```
    #[must_use]
    pub const fn content_type(self) -> Option<&'static str> {
        Some(match self {
            Self::SOAP11_UTF8 => "text/xml; charset=utf-8",
            Self::SOAP11_UTF16 => "text/xml; charset=utf16",
            Self::SOAP11_UNICODE_LE => "text/xml; charset=unicodeFFFE",
            Self::SOAP12_UTF8 => "application/soap+xml; charset=utf-8",
            Self::SOAP12_UTF16 => "application/soap+xml; charset=utf16",
            Self::SOAP12_UNICODE_LE => "application/soap+xml; charset=unicodeFFFE",
            Self::SOAP12_MTOM => "multipart/related",
            Self::BINARY => "application/soap+msbin1",
            Self::BINARY_SESSION => "application/soap+msbinsession1",
            _ => return None,
        })
    }
}
