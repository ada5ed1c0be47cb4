//! The small public values: content types, the limits of sizes and preambles, and what errors of the caller say.

use framing_core::preamble::via_octets;
use framing_core::{
    ApiMisuse, EncodeError, Encoding, Field, Initiator, KnownEncoding, Limits, Mode, Preamble, size,
};

/// docs/wire.md §3, and what WCF calls a reserved code.
#[test]
fn encodings_by_code_and_by_content_type() {
    let content_types = [
        "text/xml; charset=utf-8",
        "text/xml; charset=utf16",
        "text/xml; charset=unicodeFFFE",
        "application/soap+xml; charset=utf-8",
        "application/soap+xml; charset=utf16",
        "application/soap+xml; charset=unicodeFFFE",
        "multipart/related",
        "application/soap+msbin1",
        "application/soap+msbinsession1",
    ];
    for (code, content_type) in (0..).zip(content_types) {
        let known = Encoding::Known(KnownEncoding(code));
        assert_eq!(known.content_type(), Some(content_type));
        assert_eq!(Encoding::from_content_type(content_type), known);
        assert_eq!(known.to_string(), content_type);
    }
    let reserved = Encoding::Known(KnownEncoding(9));
    assert_eq!((reserved.content_type(), reserved.to_string().as_str()), (None, "unknown9"));
    let other = Encoding::from_content_type("a/\n");
    assert_eq!(other, Encoding::Extensible("a/\n"));
    assert_eq!((other.content_type(), other.to_string().as_str()), (Some("a/\n"), "a/\\n"));
}

#[test]
fn sizes_end_at_31_bits() {
    let mut out = [0; size::MAX_OCTETS];
    assert_eq!(size::encode(size::MAX, &mut out), Ok(5));
    assert_eq!(out, [0xFF, 0xFF, 0xFF, 0xFF, 0x07]);
    assert_eq!(size::encode(size::MAX + 1, &mut out), Err(EncodeError::SizeTooLarge));
    assert_eq!(size::encode(u32::MAX, &mut out), Err(EncodeError::SizeTooLarge));
}

#[test]
fn the_longest_preamble() {
    assert_eq!(Limits::DEFAULT.preamble_octets(), 2321);
    let none = Limits { via: 0, content_type: 0, ..Limits::DEFAULT };
    // Version, Mode, and the types and sizes of Via and encoding
    assert_eq!(none.preamble_octets(), 3 + 2 + 6 + 6);
    assert_eq!(Limits { via: usize::MAX, ..none }.preamble_octets(), usize::MAX);
}

#[test]
fn where_the_via_is() {
    let octets = b"\x00\x01\x00\x01\x02\x02\x03a:\xFF\x03\x08";
    assert_eq!(via_octets(octets), Some(7..10));
    assert_eq!(via_octets(&octets[..10]), Some(7..10));
    assert_eq!(via_octets(&octets[..9]), None);
}

/// A chunk of no octets is the terminator: neither the first nor a later one is written.
#[test]
fn a_chunk_is_not_empty() {
    let mut machine = Initiator::new(Limits::DEFAULT);
    let mut out = [0; 64];
    let encoding = Encoding::Known(KnownEncoding::BINARY);
    let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    machine.preamble(&preamble, &mut out).expect("in turn");
    machine.preamble_end(&mut out).expect("in turn");
    machine.step(b"\x0B").expect("acknowledged");
    let empty = Err(ApiMisuse::Encode(EncodeError::Empty(Field::UnsizedEnvelope)));
    assert_eq!(machine.envelope_header(0, &mut out), empty);
    assert_eq!(machine.envelope_header(1, &mut out), Ok(2));
    assert_eq!(machine.chunk(0, &mut out), empty);
    assert_eq!(machine.chunk(1, &mut out), Ok(1));
}

#[test]
fn what_a_command_is_refused_with() {
    let short = EncodeError::BufferTooShort { needed: 3 };
    assert_eq!(short.to_string(), "the buffer is too short, 3 octets are needed");
    assert_eq!(EncodeError::SizeTooLarge.to_string(), "size over 31 bits");
    assert_eq!(ApiMisuse::Encode(short).to_string(), short.to_string());
    assert_eq!(ApiMisuse::OutOfTurn.to_string(), "command out of turn");
}
