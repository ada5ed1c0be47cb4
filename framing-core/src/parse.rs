//! The nom parsers behind every decoder of this crate. nom's types stay in here.

use core::num::NonZeroUsize;
use core::str;

use nom::error::{ErrorKind, ParseError};
use nom::{Err, IResult, Needed, Parser};

use crate::{
    DecodeError, Decoded, Encoding, Expected, Fault, Field, KnownEncoding, Limits, Mode, Record, RecordType,
};

/// Keeps our own error through nom's combinators.
#[derive(Debug)]
pub(crate) struct Invalid(DecodeError);

impl ParseError<&[u8]> for Invalid {
    /// Never reached: the combinators used here are incomplete or succeed, they have no error of their own.
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self(DecodeError::EndOfStream { expected: Expected::Nothing })
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Invalid>;

/// What a parser found in `octets`, without nom.
#[inline]
pub(crate) fn decoded<T>(octets: &[u8], parsed: Parsed<'_, T>) -> Result<Decoded<T>, DecodeError> {
    match parsed {
        Ok((rest, value)) => {
            Ok(Decoded::Complete { value, consumed: octets.len().saturating_sub(rest.len()) })
        }
        Err(error) => incomplete(error).map(Decoded::NeedMore),
    }
}

/// How many octets a parser misses, or what is wrong.
#[inline]
pub(crate) fn incomplete(error: Err<Invalid>) -> Result<NonZeroUsize, DecodeError> {
    match error {
        Err::Incomplete(Needed::Size(missing)) => Ok(missing),
        Err::Incomplete(Needed::Unknown) => Ok(NonZeroUsize::MIN),
        Err::Error(Invalid(error)) | Err::Failure(Invalid(error)) => Err(error),
    }
}

#[inline(always)]
fn invalid<T>(error: DecodeError) -> Parsed<'static, T> {
    Err(Err::Failure(Invalid(error)))
}

/// One octet. What nom has for this reads integers of any width and costs ten times the instructions.
#[inline(always)]
fn octet(input: &[u8]) -> Parsed<'_, u8> {
    match input.split_first() {
        Some((octet, rest)) => Ok((rest, *octet)),
        None => Err(Err::Incomplete(Needed::Size(NonZeroUsize::MIN))),
    }
}

/// So many octets; `nom::bytes::streaming::take`, but it inlines.
#[inline(always)]
fn taken(input: &[u8], octets: usize) -> Parsed<'_, &[u8]> {
    match input.split_at_checked(octets) {
        Some((taken, rest)) => Ok((rest, taken)),
        None => Err(Err::Incomplete(Needed::new(octets.saturating_sub(input.len())))),
    }
}

/// A record size (2.2.2).
#[inline]
pub(crate) fn size(input: &[u8]) -> Parsed<'_, u32> {
    let (mut rest, first) = octet(input)?;
    if first < 0x80 {
        return Ok((rest, first.into()));
    }
    let mut size = u32::from(first & 0x7F);
    for shift in [7, 14, 21] {
        let (after, next) = octet(rest)?;
        rest = after;
        size |= u32::from(next & 0x7F) << shift;
        if next < 0x80 {
            return Ok((rest, size));
        }
    }
    let (rest, last) = octet(rest)?;
    if last & 0xF8 != 0 {
        return invalid(DecodeError::SizeTooLarge);
    }
    Ok((rest, size | u32::from(last) << 28))
}

/// A size and so many octets of UTF-8. The limit is enforced before the octets are awaited.
#[inline(always)]
fn text(input: &[u8], field: Field, limit: usize) -> Parsed<'_, &str> {
    let (rest, size) = size(input)?;
    let octets = usize::try_from(size).unwrap_or(usize::MAX);
    if octets > limit {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        return invalid(DecodeError::TooLong { field, octets: size.into(), limit });
    }
    if octets == 0 && !matches!(field, Field::ContentType) {
        return invalid(DecodeError::Empty(field));
    }
    let (rest, octets) = taken(rest, octets)?;
    match str::from_utf8(octets) {
        Ok(text) => Ok((rest, text)),
        Err(_) => invalid(DecodeError::NotUtf8(field)),
    }
}

/// The two octets of a Version Record after its type; returns the minor version, which nobody looks at.
#[inline(always)]
fn version(input: &[u8]) -> Parsed<'_, u8> {
    let (rest, major) = octet(input)?;
    if major != 1 {
        return invalid(DecodeError::UnsupportedVersion { major });
    }
    octet(rest)
}

/// Any record; of an envelope only what comes before the payload.
#[inline]
pub(crate) fn record<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, Record<'a>> {
    let (rest, code) = octet(input)?;
    match RecordType(code) {
        RecordType::VERSION => version.map(|minor| Record::Version { major: 1, minor }).parse(rest),
        RecordType::MODE => octet.map(|code| Record::Mode(Mode(code))).parse(rest),
        RecordType::VIA => text(rest, Field::Via, limits.via).map(|(rest, via)| (rest, Record::Via(via))),
        RecordType::KNOWN_ENCODING => {
            octet.map(|code| Record::KnownEncoding(KnownEncoding(code))).parse(rest)
        }
        RecordType::EXTENSIBLE_ENCODING => text(rest, Field::ContentType, limits.content_type)
            .map(|(rest, text)| (rest, Record::ExtensibleEncoding(text))),
        RecordType::UNSIZED_ENVELOPE => Ok((rest, Record::UnsizedEnvelope)),
        RecordType::SIZED_ENVELOPE => {
            let (rest, size) = size(rest)?;
            if u64::from(size) > limits.envelope {
                let field = Field::SizedEnvelope;
                return invalid(DecodeError::TooLong { field, octets: size.into(), limit: limits.envelope });
            }
            Ok((rest, Record::SizedEnvelope { size }))
        }
        RecordType::END => Ok((rest, Record::End)),
        RecordType::FAULT => {
            text(rest, Field::Fault, limits.fault).map(|(rest, uri)| (rest, Record::Fault(Fault::new(uri))))
        }
        RecordType::UPGRADE_REQUEST => text(rest, Field::Upgrade, limits.upgrade)
            .map(|(rest, name)| (rest, Record::UpgradeRequest(name))),
        RecordType::UPGRADE_RESPONSE => Ok((rest, Record::UpgradeResponse)),
        RecordType::PREAMBLE_ACK => Ok((rest, Record::PreambleAck)),
        RecordType::PREAMBLE_END => Ok((rest, Record::PreambleEnd)),
        reserved => invalid(DecodeError::UnknownRecord(reserved)),
    }
}

/// A type octet that must be this one.
#[inline(always)]
fn expect(input: &[u8], expected: Expected, wanted: RecordType) -> Parsed<'_, ()> {
    match octet(input)? {
        (rest, code) if code == wanted.0 => Ok((rest, ())),
        (_, code) => invalid(DecodeError::UnexpectedRecord { expected, got: RecordType(code) }),
    }
}

/// Version and Mode Record; any of the four modes.
#[inline(always)]
pub(crate) fn version_and_mode(input: &[u8]) -> Parsed<'_, Mode> {
    let (rest, first) = octet(input)?;
    if first != RecordType::VERSION.0 {
        return invalid(DecodeError::NotFraming { octet: first });
    }
    let (rest, _minor) = version(rest)?;
    let (rest, ()) = expect(rest, Expected::Mode, RecordType::MODE)?;
    let (rest, mode) = octet.map(Mode).parse(rest)?;
    if !mode.is_defined() {
        return invalid(DecodeError::UnsupportedMode(mode));
    }
    Ok((rest, mode))
}

/// A Via Record.
#[inline(always)]
pub(crate) fn via(input: &[u8], limit: usize) -> Parsed<'_, &str> {
    let (rest, ()) = expect(input, Expected::Via, RecordType::VIA)?;
    text(rest, Field::Via, limit)
}

/// A Known or Extensible Encoding Record.
#[inline(always)]
pub(crate) fn encoding(input: &[u8], limit: usize) -> Parsed<'_, Encoding<'_>> {
    match octet(input)? {
        (rest, code) if code == RecordType::KNOWN_ENCODING.0 => {
            octet.map(|code| Encoding::Known(KnownEncoding(code))).parse(rest)
        }
        (rest, code) if code == RecordType::EXTENSIBLE_ENCODING.0 => {
            text(rest, Field::ContentType, limit).map(|(rest, text)| (rest, Encoding::Extensible(text)))
        }
        (_, code) => {
            let expected = Expected::Encoding;
            invalid(DecodeError::UnexpectedRecord { expected, got: RecordType(code) })
        }
    }
}
