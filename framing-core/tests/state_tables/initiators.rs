//! The initiator's tables.

use framing_core::{
    ApiMisuse, DecodeError, Encoding, Expected, Fault, Initiator, KnownEncoding, Limits, Mode, Preamble,
    RecordType, initiator,
};

use crate::{INITIATOR, carry_out, in_turn, initiator_after, opened};

/// C1 to C3: the states of the initiator and what may come next.
#[test]
fn initiator_takes_what_the_tables_say() {
    let duplex = Mode::DUPLEX;
    let singleton = Mode::SINGLETON_UNSIZED;
    /// Name, mode, whether an upgrade was asked for, octets that lead there, what may come next.
    type Row = (&'static str, Mode, bool, &'static [u8], fn(u8) -> bool);
    let fault = |octet: u8| octet == 8;
    let rows: [Row; 15] = [
        ("C0 after a session", duplex, false, &[11, 7], fault),
        ("C0 after a singleton", singleton, false, &[11, 7], fault),
        ("C0 after a reply", singleton, false, &[11, 5, 0, 7], fault),
        ("C0 after an upgraded session", duplex, true, &[10, 11, 7], fault),
        ("C1 upgraded", duplex, true, &[10, 0], fault),
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
            // The row "C1 upgraded" gives no command behind the upgrade: its 0 stands for that.
            let goes_on = !before.ends_with(&[10, 0]);
            let before = if goes_on { before } else { &before[..1] };
            let octets = [before, &[octet]].concat();
            let mut rest = octets.as_slice();
            let outcome = loop {
                let step = match machine.step(rest) {
                    Err(error) => break Err(error),
                    Ok(step) => step,
                };
                rest = &rest[step.consumed..];
                match step.event {
                    initiator::Event::UpgradeResponse => {
                        machine.upgraded(&[]).expect("in turn");
                        if goes_on && !rest.is_empty() {
                            machine.preamble_end(&mut out).expect("in turn");
                        }
                    }
                    initiator::Event::PreambleAck => {
                        machine.envelope_header(1, &mut out).expect("in turn");
                        let _ = machine.envelope_end(&mut out);
                        machine.end(&mut out).expect("in turn");
                    }
                    initiator::Event::End => {
                        let _ = machine.downgraded(&[]);
                    }
                    initiator::Event::NeedMore(_) | initiator::Event::AwaitingCommand => break Ok(()),
                    _ => {}
                }
            };
            assert_eq!(outcome.is_ok(), allowed(octet), "{name}: {octet:02X}: {outcome:?}");
        }
    }
}

/// On a connection that is kept for later sessions an answer that comes before its question answers nothing.
#[test]
fn early_answers_are_refused() {
    for early in [6, 7, 10, 11] {
        let octets = [11, 7, early];
        let mut initiator = opened(Mode::DUPLEX);
        carry_out(&mut initiator, &INITIATOR, "preamble_end");
        assert!(initiator.step(&octets).is_ok());
        carry_out(&mut initiator, &INITIATOR, "end");
        assert_eq!(initiator.step(&octets[1..]).expect("valid").event, initiator::Event::End);
        in_turn("C0 again, not looked at", &initiator, &INITIATOR, "");
        let error = DecodeError::UnexpectedRecord { expected: Expected::Nothing, got: RecordType(early) };
        assert_eq!(initiator.clone().end_of_stream(&[early]), Err(error));
        assert_eq!(initiator.step(&octets[2..]), Err(error));
        in_turn("C0 again, answered early", &initiator, &INITIATOR, "");

        // While the connection waits, too, and between a preamble and what ends it.
        assert_eq!(Initiator::new(Limits::DEFAULT).step(&[early]), Err(error));
        assert_eq!(Initiator::new(Limits::DEFAULT).end_of_stream(&[early]), Err(error));
        assert_eq!(opened(Mode::DUPLEX).step(&[early]), Err(error));
        assert_eq!(opened(Mode::DUPLEX).end_of_stream(&[early]), Err(error));
    }
    let mut initiator = opened(Mode::DUPLEX);
    carry_out(&mut initiator, &INITIATOR, "preamble_end");
    assert!(initiator.step(&[11]).is_ok());
    carry_out(&mut initiator, &INITIATOR, "end");
    assert_eq!(initiator.step(&[7]).expect("valid").event, initiator::Event::End);
    assert_eq!(initiator.step(&[]).expect("idle").event, initiator::Event::AwaitingCommand);
    assert!(initiator.is_idle());
    in_turn("C0 again", &initiator, &INITIATOR, "preamble");

    // A receiver may break off without being asked.
    let fault = initiator.step(b"\x08\x05urn:x").expect("valid").event;
    assert_eq!(fault, initiator::Event::Fault(Fault::new("urn:x")));
}

#[test]
fn initiator_commands_in_turn() {
    let after = initiator_after;
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
        ("C0 again, not looked at", after(duplex, begun, &[11, 7], &["end"]), ""),
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
    assert_eq!(raw.envelope_header(1000, &mut []), Ok(0));
    in_turn("singleton-sized, sent", &raw, &INITIATOR, "");

    let reserved =
        Preamble { mode: Mode(5), via: "net.tcp://h/a", encoding: Encoding::Known(KnownEncoding(0)) };
    let refused = Initiator::new(Limits::DEFAULT).preamble(&reserved, &mut [0; 64]);
    assert_eq!(refused, Err(ApiMisuse::UndefinedMode(Mode(5))));
}
