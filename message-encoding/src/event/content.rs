//! What stands between the start of an element and its end, read as a whole.

use alloc::borrow::Cow;
use alloc::string::String;

use super::octets::Octets;
use super::reader::Found;
use super::state::Next;
use super::{Event, Name, ReadError, Reader, Units};
use crate::value::Uuid;
use crate::{Value, ValueError};

impl<'a> Reader<'a, '_> {
    /// Reads the text up to the end of the element that started last. Comments in it are left out.
    ///
    /// # Errors
    ///
    /// [`ReadError::StringTooLong`] before a text is put together that exceeds the quota; [`ReadError::Unexpected`] if an
    /// element stands there.
    pub fn read_text(&mut self) -> Result<Cow<'a, str>, ReadError> {
        match self.only_text() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => {
                let first = self.next_text()?;
                self.text_from(first)
            }
        }
    }

    /// Reads a text and the end of the element if, as nearly always, there is one short text that also ends the element.
    #[inline(always)]
    fn only_text(&mut self) -> Option<&'a str> {
        let at = self.state.position;
        let octets = self.source.octets.get(at..)?;
        let (text, end) = match *octets {
            [0x99, length, ref rest @ ..] => {
                let length = usize::from(length);
                (core::str::from_utf8(rest.get(..length)?).ok()?, at + 2 + length)
            }
            [0xAB, id @ ..0x80, ..] => (self.source.strings.get(u32::from(id))?, at + 2),
            _ => return None,
        };
        let short = text.len() <= self.quotas.max_string_content_length;
        if !short || self.state.next != Next::Record || !self.close() {
            return None;
        }
        self.state.position = end;
        Some(text)
    }

    /// Reads a text as a GUID if it is one record that is one, else as a string.
    pub(crate) fn read_unique_id(&mut self) -> Result<Result<Uuid, Cow<'a, str>>, ReadError> {
        let at = self.state.position;
        if self.state.next == Next::Record
            && let Some([0xAD, id @ ..]) =
                self.source.octets.get(at..).and_then(|octets| octets.first_chunk::<17>())
            && self.close()
        {
            self.state.position = at + 17;
            return Ok(Ok(Uuid::from_octets(*id)));
        }
        let first = self.next_text()?;
        self.text_from(first).map(Err)
    }

    /// The text whose first part is `next`.
    fn text_from(&mut self, mut next: Option<Value<'a>>) -> Result<Cow<'a, str>, ReadError> {
        let mut whole = Cow::Borrowed("");
        let mut units = Units::new();
        while let Some(value) = next {
            self.count(value, &mut units)?;
            let text = value.text().map_err(|error| self.fail(error.into()))?;
            if whole.is_empty() {
                whole = text;
            } else {
                whole.to_mut().push_str(&text);
            }
            next = self.next_text()?;
        }
        Ok(whole)
    }

    /// The next text of an element, which is counted with those before, or nothing at its end.
    pub(crate) fn next_counted_text(
        &mut self,
        units: &mut Units<'a>,
    ) -> Result<Option<Value<'a>>, ReadError> {
        let next = self.next_text()?;
        if let Some(value) = next {
            self.count(value, units)?;
        }
        Ok(next)
    }

    fn count(&mut self, value: Value<'a>, units: &mut Units<'a>) -> Result<(), ReadError> {
        let quota = self.quotas.max_string_content_length;
        units.add(value, quota).map_err(|error| self.fail(error))
    }

    /// Reads the text up to the end of the element that started last as one value, and gives what `of` makes of it: the value as
    /// it is if it is one record; if it is several, the octets if all are octets (writers split those), else the whole text.
    ///
    /// ```
    /// use message_encoding::event::Reader;
    ///
    /// let mut reader = Reader::from_slice(b"\x40\x01r\x89\x2A"); // <r>42</r>
    /// reader.next_child()?;
    /// assert_eq!(reader.read_value(|value| value.to_i64())?, 42);
    /// # Ok::<(), message_encoding::ReadError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `of` gives; [`ReadError::Unexpected`] if there is an element; for several records also the quotas of
    /// [`Reader::read_text`] and [`Reader::read_bytes`].
    pub fn read_value<T>(
        &mut self,
        of: impl FnOnce(&Value<'_>) -> Result<T, ValueError>,
    ) -> Result<T, ReadError> {
        let read = match self.next_text()? {
            None => of(&Value::Empty).map_err(ReadError::from),
            Some(first) => match self.next_text()? {
                None => of(&first).map_err(ReadError::from),
                Some(second) => self.joined(first, second, of),
            },
        };
        read.map_err(|error| self.fail(error))
    }

    #[cold]
    fn joined<T>(
        &mut self,
        first: Value<'a>,
        second: Value<'a>,
        of: impl FnOnce(&Value<'_>) -> Result<T, ValueError>,
    ) -> Result<T, ReadError> {
        let (mut next, mut after) = (Some(first), Some(second));
        let mut octets = Octets::new(self.quotas.max_array_length);
        while let Some(value @ Value::Bytes(_)) = next {
            octets.push(value)?;
            next = after;
            after = if next.is_some() { self.next_text()? } else { None };
        }
        let octets = octets.finish()?;
        let Some(value) = next else { return Ok(of(&Value::Bytes(&octets))?) };
        // Octets before a text are part of it as base64.
        let (mut text, mut units) = (String::new(), Units::new());
        for value in [Value::Bytes(&octets), value] {
            units.add(value, self.quotas.max_string_content_length)?;
            value.push_text(&mut text)?;
        }
        while let Some(value) = after {
            units.add(value, self.quotas.max_string_content_length)?;
            value.push_text(&mut text)?;
            after = self.next_text()?;
        }
        Ok(of(&Value::String(&text))?)
    }

    /// Reads octets up to the end of the element that started last: borrowed if they are one record, put together else.
    /// Texts are read as base64, which runs on from text to text; comments and white space in it are left out.
    ///
    /// # Errors
    ///
    /// [`ReadError::ArrayTooLong`] before octets are put together that exceed the quota; [`ReadError::Unexpected`] if an
    /// element stands there; [`ValueError::NotOfType`] if a text is no base64.
    pub fn read_bytes(&mut self) -> Result<Cow<'a, [u8]>, ReadError> {
        let mut octets = Octets::new(self.quotas.max_array_length);
        while let Some(value) = self.next_text()? {
            octets.push(value).map_err(|error| self.fail(error))?;
        }
        octets.finish().map_err(|error| self.fail(error))
    }

    /// Reads over what the element that started last contains, and its end.
    ///
    /// # Errors
    ///
    /// What is wrong with the document there.
    pub fn skip(&mut self) -> Result<(), ReadError> {
        let mut open = 1_usize;
        while open > 0 {
            match self.next()? {
                Some(Event::Start(_)) => open += 1,
                Some(Event::End) => open -= 1,
                Some(_) => {}
                None => return Err(self.fail(ReadError::UnexpectedEnd)),
            }
        }
        Ok(())
    }

    /// The next child of an element: its name, or nothing at the end of the element. Comments and white space between the
    /// children are left out.
    ///
    /// # Errors
    ///
    /// [`ReadError::Unexpected`] if a text stands there.
    #[inline]
    pub fn next_child(&mut self) -> Result<Option<Name<'a>>, ReadError> {
        Ok(self.child()?.then_some(self.name))
    }

    /// As [`Reader::next_child`]; the name is [`Reader::name`].
    #[inline(always)]
    pub(crate) fn child(&mut self) -> Result<bool, ReadError> {
        loop {
            match self.advance() {
                Found::Start => return Ok(true),
                Found::End => return Ok(false),
                found => self.no_element(found)?,
            }
        }
    }

    /// Goes past what may stand between elements.
    #[inline(never)]
    fn no_element(&mut self, found: Found) -> Result<(), ReadError> {
        match found {
            Found::Comment => Ok(()),
            Found::Text if self.value.is_white_space() => Ok(()),
            Found::Refused => Err(self.refusal()),
            Found::Done => Err(self.fail(ReadError::UnexpectedEnd)),
            _ => Err(self.fail(ReadError::Unexpected("an element"))),
        }
    }

    /// The root element, if the document begins with one. Comments and white space before it are left out.
    #[inline(always)]
    pub(crate) fn root(&mut self) -> Result<Option<Name<'a>>, ReadError> {
        loop {
            match self.advance() {
                Found::Start => return Ok(Some(self.name)),
                Found::Comment => {}
                Found::Text if self.value.is_white_space() => {}
                Found::Refused => return Err(self.refusal()),
                Found::Text | Found::End | Found::Done => return Ok(None),
            }
        }
    }

    /// The next text of an element, or nothing at its end.
    #[inline]
    pub(crate) fn next_text(&mut self) -> Result<Option<Value<'a>>, ReadError> {
        loop {
            match self.advance() {
                Found::Text => return Ok(Some(self.value)),
                Found::End => return Ok(None),
                Found::Comment => {}
                Found::Start => return Err(self.fail(ReadError::Unexpected("a text"))),
                Found::Done => return Err(self.fail(ReadError::UnexpectedEnd)),
                Found::Refused => return Err(self.refusal()),
            }
        }
    }
}
