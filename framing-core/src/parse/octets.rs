//! What records are made of: an octet, a size, so many octets, a text. nom has all of these, but its parsers are not inlined
//! into one another; these are, and cost nothing (`benches/RESULTS.md` has the figures).

use core::num::NonZeroUsize;
use core::str;

use nom::{Emit, Err, Mode as _, Needed, OutputM, OutputMode, PResult, Parser};

use super::{Invalid, Parsed};
use crate::{DecodeError, Field};

/// What nom's `process` gives here.
type Processed<'a, OM, T> = PResult<OM, &'a [u8], T, Invalid>;

/// An error that ends the parse.
#[inline(always)]
pub(super) fn invalid<M>(error: DecodeError) -> Err<Invalid, M> {
    Err::Failure(Invalid(error))
}

/// One octet.
pub(super) struct Octet;

impl<'a> Parser<&'a [u8]> for Octet {
    type Output = u8;
    type Error = Invalid;

    #[inline(always)]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> Processed<'a, OM, u8> {
        match input.split_first() {
            Some((octet, rest)) => Ok((rest, OM::Output::bind(|| *octet))),
            None => Err(Err::Incomplete(Needed::Size(NonZeroUsize::MIN))),
        }
    }
}

/// A record size (2.2.2).
pub(super) struct Size;

impl<'a> Parser<&'a [u8]> for Size {
    type Output = u32;
    type Error = Invalid;

    #[inline(always)]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> Processed<'a, OM, u32> {
        match size(input) {
            Ok((rest, size)) => Ok((rest, OM::Output::bind(|| size))),
            Err(Err::Incomplete(needed)) => Err(Err::Incomplete(needed)),
            Err(Err::Error(Invalid(error)) | Err::Failure(Invalid(error))) => Err(invalid(error)),
        }
    }
}

#[inline]
fn size(input: &[u8]) -> Parsed<'_, u32> {
    let (mut rest, first) = Octet.parse(input)?;
    if first < 0x80 {
        return Ok((rest, first.into()));
    }
    let mut size = u32::from(first & 0x7F);
    for shift in [7, 14, 21] {
        let (after, next) = Octet.parse(rest)?;
        rest = after;
        size |= u32::from(next & 0x7F) << shift;
        if next < 0x80 {
            return Ok((rest, size));
        }
    }
    let (rest, last) = Octet.parse(rest)?;
    if last & 0xF8 != 0 {
        return Err(invalid(DecodeError::SizeTooLarge));
    }
    Ok((rest, size | u32::from(last) << 28))
}

/// So many octets.
struct Octets(u32);

impl<'a> Parser<&'a [u8]> for Octets {
    type Output = &'a [u8];
    type Error = Invalid;

    #[inline(always)]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> Processed<'a, OM, &'a [u8]> {
        let octets = usize::try_from(self.0).unwrap_or(usize::MAX);
        match input.split_at_checked(octets) {
            Some((octets, rest)) => Ok((rest, OM::Output::bind(|| octets))),
            None => Err(Err::Incomplete(Needed::new(octets.saturating_sub(input.len())))),
        }
    }
}

/// What a parser gives, as the check passes it on.
pub(super) struct Checked<P, C>(pub(super) P, pub(super) C);

impl<'a, P, C, T> Parser<&'a [u8]> for Checked<P, C>
where
    P: Parser<&'a [u8], Error = Invalid>,
    C: Fn(P::Output) -> Result<T, DecodeError>,
{
    type Output = T;
    type Error = Invalid;

    #[inline(always)]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> Processed<'a, OM, T> {
        let (rest, value) = self.0.process::<OutputM<Emit, OM::Error, OM::Incomplete>>(input)?;
        match self.1(value) {
            Ok(value) => Ok((rest, OM::Output::bind(|| value))),
            Err(error) => Err(invalid(error)),
        }
    }
}

/// A size and so many octets of UTF-8. The limit is enforced before the octets are awaited.
pub(super) struct Text {
    pub(super) field: Field,
    pub(super) limit: usize,
}

impl<'a> Parser<&'a [u8]> for Text {
    type Output = &'a str;
    type Error = Invalid;

    #[inline(always)]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> Processed<'a, OM, &'a str> {
        let Self { field, limit } = *self;
        let mut size = Checked(Size, |size| {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            match u64::from(size) {
                octets if octets > limit => Err(DecodeError::TooLong { field, octets, limit }),
                0 if !matches!(field, Field::ContentType) => Err(DecodeError::Empty(field)),
                _ => Ok(size),
            }
        });
        let (rest, size) = size.process::<OutputM<Emit, OM::Error, OM::Incomplete>>(input)?;
        let utf8 = |octets| str::from_utf8(octets).map_err(|_| DecodeError::NotUtf8(field));
        Checked(Octets(size), utf8).process::<OM>(rest)
    }
}
