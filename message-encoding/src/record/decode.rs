//! From octets to one record. By record type, top to bottom as the table of [MC-NBFX] section 2.2 has them.

use super::{Inline, Prefix, PrefixLetter, Record, RecordError, StringRef, Text};
use crate::Int31;

impl<'a> Record<'a> {
    /// Reads the record that `octets` begin with, and says how many octets it has.
    ///
    /// What stands inside an array behind its element has no record type: [`Records`](super::Records) reads that.
    ///
    /// # Errors
    ///
    /// [`RecordError::NeedMore`] when the record goes on behind `octets`; what else can be wrong with a record otherwise.
    #[inline]
    pub fn decode(octets: &'a [u8]) -> Result<(Self, usize), RecordError> {
        let mut cursor = Cursor::new(octets);
        let kind = cursor.octet()?;
        let record = match kind {
            0x01 => Self::EndElement,
            0x02 => Self::Comment(cursor.inline()?),
            0x03 => Self::Array,
            0x04..=0x3F => return cursor.attribute(kind),
            0x40..=0x77 => return cursor.element(kind),
            0xA4 => Self::StartList,
            0xA6 | 0xA7 => Self::EndList { end: kind == 0xA7 },
            _ => return cursor.text(kind),
        };
        Ok((record, cursor.position))
    }
}

/// Reads one thing after another.
pub(crate) struct Cursor<'a> {
    octets: &'a [u8],
    pub(crate) position: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self { octets, position: 0 }
    }

    /// Reads from `position` on, which is within `octets`.
    #[inline]
    pub(crate) const fn at(octets: &'a [u8], position: usize) -> Self {
        Self { octets, position }
    }

    #[inline]
    pub(crate) fn octet(&mut self) -> Result<u8, RecordError> {
        let octet = *self.octets.get(self.position).ok_or(RecordError::NeedMore(1))?;
        self.position += 1;
        Ok(octet)
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], RecordError> {
        let rest = self.octets.get(self.position..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            return Err(RecordError::NeedMore(count - rest.len()));
        };
        self.position += count;
        Ok(taken)
    }

    /// A number of a fixed width, little-endian.
    #[inline]
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let mut value = [0; N];
        value.copy_from_slice(self.take(N)?);
        Ok(value)
    }

    #[inline]
    pub(crate) fn int31(&mut self) -> Result<Int31, RecordError> {
        let number = Int31::decode(self.octets.get(self.position..).unwrap_or_default())?;
        self.position += number.octets();
        Ok(number)
    }

    #[inline]
    pub(crate) fn inline(&mut self) -> Result<Inline<'a>, RecordError> {
        let length = self.int31()?;
        let octets = self.take(length.size())?;
        Ok(Inline { octets, length_octets: length.octets() as u8 })
    }

    #[inline]
    fn inline_ref(&mut self) -> Result<StringRef<'a>, RecordError> {
        self.inline().map(StringRef::Inline)
    }

    #[inline]
    fn dictionary(&mut self) -> Result<StringRef<'a>, RecordError> {
        self.int31().map(StringRef::Dictionary)
    }

    #[inline]
    fn attribute(mut self, kind: u8) -> Result<(Record<'a>, usize), RecordError> {
        let record = match kind {
            0x04 => Record::Attribute { prefix: Prefix::None, local: self.inline_ref()? },
            0x05 => Record::Attribute { prefix: Prefix::Inline(self.inline()?), local: self.inline_ref()? },
            0x06 => Record::Attribute { prefix: Prefix::None, local: self.dictionary()? },
            0x07 => Record::Attribute { prefix: Prefix::Inline(self.inline()?), local: self.dictionary()? },
            0x08 => Record::Xmlns { prefix: None, uri: self.inline_ref()? },
            0x09 => Record::Xmlns { prefix: Some(self.inline()?), uri: self.inline_ref()? },
            0x0A => Record::Xmlns { prefix: None, uri: self.dictionary()? },
            0x0B => Record::Xmlns { prefix: Some(self.inline()?), uri: self.dictionary()? },
            0x0C..=0x25 => Record::Attribute { prefix: letter(kind - 0x0C), local: self.dictionary()? },
            _ => Record::Attribute { prefix: letter(kind - 0x26), local: self.inline_ref()? },
        };
        Ok((record, self.position))
    }

    #[inline]
    fn element(mut self, kind: u8) -> Result<(Record<'a>, usize), RecordError> {
        let (prefix, local) = match kind {
            0x40 => (Prefix::None, self.inline_ref()?),
            0x41 => (Prefix::Inline(self.inline()?), self.inline_ref()?),
            0x42 => (Prefix::None, self.dictionary()?),
            0x43 => (Prefix::Inline(self.inline()?), self.dictionary()?),
            0x44..=0x5D => (letter(kind - 0x44), self.dictionary()?),
            _ => (letter(kind - 0x5E), self.inline_ref()?),
        };
        Ok((Record::Element { prefix, local }, self.position))
    }

    #[inline]
    fn text(mut self, kind: u8) -> Result<(Record<'a>, usize), RecordError> {
        let text = Text::decode(kind & !1, &mut self).map_err(|error| match error {
            RecordError::UnknownRecord(_) => RecordError::UnknownRecord(kind),
            error => error,
        })?;
        Ok((Record::Text { text, end: kind & 1 == 1 }, self.position))
    }
}

#[inline]
fn letter(index: u8) -> Prefix<'static> {
    PrefixLetter::from_index(index).map_or(Prefix::None, Prefix::PrefixLetter)
}
