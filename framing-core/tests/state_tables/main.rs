//! The state tables of both roles (docs/wire.md §8), row by row: which octet may come next in each state, what the others are
//! answered with, and which commands are in turn. Every octet and every command is tried in every state.

use framing_core::{
    ApiMisuse, Encoding, Fault, Initiator, KnownEncoding, Limits, Mode, Preamble, Receiver, initiator,
};

mod endings;
mod initiators;
mod receivers;
mod upgrades;

const PREAMBLE: &[u8] = b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08";
const SINGLETON: &[u8] = b"\x00\x01\x00\x01\x01\x02\x0Dnet.tcp://h/a\x03\x07";
const SIMPLEX: &[u8] = b"\x00\x01\x00\x01\x03\x02\x0Dnet.tcp://h/a\x03\x03";

fn opened(mode: Mode) -> Initiator {
    let mut machine = Initiator::new(Limits::DEFAULT);
    let preamble = Preamble { mode, via: "net.tcp://h/a", encoding: Encoding::Known(KnownEncoding::BINARY) };
    machine.preamble(&preamble, &mut [0; 32]).expect("in turn");
    machine
}

type Command<M> = (&'static str, fn(&mut M, &mut [u8]) -> Result<usize, ApiMisuse>);

const RECEIVER: [Command<Receiver>; 9] = [
    ("accept_upgrade", Receiver::accept_upgrade),
    ("upgraded", |machine, _| machine.upgraded(&[]).map(|()| 0)),
    ("downgraded", |machine, _| machine.downgraded(&[]).map(|()| 0)),
    ("acknowledge", Receiver::acknowledge),
    ("fault", |machine, out| machine.fault(Fault::SERVER_TOO_BUSY, out)),
    ("envelope", |machine, out| machine.envelope_header(3, out)),
    ("chunk", |machine, out| machine.chunk(3, out)),
    ("envelope_end", Receiver::envelope_end),
    ("end", Receiver::end),
];

const INITIATOR: [Command<Initiator>; 9] = [
    ("preamble", |machine, out| {
        let encoding = Encoding::Known(KnownEncoding::BINARY);
        machine.preamble(&Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding }, out)
    }),
    ("upgraded", |machine, _| machine.upgraded(&[]).map(|()| 0)),
    ("downgraded", |machine, _| machine.downgraded(&[]).map(|()| 0)),
    ("upgrade_request", |machine, out| machine.upgrade_request("application/negotiate", out)),
    ("preamble_end", Initiator::preamble_end),
    ("envelope", |machine, out| machine.envelope_header(3, out)),
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
        if written == 0 {
            continue;
        }
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
    if name.is_empty() {
        return;
    }
    let (_, command) = commands.iter().find(|(known, _)| *known == name).expect("a command");
    command(machine, &mut [0; 128]).expect("in turn");
}

/// An initiator that gave these commands behind its preamble, got these octets, and gave these commands.
fn initiator_after(mode: Mode, commands: &[&str], octets: &[u8], later: &[&str]) -> Initiator {
    let mut machine = opened(mode);
    for name in commands {
        carry_out(&mut machine, &INITIATOR, name);
    }
    let mut rest = octets;
    loop {
        let step = machine.step(rest).expect("valid");
        rest = &rest[step.consumed..];
        match step.event {
            initiator::Event::UpgradeResponse => machine.upgraded(&[]).expect("in turn"),
            _ if rest.is_empty() => break,
            _ => {}
        }
    }
    for name in later {
        carry_out(&mut machine, &INITIATOR, name);
    }
    machine
}
