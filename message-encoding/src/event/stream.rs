//! A reader of documents that come in pieces: the body of a streamed message.

use alloc::string::String;
use alloc::vec::Vec;

use super::attributes::Attributes;
use super::scope::Namespaces;
use super::source::Source;
use super::state::{Next, Piece, PieceKind, ReaderState};
use super::{Event, Name, ReadError};
use crate::dictionary::Strings;
use crate::record::Width;
use crate::{Quotas, RecordError, Value};

/// Reads the events of a document as its octets arrive.
///
/// It keeps the start tags of the open elements and the octets not read yet, nothing else: a text longer than
/// `max_bytes_per_read` comes as several text events, none of which ends within a character; pieces of byte strings are multiples of
/// three octets. The same octets give the same events however they are split.
///
/// ```
/// use message_encoding::dictionary::Strings;
/// use message_encoding::event::{Event, Progress, StreamReader};
/// use message_encoding::{Quotas, Value};
///
/// let mut reader = StreamReader::new(Quotas::default());
/// reader.push(&[0x40, 0x01]);
/// assert!(matches!(reader.next(Strings::STATIC)?, Progress::NeedMore(_)));
/// reader.push(&[b'r', 0x83]);
/// reader.finish();
/// assert!(matches!(reader.next(Strings::STATIC)?, Progress::Event(Event::Start(_))));
/// assert_eq!(reader.next(Strings::STATIC)?, Progress::Event(Event::Text(Value::Int(1))));
/// # Ok::<(), message_encoding::event::ReadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StreamReader {
    state: ReaderState,
    /// The start tags of the open elements, what was read since the last octets came, and what was not read yet.
    octets: Vec<u8>,
    item: ItemName,
    quotas: Quotas,
    finished: bool,
}

/// The name of the items of an array, which may be long, and the items many: looked through once.
#[derive(Clone, Debug, Default)]
struct ItemName {
    prefix: String,
    local: String,
    namespace: String,
}

impl ItemName {
    fn set(&mut self, name: Name<'_>) {
        for (string, new) in [
            (&mut self.prefix, name.prefix),
            (&mut self.local, name.local),
            (&mut self.namespace, name.namespace),
        ] {
            string.clear();
            string.push_str(new);
        }
    }

    fn name(&self) -> Name<'_> {
        Name { prefix: &self.prefix, local: &self.local, namespace: &self.namespace }
    }
}

/// What a [`StreamReader`] has to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress<'a> {
    /// An event.
    Event(Event<'a>),
    /// Nothing before at least so many more octets are there.
    NeedMore(usize),
    /// The document is at its end.
    Done,
}

/// What a piece of a text leaves of `max_bytes_per_read`: the record type and length of the rest, as .NET counts.
const HEADER: usize = 5;

impl StreamReader {
    /// A reader that keeps `quotas`. Pieces of texts have at least a few octets, however small the quota is.
    pub fn new(quotas: Quotas) -> Self {
        Self {
            state: ReaderState::new(),
            octets: Vec::new(),
            item: ItemName::default(),
            quotas,
            finished: false,
        }
    }

    /// Adds the next octets of the document.
    ///
    /// Call [`StreamReader::next`] until it needs input before: what was read by then makes room.
    pub fn push(&mut self, octets: &[u8]) {
        self.discard();
        self.octets.extend_from_slice(octets);
        if u32::try_from(self.octets.len()).is_err() {
            self.state.fail(ReadError::DocumentTooLong);
        }
    }

    /// Says that the document is complete.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// How many octets it keeps at the moment.
    pub fn buffered(&self) -> usize {
        self.octets.len()
    }

    /// The attributes of the element that started last.
    pub fn attributes<'a>(&'a self, strings: Strings<'a>) -> Attributes<'a, 'a> {
        Attributes::new(&self.state, Source { octets: &self.octets, strings }, None)
    }

    /// The namespace that `prefix` stands for within the element that started last and has not ended, as [`Reader::namespace`] has it.
    ///
    /// [`Reader::namespace`]: super::Reader::namespace
    pub fn namespace<'a>(&'a self, prefix: &str, strings: Strings<'a>) -> Option<&'a str> {
        self.state.namespace(prefix, Source { octets: &self.octets, strings }, None)
    }

    /// The next event.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; from then on always the same one.
    pub fn next<'a>(&'a mut self, strings: Strings<'a>) -> Result<Progress<'a>, ReadError> {
        if let Some(error) = self.state.failed {
            return Err(error);
        }
        match self.state.next {
            Next::ItemStart(item, left) => {
                self.state.next = Next::Item(item, left);
                return Ok(Progress::Event(Event::Start(self.item.name())));
            }
            Next::Record if self.is_tag() => {
                if let Some(more) = self.start(strings)? {
                    return Ok(Progress::NeedMore(more));
                }
                let name = self.state.tag.name(Source { octets: &self.octets, strings })?;
                return Ok(Progress::Event(Event::Start(name)));
            }
            _ => {}
        }
        let source = Source { octets: &self.octets, strings };
        let (at, bound) = (self.state.position, self.at_once());
        let step = match piece(&mut self.state, source, &self.quotas) {
            Ok(Some(value)) => Ok(Some(Event::Text(value))),
            Ok(None) => self.state.step(source, &self.quotas, &mut Namespaces::default()),
            Err(error) => Err(error),
        };
        let error = match step {
            Ok(Some(_)) if self.state.position - at > bound => ReadError::StringTooLong(bound),
            Ok(Some(event)) => return Ok(Progress::Event(event)),
            Ok(None) if self.finished => return Ok(Progress::Done),
            Ok(None) => return Ok(Progress::NeedMore(1)),
            Err(error) => match self.more(error) {
                Ok(more) => return Ok(Progress::NeedMore(more)),
                Err(error) => error,
            },
        };
        self.state.fail(error);
        Err(error)
    }

    /// Whether the next record starts an element or an array.
    fn is_tag(&self) -> bool {
        matches!(self.octets.get(self.state.position), Some(0x03 | 0x40..=0x77))
    }

    /// Reads the start of an element or an array, and moves its start tag to those of the elements around it. Says how many
    /// more octets it needs, if any.
    fn start(&mut self, strings: Strings<'_>) -> Result<Option<usize>, ReadError> {
        let source = Source { octets: &self.octets, strings };
        let (at, to, bound) = (self.state.position, self.state.scopes.kept(), self.at_once());
        let step = self.state.step(source, &self.quotas, &mut Namespaces::default()).map(drop);
        let error = match step {
            Ok(()) if self.state.position - at > bound => ReadError::StringTooLong(bound),
            Ok(()) => {
                let array = matches!(self.state.next, Next::Item(..));
                let (from, end) = (at + usize::from(array), self.state.scopes.kept());
                self.octets.copy_within(from..end, to);
                self.state.moved(from, to);
                if array {
                    self.item.set(self.state.tag.name(Source { octets: &self.octets, strings })?);
                }
                return Ok(None);
            }
            Err(error) => match self.more(error) {
                Ok(more) => return Ok(Some(more)),
                Err(error) => error,
            },
        };
        self.state.fail(error);
        Err(error)
    }

    /// How many more octets are needed, if that is all that is wrong.
    fn more(&self, error: ReadError) -> Result<usize, ReadError> {
        let ReadError::Record(RecordError::NeedMore(more)) = error else { return Err(error) };
        if self.finished {
            return Err(ReadError::UnexpectedEnd);
        }
        // What is there belongs to the record. The octet behind a start tag is looked at but not part of it.
        let there = self.octets.len() - self.state.position;
        let bound = self.at_once();
        if there.saturating_add(more) <= bound.saturating_add(1) {
            Ok(more)
        } else {
            Err(ReadError::StringTooLong(bound))
        }
    }

    /// How many octets a start tag, a comment or a list may have, which have to be there as a whole. Other texts come in
    /// pieces.
    fn at_once(&self) -> usize {
        self.quotas.max_bytes_per_read.max(self.quotas.max_string_content_length).saturating_add(HEADER)
    }

    /// Drops what was read, but for the start tags of open elements.
    fn discard(&mut self) {
        let kept = self.state.scopes.kept();
        if self.state.position > kept {
            self.octets.drain(kept..self.state.position);
            self.state.position = kept;
        }
    }
}

/// The next piece of a long text, if one is due.
fn piece<'a>(
    state: &mut ReaderState,
    source: Source<'a>,
    quotas: &Quotas,
) -> Result<Option<Value<'a>>, ReadError> {
    let limit = quotas.max_bytes_per_read.saturating_sub(HEADER).max(2 * HEADER);
    let (piece, at) = match state.next {
        Next::Piece(piece) => (piece, state.position),
        Next::Record => match long_text(state, source, limit)? {
            Some(found) => found,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let wanted = match piece.kind {
        _ if piece.left <= limit => piece.left,
        PieceKind::Bytes => limit - limit % 3,
        PieceKind::Chars => limit - HEADER,
        PieceKind::Unicode => (limit - HEADER) & !1,
    };
    let there = source.octets.get(at..).unwrap_or_default();
    if there.len() < wanted {
        return Err(RecordError::NeedMore(wanted - there.len()).into());
    }
    let mut octets = &there[..wanted];
    if wanted < piece.left {
        octets = match piece.kind {
            PieceKind::Bytes => octets,
            PieceKind::Chars => before_last_char(octets),
            PieceKind::Unicode => before_high_surrogate(octets),
        };
    }
    let value = match piece.kind {
        PieceKind::Bytes => Value::Bytes(octets),
        PieceKind::Chars => Value::Chars(octets),
        PieceKind::Unicode => Value::Unicode(octets),
    };
    if state.scopes.depth() == 0 && !value.is_white_space() {
        return Err(ReadError::TextOutsideRoot);
    }
    state.position = at + octets.len();
    let left = piece.left - octets.len();
    state.next = match (left, piece.end) {
        (0, true) => Next::End,
        (0, false) => Next::Record,
        _ => Next::Piece(Piece { left, ..piece }),
    };
    Ok(Some(value))
}

/// The header of a text that is longer than `limit`, and where its octets begin.
fn long_text(
    state: &ReaderState,
    source: Source<'_>,
    limit: usize,
) -> Result<Option<(Piece, usize)>, ReadError> {
    let Some(&kind) = source.octets.get(state.position) else { return Ok(None) };
    let (piece, first) = match kind {
        0x98..=0x9D => (PieceKind::Chars, 0x98),
        0x9E..=0xA3 => (PieceKind::Bytes, 0x9E),
        0xB6..=0xBB => (PieceKind::Unicode, 0xB6),
        _ => return Ok(None),
    };
    let width = [Width::One, Width::Two, Width::Four][usize::from((kind - first) / 2)];
    let mut cursor = crate::record::Cursor::new(&source.octets[state.position + 1..]);
    let left = cursor.length(width, piece == PieceKind::Unicode)?;
    let found = Piece { kind: piece, left, end: kind & 1 == 1 };
    Ok((left > limit).then_some((found, state.position + 1 + cursor.position)))
}

/// All but the last character, which may go on behind the piece. What is no UTF-8 is left as it is.
fn before_last_char(octets: &[u8]) -> &[u8] {
    let start = octets.iter().rposition(|octet| octet & 0xC0 != 0x80);
    match start {
        Some(start) if start > 0 => &octets[..start],
        _ => octets,
    }
}

/// All but a first half of a surrogate pair at the end.
fn before_high_surrogate(octets: &[u8]) -> &[u8] {
    match octets {
        [rest @ .., _, high] if (0xD8..0xDC).contains(high) && !rest.is_empty() => rest,
        _ => octets,
    }
}
