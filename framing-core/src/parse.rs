//! The nom parsers behind every decoder of this crate. nom's types stay in here.

use core::num::NonZeroUsize;
use core::str;

use nom::bytes::streaming::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::streaming::be_u8;
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
        Self(DecodeError::EndOfStream { expected: Expected::Record })
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

#[inline]
fn invalid<T>(error: DecodeError) -> Parsed<'static, T> {
    Err(Err::Failure(Invalid(error)))
}

/// A record size (2.2.2).
#[inline]
pub(crate) fn size(input: &[u8]) -> Parsed<'_, u32> {
    let (mut rest, first) = be_u8(input)?;
    if first < 0x80 {
        return Ok((rest, first.into()));
    }
    let mut size = u32::from(first & 0x7F);
    for shift in [7, 14, 21] {
        let (after, octet) = be_u8(rest)?;
        rest = after;
        size |= u32::from(octet & 0x7F) << shift;
        if octet < 0x80 {
            return Ok((rest, size));
        }
    }
    let (rest, last) = be_u8(rest)?;
    if last & 0xF8 != 0 {
        return invalid(DecodeError::SizeTooLarge);
    }
    Ok((rest, size | u32::from(last) << 28))
}

/// A size and so many octets of UTF-8. The limit is enforced before the octets are awaited.
#[inline]
fn text(field: Field, limit: usize) -> impl Fn(&[u8]) -> Parsed<'_, &str> {
    move |input| {
        let (rest, size) = size(input)?;
        let octets = usize::try_from(size).unwrap_or(usize::MAX);
        if octets > limit {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            return invalid(DecodeError::TooLong { field, octets: size.into(), limit });
        }
        if octets == 0 && !matches!(field, Field::ContentType) {
            return invalid(DecodeError::Empty(field));
        }
        let (rest, octets) = take(octets)(rest)?;
        match str::from_utf8(octets) {
            Ok(text) => Ok((rest, text)),
            Err(_) => invalid(DecodeError::NotUtf8(field)),
        }
    }
}

/// The two octets of a Version Record after its type; returns the minor version, which nobody looks at.
#[inline]
fn version(input: &[u8]) -> Parsed<'_, u8> {
    let (rest, major) = be_u8(input)?;
    if major != 1 {
        return invalid(DecodeError::UnsupportedVersion { major });
    }
    be_u8(rest)
}

/// Any record; of an envelope only what comes before the payload.
#[inline]
pub(crate) fn record<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, Record<'a>> {
    let (rest, code) = be_u8(input)?;
    match RecordType(code) {
        RecordType::VERSION => version.map(|minor| Record::Version { major: 1, minor }).parse(rest),
        RecordType::MODE => be_u8.map(|code| Record::Mode(Mode(code))).parse(rest),
        RecordType::VIA => text(Field::Via, limits.via).map(Record::Via).parse(rest),
        RecordType::KNOWN_ENCODING => {
            be_u8.map(|code| Record::KnownEncoding(KnownEncoding(code))).parse(rest)
        }
        RecordType::EXTENSIBLE_ENCODING => {
            text(Field::ContentType, limits.content_type).map(Record::ExtensibleEncoding).parse(rest)
        }
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
            text(Field::Fault, limits.fault).map(|uri| Record::Fault(Fault::new(uri))).parse(rest)
        }
        RecordType::UPGRADE_REQUEST => {
            text(Field::Upgrade, limits.upgrade).map(Record::UpgradeRequest).parse(rest)
        }
        RecordType::UPGRADE_RESPONSE => Ok((rest, Record::UpgradeResponse)),
        RecordType::PREAMBLE_ACK => Ok((rest, Record::PreambleAck)),
        RecordType::PREAMBLE_END => Ok((rest, Record::PreambleEnd)),
        reserved => invalid(DecodeError::UnknownRecord(reserved)),
    }
}

/// A type octet that must be this one.
#[inline]
fn expect(expected: Expected, wanted: RecordType) -> impl Fn(&[u8]) -> Parsed<'_, ()> {
    move |input| match be_u8(input)? {
        (rest, code) if code == wanted.0 => Ok((rest, ())),
        (_, code) => invalid(DecodeError::UnexpectedRecord { expected, got: RecordType(code) }),
    }
}

/// Version and Mode Record; any of the four modes.
#[inline]
pub(crate) fn version_and_mode(input: &[u8]) -> Parsed<'_, Mode> {
    let (rest, first) = be_u8(input)?;
    if first != RecordType::VERSION.0 {
        return invalid(DecodeError::NotFraming { octet: first });
    }
    let (rest, _minor) = version(rest)?;
    let (rest, ()) = expect(Expected::Mode, RecordType::MODE)(rest)?;
    let (rest, mode) = be_u8.map(Mode).parse(rest)?;
    if !mode.is_defined() {
        return invalid(DecodeError::UnsupportedMode(mode));
    }
    Ok((rest, mode))
}

/// A Via Record.
#[inline]
pub(crate) fn via(input: &[u8], limit: usize) -> Parsed<'_, &str> {
    let (rest, ()) = expect(Expected::Via, RecordType::VIA)(input)?;
    text(Field::Via, limit)(rest)
}

/// A Known or Extensible Encoding Record.
#[inline]
pub(crate) fn encoding(input: &[u8], limit: usize) -> Parsed<'_, Encoding<'_>> {
    match be_u8(input)? {
        (rest, code) if code == RecordType::KNOWN_ENCODING.0 => {
            be_u8.map(|code| Encoding::Known(KnownEncoding(code))).parse(rest)
        }
        (rest, code) if code == RecordType::EXTENSIBLE_ENCODING.0 => {
            text(Field::ContentType, limit).map(Encoding::Extensible).parse(rest)
        }
        (_, code) => {
            let expected = Expected::Encoding;
            invalid(DecodeError::UnexpectedRecord { expected, got: RecordType(code) })
        }
    }
}
