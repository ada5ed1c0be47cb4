//! The state tables of both roles, row by row: which octet may come next in each state, what the others are answered
//! with, and which commands are in turn. Every octet and every command is tried in every state.

use framing_core::{
    ApiMisuse, Encoding, Fault, Initiator, KnownEncoding, Limits, Mode, Original, Preamble, Receiver,
    StreamEnd, initiator, receiver,
};

const PREAMBLE: &[u8] = b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08";
const SINGLETON: &[u8] = b"\x00\x01\x00\x01\x01\x02\x0Dnet.tcp://h/a\x03\x07";
const SIMPLEX: &[u8] = b"\x00\x01\x00\x01\x03\x02\x0Dnet.tcp://h/a\x03\x03";

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
            receiver::Event::NeedInput(_) => return Ok(()),
            receiver::Event::UpgradeRequest(_) => drop(machine.accept_upgrade(&mut out)),
            receiver::Event::PreambleEnd => drop(machine.acknowledge(&mut out)),
            receiver::Event::End => drop(machine.end(&mut out)),
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
                    assert_eq!(error.fault_as_original(Original::Service), service, "{name}: {octet:02X}");
                    assert_eq!(error.fault_as_original(Original::PortSharingService), None);
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
        let answers = outcome.err().map(|error| (error.fault(), error.fault_as_original(Original::Service)));
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

/// C1 to C3: the states of the initiator and what may come next.
#[test]
fn initiator_takes_what_the_tables_say() {
    let duplex = Mode::DUPLEX;
    let singleton = Mode::SINGLETON_UNSIZED;
    /// Name, mode, whether an upgrade was asked for, octets that lead there, what may come next.
    type Row = (&'static str, Mode, bool, &'static [u8], fn(u8) -> bool);
    let rows: [Row; 10] = [
        ("C1", duplex, true, &[], |octet| octet == 10 || octet == 8),
        ("C2", duplex, false, &[], |octet| octet == 11 || octet == 8),
        ("C2 after an upgrade", duplex, true, &[10], |octet| octet == 11 || octet == 8),
        ("C1, C2 fault", duplex, false, &[8], |octet| octet != 0),
        ("C3 duplex", duplex, false, &[11], |octet| [6, 7, 8].contains(&octet)),
        ("C3 duplex, envelope", duplex, false, &[11, 6], |_| true),
        ("C3 duplex, later", duplex, false, &[11, 6, 1, 0], |octet| [6, 7, 8].contains(&octet)),
        ("C3 singleton", singleton, false, &[11], |octet| [5, 7, 8].contains(&octet)),
        ("C3 singleton, chunks", singleton, false, &[11, 5], |_| true),
        ("C3 singleton, replied", singleton, false, &[11, 5, 0], |octet| octet == 7 || octet == 8),
    ];
    for (name, mode, upgrade, before, allowed) in rows {
        for octet in 0..=255 {
            let mut machine = opened(mode);
            let mut out = [0; 16];
            if upgrade {
                machine.upgrade_request("u", &mut out).expect("in turn");
            } else {
                machine.preamble_end(&mut out).expect("in turn");
            }
            let octets = [before, &[octet]].concat();
            let mut rest = octets.as_slice();
            let outcome = loop {
                match machine.step(rest) {
                    Err(error) => break Err(error),
                    Ok(step) => {
                        rest = &rest[step.consumed..];
                        match step.event {
                            initiator::Event::UpgradeResponse if !rest.is_empty() => {
                                machine.preamble_end(&mut out).expect("in turn");
                            }
                            initiator::Event::NeedInput(_) | initiator::Event::AwaitingCommand => {
                                break Ok(());
                            }
                            _ => {}
                        }
                    }
                }
            };
            assert_eq!(outcome.is_ok(), allowed(octet), "{name}: {octet:02X}: {outcome:?}");
        }
    }
}

fn opened(mode: Mode) -> Initiator {
    let mut machine = Initiator::new(Limits::DEFAULT);
    let preamble = Preamble { mode, via: "net.tcp://h/a", encoding: Encoding::Known(KnownEncoding::BINARY) };
    machine.preamble(&preamble, &mut [0; 32]).expect("in turn");
    machine
}

type Command<M> = (&'static str, fn(&mut M, &mut [u8]) -> Result<usize, ApiMisuse>);

const RECEIVER: [Command<Receiver>; 7] = [
    ("accept_upgrade", Receiver::accept_upgrade),
    ("acknowledge", Receiver::acknowledge),
    ("fault", |machine, out| machine.fault(Fault::SERVER_TOO_BUSY, out)),
    ("envelope", |machine, out| machine.envelope(3, out)),
    ("chunk", |machine, out| machine.chunk(3, out)),
    ("envelope_end", Receiver::envelope_end),
    ("end", Receiver::end),
];

const INITIATOR: [Command<Initiator>; 7] = [
    ("preamble", |machine, out| {
        let encoding = Encoding::Known(KnownEncoding::BINARY);
        machine.preamble(&Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding }, out)
    }),
    ("upgrade_request", |machine, out| machine.upgrade_request("application/negotiate", out)),
    ("preamble_end", Initiator::preamble_end),
    ("envelope", |machine, out| machine.envelope(3, out)),
    ("chunk", |machine, out| machine.chunk(3, out)),
    ("envelope_end", Initiator::envelope_end),
    ("end", Initiator::end),
];

/// Tries every command on a copy of the machine: those named are carried out, also into exactly as many octets as they
/// need; the others, and these into one octet less, change nothing and write nothing.
fn in_turn<M: Clone + PartialEq + std::fmt::Debug>(
    state: &str,
    machine: &M,
    commands: &[Command<M>],
    named: &str,
) {
    for (name, command) in commands {
        let mut copy = machine.clone();
        let mut out = [0xEE; 128];
        let outcome = command(&mut copy, &mut out);
        assert_eq!(outcome.is_ok(), named.split(' ').any(|one| one == *name), "{state}: {name}: {outcome:?}");
        let Ok(written) = outcome else {
            assert_eq!(outcome, Err(ApiMisuse::OutOfTurn), "{state}: {name}");
            assert_eq!(&copy, machine, "{state}: {name} was refused and changed something");
            assert_eq!(out, [0xEE; 128]);
            continue;
        };
        assert!(out[written..].iter().all(|octet| *octet == 0xEE), "{state}: {name} wrote too much");
        assert!(command(&mut machine.clone(), &mut out[..written]).is_ok());
        let mut copy = machine.clone();
        let short = command(&mut copy, &mut [0xEE; 128][..written - 1]);
        assert!(matches!(short, Err(ApiMisuse::Encode(_))), "{state}: {name}: {short:?}");
        assert_eq!(&copy, machine, "{state}: {name} had no room and changed something");
    }
}

/// A receiver to which these octets came and that gave these commands at the places marked `None`.
fn receiver_after(pieces: &[&[u8]], commands: &[&str]) -> Receiver {
    let mut machine = Receiver::any_mode(Limits::DEFAULT);
    let mut commands = commands.iter();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let step = machine.step(rest).expect("valid");
            rest = &rest[step.consumed..];
        }
        if let Some(name) = commands.next() {
            carry_out(&mut machine, &RECEIVER, name);
        }
    }
    for name in commands {
        carry_out(&mut machine, &RECEIVER, name);
    }
    machine
}

fn carry_out<M>(machine: &mut M, commands: &[Command<M>], name: &str) {
    let (_, command) = commands.iter().find(|(known, _)| *known == name).expect("a command");
    command(machine, &mut [0; 128]).expect("in turn");
}

#[test]
fn receiver_commands_in_turn() {
    /// Name, octets in pieces, a command after each piece and then more, the commands in turn.
    type Row<'a> = (&'a str, &'a [&'a [u8]], &'a [&'a str], &'a str);
    let rows: &[Row<'_>] = &[
        ("S0", &[], &[], "fault"),
        ("S11", &[PREAMBLE], &[], "fault"),
        ("S13", &[PREAMBLE, b"\x09\x01u"], &[], "accept_upgrade fault"),
        ("S14", &[PREAMBLE, &[12]], &[], "acknowledge fault"),
        ("D0", &[&[PREAMBLE, &[12]].concat()], &["acknowledge"], "envelope end fault"),
        ("D0, sent", &[&[PREAMBLE, &[12]].concat()], &["acknowledge", "envelope"], "envelope end fault"),
        ("D0, ended", &[&[PREAMBLE, &[12]].concat()], &["acknowledge", "end"], ""),
        ("D1", &[&[PREAMBLE, &[12]].concat(), &[7]], &["acknowledge"], "envelope end fault"),
        ("D1, faulted", &[&[PREAMBLE, &[12]].concat(), &[7]], &["acknowledge", "fault"], ""),
        ("S0 again", &[&[PREAMBLE, &[12]].concat(), &[7]], &["acknowledge", "end"], "fault"),
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

#[test]
fn initiator_commands_in_turn() {
    let after = |mode, commands: &[&str], octets: &[u8], later: &[&str]| {
        let mut machine = opened(mode);
        for name in commands {
            carry_out(&mut machine, &INITIATOR, name);
        }
        let mut rest = octets;
        while !rest.is_empty() {
            let step = machine.step(rest).expect("valid");
            rest = &rest[step.consumed..];
        }
        for name in later {
            carry_out(&mut machine, &INITIATOR, name);
        }
        machine
    };
    let (duplex, singleton) = (Mode::DUPLEX, Mode::SINGLETON_UNSIZED);
    let begun: &[&str] = &["preamble_end"];
    let rows = [
        ("C0", Initiator::new(Limits::DEFAULT), "preamble"),
        ("C0, preamble out", after(duplex, &[], &[], &[]), "upgrade_request preamble_end"),
        ("C1", after(duplex, &["upgrade_request"], &[], &[]), ""),
        ("C1, upgraded", after(duplex, &["upgrade_request"], &[10], &[]), "upgrade_request preamble_end"),
        ("C2", after(duplex, begun, &[], &[]), ""),
        ("C2, fault", after(duplex, begun, b"\x08\x01x", &[]), ""),
        ("C3", after(duplex, begun, &[11], &[]), "envelope end"),
        ("C3, sent", after(duplex, begun, &[11], &["envelope"]), "envelope end"),
        ("C3, ended", after(duplex, begun, &[11], &["end"]), ""),
        ("C3, fault", after(duplex, begun, b"\x0B\x08\x01x", &[]), "end"),
        ("C3, fault, ended", after(duplex, begun, b"\x0B\x08\x01x", &["end"]), ""),
        ("C3, End came", after(duplex, begun, &[11, 7], &[]), "envelope end"),
        ("C0 again", after(duplex, begun, &[11, 7], &["end"]), "preamble"),
        ("singleton C3", after(singleton, begun, &[11], &[]), "envelope"),
        ("singleton C3, sending", after(singleton, begun, &[11], &["envelope"]), "chunk envelope_end"),
        ("singleton C3, chunk", after(singleton, begun, &[11], &["envelope", "chunk"]), "chunk envelope_end"),
        ("singleton C3, sent", after(singleton, begun, &[11], &["envelope", "envelope_end"]), "end"),
        ("simplex", after(Mode::SIMPLEX, &[], &[], &[]), "preamble_end"),
        ("simplex, open", after(Mode::SIMPLEX, begun, &[], &[]), "envelope end"),
        ("simplex, over", after(Mode::SIMPLEX, begun, &[], &["end"]), "preamble"),
    ];
    for (state, machine, named) in rows {
        in_turn(state, &machine, &INITIATOR, named);
    }

    // The raw envelope has no header: nothing is written, and only once.
    let mut raw = opened(Mode::SINGLETON_SIZED);
    assert_eq!(raw.envelope(1000, &mut []), Ok(0));
    in_turn("singleton-sized, sent", &raw, &INITIATOR, "");

    let reserved =
        Preamble { mode: Mode(5), via: "net.tcp://h/a", encoding: Encoding::Known(KnownEncoding(0)) };
    let refused = Initiator::new(Limits::DEFAULT).preamble(&reserved, &mut [0; 64]);
    assert_eq!(refused, Err(ApiMisuse::UndefinedMode(Mode(5))));
}

/// An upgrade lasts until both Ends are through, on either side.
#[test]
fn upgrades_end_with_their_session() {
    let mut receiver = receiver_after(
        &[&[PREAMBLE, b"\x09\x01u"].concat(), &[12], &[7]],
        &["accept_upgrade", "acknowledge"],
    );
    assert!(receiver.is_upgraded());
    carry_out(&mut receiver, &RECEIVER, "end");
    assert_eq!(receiver, Receiver::any_mode(Limits::DEFAULT));

    let mut initiator = opened(Mode::DUPLEX);
    carry_out(&mut initiator, &INITIATOR, "upgrade_request");
    assert!(!initiator.is_upgraded());
    assert!(initiator.step(&[10]).is_ok());
    assert!(initiator.is_upgraded());
    carry_out(&mut initiator, &INITIATOR, "preamble_end");
    assert!(initiator.step(&[11]).is_ok());
    carry_out(&mut initiator, &INITIATOR, "end");
    assert!(initiator.is_upgraded());
    assert!(initiator.step(&[7]).is_ok());
    assert_eq!(initiator, Initiator::new(Limits::DEFAULT));
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
