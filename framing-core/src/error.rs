//! What can go wrong: the peer's octets ([`DecodeError`]), values that cannot be written ([`EncodeError`]), and
//! commands out of turn ([`ApiMisuse`]).

use core::fmt;
use core::num::NonZeroUsize;

use crate::{Fault, Mode, RecordType};

/// A part of a record that has a size.
///
/// ```
/// use framing_core::{DecodeError, Field, Limits, Record};
/// let error = Record::decode(&[0x08, 0x00], &Limits::DEFAULT).unwrap_err();
/// assert_eq!(error, DecodeError::Empty(Field::Fault));
/// assert_eq!(Field::ContentType.to_string(), "content type");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Field {
    /// The URI of a Via Record.
    Via,
    /// The content type of an Extensible Encoding Record.
    ContentType,
    /// The protocol name of an Upgrade Request Record.
    Upgrade,
    /// The URI of a Fault Record.
    Fault,
    /// The payload of a Sized Envelope Record, or a raw envelope.
    SizedEnvelope,
    /// The payload of an Unsized Envelope Record: all chunks together.
    UnsizedEnvelope,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Via => "Via",
            Self::ContentType => "content type",
            Self::Upgrade => "upgrade name",
            Self::Fault => "fault",
            Self::SizedEnvelope => "sized envelope",
            Self::UnsizedEnvelope => "unsized envelope",
        })
    }
}

/// What the grammar ([MC-NMF] 3.1.1.2) wants at a place.
///
/// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
///
/// ```
/// use framing_core::{DecodeError, Expected, Limits, RecordType, preamble};
/// let error = preamble::view(&[0, 1, 0, 2], &Limits::DEFAULT).unwrap_err();
/// assert_eq!(error, DecodeError::UnexpectedRecord { expected: Expected::Mode, got: RecordType::VIA });
/// assert_eq!(error.to_string(), "expected Mode, got Via");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Expected {
    /// Nothing: the peer has ended, or was asked for nothing yet. (An initiator takes a Fault all the same.)
    Nothing,
    /// What is left of a record of this type.
    MoreOf(RecordType),
    /// A Mode Record.
    Mode,
    /// A Via Record.
    Via,
    /// A Known or Extensible Encoding Record.
    Encoding,
    /// An Upgrade Request or Preamble End Record.
    UpgradeOrPreambleEnd,
    /// A Preamble End, Sized Envelope or End Record (simplex).
    PreambleEndOrEnvelope,
    /// A Sized Envelope or End Record.
    EnvelopeOrEnd,
    /// An Unsized Envelope Record.
    UnsizedEnvelope,
    /// More of an envelope: payload, a chunk or the terminator.
    MoreOfEnvelope,
    /// An End Record.
    End,
    /// An Upgrade Response or Fault Record.
    UpgradeResponse,
    /// The upgrade itself, between Upgrade Response and [`upgraded`](crate::Receiver::upgraded).
    Upgrade,
    /// A Preamble Ack or Fault Record.
    PreambleAck,
    /// A Sized Envelope, End or Fault Record (the initiator's side of duplex).
    EnvelopeEndOrFault,
    /// An Unsized Envelope, End or Fault Record (the initiator's side of singleton).
    ReplyEndOrFault,
    /// An End or Fault Record (the initiator's side of singleton, after the reply).
    EndOrFault,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::MoreOf(record) => return write!(f, "more of {record}"),
            Self::Mode => "Mode",
            Self::Via => "Via",
            Self::Encoding => "KnownEncoding or ExtensibleEncoding",
            Self::UpgradeOrPreambleEnd => "UpgradeRequest or PreambleEnd",
            Self::PreambleEndOrEnvelope => "PreambleEnd, SizedEnvelope or End",
            Self::EnvelopeOrEnd => "SizedEnvelope or End",
            Self::UnsizedEnvelope => "UnsizedEnvelope",
            Self::MoreOfEnvelope => "more of the envelope",
            Self::End => "End",
            Self::UpgradeResponse => "UpgradeResponse or Fault",
            Self::Upgrade => "the upgrade",
            Self::PreambleAck => "PreambleAck or Fault",
            Self::EnvelopeEndOrFault => "SizedEnvelope, End or Fault",
            Self::ReplyEndOrFault => "UnsizedEnvelope, End or Fault",
            Self::EndOrFault => "End or Fault",
        })
    }
}

/// Octets that no correct peer sends. The session is over; [`fault`](Self::fault) says what to answer.
///
/// Holds numbers only, never a peer's text: printing one is safe in any log.
///
/// ```
/// use framing_core::{DecodeError, Fault, Limits, preamble};
/// let error = preamble::view(b"GET / HTTP/1.1", &Limits::DEFAULT).unwrap_err();
/// assert_eq!(error.fault(), None);
/// assert_eq!(error.to_string(), "not .NET message framing: first octet 0x47 (the peer seems to speak HTTP)");
///
/// let error = preamble::view(&[0, 2, 0], &Limits::DEFAULT).unwrap_err();
/// assert_eq!(error, DecodeError::UnsupportedVersion { major: 2 });
/// assert_eq!(error.fault(), Some(Fault::UNSUPPORTED_VERSION));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecodeError {
    /// A session begins with something else than a Version Record: another protocol.
    NotFraming {
        /// The first octet.
        octet: u8,
    },
    /// The type octet is reserved ([MC-NMF] 2.2.1).
    ///
    /// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
    UnknownRecord(RecordType),
    /// A record (or reserved type octet) that must not come here.
    UnexpectedRecord {
        /// What may come here.
        expected: Expected,
        /// What came.
        got: RecordType,
    },
    /// The major version is not 1. The minor version is never looked at.
    UnsupportedVersion {
        /// The major version.
        major: u8,
    },
    /// The mode is reserved, or has no way back and the connection wants one.
    UnsupportedMode(Mode),
    /// A record size needs more than 31 bits or 5 octets (2.2.2).
    SizeTooLarge,
    /// A size is beyond [`Limits`](crate::Limits).
    TooLong {
        /// What is too long.
        field: Field,
        /// Its size in octets, as far as announced.
        octets: u64,
        /// The limit in octets.
        limit: u64,
    },
    /// A size is 0 where nothing can be done with that: Via, upgrade name, fault.
    Empty(Field),
    /// A text is not UTF-8.
    NotUtf8(Field),
    /// The stream ended where more had to come.
    EndOfStream {
        /// What had to come.
        expected: Expected,
    },
}

/// An implementation of Microsoft's, whose answer to malformed octets [`DecodeError::compatible_fault`] gives.
///
/// ```
/// use framing_core::{DecodeError, Fault, Field, Implementation};
/// let error = DecodeError::TooLong { field: Field::SizedEnvelope, octets: 65537, limit: 65536 };
/// let fault = error.compatible_fault(Implementation::Service);
/// assert_eq!(fault, Some(Fault::MAX_MESSAGE_SIZE_EXCEEDED));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Implementation {
    /// The port sharing service, `SMSvcHost`: it resets the connection, whatever is wrong. To it a Via that is not UTF-8 is
    /// not wrong: it reads U+FFFD there, and looks that up ([`preamble::via_octets`](crate::preamble::via_octets)).
    PortSharingService,
    /// A .NET Framework service that reads the preamble itself, also one that was handed a connection.
    Service,
}

/// One row: what we answer, and what the service of .NET Framework answers.
struct Answers {
    clear: Option<Fault<'static>>,
    service: Option<Fault<'static>>,
}

impl DecodeError {
    /// The fault that tells the peer what is wrong, or `None` where a Fault Record helps nobody: the peer speaks
    /// another protocol or is gone. Whether it can be sent depends on the session:
    /// [`Receiver::answer`](crate::Receiver::answer) knows. An initiator never answers with a fault.
    ///
    /// ```
    /// use framing_core::{DecodeError, Fault, Field};
    /// assert_eq!(DecodeError::SizeTooLarge.fault(), Some(Fault::INVALID_RECORD_SEQUENCE));
    /// assert_eq!(DecodeError::Empty(Field::Via).fault(), Some(Fault::ENDPOINT_NOT_FOUND));
    /// assert_eq!(DecodeError::NotFraming { octet: b'G' }.fault(), None);
    /// ```
    #[must_use]
    pub const fn fault(self) -> Option<Fault<'static>> {
        self.answers().clear
    }

    /// The fault that this implementation of Microsoft's answers with, or `None` where it resets the connection.
    ///
    /// ```
    /// use framing_core::{Implementation, DecodeError, Fault};
    /// let error = DecodeError::UnsupportedVersion { major: 2 };
    /// assert_eq!(error.compatible_fault(Implementation::PortSharingService), None);
    /// assert_eq!(error.compatible_fault(Implementation::Service), Some(Fault::UNSUPPORTED_VERSION));
    /// ```
    #[must_use]
    pub const fn compatible_fault(self, implementation: Implementation) -> Option<Fault<'static>> {
        match implementation {
            Implementation::PortSharingService => None,
            Implementation::Service => self.answers().service,
        }
    }

    /// The one table of errors and answers.
    const fn answers(self) -> Answers {
        const fn row(clear: Fault<'static>, service: Option<Fault<'static>>) -> Answers {
            Answers { clear: Some(clear), service }
        }
        match self {
            Self::NotFraming { .. } | Self::EndOfStream { .. } => Answers { clear: None, service: None },
            Self::UnknownRecord(_) | Self::UnexpectedRecord { .. } | Self::SizeTooLarge => {
                row(Fault::INVALID_RECORD_SEQUENCE, None)
            }
            Self::UnsupportedVersion { .. } => {
                row(Fault::UNSUPPORTED_VERSION, Some(Fault::UNSUPPORTED_VERSION))
            }
            // Product notes 3 and 4 of [MS-NMFTB] claim the fault for these two; the code aborts.
            Self::UnsupportedMode(Mode::SIMPLEX | Mode::SINGLETON_SIZED) => {
                row(Fault::UNSUPPORTED_MODE, None)
            }
            Self::UnsupportedMode(_) => row(Fault::UNSUPPORTED_MODE, Some(Fault::UNSUPPORTED_MODE)),
            Self::TooLong { field, .. } => match field {
                Field::Via => row(Fault::VIA_TOO_LONG, None),
                Field::ContentType => row(Fault::CONTENT_TYPE_TOO_LONG, None),
                Field::Upgrade => row(Fault::UPGRADE_INVALID, None),
                Field::SizedEnvelope => {
                    row(Fault::MAX_MESSAGE_SIZE_EXCEEDED, Some(Fault::MAX_MESSAGE_SIZE_EXCEEDED))
                }
                Field::UnsizedEnvelope => row(Fault::MAX_MESSAGE_SIZE_EXCEEDED, None),
                Field::Fault => row(Fault::INVALID_RECORD_SEQUENCE, None),
            },
            // The original reads U+FFFD in it, and has no such address, most likely.
            Self::NotUtf8(Field::Via) => row(Fault::ENDPOINT_NOT_FOUND, Some(Fault::ENDPOINT_NOT_FOUND)),
            Self::Empty(field) | Self::NotUtf8(field) => match field {
                Field::Via => row(Fault::ENDPOINT_NOT_FOUND, None),
                Field::ContentType => row(Fault::CONTENT_TYPE_INVALID, Some(Fault::CONTENT_TYPE_INVALID)),
                Field::Upgrade => row(Fault::UPGRADE_INVALID, Some(Fault::UPGRADE_INVALID)),
                _ => row(Fault::INVALID_RECORD_SEQUENCE, None),
            },
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotFraming { octet } => {
                write!(f, "not .NET message framing: first octet 0x{octet:02X}{}", spoken_hint(octet))
            }
            Self::UnknownRecord(got) => write!(f, "no record has type {got}"),
            Self::UnexpectedRecord { expected, got } => {
                let hint = match expected {
                    Expected::UpgradeResponse | Expected::PreambleAck => spoken_hint(got.0),
                    _ => "",
                };
                write!(f, "expected {expected}, got {got}{hint}")
            }
            Self::UnsupportedVersion { major } => write!(f, "major version {major}, not 1"),
            Self::UnsupportedMode(mode) => write!(f, "mode {mode} is not supported here"),
            Self::SizeTooLarge => f.write_str("record size over 31 bits or 5 octets"),
            Self::TooLong { field, octets, limit } => {
                write!(f, "{field} of {octets} octets, the limit is {limit}")
            }
            Self::Empty(field) => write!(f, "empty {field}"),
            Self::NotUtf8(field) => write!(f, "{field} is not UTF-8"),
            Self::EndOfStream { expected } => write!(f, "the stream ended, expected {expected}"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// An HTTP request begins with its method's capital letter, a response with `H`; TLS with a handshake or an alert.
const fn spoken_hint(octet: u8) -> &'static str {
    match octet {
        0x15 | 0x16 => " (the peer seems to speak TLS)",
        b'C' | b'D' | b'G' | b'H' | b'O' | b'P' | b'T' | b'h' => " (the peer seems to speak HTTP)",
        _ => "",
    }
}

/// A value that cannot be written, or not into this slice. Nothing was written.
///
/// ```
/// use framing_core::{EncodeError, Record};
/// assert_eq!(Record::Via("net.tcp://a/").encode(&mut [0; 8]), Err(EncodeError::BufferTooShort { needed: 14 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncodeError {
    /// The slice is too short.
    BufferTooShort {
        /// Octets needed.
        needed: usize,
    },
    /// A size needs more than 31 bits.
    SizeTooLarge,
    /// A size of 0, which the specification forbids here.
    Empty(Field),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooShort { needed } => {
                write!(f, "the buffer is too short, {needed} octets are needed")
            }
            Self::SizeTooLarge => f.write_str("size over 31 bits"),
            Self::Empty(field) => write!(f, "empty {field}"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// A command that cannot be carried out: a mistake one finds by reading the calling code, never bad input.
/// Nothing was written and the machine's state is unchanged.
///
/// ```
/// use framing_core::{ApiMisuse, Limits, Receiver};
/// let mut receiver = Receiver::new(Limits::DEFAULT);
/// assert_eq!(receiver.acknowledge(&mut [0; 8]), Err(ApiMisuse::OutOfTurn));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ApiMisuse {
    /// The grammar does not allow this record now, or never in this mode.
    OutOfTurn,
    /// The mode of a preamble is none of the four.
    UndefinedMode(Mode),
    /// So many octets are left that were received on the other side of an upgrade: see
    /// [`upgraded`](crate::Receiver::upgraded) and [`downgraded`](crate::Receiver::downgraded). Where the upgrade has had
    /// what is its, no correct peer sends them, and the connection is to be closed.
    OctetsLeft(NonZeroUsize),
    /// The record cannot be written.
    Encode(EncodeError),
}

impl From<EncodeError> for ApiMisuse {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl fmt::Display for ApiMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfTurn => f.write_str("command out of turn"),
            Self::UndefinedMode(mode) => write!(f, "mode {mode} is not defined"),
            Self::OctetsLeft(octets) => {
                write!(f, "{octets} octets are left that belong to the other side of the upgrade")
            }
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ApiMisuse {}
