//! The straight line of a connection: accept, preamble, route, then hand over, relay or refuse.
//!
//! [`accept`] has the steps in their order, and is the only one that knows them all. What it asks:
//! - [`listeners`]: the sockets it accepts from, how many at a turn, pausing; [`event_key`]: what an event is about
//! - [`preamble`]: from octets to what becomes of the connection
//! - [`parked`]: connections that wait for their initiator, in the order of their deadlines; [`sources`]: who has most of them;
//!   [`chain`]: such orders
//! - [`batch`]: hand-over, a message for each worker; [`pending`]: connections that wait for a worker
//! - [`back_end`]: connections to back-ends, and to the broker itself; [`refuse`]: what is answered, and the end of it; [`unmatched`]: for
//!   which Via nobody was there
//! - [`connections`]: which the loop has, for an administrator; [`begun`]: what it begins with, and leaves when it is
//!   frozen; [`passing`]: that, for another process; [`accept_thread`]: its thread
//!
//! [`helpers`] are further loops for when one cannot keep up; [`one_turn`] is the fast path for the benches.
//! What this folder may use: `routes`, `relay`, `listening`, `passed`, `config`, and the files in no folder.

mod accept;
pub(crate) mod accept_thread;
pub(crate) mod back_end;
mod batch;
pub(crate) mod begun;
mod chain;
mod connections;
mod event_key;
pub(crate) mod helpers;
mod listeners;
pub(crate) mod one_turn;
mod parked;
pub(crate) mod passing;
mod pending;
mod preamble;
pub(crate) mod refuse;
mod sources;
mod unmatched;

#[cfg(test)]
pub(crate) use self::accept::Loop;
