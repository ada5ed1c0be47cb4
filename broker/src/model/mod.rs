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
use proptest_state_machine::prop_state_machine;

use self::system::System;

prop_state_machine! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn everybody_agrees_who_gets_which_connection(sequential 1..48 => System);
}
