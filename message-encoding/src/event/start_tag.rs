//! Start tags: an element record, the attributes and declarations behind it, and what they mean together.

use alloc::vec::Vec;

use super::scope::{Ref, Source};
use super::state::ReaderState;
use super::{Attribute, Name, ReadError, XML_NAMESPACE, XMLNS_NAMESPACE};
use crate::record::{Inline, Prefix, Record, Text};
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

impl ReaderState {
    /// Reads a start tag and opens its element. Nothing is changed if that fails.
    pub(super) fn start_tag(
        &mut self,
        source: Source<'_>,
        at: usize,
        quotas: &Quotas,
    ) -> Result<(), ReadError> {
        let depth = self.scopes.depth();
        if depth == 0 && self.root_seen {
            return Err(ReadError::SecondRoot);
        }
        if depth >= quotas.max_depth {
            return Err(ReadError::DepthExceeded(quotas.max_depth));
        }
        let before = self.scopes.bindings();
        let read = self.read_tag(source, at, before, quotas);
        if read.is_err() {
            self.scopes.undo(before, source);
        }
        let (tag, end) = read?;
        self.tag = tag;
        self.root_seen = true;
        self.scopes.open(before, end);
        self.position = end;
        Ok(())
    }

    fn read_tag(
        &mut self,
        source: Source<'_>,
        at: usize,
        before: usize,
        quotas: &Quotas,
    ) -> Result<(Tag, usize), ReadError> {
        let (record, used) = Record::decode(&source.octets[at..])?;
        let Record::Element { prefix, local } = record else {
            return Err(ReadError::ArrayElement);
        };
        let mut position = at + used;
        let local_ref = source.keep(local, position)?;
        let prefix_ref = match prefix {
            Prefix::None => Ref::Empty,
            Prefix::Letter(letter) => Ref::Letter(letter),
            Prefix::Inline(prefix) => {
                let (start, end) = first_string(at, prefix);
                Ref::Span(start, end)
            }
        };
        self.attributes.clear();
        let attributes_at = position;
        loop {
            let kind = *source.octets.get(position).ok_or(RecordError::NeedMore(1))?;
            if !(0x04..=0x3F).contains(&kind) {
                break;
            }
            position = self.attribute(source, position, before)?;
            if position - attributes_at > quotas.max_bytes_per_read {
                return Err(ReadError::StartTagTooLong(quotas.max_bytes_per_read));
            }
        }
        if !self.attributes.is_empty() {
            self.resolve_attributes(source)?;
        }
        let namespace = self.scopes.namespace(prefix)?;
        let tag = Tag { prefix: prefix_ref, local: local_ref, namespace };
        tag.name(source)?;
        Ok((tag, position))
    }

    /// Reads the attribute or declaration at `at` and says where it ends.
    fn attribute(&mut self, source: Source<'_>, at: usize, before: usize) -> Result<usize, ReadError> {
        let (record, used) = Record::decode(&source.octets[at..])?;
        let mut position = at + used;
        let name = match record {
            Record::Xmlns { prefix, uri } => {
                let uri = source.keep(uri, position)?;
                let (octets, span) = match prefix {
                    Some(prefix) => (prefix.as_str()?.as_bytes(), first_string(at, prefix)),
                    None => (&[][..], (0, 0)),
                };
                check_declaration(octets, source.str_of(uri)?)?;
                self.scopes.declare(octets, span, uri, before)?;
                None
            }
            Record::Attribute { local, .. } => {
                let local = source.keep(local, position)?;
                position = skip_value(source, position)?;
                // The namespace is looked up when all declarations are known.
                Some((local, Ref::Empty))
            }
            _ => return Err(RecordError::UnknownRecord(source.octets[at]).into()),
        };
        self.attributes.push(Held { at: at as u32, name });
        Ok(position)
    }

    /// Gives the attributes their namespaces and sees that no two have one name.
    fn resolve_attributes(&mut self, source: Source<'_>) -> Result<(), ReadError> {
        let mut named = 0;
        for held in &mut self.attributes {
            let Some((local, namespace)) = &mut held.name else { continue };
            let (Record::Attribute { prefix, .. }, _) = Record::decode(&source.octets[held.at as usize..])?
            else {
                continue;
            };
            if !prefix.octets().is_empty() {
                core::str::from_utf8(prefix.octets()).map_err(|_| crate::ValueError::InvalidUtf8)?;
                *namespace = self.scopes.namespace(prefix)?;
            }
            source.str_of(*local)?;
            named += 1;
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
                let value = Value::String(source.str_of(source.keep(uri, end).ok()?).ok()?);
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

/// Where the string stands that comes first in the record at `at`.
fn first_string(at: usize, string: Inline<'_>) -> (u32, u32) {
    let start = at + 1 + string.length_octets();
    (start as u32, (start + string.octets().len()) as u32)
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
#[inline]
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
