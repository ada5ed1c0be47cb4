//! The records as nom parsers, behind every decoder of this crate. nom's types stay in here.

mod octets;

use core::num::NonZeroUsize;

use nom::combinator::success;
use nom::error::{ErrorKind, ParseError};
use nom::sequence::preceded;
use nom::{Err, IResult, Needed, Parser};

use self::octets::{Checked, Octet, Size, Text, invalid};
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

/// A record size (2.2.2).
#[inline]
pub(crate) fn size(input: &[u8]) -> Parsed<'_, u32> {
    Size.parse(input)
}

/// Any record; of an envelope only what comes before the payload.
#[inline(always)]
pub(crate) fn record<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a, Record<'a>> {
    let text = |field, limit| Text { field, limit };
    let (rest, code) = Octet.parse(input)?;
    match RecordType(code) {
        RecordType::VERSION => version().map(|minor| Record::Version { major: 1, minor }).parse(rest),
        RecordType::MODE => Octet.map(Mode).map(Record::Mode).parse(rest),
        RecordType::VIA => text(Field::Via, limits.via).map(Record::Via).parse(rest),
        RecordType::KNOWN_ENCODING => Octet.map(KnownEncoding).map(Record::KnownEncoding).parse(rest),
        RecordType::EXTENSIBLE_ENCODING => {
            text(Field::ContentType, limits.content_type).map(Record::ExtensibleEncoding).parse(rest)
        }
        RecordType::UNSIZED_ENVELOPE => success(Record::UnsizedEnvelope).parse(rest),
        RecordType::SIZED_ENVELOPE => {
            envelope_size(limits.envelope).map(|size| Record::SizedEnvelope { size }).parse(rest)
        }
        RecordType::END => success(Record::End).parse(rest),
        RecordType::FAULT => text(Field::Fault, limits.fault).map(Fault::new).map(Record::Fault).parse(rest),
        RecordType::UPGRADE_REQUEST => {
            text(Field::Upgrade, limits.upgrade).map(Record::UpgradeRequest).parse(rest)
        }
        RecordType::UPGRADE_RESPONSE => success(Record::UpgradeResponse).parse(rest),
        RecordType::PREAMBLE_ACK => success(Record::PreambleAck).parse(rest),
        RecordType::PREAMBLE_END => success(Record::PreambleEnd).parse(rest),
        reserved => Err(invalid(DecodeError::UnknownRecord(reserved))),
    }
}

/// Version and Mode Record; any of the four modes.
#[inline(always)]
pub(crate) fn version_and_mode(input: &[u8]) -> Parsed<'_, Mode> {
    let not_framing = |got: RecordType| DecodeError::NotFraming { octet: got.0 };
    let defined =
        |mode: Mode| if mode.is_defined() { Ok(mode) } else { Err(DecodeError::UnsupportedMode(mode)) };
    let version = (kind(RecordType::VERSION, not_framing), version());
    let mode =
        preceded(kind(RecordType::MODE, unexpected(Expected::Mode)), Checked(Octet.map(Mode), defined));
    preceded(version, mode).parse(input)
}

/// A Via Record.
#[inline(always)]
pub(crate) fn via(input: &[u8], limit: usize) -> Parsed<'_, &str> {
    let text = Text { field: Field::Via, limit };
    preceded(kind(RecordType::VIA, unexpected(Expected::Via)), text).parse(input)
}

/// A Known or Extensible Encoding Record.
#[inline(always)]
pub(crate) fn encoding(input: &[u8], limit: usize) -> Parsed<'_, Encoding<'_>> {
    let (rest, code) = Octet.parse(input)?;
    match RecordType(code) {
        RecordType::KNOWN_ENCODING => Octet.map(KnownEncoding).map(Encoding::Known).parse(rest),
        RecordType::EXTENSIBLE_ENCODING => {
            Text { field: Field::ContentType, limit }.map(Encoding::Extensible).parse(rest)
        }
        got => Err(invalid(unexpected(Expected::Encoding)(got))),
    }
}

/// The two octets of a Version Record after its type; gives the minor version, which nobody looks at.
#[inline(always)]
fn version<'a>() -> impl Parser<&'a [u8], Output = u8, Error = Invalid> {
    let one = |major| if major == 1 { Ok(()) } else { Err(DecodeError::UnsupportedVersion { major }) };
    preceded(Checked(Octet, one), Octet)
}

/// The size of a sized envelope.
#[inline(always)]
fn envelope_size<'a>(limit: u64) -> impl Parser<&'a [u8], Output = u32, Error = Invalid> {
    Checked(Size, move |size| match u64::from(size) {
        octets if octets > limit => Err(DecodeError::TooLong { field: Field::SizedEnvelope, octets, limit }),
        _ => Ok(size),
    })
}

/// A type octet that must be this one.
#[inline(always)]
fn kind<'a>(
    wanted: RecordType,
    wrong: impl Fn(RecordType) -> DecodeError,
) -> impl Parser<&'a [u8], Output = (), Error = Invalid> {
    Checked(Octet.map(RecordType), move |got| if got == wanted { Ok(()) } else { Err(wrong(got)) })
}

#[inline(always)]
fn unexpected(expected: Expected) -> impl Fn(RecordType) -> DecodeError {
    move |got| DecodeError::UnexpectedRecord { expected, got }
}
