//! How sessions break off: what is answered, and what is missing where a stream ends.

use framing_core::{DecodeError, Expected, Fault, Initiator, Mode, RecordType, StreamEnd};

use crate::{INITIATOR, PREAMBLE, RECEIVER, SIMPLEX, SINGLETON, carry_out, opened, receiver_after};

/// Where no fault can be sent, none is proposed.
#[test]
fn answers_can_be_sent() {
    let sequence = Some(Fault::INVALID_RECORD_SEQUENCE);
    type Row<'a> = (&'a str, &'a [&'a [u8]], &'a [&'a str], &'a [u8], Option<Fault<'static>>);
    let rows: &[Row<'_>] = &[
        ("S0", &[], &[], b"\x00\x02", Some(Fault::UNSUPPORTED_VERSION)),
        ("S0, HTTP", &[], &[], b"GET /", None),
        ("S11", &[PREAMBLE], &[], &[7], sequence),
        ("D0", &[PREAMBLE, &[12]], &["", "acknowledge"], &[5], sequence),
        ("D0, after our End", &[PREAMBLE, &[12]], &["", "acknowledge", "end"], &[5], None),
        ("U0", &[SINGLETON, &[12]], &["", "acknowledge"], &[6], sequence),
        ("U0, inside our chunks", &[SINGLETON, &[12]], &["", "acknowledge", "envelope"], &[6], None),
        (
            "U0, replied",
            &[SINGLETON, &[12]],
            &["", "acknowledge", "envelope", "envelope_end"],
            &[6],
            sequence,
        ),
        ("simplex", &[SIMPLEX], &[], &[5], None),
        ("simplex, envelopes", &[SIMPLEX, &[12]], &[], &[5], None),
        ("simplex, bad Via", &[], &[], b"\x00\x01\x00\x01\x03\x02\x00", None),
        ("singleton-sized, bad encoding", &[], &[], b"\x00\x01\x00\x01\x04\x02\x01x\x05", None),
        ("another version", &[], &[], b"\x00\x02\x00\x01\x03", Some(Fault::UNSUPPORTED_VERSION)),
        ("bad Via", &[], &[], b"\x00\x01\x00\x01\x02\x02\x00", Some(Fault::ENDPOINT_NOT_FOUND)),
    ];
    for (state, pieces, commands, octets, answer) in rows {
        let mut machine = receiver_after(pieces, commands);
        assert_eq!(machine.answer(), None, "{state}: not failed");
        assert!(machine.step(octets).is_err(), "{state}");
        assert_eq!(machine.answer(), *answer, "{state}");
        if let Some(fault) = machine.answer() {
            assert!(machine.fault(fault, &mut [0; 128]).is_ok(), "{state}: {fault}");
        }
        assert_eq!(machine.answer(), None, "{state}: answered");
    }
}

/// What is missing first where a stream ends, for each state.
#[test]
fn end_of_stream_says_what_is_missing() {
    let ends = |pieces: &[&[u8]], commands: &[&str], left: &[u8]| {
        let mut machine = receiver_after(pieces, commands);
        assert_eq!(machine.step(left).map(|step| step.consumed), Ok(0), "{left:02X?} is not complete");
        match machine.end_of_stream(left) {
            Err(DecodeError::EndOfStream { expected }) => expected,
            other => panic!("{left:02X?}: {other:?}"),
        }
    };
    let more = Expected::MoreOf;
    let preamble = b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08";
    for length in 1..preamble.len() {
        let expected = match length {
            1..=2 => more(RecordType::VERSION),
            3 => Expected::Mode,
            4 => more(RecordType::MODE),
            5 => Expected::Via,
            6..=19 => more(RecordType::VIA),
            20 => Expected::Encoding,
            _ => more(RecordType::KNOWN_ENCODING),
        };
        assert_eq!(ends(&[], &[], &preamble[..length]), expected, "{length}");
    }
    let records = Expected::UpgradeOrPreambleEnd;
    assert_eq!(ends(&[PREAMBLE], &[], &[]), records);
    assert_eq!(ends(&[PREAMBLE], &[], b"\x09\x03t"), more(RecordType::UPGRADE_REQUEST));
    assert_eq!(ends(&[PREAMBLE, b"\x09\x01u"], &[], &[]), records);
    assert_eq!(ends(&[PREAMBLE, b"\x09\x01u"], &["", "accept_upgrade"], &[]), Expected::Upgrade);
    assert_eq!(ends(&[PREAMBLE, b"\x09\x01u"], &["", "accept_upgrade", "upgraded"], &[]), records);
    assert_eq!(ends(&[PREAMBLE, &[12]], &[], &[]), Expected::EnvelopeOrEnd);
    assert_eq!(ends(&[SINGLETON, &[12]], &[], &[]), Expected::UnsizedEnvelope);
    assert_eq!(ends(&[PREAMBLE, &[12]], &["", "acknowledge"], &[]), Expected::EnvelopeOrEnd);
    assert_eq!(ends(&[PREAMBLE, &[12]], &["", "acknowledge"], &[6]), more(RecordType::SIZED_ENVELOPE));
    assert_eq!(ends(&[SINGLETON, &[12]], &["", "acknowledge"], &[]), Expected::UnsizedEnvelope);
    assert_eq!(ends(&[SIMPLEX], &[], &[]), Expected::PreambleEndOrEnvelope);
    assert_eq!(ends(&[SIMPLEX, &[12]], &[], &[6, 0x80]), more(RecordType::SIZED_ENVELOPE));
    let open: &[&[u8]] = &[&[SINGLETON, &[12]].concat(), &[5]];
    assert_eq!(ends(open, &["acknowledge"], &[0x80]), Expected::MoreOfEnvelope);
    let open: &[&[u8]] = &[&[SINGLETON, &[12]].concat(), &[5, 0]];
    assert_eq!(ends(open, &["acknowledge"], &[]), Expected::End);

    let mut initiator = opened(Mode::DUPLEX);
    // A fault may come at any time.
    let fault = initiator.clone().end_of_stream(b"\x08\x05urn");
    assert_eq!(fault, Err(DecodeError::EndOfStream { expected: more(RecordType::FAULT) }));
    carry_out(&mut initiator, &INITIATOR, "upgrade_request");
    let ends = |machine: &Initiator, left: &[u8]| match machine.clone().end_of_stream(left) {
        Err(DecodeError::EndOfStream { expected }) => expected,
        other => panic!("{other:?}"),
    };
    assert_eq!(ends(&initiator, &[]), Expected::UpgradeResponse);
    assert_eq!(ends(&initiator, b"\x08\x05urn"), more(RecordType::FAULT));
    assert!(initiator.step(&[10]).is_ok());
    assert_eq!(ends(&initiator, &[11]), Expected::Upgrade);
    carry_out(&mut initiator, &INITIATOR, "upgraded");
    carry_out(&mut initiator, &INITIATOR, "preamble_end");
    assert_eq!(ends(&initiator, &[]), Expected::PreambleAck);
    assert!(initiator.step(&[11]).is_ok());
    assert_eq!(ends(&initiator, &[]), Expected::EnvelopeEndOrFault);
    assert_eq!(ends(&initiator, &[6]), more(RecordType::SIZED_ENVELOPE));
}

/// What is over for the receiver stays so.
#[test]
fn an_orderly_end_is_the_end() {
    let mut idle = receiver_after(&[PREAMBLE, &[12], &[6, 1, 0]], &["", "acknowledge"]);
    assert!(idle.step(&[]).is_ok(), "the envelope ends");
    assert_eq!(idle.end_of_stream(&[]), Ok(StreamEnd::Orderly));
    assert_eq!(idle.step(&[7]).map(|step| step.consumed).unwrap_or(0), 0, "nothing comes behind the end");
    carry_out(&mut idle, &RECEIVER, "end");

    // The transport's end has ended a raw envelope.
    let raw = b"\x00\x01\x00\x01\x04\x02\x0Dnet.tcp://h/a\x03\x03<a/>";
    let mut closed = receiver_after(&[raw], &[]);
    assert_eq!(closed.end_of_stream(&[]), Ok(StreamEnd::EnvelopeEnd));
    let before = closed.clone();
    assert_eq!(closed.end_of_stream(&[]), Ok(StreamEnd::Orderly));
    assert_eq!(closed, before);
}
