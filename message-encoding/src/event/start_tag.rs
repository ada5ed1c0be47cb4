//! Start tags: an element record, the attributes and declarations behind it, and what they mean together.

use core::cmp::Ordering;
use core::ops::Range;

use super::scope::Namespaces;
use super::source::{Ref, Source, Tag, skip_value, span};
use super::state::ReaderState;
use super::{Attribute, Name, ReadError, XML_NAMESPACE, XMLNS_NAMESPACE};
use crate::record::{Cursor, Prefix, PrefixLetter, Record, StringRef};
use crate::value::List;
use crate::{Quotas, RecordError, Value};

impl ReaderState {
    /// Reads a start tag and opens its element. Nothing is changed if that fails.
    #[inline(never)]
    pub(super) fn start_tag<'a>(
        &mut self,
        source: Source<'a>,
        at: usize,
        quotas: &Quotas,
        namespaces: &mut Namespaces<'a>,
    ) -> Result<Name<'a>, ReadError> {
        let depth = self.scopes.depth();
        if depth == 0 && self.root_seen {
            return Err(ReadError::SecondRoot);
        }
        if depth >= quotas.max_depth {
            return Err(ReadError::DepthExceeded(quotas.max_depth));
        }
        let before = self.scopes.bindings();
        let read = self.read_tag(source, at, before, quotas, namespaces);
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
        namespaces: &mut Namespaces<'a>,
    ) -> Result<Name<'a>, ReadError> {
        let mut cursor = Cursor::at(source.octets, at);
        let kind = cursor.octet()?;
        let (prefix, prefix_ref, prefix_str) = match kind {
            0x44..=0x77 => {
                let letter = PrefixLetter::of_record(kind - 0x44);
                (Prefix::PrefixLetter(letter), Ref::PrefixLetter(letter), letter.as_str())
            }
            0x40 | 0x42 => (Prefix::None, Ref::Empty, ""),
            0x41 | 0x43 => {
                let inline = cursor.inline()?;
                (Prefix::Inline(inline), span(inline, cursor.position), inline.as_str()?)
            }
            _ => return Err(ReadError::ArrayElement),
        };
        let (local_ref, local) = source.string(&mut cursor, matches!(kind, 0x42..=0x5D))?;
        let attributes_at = cursor.position;
        let mut named = 0;
        loop {
            let kind = *source.octets.get(cursor.position).ok_or(RecordError::NeedMore(1))?;
            match kind {
                0x08..=0x0B => self.declaration(source, &mut cursor, before, namespaces)?,
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
            self.resolve_attributes(source, attributes_at..cursor.position, named)?;
        }
        let (namespace_ref, namespace) = self.scopes.namespace(prefix, source, Some(namespaces))?;
        self.tag = Tag { prefix: prefix_ref, local: local_ref, namespace: namespace_ref };
        self.attributes_at = attributes_at;
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
        namespaces: &mut Namespaces<'a>,
    ) -> Result<(), ReadError> {
        let kind = cursor.octet()?;
        let (prefix, place) = if kind & 1 == 1 {
            let inline = cursor.inline()?;
            let prefix = match PrefixLetter::of_octets(inline.octets()) {
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
        self.scopes.learn(namespaces, string);
        Ok(())
    }

    /// Reads the attribute that comes next. Its namespace is looked up when all declarations are known.
    fn attribute<'a>(&mut self, source: Source<'a>, cursor: &mut Cursor<'a>) -> Result<(), ReadError> {
        let kind = cursor.octet()?;
        if matches!(kind, 0x05 | 0x07) {
            cursor.inline()?;
        }
        source.string(cursor, matches!(kind, 0x06 | 0x07 | 0x0C..=0x25))?;
        cursor.position = skip_value(source, cursor.position)?;
        Ok(())
    }

    /// Sees that the attributes, of which `named` are no declarations, have prefixes that stand for something, and no two
    /// one name.
    fn resolve_attributes(
        &mut self,
        source: Source<'_>,
        attributes: Range<usize>,
        named: usize,
    ) -> Result<(), ReadError> {
        self.names.clear();
        let mut at = attributes.start;
        while at < attributes.end {
            let (record, used) = Record::decode(&source.octets[at..])?;
            at += used;
            let Record::Attribute { prefix, local } = record else { continue };
            if let Prefix::Inline(inline) = prefix {
                inline.as_str()?;
            }
            // Unlike elements, attributes without a prefix are never in the default namespace.
            let unnamed = prefix.octets().is_empty();
            let namespace = if unnamed { Ref::Empty } else { self.scopes.binding(prefix)?.0 };
            if named > 1 {
                let local = match local {
                    StringRef::Inline(inline) => span(inline, at),
                    StringRef::Dictionary(id) => Ref::Id(id.value()),
                };
                self.names.push((local, namespace));
            }
            at = skip_value(source, at)?;
        }
        if has_duplicates(&mut self.names, source) { Err(ReadError::DuplicateAttribute) } else { Ok(()) }
    }

    /// The local name of the attribute at `at`, none of a declaration, and where the next one is.
    pub(super) fn attribute_local_at<'a>(
        &self,
        source: Source<'a>,
        at: usize,
    ) -> Option<(Option<&'a str>, usize)> {
        let (record, used) = Record::decode(source.octets.get(at..)?).ok()?;
        let end = at + used;
        match record {
            Record::Attribute { local: StringRef::Inline(local), .. } => {
                Some((Some(local.as_str().ok()?), skip_value(source, end).ok()?))
            }
            Record::Attribute { local: StringRef::Dictionary(id), .. } => {
                Some((Some(source.strings.get(id.value())?), skip_value(source, end).ok()?))
            }
            _ => Some((None, end)),
        }
    }

    /// The attribute or declaration at `at`, and where the next one is. It was read and found right before.
    pub(super) fn attribute_at<'a>(
        &self,
        source: Source<'a>,
        namespaces: Option<&Namespaces<'a>>,
        at: usize,
    ) -> Option<(Attribute<'a>, usize)> {
        let string = |string| match string {
            StringRef::Inline(inline) => inline.as_str().ok(),
            StringRef::Dictionary(id) => source.strings.get(id.value()),
        };
        let (record, used) = Record::decode(source.octets.get(at..)?).ok()?;
        let end = at + used;
        match record {
            Record::Xmlns { prefix, uri } => {
                let prefix = core::str::from_utf8(prefix.map_or(&[][..], |prefix| prefix.octets())).ok()?;
                let (prefix, local) = if prefix.is_empty() { ("", "xmlns") } else { ("xmlns", prefix) };
                let name = Name { prefix, local, namespace: XMLNS_NAMESPACE };
                Some((Attribute { name, value: Value::String(string(uri)?) }, end))
            }
            Record::Attribute { prefix, local } => {
                let prefix_str = core::str::from_utf8(prefix.octets()).ok()?;
                let namespace = match prefix_str {
                    "" => "",
                    _ => self.scopes.namespace(prefix, source, namespaces).ok()?.1,
                };
                let name = Name { prefix: prefix_str, local: string(local)?, namespace };
                let value = match Record::decode(&source.octets[end..]).ok()? {
                    (Record::StartList, used) => {
                        Value::List(List::new(&source.octets[end + used..], source.strings))
                    }
                    (Record::Text { text, .. }, _) => Value::of(text, source.strings)?,
                    _ => return None,
                };
                Some((Attribute { name, value }, skip_value(source, end).ok()?))
            }
            _ => None,
        }
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

/// Whether two of the names are one: compared in pairs while they are few, else sorted.
fn has_duplicates(names: &mut [(Ref, Ref)], source: Source<'_>) -> bool {
    let compare = |one: &(Ref, Ref), other: &(Ref, Ref)| {
        compare(source, one.0, other.0).then_with(|| compare(source, one.1, other.1))
    };
    if names.len() < 8 {
        return names
            .iter()
            .enumerate()
            .any(|(index, one)| names[..index].iter().any(|other| compare(one, other) == Ordering::Equal));
    }
    names.sort_unstable_by(compare);
    names.windows(2).any(|pair| compare(&pair[0], &pair[1]) == Ordering::Equal)
}

/// Some order in which equal strings are neighbours. A long string of which there are many uses is rarely looked at.
fn compare(source: Source<'_>, one: Ref, other: Ref) -> Ordering {
    if one == other {
        return Ordering::Equal;
    }
    let (one, other) = (source.octets_of(one), source.octets_of(other));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}
