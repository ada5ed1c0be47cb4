//! Logs: what is said, and the threads that write it, for which nobody waits.
//!
//! - [`service`]: the service's own log, in the form that whoever reads it wants; [`level`]: how much of it, changed while it runs
//! - [`queue`]: what is to be written, and the thread that does it; [`destination`]: standard error, a file
//! - [`event`]: a line of the service's log in its parts; [`form`]: parts as JSON, and as journald takes them;
//!   [`journal`]: journald's socket
//!
//! This folder uses no other.

pub(crate) mod destination;
mod event;
pub(crate) mod form;
pub(crate) mod journal;
pub(crate) mod level;
pub(crate) mod queue;
pub(crate) mod service;
