//! Connections that are copied, for those that cannot be handed over.
//!
//! - [`relay_loop`]: the thread, both sockets of each relay; [`pump`]: one direction, copying and splicing
//! - [`bridge`]: relays whose back-end is the broker itself, for a worker of the other family of loopback
//! - [`relaying`]: for whom a relay is, counted as long as it is there
//! - [`circle`]: static routes that lead back to the broker
//!
//! What this folder may use: `routes`, `listening`, `config`, and of the files in no folder what is no way back to the accept loop.

pub(crate) mod bridge;
pub(crate) mod circle;
mod pump;
pub(crate) mod relay_loop;
pub(crate) mod relaying;
