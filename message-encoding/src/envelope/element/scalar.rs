//! The value of an element.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::Value;
use crate::value::{DateTime, Decimal, TimeSpan, Uuid};

/// A [`Value`] that borrows from nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Scalar {
    /// Nothing.
    Empty,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
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
    /// A text.
    Text(Arc<str>),
    /// Octets.
    Bytes(Arc<[u8]>),
}

impl Scalar {
    /// The value.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Empty => Value::Empty,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::UInt(value) => Value::UInt(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Decimal(value) => Value::Decimal(*value),
            Self::DateTime(value) => Value::DateTime(*value),
            Self::TimeSpan(value) => Value::TimeSpan(*value),
            Self::Uuid(value) => Value::Uuid(*value),
            Self::UniqueId(value) => Value::UniqueId(*value),
            Self::Text(value) => Value::String(value),
            Self::Bytes(value) => Value::Bytes(value),
        }
    }
}

macro_rules! scalar_from {
    ($($from:ty => $variant:ident;)*) => {
        $(impl From<$from> for Scalar {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

scalar_from! {
    bool => Bool;
    i32 => Int;
    i64 => Int;
    u32 => Int;
    u64 => UInt;
    f32 => Float;
    f64 => Double;
    Decimal => Decimal;
    DateTime => DateTime;
    TimeSpan => TimeSpan;
    Uuid => Uuid;
    &str => Text;
    String => Text;
    &[u8] => Bytes;
    Vec<u8> => Bytes;
    Cow<'_, [u8]> => Bytes;
    Cow<'_, str> => Text;
}
