//! The receiver's tables.

use framing_core::{Fault, Implementation, Initiator, Limits, Receiver, StreamEnd, receiver};

use crate::{PREAMBLE, RECEIVER, SIMPLEX, SINGLETON, in_turn, receiver_after};

/// A state of the receiver, named as in the tables.
struct Row {
    name: &'static str,
    /// Octets that lead there, from a fresh machine that takes any mode and answers everything.
    before: Vec<u8>,
    /// What may come next.
    allowed: fn(u8) -> bool,
    /// What we and .NET Framework's service answer to anything else.
    ours: Option<Fault<'static>>,
    service: Option<Fault<'static>>,
}

fn receiver_rows() -> Vec<Row> {
    let sequence = Some(Fault::INVALID_RECORD_SEQUENCE);
    let version = Some(Fault::UNSUPPORTED_VERSION);
    let mode = Some(Fault::UNSUPPORTED_MODE);
    let upgrade = Some(Fault::UPGRADE_INVALID);
    let row = |name, before: &[&[u8]], allowed, ours, service| Row {
        name,
        before: before.concat(),
        allowed,
        ours,
        service,
    };
    vec![
        row("S0 VersionType", &[], |octet| octet == 0, None, None),
        row("S1 Major", &[&PREAMBLE[..1]], |octet| octet == 1, version, version),
        row("S2 Minor", &[&PREAMBLE[..2]], |_| true, None, None),
        row("S3 ModeType", &[&PREAMBLE[..3]], |octet| octet == 1, sequence, None),
        row("S4 Mode", &[&PREAMBLE[..4]], |octet| (1..=4).contains(&octet), mode, mode),
        row("S5 ViaType", &[&PREAMBLE[..5]], |octet| octet == 2, sequence, None),
        row("S6 Via", &[&PREAMBLE[..6]], |octet| octet != 0, Some(Fault::ENDPOINT_NOT_FOUND), None),
        row("S7 EncType", &[&PREAMBLE[..20]], |octet| octet == 3 || octet == 4, sequence, None),
        row("S8a code", &[&PREAMBLE[..21]], |_| true, None, None),
        row("S8b string", &[&PREAMBLE[..20], &[4]], |_| true, None, None),
        row("S11 next record", &[PREAMBLE], |octet| octet == 9 || octet == 12, sequence, None),
        row("S12 upgrade name", &[PREAMBLE, &[9]], |octet| octet != 0, upgrade, upgrade),
        row(
            "S11 after an upgrade",
            &[PREAMBLE, b"\x09\x01u"],
            |octet| octet == 9 || octet == 12,
            sequence,
            None,
        ),
        row("D0", &[PREAMBLE, &[12]], |octet| octet == 6 || octet == 7, sequence, None),
        row("D0 size", &[PREAMBLE, &[12, 6]], |_| true, None, None),
        row("D0 payload", &[PREAMBLE, &[12, 6, 1]], |_| true, None, None),
        row(
            "D0 after an envelope",
            &[PREAMBLE, &[12, 6, 1, 0]],
            |octet| octet == 6 || octet == 7,
            sequence,
            None,
        ),
        row("S0 after End and End", &[PREAMBLE, &[12, 7]], |octet| octet == 0, None, None),
        row("U0", &[SINGLETON, &[12]], |octet| octet == 5, sequence, None),
        row("U1", &[SINGLETON, &[12, 5]], |_| true, None, None),
        row("U1 chunk", &[SINGLETON, &[12, 5, 1]], |_| true, None, None),
        row("U1 after a chunk", &[SINGLETON, &[12, 5, 1, 0]], |_| true, None, None),
        row("U2", &[SINGLETON, &[12, 5, 1, 0, 0]], |octet| octet == 7, sequence, None),
        row("U2 without a chunk", &[SINGLETON, &[12, 5, 0]], |octet| octet == 7, sequence, None),
        row("S0 after a singleton", &[SINGLETON, &[12, 5, 0, 7]], |octet| octet == 0, None, None),
        row("simplex", &[SIMPLEX], |octet| [6, 7, 12].contains(&octet), sequence, None),
        row(
            "simplex after Preamble End",
            &[SIMPLEX, &[12]],
            |octet| octet == 6 || octet == 7,
            sequence,
            None,
        ),
    ]
}

/// Feeds octets to a receiver that answers everything.
fn feed_receiver(machine: &mut Receiver, mut octets: &[u8]) -> Result<(), framing_core::DecodeError> {
    let mut out = [0; 4];
    loop {
        let step = machine.step(octets)?;
        match step.event {
            receiver::Event::NeedMore(_) => return Ok(()),
            receiver::Event::UpgradeRequest(_) => {
                machine.accept_upgrade(&mut out).expect("in turn");
                machine.upgraded(&[]).expect("in turn");
            }
            receiver::Event::PreambleEnd => {
                let _ = machine.acknowledge(&mut out);
            }
            receiver::Event::End => {
                let _ = machine.end(&mut out);
                let _ = machine.downgraded(&[]);
            }
            _ => {}
        }
        octets = &octets[step.consumed..];
    }
}

#[test]
fn receiver_takes_what_the_tables_say() {
    for Row { name, before, allowed, ours, service } in receiver_rows() {
        for octet in 0..=255 {
            let mut machine = Receiver::any_mode(Limits::DEFAULT);
            let octets = [before.as_slice(), &[octet]].concat();
            match feed_receiver(&mut machine, &octets) {
                Ok(()) => assert!(allowed(octet), "{name}: takes {octet:02X}"),
                Err(error) => {
                    assert!(!allowed(octet), "{name}: refuses {octet:02X}: {error}");
                    assert_eq!(error.fault(), ours, "{name}: {octet:02X}");
                    assert_eq!(
                        error.compatible_fault(Implementation::Service),
                        service,
                        "{name}: {octet:02X}"
                    );
                    assert_eq!(error.compatible_fault(Implementation::PortSharingService), None);
                    let way_back = !name.starts_with("simplex");
                    assert_eq!(machine.answer(), ours.filter(|_| way_back), "{name}: {octet:02X}");
                }
            }
        }
    }
}

/// S4 on a connection: the modes without a way back are refused, by the original without a fault.
#[test]
fn receiver_on_a_connection_takes_two_modes() {
    for mode in 0..=255 {
        let outcome = feed_receiver(&mut Receiver::new(Limits::DEFAULT), &[0, 1, 0, 1, mode]);
        let answers =
            outcome.err().map(|error| (error.fault(), error.compatible_fault(Implementation::Service)));
        let unsupported = Some(Fault::UNSUPPORTED_MODE);
        assert_eq!(
            answers,
            match mode {
                1 | 2 => None,
                3 | 4 => Some((unsupported, None)),
                _ => Some((unsupported, unsupported)),
            }
        );
    }
}

#[test]
fn receiver_commands_in_turn() {
    /// Name, octets in pieces, a command after each piece and then more, the commands in turn.
    type Row<'a> = (&'a str, &'a [&'a [u8]], &'a [&'a str], &'a str);
    let rows: &[Row<'_>] = &[
        ("S0", &[], &[], "fault"),
        ("S11", &[PREAMBLE], &[], "fault"),
        ("S13", &[PREAMBLE, b"\x09\x01u"], &[], "accept_upgrade fault"),
        ("S13, accepted", &[PREAMBLE, b"\x09\x01u"], &["", "accept_upgrade"], "upgraded"),
        ("S11 again", &[PREAMBLE, b"\x09\x01u"], &["", "accept_upgrade", "upgraded"], "fault"),
        ("S14", &[PREAMBLE, &[12]], &[], "acknowledge fault"),
        ("D0", &[&[PREAMBLE, &[12]].concat()], &["acknowledge"], "envelope end fault"),
        ("D0, sent", &[&[PREAMBLE, &[12]].concat()], &["acknowledge", "envelope"], "envelope end fault"),
        ("D0, ended", &[&[PREAMBLE, &[12]].concat()], &["acknowledge", "end"], ""),
        ("D1", &[&[PREAMBLE, &[12]].concat(), &[7]], &["acknowledge"], "envelope end fault"),
        ("D1, faulted", &[&[PREAMBLE, &[12]].concat(), &[7]], &["acknowledge", "fault"], ""),
        ("S0 again", &[&[PREAMBLE, &[12]].concat(), &[7]], &["acknowledge", "end"], "fault"),
        (
            "S0 again, still inside the upgrade",
            &[PREAMBLE, b"\x09\x01u", &[], &[12], &[7]],
            &["", "accept_upgrade", "upgraded", "acknowledge", "end"],
            "downgraded",
        ),
        (
            "S0 again, the initiator's End last",
            &[PREAMBLE, b"\x09\x01u", &[], &[12], &[], &[7]],
            &["", "accept_upgrade", "upgraded", "acknowledge", "end"],
            "downgraded",
        ),
        ("S14, faulted", &[PREAMBLE, &[12]], &["fault"], ""),
        ("U0", &[&[SINGLETON, &[12]].concat()], &["acknowledge"], "envelope end fault"),
        ("U3", &[&[SINGLETON, &[12]].concat(), &[5, 0, 7]], &["acknowledge"], "envelope end fault"),
        (
            "U3, replying",
            &[&[SINGLETON, &[12]].concat(), &[5, 0, 7]],
            &["acknowledge", "envelope"],
            "chunk envelope_end",
        ),
        (
            "U3, replied",
            &[&[SINGLETON, &[12]].concat(), &[5, 0, 7]],
            &["acknowledge", "envelope", "envelope_end"],
            "end fault",
        ),
        ("simplex", &[SIMPLEX], &[], ""),
        ("simplex, Preamble End", &[SIMPLEX, &[12]], &[], ""),
        ("simplex, envelope", &[SIMPLEX, &[12, 6, 1]], &[], ""),
        ("simplex, over", &[SIMPLEX, &[12, 7]], &[], "fault"),
    ];
    for (state, pieces, commands, named) in rows {
        in_turn(state, &receiver_after(pieces, commands), &RECEIVER, named);
    }

    let mut failed = Receiver::new(Limits::DEFAULT);
    assert!(failed.step(b"GET /").is_err());
    in_turn("failed", &failed, &RECEIVER, "fault");
}

/// Only the transport ends a raw envelope; nothing comes after it.
#[test]
fn raw_envelope_ends_with_the_stream() {
    let raw = b"\x00\x01\x00\x01\x04\x02\x0Dnet.tcp://h/a\x03\x03<a/>";
    let mut machine = Receiver::any_mode(Limits::DEFAULT);
    feed_receiver(&mut machine, raw).expect("valid");
    assert_eq!(machine.end_of_stream(&[]), Ok(StreamEnd::EnvelopeEnd));
    assert_eq!(machine.step(&[]).expect("over").event, receiver::Event::Closed);
    in_turn("singleton-sized, over", &machine, &RECEIVER, "");
}

/// What the documentation of both says of their size.
#[test]
fn machines_are_small() {
    assert!(size_of::<Receiver>() <= 130, "{}", size_of::<Receiver>());
    assert!(size_of::<Initiator>() <= 110, "{}", size_of::<Initiator>());
}

/// Payloads are handed out where they lie.
#[test]
fn payloads_are_not_copied() {
    let octets = [PREAMBLE, &[12, 6, 5], b"hello", &[7]].concat();
    let mut machine = receiver_after(&[&octets[..PREAMBLE.len() + 1]], &["acknowledge"]);
    let mut start = PREAMBLE.len() + 1;
    loop {
        let step = machine.step(&octets[start..]).expect("valid");
        if let receiver::Event::Payload(payload) = step.event {
            assert_eq!(payload.as_ptr_range(), octets[start..start + 5].as_ptr_range());
            return;
        }
        start += step.consumed;
    }
}
