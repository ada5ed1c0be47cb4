//! Text records ([MC-NBFX] section 2.2.3): a value each, of one of 25 types.

use super::decode::Cursor;
use super::{PrefixLetter, RecordError};
use crate::Int31;
use crate::value::{DateTime, Decimal, TimeSpan, Uuid};

/// How many octets the length of a text has: the record type says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One: texts of up to 255 octets.
    One,
    /// Two: up to 65,535.
    Two,
    /// Four: up to 2<sup>31</sup> - 1.
    Four,
}

impl Width {
    /// The least width for a length.
    pub(crate) const fn of(length: usize) -> Self {
        match length {
            0..=0xFF => Self::One,
            0x100..=0xFFFF => Self::Two,
            _ => Self::Four,
        }
    }
}

/// The value of a text record, as it stands in the record.
///
/// Each type has two record types, the even one given here and the odd one above it, which also ends the element.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Text<'a> {
    /// `0` (0x80, section 2.2.3.1).
    Zero,
    /// `1` (0x82, section 2.2.3.2).
    One,
    /// `false` (0x84, section 2.2.3.3).
    False,
    /// `true` (0x86, section 2.2.3.4).
    True,
    /// A number of one octet (0x88, section 2.2.3.5).
    Int8(i8),
    /// Of two octets (0x8A, section 2.2.3.6).
    Int16(i16),
    /// Of four octets (0x8C, section 2.2.3.7).
    Int32(i32),
    /// Of eight octets (0x8E, section 2.2.3.8).
    Int64(i64),
    /// IEEE 754, four octets (0x90, section 2.2.3.9).
    Float(f32),
    /// IEEE 754, eight octets (0x92, section 2.2.3.10).
    Double(f64),
    /// Sixteen octets (0x94, section 2.2.3.11).
    Decimal(Decimal),
    /// Eight octets (0x96, section 2.2.3.12).
    DateTime(DateTime),
    /// UTF-8 (0x98, 0x9A, 0x9C, sections 2.2.3.13 to 15).
    Chars(Width, &'a [u8]),
    /// Octets, shown as base64 (0x9E, 0xA0, 0xA2, sections 2.2.3.16 to 18).
    Bytes(Width, &'a [u8]),
    /// Nothing (0xA8, section 2.2.3.21).
    Empty,
    /// A dictionary string (0xAA, section 2.2.3.22).
    Dictionary(Int31),
    /// A GUID, shown as `urn:uuid:…` (0xAC, section 2.2.3.23).
    UniqueId(Uuid),
    /// Eight octets (0xAE, section 2.2.3.24).
    TimeSpan(TimeSpan),
    /// A GUID (0xB0, section 2.2.3.25).
    Uuid(Uuid),
    /// A number of eight octets without sign (0xB2, section 2.2.3.26).
    UInt64(u64),
    /// `true` unless the octet is 0 (0xB4, section 2.2.3.27).
    Bool(u8),
    /// UTF-16, little-endian (0xB6, 0xB8, 0xBA, sections 2.2.3.28 to 30).
    Unicode(Width, &'a [u8]),
    /// A prefix and a dictionary string (0xBC, section 2.2.3.31).
    QName(PrefixLetter, Int31),
}

impl<'a> Text<'a> {
    /// Reads the value that follows the even record type `kind`.
    #[inline]
    pub(crate) fn decode(kind: u8, cursor: &mut Cursor<'a>) -> Result<Self, RecordError> {
        Ok(match kind {
            0x80 => Self::Zero,
            0x82 => Self::One,
            0x84 => Self::False,
            0x86 => Self::True,
            0x88 => Self::Int8(i8::from_le_bytes(cursor.fixed()?)),
            0x8A => Self::Int16(i16::from_le_bytes(cursor.fixed()?)),
            0x8C => Self::Int32(i32::from_le_bytes(cursor.fixed()?)),
            0x8E => Self::Int64(i64::from_le_bytes(cursor.fixed()?)),
            0x90 => Self::Float(f32::from_le_bytes(cursor.fixed()?)),
            0x92 => Self::Double(f64::from_le_bytes(cursor.fixed()?)),
            0x94 => Self::Decimal(Decimal::from_octets(cursor.fixed()?)),
            0x96 => Self::DateTime(DateTime::from_bits(u64::from_le_bytes(cursor.fixed()?))),
            0x98 => Self::Chars(Width::One, cursor.sized(Width::One, false)?),
            0x9A => Self::Chars(Width::Two, cursor.sized(Width::Two, false)?),
            0x9C => Self::Chars(Width::Four, cursor.sized(Width::Four, false)?),
            0x9E => Self::Bytes(Width::One, cursor.sized(Width::One, false)?),
            0xA0 => Self::Bytes(Width::Two, cursor.sized(Width::Two, false)?),
            0xA2 => Self::Bytes(Width::Four, cursor.sized(Width::Four, false)?),
            0xA8 => Self::Empty,
            0xAA => Self::Dictionary(cursor.int31()?),
            0xAC => Self::UniqueId(Uuid::from_octets(cursor.fixed()?)),
            0xAE => Self::TimeSpan(TimeSpan::from_ticks(i64::from_le_bytes(cursor.fixed()?))),
            0xB0 => Self::Uuid(Uuid::from_octets(cursor.fixed()?)),
            0xB2 => Self::UInt64(u64::from_le_bytes(cursor.fixed()?)),
            0xB4 => Self::Bool(cursor.octet()?),
            0xB6 => Self::Unicode(Width::One, cursor.sized(Width::One, true)?),
            0xB8 => Self::Unicode(Width::Two, cursor.sized(Width::Two, true)?),
            0xBA => Self::Unicode(Width::Four, cursor.sized(Width::Four, true)?),
            0xBC => {
                let index = cursor.octet()?;
                let prefix = PrefixLetter::from_index(index).ok_or(RecordError::QNamePrefix(index))?;
                Self::QName(prefix, cursor.int31()?)
            }
            kind => return Err(RecordError::UnknownRecord(kind)),
        })
    }

    /// The even record type.
    pub fn record_type(&self) -> u8 {
        let wide = |first: u8, width: Width| first + 2 * width as u8;
        match *self {
            Self::Zero => 0x80,
            Self::One => 0x82,
            Self::False => 0x84,
            Self::True => 0x86,
            Self::Int8(_) => 0x88,
            Self::Int16(_) => 0x8A,
            Self::Int32(_) => 0x8C,
            Self::Int64(_) => 0x8E,
            Self::Float(_) => 0x90,
            Self::Double(_) => 0x92,
            Self::Decimal(_) => 0x94,
            Self::DateTime(_) => 0x96,
            Self::Chars(width, _) => wide(0x98, width),
            Self::Bytes(width, _) => wide(0x9E, width),
            Self::Empty => 0xA8,
            Self::Dictionary(_) => 0xAA,
            Self::UniqueId(_) => 0xAC,
            Self::TimeSpan(_) => 0xAE,
            Self::Uuid(_) => 0xB0,
            Self::UInt64(_) => 0xB2,
            Self::Bool(_) => 0xB4,
            Self::Unicode(width, _) => wide(0xB6, width),
            Self::QName(..) => 0xBC,
        }
    }
}

impl<'a> Cursor<'a> {
    /// The length of a text.
    #[inline]
    pub(crate) fn length(&mut self, width: Width, utf16: bool) -> Result<usize, RecordError> {
        let length = match width {
            Width::One => u32::from(self.octet()?),
            Width::Two => u32::from(u16::from_le_bytes(self.fixed()?)),
            Width::Four => u32::from_le_bytes(self.fixed()?),
        };
        match Int31::new(length) {
            None => Err(RecordError::LengthTooLarge),
            Some(_) if utf16 && length % 2 == 1 => Err(RecordError::OddLength),
            Some(length) => Ok(length.size()),
        }
    }

    #[inline]
    fn sized(&mut self, width: Width, utf16: bool) -> Result<&'a [u8], RecordError> {
        let length = self.length(width, utf16)?;
        self.take(length)
    }
}

/// The ten types that the items of an array may have ([MC-NBFX] section 2.2.2.29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayType {
    /// 0xB5, one octet an item.
    Bool,
    /// 0x8B, two.
    Int16,
    /// 0x8D, four.
    Int32,
    /// 0x8F, eight.
    Int64,
    /// 0x91, four.
    Float,
    /// 0x93, eight.
    Double,
    /// 0x95, sixteen.
    Decimal,
    /// 0x97, eight.
    DateTime,
    /// 0xAF, eight.
    TimeSpan,
    /// 0xB1, sixteen.
    Uuid,
}

impl ArrayType {
    /// The type with this octet on the wire, that of the text "with end element".
    ///
    /// # Errors
    ///
    /// [`RecordError::ArrayType`] for any other.
    pub const fn decode(octet: u8) -> Result<Self, RecordError> {
        Ok(match octet {
            0xB5 => Self::Bool,
            0x8B => Self::Int16,
            0x8D => Self::Int32,
            0x8F => Self::Int64,
            0x91 => Self::Float,
            0x93 => Self::Double,
            0x95 => Self::Decimal,
            0x97 => Self::DateTime,
            0xAF => Self::TimeSpan,
            0xB1 => Self::Uuid,
            octet => return Err(RecordError::ArrayType(octet)),
        })
    }

    /// The octet on the wire.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Bool => 0xB5,
            Self::Int16 => 0x8B,
            Self::Int32 => 0x8D,
            Self::Int64 => 0x8F,
            Self::Float => 0x91,
            Self::Double => 0x93,
            Self::Decimal => 0x95,
            Self::DateTime => 0x97,
            Self::TimeSpan => 0xAF,
            Self::Uuid => 0xB1,
        }
    }

    /// How many octets an item has.
    pub const fn octets(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Int16 => 2,
            Self::Int32 | Self::Float => 4,
            Self::Int64 | Self::Double | Self::DateTime | Self::TimeSpan => 8,
            Self::Decimal | Self::Uuid => 16,
        }
    }

    /// The item that `octets` begin with.
    #[inline]
    pub(crate) fn item(self, octets: &[u8]) -> Result<Text<'_>, RecordError> {
        Text::decode(self.octet() & !1, &mut Cursor::new(octets))
    }
}
