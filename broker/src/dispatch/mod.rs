//! The straight line of a connection: accept, preamble, route, hand over, relay or refuse.
//!
//! [`accept`] has the steps in their order. The others are what it asks; none of them calls back.
//! Uses `routes` (reads the table), `relay` (gives connections to it), and what all share; never `control` or `cli`.

pub(crate) mod accept;
pub(crate) mod back_end;
mod batch;
mod event_key;
pub(crate) mod helpers;
mod listeners;
pub(crate) mod one_turn;
mod parked;
mod pending;
mod preamble;
pub(crate) mod refuse;
