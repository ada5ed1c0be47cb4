//! Where an upgrade begins and ends, on either side.

use framing_core::{
    ApiMisuse, DecodeError, Expected, Initiator, Limits, Mode, Receiver, RecordType, Step, StreamEnd,
    initiator, receiver,
};

use crate::{INITIATOR, PREAMBLE, RECEIVER, carry_out, in_turn, opened, receiver_after};

/// Octets from one side of an upgrade are never taken for octets from the other: nothing that comes behind the Upgrade
/// Request or Response in the clear is looked at before the upgrade is done, and nothing may be left then.
#[test]
fn clear_octets_are_not_taken_for_protected_ones() {
    let waits = Step { consumed: 0, event: receiver::Event::AwaitingCommand };
    let mut receiver = receiver_after(&[PREAMBLE, b"\x09\x01u"], &["", "accept_upgrade"]);
    assert!(!receiver.is_upgraded(), "the Upgrade Response goes in the clear");
    for octet in 0..=255 {
        // A Preamble End, say, and an envelope of somebody on the way.
        let injected = [octet, 6, 1, 0];
        assert_eq!(receiver.step(&injected), Ok(waits));
        let left = ApiMisuse::OctetsLeft(std::num::NonZero::new(4).expect("four"));
        assert_eq!(receiver.upgraded(&injected), Err(left));
    }
    receiver.upgraded(&[]).expect("the handshake has them");
    assert!(receiver.is_upgraded());
    assert_eq!(receiver.step(&[12]).expect("valid").event, receiver::Event::PreambleEnd);

    let waits = Step { consumed: 0, event: initiator::Event::AwaitingCommand };
    let mut initiator = opened(Mode::DUPLEX);
    carry_out(&mut initiator, &INITIATOR, "upgrade_request");
    assert_eq!(initiator.step(b"\x0A\x0B").expect("valid").event, initiator::Event::UpgradeResponse);
    for octet in 0..=255 {
        assert_eq!(initiator.step(&[octet]), Ok(waits));
        assert_eq!(initiator.upgraded(&[octet]), Err(ApiMisuse::OctetsLeft(std::num::NonZero::<usize>::MIN)));
    }
    in_turn("C1, upgrading", &initiator, &INITIATOR, "upgraded");
    assert!(!initiator.is_upgraded());
    initiator.upgraded(&[]).expect("the handshake has them");
    assert!(initiator.is_upgraded());
    in_turn("C1, upgraded", &initiator, &INITIATOR, "upgrade_request preamble_end");
}

/// An upgrade lasts until both Ends are through and ours is written, on either side; what comes behind the peer's inside
/// it is not taken for the beginning of the next session, which comes in the clear.
#[test]
fn upgrades_end_with_their_session() {
    let begun = [PREAMBLE, b"\x09\x01u", &[], &[12]];
    let accepted = ["", "accept_upgrade", "upgraded", "acknowledge"];
    for ours_first in [false, true] {
        let mut receiver = receiver_after(&begun, &accepted);
        if ours_first {
            carry_out(&mut receiver, &RECEIVER, "end");
        }
        assert_eq!(receiver.step(&[7]).expect("valid").event, receiver::Event::End);
        if !ours_first {
            carry_out(&mut receiver, &RECEIVER, "end");
        }
        assert!(receiver.is_upgraded(), "our End is to be written inside");
        let waits = Step { consumed: 0, event: receiver::Event::AwaitingCommand };
        assert_eq!(receiver.step(PREAMBLE), Ok(waits));
        assert!(matches!(receiver.downgraded(PREAMBLE), Err(ApiMisuse::OctetsLeft(_))));
        let error = DecodeError::UnexpectedRecord { expected: Expected::Nothing, got: RecordType::VERSION };
        assert_eq!(receiver.clone().end_of_stream(PREAMBLE), Err(error));
        assert_eq!(receiver.clone().end_of_stream(&[]), Ok(StreamEnd::Quiet));
        carry_out(&mut receiver, &RECEIVER, "downgraded");
        assert_eq!(receiver, Receiver::any_mode(Limits::DEFAULT));

        let mut initiator = opened(Mode::DUPLEX);
        carry_out(&mut initiator, &INITIATOR, "upgrade_request");
        assert!(initiator.step(&[10]).is_ok());
        carry_out(&mut initiator, &INITIATOR, "upgraded");
        carry_out(&mut initiator, &INITIATOR, "preamble_end");
        assert!(initiator.step(&[11]).is_ok());
        if ours_first {
            carry_out(&mut initiator, &INITIATOR, "end");
        }
        assert!(initiator.step(&[7]).is_ok());
        if !ours_first {
            carry_out(&mut initiator, &INITIATOR, "end");
        }
        assert!(initiator.is_upgraded());
        in_turn("C0 again, still inside the upgrade", &initiator, &INITIATOR, "downgraded");
        assert_eq!(initiator.step(&[11]).expect("waits").event, initiator::Event::AwaitingCommand);
        assert!(matches!(initiator.downgraded(&[11]), Err(ApiMisuse::OctetsLeft(_))));
        carry_out(&mut initiator, &INITIATOR, "downgraded");
        assert_eq!(initiator, Initiator::new(Limits::DEFAULT));
    }
}
