//! The preamble message ([MC-NMF] 2.2.6): Version, Mode, Via and encoding record. For routers [`view`], for everyone
//! else [`Preamble`] as the state machines give it, and [`OwnedPreamble`] for when the octets are gone.
//!
//! [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/

mod owned;

use core::num::NonZeroUsize;
use core::ops::Range;
use core::str;

pub use self::owned::{CapacityExceeded, OwnedPreamble};
use crate::{
    DecodeError, EncodeError, Encoding, Expected, Field, KnownEncoding, Limits, Mode, Record, RecordType,
    parse,
};

/// What a session is about: mode, endpoint and encoding.
///
/// ```
/// use framing_core::{Encoding, KnownEncoding, Mode, Preamble};
/// let preamble = Preamble {
///     mode: Mode::DUPLEX,
///     via: "net.tcp://localhost:9000/calc",
///     encoding: Encoding::Known(KnownEncoding::BINARY_SESSION),
/// };
/// let mut out = [0; 64];
/// assert_eq!(preamble.encode(&mut out), Ok(38));
/// assert_eq!(out[..7], [0x00, 0x01, 0x00, 0x01, 0x02, 0x02, 0x1D]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Preamble<'a> {
    /// The communication mode.
    pub mode: Mode,
    /// The URI of the endpoint, at least 1 octet.
    pub via: &'a str,
    /// How the envelopes are encoded.
    pub encoding: Encoding<'a>,
}

impl<'a> Preamble<'a> {
    /// The four records, in their order.
    ///
    /// ```
    /// use framing_core::Record;
    /// use framing_core::{Encoding, KnownEncoding, Mode, Preamble};
    /// let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    /// let [version, .., encoding] = preamble.records();
    /// assert_eq!(version, Record::Version { major: 1, minor: 0 });
    /// assert_eq!(encoding, Record::KnownEncoding(KnownEncoding::BINARY));
    /// ```
    #[must_use]
    pub fn records(&self) -> [Record<'a>; 4] {
        [
            Record::Version { major: 1, minor: 0 },
            Record::Mode(self.mode),
            Record::Via(self.via),
            self.encoding.into(),
        ]
    }

    /// Octets [`encode`](Self::encode) writes.
    ///
    /// ```
    /// use framing_core::{Encoding, KnownEncoding, Mode, Preamble};
    /// let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    /// assert_eq!(preamble.encoded_len(), 3 + 2 + (1 + 1 + 13) + 2);
    /// ```
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.records().iter().map(Record::encoded_len).fold(0, usize::saturating_add)
    }

    /// Encodes the four records into the beginning of `out` and returns how many octets that took.
    ///
    /// # Errors
    /// [`EncodeError::BufferTooShort`]; [`EncodeError::Empty`] for an empty Via.
    ///
    /// ```
    /// use framing_core::EncodeError;
    /// use framing_core::{Encoding, KnownEncoding, Mode, Preamble};
    /// let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    /// assert_eq!(preamble.encode(&mut [0; 64]), Ok(22));
    /// assert_eq!(preamble.encode(&mut [0; 8]), Err(EncodeError::BufferTooShort { needed: 22 }));
    /// ```
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.encoded_len();
        if out.len() < needed {
            return Err(EncodeError::BufferTooShort { needed });
        }
        if self.via.is_empty() {
            return Err(EncodeError::Empty(Field::Via));
        }
        let mut rest = out;
        for record in self.records() {
            let used = record.encode(rest)?;
            rest = rest.get_mut(used..).unwrap_or_default();
        }
        Ok(needed)
    }
}

/// How far a preamble has come, seen by a router. Borrows from the octets.
///
/// ```
/// use framing_core::preamble::{PreambleView, view};
/// use framing_core::{Limits, Mode};
/// // A streamed session: its router need not wait for the encoding.
/// let octets = b"\x00\x01\x00\x01\x01\x02\x0Dnet.tcp://h/a";
/// let Ok(PreambleView::Via { mode, via, consumed, .. }) = view(octets, &Limits::DEFAULT) else { panic!() };
/// assert_eq!((mode, via, consumed), (Mode::SINGLETON_UNSIZED, "net.tcp://h/a", 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PreambleView<'a> {
    /// The Via is not complete: at least so many octets more are wanted.
    NeedMore(NonZeroUsize),
    /// Complete up to the Via; the encoding record is not.
    Via {
        /// The mode: singleton-unsized or duplex.
        mode: Mode,
        /// The Via.
        via: &'a str,
        /// Octets up to the end of the Via Record.
        consumed: usize,
        /// Octets wanted beyond those given for the encoding record, at least.
        missing: NonZeroUsize,
    },
    /// Complete through the encoding record.
    Encoding {
        /// The mode: singleton-unsized or duplex.
        mode: Mode,
        /// The Via.
        via: &'a str,
        /// The encoding; a router passes on any.
        encoding: Encoding<'a>,
        /// Octets up to the end of the encoding record.
        consumed: usize,
    },
}

/// Looks at the beginning of a connection without consuming it: no state, no copy, no allocation. With more octets
/// call it again from the start.
///
/// Microsoft's port sharing service routes a singleton-unsized session as soon as the Via is complete and a duplex one
/// when the encoding record is. A client that will upgrade sends nothing after the encoding record until it is
/// answered, so a router never waits for more. The modes without a way back are refused: a router has a connection
/// ([MS-NMFTB] 3.1.1).
///
/// ```
/// use framing_core::preamble::{self, PreambleView};
/// use framing_core::{Encoding, KnownEncoding, Limits, Mode};
///
/// let octets = b"\x00\x01\x00\x01\x02\x02\x1Dnet.tcp://localhost:9000/calc\x03\x08\x0C";
/// let PreambleView::NeedMore(missing) = preamble::view(&octets[..7], &Limits::DEFAULT)? else { panic!() };
/// assert_eq!(missing.get(), 29);
/// assert_eq!(
///     preamble::view(octets, &Limits::DEFAULT)?,
///     PreambleView::Encoding {
///         mode: Mode::DUPLEX,
///         via: "net.tcp://localhost:9000/calc",
///         encoding: Encoding::Known(KnownEncoding::BINARY_SESSION),
///         consumed: 38,
///     }
/// );
/// # Ok::<(), framing_core::DecodeError>(())
/// ```
///
/// # Errors
/// As early as one octet decides it: [`NotFraming`](DecodeError::NotFraming),
/// [`UnsupportedVersion`](DecodeError::UnsupportedVersion), [`UnsupportedMode`](DecodeError::UnsupportedMode),
/// [`UnexpectedRecord`](DecodeError::UnexpectedRecord), [`SizeTooLarge`](DecodeError::SizeTooLarge),
/// [`TooLong`](DecodeError::TooLong), [`Empty`](DecodeError::Empty) for the Via, [`NotUtf8`](DecodeError::NotUtf8).
///
/// [MS-NMFTB]: https://learn.microsoft.com/openspecs/windows_protocols/ms-nmftb/
#[inline]
pub fn view<'a>(octets: &'a [u8], limits: &Limits) -> Result<PreambleView<'a>, DecodeError> {
    match ordinary(octets, limits) {
        Some(view) => Ok(view),
        None => view_modes(octets, limits, false),
    }
}

/// The preamble nearly every peer sends, whole and with a short Via, in one pattern: 40 instructions fewer than the 238 of
/// the parsers. `None` for anything else, be it incomplete or wrong.
#[inline(always)]
fn ordinary<'a>(octets: &'a [u8], limits: &Limits) -> Option<PreambleView<'a>> {
    let [0x00, 0x01, _, 0x01, mode @ 0x01..=0x02, 0x02, size @ 0x01..=0x7F, rest @ ..] = octets else {
        return None;
    };
    let (via, [0x03, code, ..]) = rest.split_at_checked(usize::from(*size))? else {
        return None;
    };
    if via.len() > limits.via {
        return None;
    }
    let consumed = via.len().wrapping_add(9);
    let encoding = Encoding::Known(KnownEncoding(*code));
    Some(PreambleView::Encoding { mode: Mode(*mode), via: str::from_utf8(via).ok()?, encoding, consumed })
}

/// [`view`], with the modes without a way back if `one_way` says so.
#[inline]
pub(crate) fn view_modes<'a>(
    octets: &'a [u8],
    limits: &Limits,
    one_way: bool,
) -> Result<PreambleView<'a>, DecodeError> {
    let (rest, mode) = match parse::version_and_mode(octets) {
        Ok(done) => done,
        Err(error) => return Ok(PreambleView::NeedMore(parse::incomplete(error)?)),
    };
    if !(one_way || mode.has_back_channel()) {
        return Err(DecodeError::UnsupportedMode(mode));
    }
    let (rest, via) = match parse::via(rest, limits.via) {
        Ok(done) => done,
        Err(error) => return Ok(PreambleView::NeedMore(parse::incomplete(error)?)),
    };
    let before = |rest: &[u8]| octets.len().saturating_sub(rest.len());
    Ok(match parse::encoding(rest, limits.content_type) {
        Ok((after, encoding)) => PreambleView::Encoding { mode, via, encoding, consumed: before(after) },
        Err(error) => {
            PreambleView::Via { mode, via, consumed: before(rest), missing: parse::incomplete(error)? }
        }
    })
}

/// Where the Via is in a preamble that has it whole, be it UTF-8 or not: for those who, like the original, do not mind.
///
/// ```
/// use framing_core::preamble::{via_octets, view};
/// use framing_core::{DecodeError, Field, Limits};
/// let octets = b"\x00\x01\x00\x01\x02\x02\x0Enet.tcp://h/a\xFF\x03\x08";
/// assert_eq!(view(octets, &Limits::DEFAULT), Err(DecodeError::NotUtf8(Field::Via)));
/// let via = via_octets(octets).expect("the Via is there");
/// assert_eq!(String::from_utf8_lossy(&octets[via]), "net.tcp://h/a\u{FFFD}");
/// ```
#[must_use]
pub fn via_octets(octets: &[u8]) -> Option<Range<usize>> {
    let (rest, _) = parse::version_and_mode(octets).ok()?;
    let (rest, size) = parse::size(rest.strip_prefix(&[RecordType::VIA.0])?).ok()?;
    let start = octets.len().checked_sub(rest.len())?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    octets.get(start..end).map(|_| start..end)
}

/// What a preamble lacks of which `octets` are all there is.
pub(crate) fn lacks(octets: &[u8], limits: &Limits, one_way: bool) -> Result<Expected, DecodeError> {
    let via = match view_modes(octets, limits, one_way)? {
        PreambleView::NeedMore(_) => None,
        PreambleView::Via { consumed, .. } | PreambleView::Encoding { consumed, .. } => Some(consumed),
    };
    // A Version Record has three octets, a Mode Record two.
    let (begins, next) = match (octets.len(), via) {
        (0..3, _) => (0, Expected::MoreOf(RecordType::VERSION)),
        (3..5, _) => (3, Expected::Mode),
        (_, None) => (5, Expected::Via),
        (_, Some(consumed)) => (consumed, Expected::Encoding),
    };
    let begun = octets.get(begins).map(|code| Expected::MoreOf(RecordType(*code)));
    Ok(begun.unwrap_or(next))
}
