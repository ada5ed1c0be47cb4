//! A test: random things happen to the registry and to the accept loop, and to a model of them that is as simple as it can be.
//! Both must agree at every step about who has which connection, in which order, and how each has ended.
//!
//! - [`step`]: what may happen
//! - [`reference`]: what becomes of it, in lists and loops alone
//! - [`system`]: the real thing: its registry, its accept loop, its queues, over real sockets. One thread does it all, and says what
//!   time it is; nothing is waited for but signs

mod reference;
mod step;
mod system;

use proptest::prelude::ProptestConfig;
use proptest_state_machine::{StateMachineTest, prop_state_machine};

use self::reference::Model;
use self::step::{Grace, Step};
use self::system::System;

prop_state_machine! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn everybody_agrees_who_gets_which_connection(sequential 1..48 => System);
}

/// One case, step by step.
fn agrees(steps: impl Into<Vec<Step>>) {
    System::test_sequential(ProptestConfig::default(), Model::begin(), steps.into(), None);
}

fn register(addresses: &[usize], share: bool) -> Step {
    Step::Register { addresses: addresses.to_vec(), share, grace: Grace::None, per_message: 32 }
}

/// Behind a full queue it counts as well that it was somebody's turn.
#[test]
fn whose_turn_it_is_counts_those_who_are_held() {
    let come = |count| Step::Come { asked: 0, count };
    let (first, second) = (register(&[0], true), register(&[0], true));
    agrees([first, second, come(5), Step::Take(1, 4), Step::Take(2, 4), come(1)]);
}

/// A worker that takes connections again has its address for itself if the other one is gone.
#[test]
fn who_takes_connections_again_does_not_share_them_with_a_dead_worker() {
    let come = Step::Come { asked: 2, count: 2 };
    let drains = |draining| Step::Drain(1, draining);
    agrees([register(&[2], false), drains(true), register(&[2], false), Step::Die(2), drains(false), come]);
}
