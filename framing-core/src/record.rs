//! One record: decoding from a slice, encoding into a slice.

use core::num::NonZeroUsize;

use crate::{
    DecodeError, EncodeError, Encoding, Fault, Field, KnownEncoding, Limits, Mode, RecordType, parse, size,
};

/// What a decoder found at the beginning of a slice.
///
/// ```
/// use framing_core::{Decoded, Limits, Record};
/// let Ok(Decoded::NeedMore(missing)) = Record::decode(b"\x02\x05net", &Limits::DEFAULT) else { panic!() };
/// assert_eq!(missing.get(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Decoded<T> {
    /// A whole value.
    Complete {
        /// The value; borrows from the slice.
        value: T,
        /// Octets it took.
        consumed: usize,
    },
    /// The slice ends too early: come again with at least so many octets more, from the same beginning.
    NeedMore(NonZeroUsize),
}

/// A record ([MC-NMF] 2.2). Texts borrow from the octets they were decoded from; the payload of an envelope is not part
/// of the value: it follows the record's octets.
///
/// ```
/// use framing_core::{Decoded, Limits, Record};
/// let octets = [0x06, 0x03, 0xAA, 0xBB, 0xCC, 0x07];
/// let decoded = Record::decode(&octets, &Limits::DEFAULT)?;
/// assert_eq!(decoded, Decoded::Complete { value: Record::SizedEnvelope { size: 3 }, consumed: 2 });
///
/// let mut out = [0; 2];
/// assert_eq!(Record::SizedEnvelope { size: 3 }.encode(&mut out), Ok(2));
/// assert_eq!(out, octets[..2]);
/// # Ok::<(), framing_core::DecodeError>(())
/// ```
///
/// [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Record<'a> {
    /// Version Record (2.2.3.1). Decoding accepts major version 1 only and any minor version.
    Version {
        /// Major version: 1.
        major: u8,
        /// Minor version: 0 from every known peer; never validated.
        minor: u8,
    },
    /// Mode Record (2.2.3.2), reserved modes included.
    Mode(Mode),
    /// Via Record (2.2.3.3): the URI of the endpoint, as UTF-8. Not empty.
    Via(&'a str),
    /// Known Encoding Record (2.2.3.4.1), reserved codes included.
    KnownEncoding(KnownEncoding),
    /// Extensible Encoding Record (2.2.3.4.2): a MIME content type, as UTF-8.
    ExtensibleEncoding(&'a str),
    /// Unsized Envelope Record (2.2.4.2): data chunks follow, each a [`size`] of at least 1 and so many octets; a size
    /// of 0 ends them.
    UnsizedEnvelope,
    /// Sized Envelope Record (2.2.4.1): so many octets of payload follow.
    SizedEnvelope {
        /// Octets of the payload. The specification wants at least 1, decoders accept 0.
        size: u32,
    },
    /// End Record (2.2.3.9).
    End,
    /// Fault Record (2.2.5).
    Fault(Fault<'a>),
    /// Upgrade Request Record (2.2.3.5): the name of a protocol, as UTF-8. Not empty.
    UpgradeRequest(&'a str),
    /// Upgrade Response Record (2.2.3.6).
    UpgradeResponse,
    /// Preamble Ack Record (2.2.3.8).
    PreambleAck,
    /// Preamble End Record (2.2.3.7).
    PreambleEnd,
}

impl<'a> Record<'a> {
    /// Decodes the record at the beginning of `octets`. Judges the record alone, not whether it may come now.
    ///
    /// # Errors
    /// [`DecodeError::UnknownRecord`], [`UnsupportedVersion`](DecodeError::UnsupportedVersion),
    /// [`SizeTooLarge`](DecodeError::SizeTooLarge), [`TooLong`](DecodeError::TooLong) as soon as a size is known,
    /// [`Empty`](DecodeError::Empty), [`NotUtf8`](DecodeError::NotUtf8).
    ///
    /// ```
    /// use framing_core::{DecodeError, Decoded, Limits, Record, RecordType};
    /// let decoded = Record::decode(b"\x09\x03tls\x0C", &Limits::DEFAULT);
    /// assert_eq!(decoded, Ok(Decoded::Complete { value: Record::UpgradeRequest("tls"), consumed: 5 }));
    /// let error = Record::decode(b"\x0D", &Limits::DEFAULT).unwrap_err();
    /// assert_eq!(error, DecodeError::UnknownRecord(RecordType(0x0D)));
    /// ```
    #[inline]
    pub fn decode(octets: &'a [u8], limits: &Limits) -> Result<Decoded<Self>, DecodeError> {
        parse::decoded(octets, parse::record(octets, limits))
    }

    /// The record's type octet.
    ///
    /// ```
    /// use framing_core::{Record, RecordType};
    /// assert_eq!(Record::PreambleAck.record_type(), RecordType::PREAMBLE_ACK);
    /// ```
    #[must_use]
    pub const fn record_type(&self) -> RecordType {
        match self {
            Self::Version { .. } => RecordType::VERSION,
            Self::Mode(_) => RecordType::MODE,
            Self::Via(_) => RecordType::VIA,
            Self::KnownEncoding(_) => RecordType::KNOWN_ENCODING,
            Self::ExtensibleEncoding(_) => RecordType::EXTENSIBLE_ENCODING,
            Self::UnsizedEnvelope => RecordType::UNSIZED_ENVELOPE,
            Self::SizedEnvelope { .. } => RecordType::SIZED_ENVELOPE,
            Self::End => RecordType::END,
            Self::Fault(_) => RecordType::FAULT,
            Self::UpgradeRequest(_) => RecordType::UPGRADE_REQUEST,
            Self::UpgradeResponse => RecordType::UPGRADE_RESPONSE,
            Self::PreambleAck => RecordType::PREAMBLE_ACK,
            Self::PreambleEnd => RecordType::PREAMBLE_END,
        }
    }

    /// Octets [`encode`](Self::encode) writes.
    ///
    /// ```
    /// use framing_core::{Fault, Record};
    /// assert_eq!(Record::Fault(Fault::ENDPOINT_NOT_FOUND).encoded_len(), 73);
    /// ```
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        1_usize.saturating_add(match self {
            Self::Version { .. } => 2,
            Self::Mode(_) | Self::KnownEncoding(_) => 1,
            Self::SizedEnvelope { size } => size::encoded_len(*size),
            _ => match self.text() {
                None => 0,
                Some((_, text)) => {
                    let octets = u32::try_from(text.len()).unwrap_or(u32::MAX);
                    text.len().saturating_add(size::encoded_len(octets))
                }
            },
        })
    }

    /// Encodes the record into the beginning of `out`, sizes in the shortest form, and returns how many octets that
    /// took. Nothing is written on an error.
    ///
    /// # Errors
    /// [`EncodeError::BufferTooShort`]; [`EncodeError::Empty`] for a text or sized envelope of no octets, except an
    /// extensible encoding; [`EncodeError::SizeTooLarge`] over [`size::MAX`].
    ///
    /// ```
    /// use framing_core::{EncodeError, Field, Fault, Record};
    /// let mut out = [0; 128];
    /// let written = Record::Fault(Fault::SERVER_TOO_BUSY).encode(&mut out)?;
    /// assert_eq!(out[..2], [0x08, 0x44]);
    /// assert_eq!(out[2..written], *Fault::SERVER_TOO_BUSY.uri().as_bytes());
    /// assert_eq!(Record::Via("").encode(&mut out), Err(EncodeError::Empty(Field::Via)));
    /// # Ok::<(), EncodeError>(())
    /// ```
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.encoded_len();
        match (self, self.text()) {
            (_, Some((field, ""))) if field != Field::ContentType => return Err(EncodeError::Empty(field)),
            (Self::SizedEnvelope { size: 0 }, _) => return Err(EncodeError::Empty(Field::SizedEnvelope)),
            _ => {}
        }
        let (kind, value) = out
            .get_mut(..needed)
            .and_then(<[u8]>::split_first_mut)
            .ok_or(EncodeError::BufferTooShort { needed })?;
        match (self, value) {
            (Self::Version { major, minor }, [first, second]) => {
                *first = *major;
                *second = *minor;
            }
            (Self::Mode(Mode(code)) | Self::KnownEncoding(KnownEncoding(code)), [octet]) => *octet = *code,
            (Self::SizedEnvelope { size }, value) => {
                size::encode(*size, value)?;
            }
            (_, value) => {
                if let Some((_, text)) = self.text() {
                    let octets = u32::try_from(text.len()).map_err(|_| EncodeError::SizeTooLarge)?;
                    let used = size::encode(octets, value)?;
                    if let Some(value) = value.get_mut(used..) {
                        value.copy_from_slice(text.as_bytes());
                    }
                }
            }
        }
        *kind = self.record_type().0;
        Ok(needed)
    }

    /// The text of a record that is a type, a size and a text.
    const fn text(&self) -> Option<(Field, &'a str)> {
        match *self {
            Self::Via(text) => Some((Field::Via, text)),
            Self::ExtensibleEncoding(text) => Some((Field::ContentType, text)),
            Self::Fault(fault) => Some((Field::Fault, fault.uri())),
            Self::UpgradeRequest(text) => Some((Field::Upgrade, text)),
            _ => None,
        }
    }
}

impl<'a> From<Encoding<'a>> for Record<'a> {
    fn from(encoding: Encoding<'a>) -> Self {
        match encoding {
            Encoding::Known(code) => Self::KnownEncoding(code),
            Encoding::Extensible(content_type) => Self::ExtensibleEncoding(content_type),
        }
    }
}
