//! What is behind an address. The registry writes it, the loops read it, nobody waits.
//!
//! - [`table`]: which registration or static route gets a connection, by its Via and its local address
//! - [`holder`]: whoever has an address: a worker, or a static route; [`figures`]: what became of its connections
//! - [`queue`]: the broker's ends of a registration's accept socket, and its bounds; [`in_flight`]: how many connections are in it;
//!   [`sharing`]: which of several gets the next
//!
//! What this folder may use: `config`, and of the files in no folder `limits` and `outcome`.

pub(crate) mod figures;
pub(crate) mod holder;
mod in_flight;
pub(crate) mod queue;
pub(crate) mod sharing;
pub(crate) mod table;

/// What `in_flight` counts with; `in-flight-model` puts loom's there.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
}
