//! What a text or an attribute says, typed, and the text it is shown as.

pub(crate) mod base64;
mod date_time;
mod decimal;
mod digits;
mod error;
mod list;
mod number;
mod time_span;
mod uuid;

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::Write;

pub use date_time::{DateTime, DateTimeKind};
pub use decimal::Decimal;
pub use error::ValueError;
pub use list::List;
pub use time_span::TimeSpan;
pub use uuid::Uuid;

use crate::dictionary::Strings;
use crate::record::{PrefixLetter, Text};

/// A qualified name's prefix, empty if there is none, and its local name.
pub(crate) fn split_name(text: &str) -> (&str, &str) {
    let text = text.trim_matches(XML_SPACE);
    text.split_once(':').unwrap_or(("", text))
}

/// A value of a document. It borrows from the document and its dictionaries.
///
/// ```
/// use message_encoding::Value;
///
/// assert_eq!(Value::Double(15.99).text()?, "15.99");
/// assert_eq!(Value::Bytes(&[1, 2, 3]).text()?, "AQID");
/// assert_eq!(Value::from("12").to_i64()?, 12);
/// # Ok::<(), message_encoding::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Nothing.
    Empty,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of any width.
    Int(i64),
    /// A whole number without sign.
    UInt(u64),
    /// A number of four octets.
    Float(f32),
    /// A number of eight octets.
    Double(f64),
    /// A decimal number.
    Decimal(Decimal),
    /// A point in time.
    DateTime(DateTime),
    /// A span of time.
    TimeSpan(TimeSpan),
    /// A GUID.
    Uuid(Uuid),
    /// A GUID as `urn:uuid:…`.
    UniqueId(Uuid),
    /// Characters that came as UTF-8 and were not looked at yet.
    Chars(&'a [u8]),
    /// Characters that came as UTF-16, little-endian, and were not looked at yet.
    Unicode(&'a [u8]),
    /// A string: from a dictionary, or of a text document.
    String(&'a str),
    /// Octets.
    Bytes(&'a [u8]),
    /// A prefix and a local name.
    QName(PrefixLetter, &'a str),
    /// A list of values that are one text, with a space between two.
    List(List<'a>),
}

impl<'a> Value<'a> {
    /// The value of a text record, or nothing if its dictionary string is unknown.
    #[inline]
    pub(crate) fn of(text: Text<'a>, strings: Strings<'a>) -> Option<Self> {
        Some(match text {
            Text::Zero => Self::Int(0),
            Text::One => Self::Int(1),
            Text::False => Self::Bool(false),
            Text::True => Self::Bool(true),
            Text::Int8(value) => Self::Int(i64::from(value)),
            Text::Int16(value) => Self::Int(i64::from(value)),
            Text::Int32(value) => Self::Int(i64::from(value)),
            Text::Int64(value) => Self::Int(value),
            Text::UInt64(value) => Self::UInt(value),
            Text::Float(value) => Self::Float(value),
            Text::Double(value) => Self::Double(value),
            Text::Decimal(value) => Self::Decimal(value),
            Text::DateTime(value) => Self::DateTime(value),
            Text::TimeSpan(value) => Self::TimeSpan(value),
            Text::Chars(_, octets) => Self::Chars(octets),
            Text::Unicode(_, octets) => Self::Unicode(octets),
            Text::Bytes(_, octets) => Self::Bytes(octets),
            Text::Empty => Self::Empty,
            Text::Dictionary(id) => Self::String(strings.get(id.value())?),
            Text::UniqueId(value) => Self::UniqueId(value),
            Text::Uuid(value) => Self::Uuid(value),
            Text::Bool(octet) => Self::Bool(octet != 0),
            Text::QName(prefix, local) => Self::QName(prefix, strings.get(local.value())?),
        })
    }

    /// The value as XML shows it, borrowed where the document has it as it is shown.
    ///
    /// A local time is shown as a reader in UTC has it; see [`DateTime::text_at`].
    ///
    /// # Errors
    ///
    /// [`ValueError`], all but [`ValueError::NotOfType`].
    pub fn text(&self) -> Result<Cow<'a, str>, ValueError> {
        Ok(match *self {
            Self::Empty => Cow::Borrowed(""),
            Self::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Self::String(value) => Cow::Borrowed(value),
            Self::Chars(octets) => {
                Cow::Borrowed(core::str::from_utf8(octets).map_err(|_| ValueError::InvalidUtf8)?)
            }
            _ => {
                let mut text = String::new();
                self.push_text(&mut text)?;
                Cow::Owned(text)
            }
        })
    }

    /// The text of the value as a string of its own.
    ///
    /// # Errors
    ///
    /// As [`Value::text`].
    pub fn to_text(&self) -> Result<String, ValueError> {
        self.text().map(Cow::into_owned)
    }

    /// Appends the text of the value to `out`.
    ///
    /// # Errors
    ///
    /// As [`Value::text`]; `out` may have got some of the text then.
    pub fn push_text(&self, out: &mut String) -> Result<(), ValueError> {
        // Writing to a String cannot fail.
        let _ = match *self {
            Self::Empty | Self::Bool(_) | Self::String(_) | Self::Chars(_) => {
                out.push_str(&self.text()?);
                Ok(())
            }
            Self::Int(value) => write!(out, "{value}"),
            Self::UInt(value) => write!(out, "{value}"),
            Self::Decimal(value) => write!(out, "{value}"),
            Self::TimeSpan(value) => write!(out, "{value}"),
            Self::Uuid(value) => write!(out, "{value}"),
            Self::UniqueId(value) => write!(out, "urn:uuid:{value}"),
            Self::QName(prefix, local) => write!(out, "{}:{local}", prefix.as_str()),
            Self::Float(value) => {
                number::push_float(out, value);
                Ok(())
            }
            Self::Double(value) => {
                number::push_double(out, value);
                Ok(())
            }
            Self::DateTime(value) => {
                out.push_str(&value.text()?);
                Ok(())
            }
            Self::Unicode(octets) => {
                out.reserve(octets.len() / 2);
                for unit in char::decode_utf16(
                    octets.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])),
                ) {
                    out.push(unit.map_err(|_| ValueError::InvalidUtf16)?);
                }
                Ok(())
            }
            Self::Bytes(octets) => {
                base64::push(out, octets);
                Ok(())
            }
            Self::List(list) => {
                for (index, value) in list.enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    match value {
                        Self::QName(..) => return Err(ValueError::QNameInList),
                        value => value.push_text(out)?,
                    }
                }
                Ok(())
            }
        };
        Ok(())
    }

    /// The value as a boolean: also `1`, `0`, and the texts `true`, `false`, `1` and `0`.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], or what the text of the value gives.
    pub fn to_bool(&self) -> Result<bool, ValueError> {
        // The usual records, without their text.
        match *self {
            Self::Bool(value) => return Ok(value),
            Self::Int(value @ 0..=1) => return Ok(value == 1),
            _ => {}
        }
        match self.text()?.trim_matches(XML_SPACE) {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(ValueError::NotOfType("boolean")),
        }
    }

    /// The value as a whole number.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], or what the text of the value gives.
    pub fn to_i64(&self) -> Result<i64, ValueError> {
        match *self {
            Self::Int(value) => Ok(value),
            _ => self.parse("64-bit integer"),
        }
    }

    /// The value as a whole number without sign.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], or what the text of the value gives.
    pub fn to_u64(&self) -> Result<u64, ValueError> {
        match *self {
            Self::UInt(value) => Ok(value),
            _ => self.parse("64-bit integer without sign"),
        }
    }

    /// The value as a floating-point number of four octets, the nearest one; `INF`, `-INF` and `NaN` are some.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], or what the text of the value gives.
    pub fn to_f32(&self) -> Result<f32, ValueError> {
        match *self {
            Self::Float(value) => Ok(value),
            Self::Double(value) => Ok(value as f32),
            _ => self.parse_float(),
        }
    }

    /// The value as a floating-point number; `INF`, `-INF` and `NaN` are some.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], or what the text of the value gives.
    pub fn to_f64(&self) -> Result<f64, ValueError> {
        match *self {
            Self::Double(value) => Ok(value),
            Self::Float(value) => Ok(f64::from(value)),
            Self::Int(value) => Ok(value as f64),
            _ => self.parse_float(),
        }
    }

    fn parse_float<T: core::str::FromStr>(&self) -> Result<T, ValueError> {
        let text = self.text()?;
        let text = text.trim_matches(XML_SPACE);
        // Rust has more names for what is no number than XML.
        let number =
            text.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        let number = number || matches!(text, "INF" | "-INF" | "NaN");
        text.parse().ok().filter(|_| number).ok_or(ValueError::NotOfType("number"))
    }

    /// The value as a decimal number: also an integer.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], or what the text of the value gives.
    pub fn to_decimal(&self) -> Result<Decimal, ValueError> {
        match *self {
            Self::Decimal(value) => Ok(value),
            _ => self.text()?.trim_matches(XML_SPACE).parse(),
        }
    }

    /// The value as a point in time.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], [`ValueError::DateOutOfRange`], or what the text of the value gives.
    pub fn to_date_time(&self) -> Result<DateTime, ValueError> {
        match *self {
            Self::DateTime(value) => Ok(value),
            _ => self.text()?.trim_matches(XML_SPACE).parse(),
        }
    }

    /// The value as a span of time.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], or what the text of the value gives.
    pub fn to_time_span(&self) -> Result<TimeSpan, ValueError> {
        match *self {
            Self::TimeSpan(value) => Ok(value),
            _ => self.text()?.trim_matches(XML_SPACE).parse(),
        }
    }

    /// The value as octets; a text is read as base64.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], or what the text of the value gives.
    pub fn to_bytes(&self) -> Result<Cow<'a, [u8]>, ValueError> {
        match *self {
            Self::Bytes(octets) => Ok(Cow::Borrowed(octets)),
            _ => base64::decode(&self.text()?).map(Cow::Owned).ok_or(ValueError::NotOfType("base64")),
        }
    }

    /// The value as a GUID, also with `urn:uuid:` before it.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], or what the text of the value gives.
    pub fn to_uuid(&self) -> Result<Uuid, ValueError> {
        match *self {
            Self::Uuid(value) | Self::UniqueId(value) => Ok(value),
            _ => {
                let text = self.text()?;
                let text = text.trim_matches(XML_SPACE);
                text.strip_prefix("urn:uuid:").unwrap_or(text).parse()
            }
        }
    }

    fn parse<T: core::str::FromStr>(&self, wanted: &'static str) -> Result<T, ValueError> {
        self.text()?.trim_matches(XML_SPACE).parse().map_err(|_| ValueError::NotOfType(wanted))
    }

    /// Whether the value is white space, as XML has it, or nothing.
    pub(crate) fn is_white_space(&self) -> bool {
        match *self {
            Self::Empty => true,
            Self::Chars(octets) => octets.iter().all(|&octet| XML_SPACE.contains(&char::from(octet))),
            Self::String(value) => value.chars().all(|unit| XML_SPACE.contains(&unit)),
            Self::Unicode(octets) => {
                octets.chunks_exact(2).all(|unit| unit[1] == 0 && XML_SPACE.contains(&char::from(unit[0])))
            }
            Self::Bytes(octets) => octets.is_empty(),
            _ => false,
        }
    }
}

/// What XML counts as white space.
pub(crate) const XML_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::String(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

#[cfg(test)]
mod tests;
