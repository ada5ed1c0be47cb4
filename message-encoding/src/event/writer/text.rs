//! Which record a value becomes.

use alloc::string::String;

use super::output::{OCTETS, units};
use super::{DictionaryString, WriteError, Writer, check};
use crate::record::ArrayType;
use crate::value::{DateTime, Decimal, TimeSpan, Uuid};
use crate::{Int31, Value};

/// An item of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ListItem<'a> {
    /// A value.
    Value(Value<'a>),
    /// A string that may become an id.
    String(DictionaryString<'a>),
}

impl<'a> From<Value<'a>> for ListItem<'a> {
    fn from(value: Value<'a>) -> Self {
        Self::Value(value)
    }
}

/// The items of an array, of one of the ten types that arrays have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ArrayItems<'a> {
    /// Booleans, one octet each.
    Bool(&'a [bool]),
    /// 16-bit integers.
    Int16(&'a [i16]),
    /// 32-bit integers.
    Int32(&'a [i32]),
    /// 64-bit integers.
    Int64(&'a [i64]),
    /// Numbers of four octets.
    Float(&'a [f32]),
    /// Numbers of eight octets.
    Double(&'a [f64]),
    /// Decimals.
    Decimal(&'a [Decimal]),
    /// Points in time.
    DateTime(&'a [DateTime]),
    /// Spans of time.
    TimeSpan(&'a [TimeSpan]),
    /// GUIDs.
    Uuid(&'a [Uuid]),
}

impl ArrayItems<'_> {
    /// How many items there are.
    pub const fn len(&self) -> usize {
        match self {
            Self::Bool(items) => items.len(),
            Self::Int16(items) => items.len(),
            Self::Int32(items) => items.len(),
            Self::Int64(items) => items.len(),
            Self::Float(items) => items.len(),
            Self::Double(items) => items.len(),
            Self::Decimal(items) => items.len(),
            Self::DateTime(items) => items.len(),
            Self::TimeSpan(items) => items.len(),
            Self::Uuid(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the items.
    pub const fn item(&self) -> ArrayType {
        match self {
            Self::Bool(_) => ArrayType::Bool,
            Self::Int16(_) => ArrayType::Int16,
            Self::Int32(_) => ArrayType::Int32,
            Self::Int64(_) => ArrayType::Int64,
            Self::Float(_) => ArrayType::Float,
            Self::Double(_) => ArrayType::Double,
            Self::Decimal(_) => ArrayType::Decimal,
            Self::DateTime(_) => ArrayType::DateTime,
            Self::TimeSpan(_) => ArrayType::TimeSpan,
            Self::Uuid(_) => ArrayType::Uuid,
        }
    }
}

impl Writer<'_> {
    /// The text record of a value, also of an empty one.
    pub(super) fn value(&mut self, value: Value<'_>, content: bool) -> Result<(), WriteError> {
        match value {
            Value::Empty => self.out.text(0xA8, &[]),
            Value::Bool(value) => self.out.text(if value { 0x86 } else { 0x84 }, &[]),
            Value::Int(value) => self.int(value),
            Value::UInt(value) => match i64::try_from(value) {
                Ok(value) => self.int(value),
                Err(_) => self.out.text(0xB2, &value.to_le_bytes()),
            },
            Value::Float(value) if self.exact => self.out.text(0x90, &value.to_le_bytes()),
            Value::Double(value) if self.exact => self.out.text(0x92, &value.to_le_bytes()),
            Value::Float(value) => self.float(value),
            Value::Double(value) => {
                // What a float holds is written as one. A NaN is not: it equals nothing.
                let float = value as f32;
                if value.is_finite() && f64::from(float) == value {
                    self.float(float);
                } else {
                    self.out.text(0x92, &value.to_le_bytes());
                }
            }
            Value::Decimal(value) => self.out.text(0x94, &value.to_octets()),
            Value::DateTime(value) => self.out.text(0x96, &value.to_bits().to_le_bytes()),
            Value::TimeSpan(value) => self.out.text(0xAE, &value.ticks().to_le_bytes()),
            Value::Uuid(value) => self.out.text(0xB0, &value.to_octets()),
            Value::UniqueId(value) => self.out.text(0xAC, &value.to_octets()),
            Value::String(_) | Value::Chars(_) => self.string(&value.text()?)?,
            Value::Unicode(_) => self.string(&value.text()?)?,
            Value::Bytes(octets) => self.byte_record(octets)?,
            Value::QName(prefix, local) => {
                let mut text = String::from(prefix.as_str());
                text.push(':');
                text.push_str(local);
                self.string(&text)?;
            }
            Value::List(list) => {
                // A list that was read: its values are written again as a list.
                self.out.octet(0xA4);
                for value in list {
                    self.value(value, false)?;
                }
                self.out.octet(0xA6);
                self.out.no_text();
            }
        }
        if !content {
            self.out.no_text();
        }
        Ok(())
    }

    /// A dictionary string as a text.
    pub(super) fn dictionary_string(
        &mut self,
        string: DictionaryString<'_>,
        content: bool,
    ) -> Result<(), WriteError> {
        match self.id(string) {
            Some(id) => {
                self.out.text(0xAA, &[]);
                self.out.int31(id);
            }
            None => {
                check(string.as_str())?;
                self.string(string.as_str())?;
            }
        }
        if !content {
            self.out.no_text();
        }
        Ok(())
    }

    /// A list of values.
    pub(super) fn items(&mut self, items: &[ListItem<'_>]) -> Result<(), WriteError> {
        if items.iter().any(|item| matches!(item, ListItem::Value(Value::List(_) | Value::QName(..)))) {
            return Err(WriteError::InList);
        }
        self.out.octet(0xA4);
        self.out.no_text();
        for &item in items {
            match item {
                ListItem::Value(value) => self.value(value, false)?,
                ListItem::String(string) => self.dictionary_string(string, false)?,
            }
        }
        self.out.octet(0xA6);
        self.out.no_text();
        Ok(())
    }

    fn int(&mut self, value: i64) {
        if let Ok(value) = i8::try_from(value) {
            match value {
                0 => self.out.text(0x80, &[]),
                1 => self.out.text(0x82, &[]),
                _ => self.out.text(0x88, &value.to_le_bytes()),
            }
        } else if let Ok(value) = i16::try_from(value) {
            self.out.text(0x8A, &value.to_le_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.out.text(0x8C, &value.to_le_bytes());
        } else {
            self.out.text(0x8E, &value.to_le_bytes());
        }
    }

    /// A whole number within 16 bits is written as an integer, so that -0 becomes 0.
    fn float(&mut self, value: f32) {
        let whole = value as i16;
        if f32::from(whole) == value {
            self.int(i64::from(whole));
        } else {
            self.out.text(0x90, &value.to_le_bytes());
        }
    }

    /// Characters: `0` and `1` have records of their own; UTF-16 where UTF-8 would take more than two octets a unit.
    fn string(&mut self, string: &str) -> Result<(), WriteError> {
        check(string)?;
        match string {
            "" => self.out.text(0xA8, &[]),
            "0" => self.out.text(0x80, &[]),
            "1" => self.out.text(0x82, &[]),
            _ => {
                let units = units(string);
                if string.len() / 2 > units {
                    self.out.text_length(0xB6, 2 * units);
                    string.encode_utf16().for_each(|unit| self.out.octets(&unit.to_le_bytes()));
                } else {
                    self.out.text_length(0x98, string.len());
                    self.out.octets(string.as_bytes());
                }
            }
        }
        Ok(())
    }

    /// Octets as content: part of the octets before, if there are any right before.
    pub(super) fn bytes(&mut self, octets: &[u8]) -> Result<(), WriteError> {
        self.content();
        let length = self.out.last_octets().unwrap_or(0) + octets.len();
        if length > Int31::MAX as usize {
            return Err(WriteError::TooLong);
        }
        match self.out.last_octets() {
            _ if octets.is_empty() => Ok(()),
            None => self.byte_record(octets),
            Some(_) => {
                self.out.merge_octets(octets, length);
                Ok(())
            }
        }
    }

    fn byte_record(&mut self, octets: &[u8]) -> Result<(), WriteError> {
        match octets.len() {
            0 => self.out.text(0xA8, &[]),
            length @ 1..=0x7FFF_FFFF => {
                self.out.text_length(OCTETS, length);
                self.out.octets(octets);
            }
            _ => return Err(WriteError::TooLong),
        }
        Ok(())
    }

    pub(super) fn array_items(&mut self, items: ArrayItems<'_>) -> Result<(), WriteError> {
        let count = Int31::of(items.len()).ok_or(WriteError::TooLong)?;
        self.out.octet(items.item().octet());
        self.out.no_text();
        self.out.int31(count.value());
        match items {
            ArrayItems::Bool(items) => self.raw(items, |item| [u8::from(item)]),
            ArrayItems::Int16(items) => self.raw(items, i16::to_le_bytes),
            ArrayItems::Int32(items) => self.raw(items, i32::to_le_bytes),
            ArrayItems::Int64(items) => self.raw(items, i64::to_le_bytes),
            ArrayItems::Float(items) => self.raw(items, f32::to_le_bytes),
            ArrayItems::Double(items) => self.raw(items, f64::to_le_bytes),
            ArrayItems::Decimal(items) => self.raw(items, Decimal::to_octets),
            ArrayItems::DateTime(items) => self.raw(items, |item| item.to_bits().to_le_bytes()),
            ArrayItems::TimeSpan(items) => self.raw(items, |item| item.ticks().to_le_bytes()),
            ArrayItems::Uuid(items) => self.raw(items, Uuid::to_octets),
        }
        Ok(())
    }

    fn raw<T: Copy, const N: usize>(&mut self, items: &[T], octets: impl Fn(T) -> [u8; N]) {
        items.iter().for_each(|&item| self.out.octets(&octets(item)));
    }
}
