//! Arrays, whose items need not be read one by one.

use super::state::Next;
use super::{ReadError, Reader};
use crate::Value;
use crate::dictionary::Strings;
use crate::record::ArrayType;

impl<'a> Reader<'a, '_> {
    /// The items of an array that are left, all at once: to be called when the event before was the start of an element, which
    /// is the first of them. The end of an element is the next event. Nothing if that is no item of an array.
    ///
    /// ```
    /// use message_encoding::Value;
    /// use message_encoding::event::{Event, Reader};
    ///
    /// // <r><i>1</i><i>2</i><i>3</i><i>4</i></r>
    /// let document = b"\x40\x01r\x03\x40\x01i\x01\x8B\x04\x01\0\x02\0\x03\0\x04\0\x01";
    /// let mut reader = Reader::from_slice(document);
    /// reader.next()?;
    /// assert!(reader.array()?.is_none(), "r is no item");
    /// reader.next()?;
    /// assert_eq!(reader.read_value(|value| value.to_i64())?, 1);
    /// assert!(matches!(reader.next()?, Some(Event::Start(_))));
    /// let left = reader.array()?.unwrap();
    /// assert!(left.values().eq([2, 3, 4].map(Value::Int)));
    /// assert_eq!(reader.next()?, Some(Event::End), "that of i");
    /// assert_eq!(reader.next()?, Some(Event::End), "that of r");
    /// # Ok::<(), message_encoding::event::ReadError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReadError::UnexpectedEnd`], and [`ReadError::ArrayTooLong`] before anything is read.
    pub fn array(&mut self) -> Result<Option<Array<'a>>, ReadError> {
        let Next::Item(item, count) = self.state.next else { return Ok(None) };
        let count = count as usize;
        if count > self.quotas.max_array_length {
            return Err(self.fail(ReadError::ArrayTooLong(self.quotas.max_array_length)));
        }
        let start = self.state.position;
        let end = count.checked_mul(item.octets()).and_then(|size| size.checked_add(start));
        let Some(octets) = end.and_then(|end| self.source.octets.get(start..end)) else {
            return Err(self.fail(ReadError::UnexpectedEnd));
        };
        self.state.position += octets.len();
        // Its end is the next event.
        self.state.next = Next::ItemEnd(item, 1);
        Ok(Some(Array { item, octets }))
    }
}

/// The items of an array, as they lie in the document.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    item: ArrayType,
    octets: &'a [u8],
}

impl<'a> Array<'a> {
    /// The type of the items.
    pub const fn item(&self) -> ArrayType {
        self.item
    }

    /// The items, each little-endian, without gaps.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The items one by one.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let item = self.item;
        self.octets
            .chunks_exact(item.octets())
            .filter_map(move |octets| Value::of(item.item(octets).ok()?, Strings::STATIC))
    }
}
