//! Streams of records as text, for bug reports: [`Dump`] of a slice, [`Dumper`] of a stream of any length.
//!
//! One line a record: its offset in decimal, its name, its fields; a code is followed by its name. Chunks of an unsized envelope and their terminator are
//! indented. Texts are quoted and escaped, octets that are not UTF-8 too, so nothing a peer sends reaches a terminal.
//! Records are judged, not their order: a dump may begin at any record of either direction. Limits do not apply. What
//! follows an upgrade record and begins as TLS and Negotiate do is no framing until it is decrypted, and gets one line.
//!
//! ```
//! use framing_core::dump::Dump;
//! let octets = b"\x00\x01\x00\x01\x01\x02\x0Dnet.tcp://h/a\x03\x07\x0C\x05\x02\xAA\xBB\x00\x07";
//! let expected = r#"0 Version 1.0
//! 3 Mode 1 SingletonUnsized
//! 5 Via "net.tcp://h/a"
//! 20 KnownEncoding 7 Binary
//! 22 PreambleEnd
//! 23 UnsizedEnvelope
//!     24 Chunk 2 octets
//!     27 Terminator
//! 28 End
//! "#;
//! assert_eq!(Dump(octets).to_string(), expected);
//! ```

mod error;
mod text;

use core::fmt::{self, Write};

use heapless::Vec;

pub use self::error::DumpError;
use self::text::Text;
use crate::{Decoded, KnownEncoding, Mode, RecordType, size};

/// `Display` of the records in a slice; an error is the last line.
///
/// ```
/// use framing_core::dump::Dump;
/// assert_eq!(Dump(b"\x0B\x47").to_string(), "0 PreambleAck\n1 error: octet 0x47 is no record\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a>(
    /// The octets, beginning with a record.
    pub &'a [u8],
);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dumper = Dumper::new();
        match dumper.dump(self.0, f).and_then(|()| dumper.finish(f)) {
            Ok(()) => Ok(()),
            Err(DumpError::Write) => Err(fmt::Error),
            Err(error) => writeln!(f, "{} error: {error}", error.offset().unwrap_or_default()),
        }
    }
}

/// Dumps a stream piece by piece, in constant memory whatever the sizes in it.
///
/// ```
/// use framing_core::dump::{DumpError, Dumper};
/// let mut text = String::new();
/// let mut dumper = Dumper::new();
/// dumper.dump(b"\x06\x05he", &mut text)?;
/// dumper.dump(b"llo\x07", &mut text)?;
/// dumper.finish(&mut text)?;
/// assert_eq!(text, "0 SizedEnvelope 5 octets\n7 End\n");
/// # Ok::<(), DumpError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dumper {
    at: At,
    /// Octets seen.
    offset: u64,
    /// Offset of the record or chunk at hand.
    began: u64,
    /// Its octets so far, up to the end of its size.
    head: Vec<u8, 6>,
    text: Text,
    preamble: Preamble,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the type, size or fixed fields of a record.
    Record,
    Text {
        kind: RecordType,
        left: u32,
    },
    Payload {
        left: u32,
    },
    ChunkSize,
    Chunk {
        left: u32,
    },
    /// Behind an upgrade record, where what TLS and Negotiate send begins with an octet that is no record.
    Upgrade,
    /// Up to the end of the stream: what follows an upgrade record, or the raw envelope of a singleton-sized session.
    Rest {
        upgraded: bool,
    },
}

/// How much of a singleton-sized preamble the records before were: no record follows a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preamble {
    No,
    Mode,
    Via,
    Whole,
}

impl Default for Dumper {
    fn default() -> Self {
        Self::new()
    }
}

impl Dumper {
    /// A dump that begins at a record.
    ///
    /// ```
    /// use framing_core::dump::Dumper;
    /// assert_eq!(Dumper::new().finish(&mut String::new()), Ok(()));
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            at: At::Record,
            offset: 0,
            began: 0,
            head: Vec::new(),
            text: Text::new(),
            preamble: Preamble::No,
        }
    }

    /// Writes what the next octets of the stream give. A line is complete when its record is.
    ///
    /// # Errors
    /// [`DumpError::NoRecord`], [`DumpError::SizeTooLarge`], [`DumpError::Write`]. The dump is over then.
    ///
    /// ```
    /// use framing_core::dump::Dumper;
    /// let mut text = String::new();
    /// Dumper::new().dump(&[0x0B, 0x07], &mut text)?;
    /// assert_eq!(text, "0 PreambleAck\n1 End\n");
    /// # Ok::<(), framing_core::dump::DumpError>(())
    /// ```
    pub fn dump<W: Write>(&mut self, octets: &[u8], out: &mut W) -> Result<(), DumpError> {
        let mut rest = octets;
        while let Some((first, after)) = rest.split_first() {
            rest = match self.at {
                At::Record => {
                    self.header(*first, out)?;
                    after
                }
                At::Upgrade => {
                    let upgraded = matches!(first, 0x14..=0x17);
                    self.at = if upgraded { At::Rest { upgraded } } else { At::Record };
                    rest
                }
                At::ChunkSize => {
                    self.chunk_size(*first, out)?;
                    after
                }
                At::Text { kind, left } => {
                    let (text, rest) = self.split(rest, left);
                    self.text.write(text, out)?;
                    self.at = At::Text { kind, left: left.saturating_sub(count(text)) };
                    self.end_text(out)?;
                    rest
                }
                At::Payload { left } => {
                    let (payload, rest) = self.split(rest, left);
                    self.payload(left.saturating_sub(count(payload)));
                    rest
                }
                At::Chunk { left } => {
                    let (payload, rest) = self.split(rest, left);
                    self.chunk(left.saturating_sub(count(payload)));
                    rest
                }
                At::Rest { .. } => {
                    self.offset = self.offset.saturating_add(u64::try_from(rest.len()).unwrap_or(u64::MAX));
                    &[]
                }
            };
        }
        Ok(())
    }

    /// Says that the stream has ended, and writes the line of what followed an upgrade.
    ///
    /// # Errors
    /// [`DumpError::EndInside`] unless the stream ended between records; [`DumpError::Write`].
    ///
    /// ```
    /// use framing_core::dump::{DumpError, Dumper};
    /// let (mut dumper, mut text) = (Dumper::new(), String::new());
    /// dumper.dump(&[0x0B, 0x01], &mut text)?;
    /// assert_eq!(dumper.finish(&mut text), Err(DumpError::EndInside { offset: 2, began: 1 }));
    /// # Ok::<(), DumpError>(())
    /// ```
    pub fn finish<W: Write>(&mut self, out: &mut W) -> Result<(), DumpError> {
        match self.at {
            At::Record if self.head.is_empty() => return Ok(()),
            At::Upgrade => return Ok(()),
            At::Rest { upgraded } => {
                let octets = self.offset.saturating_sub(self.began);
                let what = if upgraded { "Upgraded" } else { "Envelope" };
                writeln!(out, "{} {what} {octets} octets", self.began)?;
                return Ok(());
            }
            At::Text { .. } => {
                self.text.flush(out)?;
                out.write_str("\n")?;
            }
            _ => {}
        }
        Err(DumpError::EndInside { offset: self.offset, began: self.began })
    }

    /// One more octet of a record, up to the end of its size; its line, or the beginning of it, once that is there.
    fn header<W: Write>(&mut self, octet: u8, out: &mut W) -> Result<(), DumpError> {
        if self.head.is_empty() {
            self.began = self.offset;
            if octet > RecordType::PREAMBLE_END.0 {
                if self.preamble == Preamble::Whole {
                    self.at = At::Rest { upgraded: false };
                    self.offset = self.offset.saturating_add(1);
                    return Ok(());
                }
                return Err(DumpError::NoRecord { offset: self.offset, octet });
            }
        }
        self.push(octet);
        let Some((code, fields)) = self.head.split_first() else { return Ok(()) };
        let kind = RecordType(*code);
        let began = self.began;
        match (kind, fields) {
            (RecordType::VERSION, [major, minor]) => writeln!(out, "{began} {kind} {major}.{minor}")?,
            (RecordType::MODE, [code]) => code_line(out, began, kind, *code, Mode(*code).name())?,
            (RecordType::KNOWN_ENCODING, [code]) => {
                code_line(out, began, kind, *code, KnownEncoding(*code).name())?;
            }
            (RecordType::VERSION | RecordType::MODE | RecordType::KNOWN_ENCODING, _) => return Ok(()),
            (
                RecordType::VIA
                | RecordType::EXTENSIBLE_ENCODING
                | RecordType::FAULT
                | RecordType::UPGRADE_REQUEST
                | RecordType::SIZED_ENVELOPE,
                fields,
            ) => {
                let Some(left) = self.size(fields)? else { return Ok(()) };
                if kind == RecordType::SIZED_ENVELOPE {
                    writeln!(out, "{began} {kind} {left} octets")?;
                    self.end_record(kind, 0);
                    self.payload(left);
                } else {
                    write!(out, "{began} {kind} \"")?;
                    self.head.clear();
                    self.at = At::Text { kind, left };
                    self.end_text(out)?;
                }
                return Ok(());
            }
            _ => writeln!(out, "{began} {kind}")?,
        }
        let field = fields.first().copied().unwrap_or_default();
        self.end_record(kind, field);
        Ok(())
    }

    /// One more octet of the size of a chunk.
    fn chunk_size<W: Write>(&mut self, octet: u8, out: &mut W) -> Result<(), DumpError> {
        if self.head.is_empty() {
            self.began = self.offset;
        }
        self.push(octet);
        match self.size(&self.head)? {
            None => return Ok(()),
            Some(0) => {
                writeln!(out, "    {} Terminator", self.began)?;
                self.at = At::Record;
            }
            Some(left) => {
                writeln!(out, "    {} Chunk {left} octets", self.began)?;
                self.at = At::Chunk { left };
            }
        }
        self.head.clear();
        Ok(())
    }

    /// A size that may not be complete.
    fn size(&self, octets: &[u8]) -> Result<Option<u32>, DumpError> {
        match size::decode(octets) {
            Ok(Decoded::Complete { value, .. }) => Ok(Some(value)),
            Ok(Decoded::NeedMore(_)) => Ok(None),
            Err(_) => Err(DumpError::SizeTooLarge { offset: self.began }),
        }
    }

    /// What comes after a record.
    fn end_record(&mut self, kind: RecordType, field: u8) {
        self.head.clear();
        self.preamble = match (kind, self.preamble) {
            (RecordType::MODE, _) if field == Mode::SINGLETON_SIZED.0 => Preamble::Mode,
            (RecordType::VIA, Preamble::Mode) => Preamble::Via,
            (RecordType::KNOWN_ENCODING | RecordType::EXTENSIBLE_ENCODING, Preamble::Via) => Preamble::Whole,
            _ => Preamble::No,
        };
        self.at = match kind {
            RecordType::UNSIZED_ENVELOPE => At::ChunkSize,
            RecordType::UPGRADE_REQUEST | RecordType::UPGRADE_RESPONSE => {
                self.began = self.offset;
                At::Upgrade
            }
            _ => At::Record,
        };
    }

    fn payload(&mut self, left: u32) {
        self.at = if left == 0 { At::Record } else { At::Payload { left } };
    }

    fn chunk(&mut self, left: u32) {
        self.at = if left == 0 { At::ChunkSize } else { At::Chunk { left } };
    }

    fn end_text<W: Write>(&mut self, out: &mut W) -> Result<(), DumpError> {
        if let At::Text { kind, left: 0 } = self.at {
            self.text.flush(out)?;
            out.write_str("\"\n")?;
            self.end_record(kind, 0);
        }
        Ok(())
    }

    fn push(&mut self, octet: u8) {
        // Six octets are a type and the longest size: a seventh is never pushed.
        self.head.push(octet).ok();
        self.offset = self.offset.saturating_add(1);
    }

    /// At most `left` octets, and what comes after them.
    fn split<'a>(&mut self, octets: &'a [u8], left: u32) -> (&'a [u8], &'a [u8]) {
        let (taken, rest) =
            octets.split_at_checked(usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or((octets, &[]));
        self.offset = self.offset.saturating_add(count(taken).into());
        (taken, rest)
    }
}

/// The length of a slice that is no longer than a record.
fn count(octets: &[u8]) -> u32 {
    u32::try_from(octets.len()).unwrap_or(u32::MAX)
}

/// The line of a record whose field is a code: in decimal, and its name if it has one.
fn code_line<W: Write>(
    out: &mut W,
    began: u64,
    kind: RecordType,
    code: u8,
    name: Option<&str>,
) -> fmt::Result {
    match name {
        Some(name) => writeln!(out, "{began} {kind} {code} {name}"),
        None => writeln!(out, "{began} {kind} {code}"),
    }
}
