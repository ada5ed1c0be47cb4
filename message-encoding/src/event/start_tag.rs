//! Start tags: an element record, the attributes and declarations behind it, and what they mean together.

use alloc::vec::Vec;

use super::scope::{Known, Ref, Source, span};
use super::state::ReaderState;
use super::{Attribute, Name, ReadError, XML_NAMESPACE, XMLNS_NAMESPACE};
use crate::record::{Cursor, Letter, Prefix, Record, StringRef, Text};
use crate::value::List;
use crate::{Quotas, RecordError, Value};

/// The name of the element that started last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    prefix: Ref,
    local: Ref,
    namespace: Ref,
}

impl Default for Tag {
    fn default() -> Self {
        Self { prefix: Ref::Empty, local: Ref::Empty, namespace: Ref::Empty }
    }
}

impl Tag {
    #[inline]
    pub(super) fn name<'a>(&self, source: Source<'a>) -> Result<Name<'a>, ReadError> {
        Ok(Name {
            prefix: source.str_of(self.prefix)?,
            local: source.str_of(self.local)?,
            namespace: source.str_of(self.namespace)?,
        })
    }
}

/// An attribute of the element that started last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Where its record begins.
    at: u32,
    /// Its local name and namespace; none for a declaration.
    name: Option<(Ref, Ref)>,
}

impl Held {
    #[inline]
    pub(super) fn declaration(at: usize) -> Self {
        Self { at: at as u32, name: None }
    }

    /// An attribute without a namespace.
    #[inline]
    pub(super) fn attribute(at: usize, local: Ref) -> Self {
        Self { at: at as u32, name: Some((local, Ref::Empty)) }
    }

    #[inline]
    pub(super) fn set_namespace(&mut self, uri: Ref) {
        if let Some((_, namespace)) = &mut self.name {
            *namespace = uri;
        }
    }
}

impl ReaderState {
    /// Reads a start tag and opens its element. Nothing is changed if that fails.
    #[inline(never)]
    pub(super) fn start_tag<'a>(
        &mut self,
        source: Source<'a>,
        at: usize,
        quotas: &Quotas,
        known: &mut Known<'a>,
    ) -> Result<Name<'a>, ReadError> {
        let depth = self.scopes.depth();
        if depth == 0 && self.root_seen {
            return Err(ReadError::SecondRoot);
        }
        if depth >= quotas.max_depth {
            return Err(ReadError::DepthExceeded(quotas.max_depth));
        }
        let before = self.scopes.bindings();
        let read = self.read_tag(source, at, before, quotas, known);
        if read.is_err() {
            self.scopes.undo(before, &source);
        }
        read
    }

    fn read_tag<'a>(
        &mut self,
        source: Source<'a>,
        at: usize,
        before: usize,
        quotas: &Quotas,
        known: &mut Known<'a>,
    ) -> Result<Name<'a>, ReadError> {
        let mut cursor = Cursor::at(source.octets, at);
        let kind = cursor.octet()?;
        let (prefix, prefix_ref, prefix_str) = match kind {
            0x44..=0x77 => {
                let letter = Letter::of_record(kind - 0x44);
                (Prefix::Letter(letter), Ref::Letter(letter), letter.as_str())
            }
            0x40 | 0x42 => (Prefix::None, Ref::Empty, ""),
            0x41 | 0x43 => {
                let inline = cursor.inline()?;
                (Prefix::Inline(inline), span(inline, cursor.position), inline.as_str()?)
            }
            _ => return Err(ReadError::ArrayElement),
        };
        let (local_ref, local) = source.string(&mut cursor, matches!(kind, 0x42..=0x5D))?;
        self.attributes.clear();
        let attributes_at = cursor.position;
        let mut named = 0;
        loop {
            let kind = *source.octets.get(cursor.position).ok_or(RecordError::NeedMore(1))?;
            match kind {
                0x08..=0x0B => self.declaration(source, &mut cursor, before, known)?,
                0x04..=0x3F => {
                    self.attribute(source, &mut cursor)?;
                    named += 1;
                }
                _ => break,
            }
            if cursor.position - attributes_at > quotas.max_bytes_per_read {
                return Err(ReadError::StartTagTooLong(quotas.max_bytes_per_read));
            }
        }
        if named > 0 {
            self.resolve_attributes(source, named)?;
        }
        let namespace_ref = self.scopes.namespace(prefix)?;
        let namespace = source.str_of(namespace_ref)?;
        self.tag = Tag { prefix: prefix_ref, local: local_ref, namespace: namespace_ref };
        self.root_seen = true;
        self.scopes.open(before, cursor.position);
        self.position = cursor.position;
        Ok(Name { prefix: prefix_str, local, namespace })
    }

    /// Reads the declaration that comes next.
    fn declaration<'a>(
        &mut self,
        source: Source<'a>,
        cursor: &mut Cursor<'a>,
        before: usize,
        known: &mut Known<'a>,
    ) -> Result<(), ReadError> {
        let at = cursor.position;
        let kind = cursor.octet()?;
        let (prefix, place) = if kind & 1 == 1 {
            let inline = cursor.inline()?;
            let prefix = match Letter::of_octets(inline.octets()) {
                Some(letter) => letter.as_str(),
                None => inline.as_str()?,
            };
            (prefix.as_bytes(), (cursor.position - prefix.len(), cursor.position))
        } else {
            (&[][..], (0, 0))
        };
        let (uri, string) = source.string(cursor, kind >= 0x0A)?;
        check_declaration(prefix, string)?;
        self.scopes.declare(prefix, (place.0 as u32, place.1 as u32), uri, before)?;
        self.scopes.learn(known, string);
        self.attributes.push(Held::declaration(at));
        Ok(())
    }

    /// Reads the attribute that comes next.
    fn attribute<'a>(&mut self, source: Source<'a>, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        let at = cursor.position;
        let kind = cursor.octet()?;
        if matches!(kind, 0x05 | 0x07) {
            cursor.inline()?;
        }
        let (local, _) = source.string(cursor, matches!(kind, 0x06 | 0x07 | 0x0C..=0x25))?;
        match source.octets.get(cursor.position) {
            // A number or truth that is all in the record type, as `mustUnderstand` nearly always is.
            Some(0x80 | 0x82 | 0x84 | 0x86) => cursor.position += 1,
            _ => cursor.position = skip_value(source, cursor.position)?,
        }
        // The namespace is looked up when all declarations are known.
        self.attributes.push(Held::attribute(at, local));
        Ok(())
    }

    /// Gives the attributes, of which `named` are no declarations, their namespaces and sees that no two have one name.
    fn resolve_attributes(&mut self, source: Source<'_>, named: usize) -> Result<(), ReadError> {
        for held in &mut self.attributes {
            let Some((_, namespace)) = &mut held.name else { continue };
            let at = held.at as usize;
            let prefix = match source.octets.get(at) {
                Some(&kind @ 0x0C..=0x3F) => Prefix::Letter(Letter::of_record(kind - 0x0C)),
                Some(0x05 | 0x07) => Prefix::Inline(Cursor::at(source.octets, at + 1).inline()?),
                _ => continue,
            };
            if let Prefix::Inline(inline) = prefix {
                inline.as_str()?;
            }
            if !prefix.octets().is_empty() {
                *namespace = self.scopes.namespace(prefix)?;
            }
        }
        if named > 1 && has_duplicates(&self.attributes, source) {
            return Err(ReadError::DuplicateAttribute);
        }
        Ok(())
    }

    /// Attribute number `index` of the element that started last.
    pub(super) fn held<'a>(&self, index: usize, source: Source<'a>) -> Option<Attribute<'a>> {
        let held = self.attributes.get(index)?;
        // All of it was decoded and checked before.
        let at = held.at as usize;
        let (record, used) = Record::decode(source.octets.get(at..)?).ok()?;
        let end = at + used;
        Some(match record {
            Record::Xmlns { prefix, uri } => {
                let prefix = core::str::from_utf8(prefix.map_or(&[][..], |prefix| prefix.octets())).ok()?;
                let (prefix, local) = if prefix.is_empty() { ("", "xmlns") } else { ("xmlns", prefix) };
                let uri = match uri {
                    StringRef::Inline(inline) => inline.as_str().ok()?,
                    StringRef::Dictionary(id) => source.strings.get(id.value())?,
                };
                let value = Value::String(uri);
                Attribute { name: Name { prefix, local, namespace: XMLNS_NAMESPACE }, value }
            }
            Record::Attribute { prefix, .. } => {
                let (local, namespace) = held.name?;
                let name = Name {
                    prefix: core::str::from_utf8(prefix.octets()).ok()?,
                    local: source.str_of(local).ok()?,
                    namespace: source.str_of(namespace).ok()?,
                };
                let value = match Record::decode(&source.octets[end..]).ok()? {
                    (Record::StartList, used) => {
                        Value::List(List::new(&source.octets[end + used..], source.strings))
                    }
                    (Record::Text { text, .. }, _) => Value::of(text, source.strings)?,
                    _ => return None,
                };
                Attribute { name, value }
            }
            _ => return None,
        })
    }
}

/// Whether a declaration is allowed.
fn check_declaration(prefix: &[u8], uri: &str) -> Result<(), ReadError> {
    match prefix {
        [] => Ok(()),
        _ if uri.is_empty() => Err(ReadError::EmptyNamespace),
        b"xml" if uri != XML_NAMESPACE => Err(ReadError::ReservedPrefix),
        b"xmlns" if uri != XMLNS_NAMESPACE => Err(ReadError::ReservedPrefix),
        _ => Ok(()),
    }
}

/// Reads over the value of an attribute at `at` and says where it ends.
fn skip_value(source: Source<'_>, at: usize) -> Result<usize, ReadError> {
    match Record::decode(&source.octets[at..])? {
        (Record::StartList, used) => match skip_list(source, at + used)? {
            (end, false) => Ok(end),
            // No element ends with the value of an attribute.
            (end, true) => Err(RecordError::UnknownRecord(source.octets[end - 1]).into()),
        },
        (Record::Text { text, end: false }, used) => {
            Value::of(text, source.strings).ok_or_else(|| unknown_string(text))?;
            Ok(at + used)
        }
        _ => Err(RecordError::UnknownRecord(source.octets[at]).into()),
    }
}

/// Reads over the items of a list from `at` on; says where it ends and whether its element does.
pub(super) fn skip_list(source: Source<'_>, at: usize) -> Result<(usize, bool), ReadError> {
    let mut position = at;
    loop {
        let (record, used) = Record::decode(&source.octets[position..])?;
        match record {
            Record::EndList { end } => return Ok((position + used, end)),
            Record::Text { text, end: false } => {
                Value::of(text, source.strings).ok_or_else(|| unknown_string(text))?;
            }
            _ => return Err(RecordError::UnknownRecord(source.octets[position]).into()),
        }
        position += used;
    }
}

/// The error for a text whose dictionary string is not there.
pub(super) fn unknown_string(text: Text<'_>) -> ReadError {
    match text {
        Text::Dictionary(id) | Text::QName(_, id) => ReadError::UnknownString(id.value()),
        _ => ReadError::UnexpectedEnd,
    }
}

/// Whether two attributes have one name: compared in pairs while they are few, else sorted.
fn has_duplicates(attributes: &[Held], source: Source<'_>) -> bool {
    let name = |held: &Held| {
        held.name.map(|(local, namespace)| (source.octets_of(local), source.octets_of(namespace)))
    };
    if attributes.len() < 8 {
        return attributes.iter().enumerate().any(|(index, one)| {
            name(one).is_some_and(|one| attributes[..index].iter().any(|other| name(other) == Some(one)))
        });
    }
    let mut sorted: Vec<_> = attributes.iter().filter_map(name).collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}
