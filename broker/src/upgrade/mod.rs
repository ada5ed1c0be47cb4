//! One broker is followed by the next, and nobody notices: what it has is passed on, what it relays it keeps.
//!
//! In the old one:
//! - [`upgrader`]: the whole of it, in its order; [`successor`]: the new process until everything is its own
//! - [`give`]: what is passed on, as a manifest, and the moment at which it changes hands
//! - [`linger`]: what the old one does after that: its relays
//!
//! In the new one:
//! - [`predecessor`]: the broker that has started this one, until then
//! - [`lingering`]: those that relay still, and what they tell
//!
//! What this folder may use: `passed` (the manifest), `control`, `dispatch`, `routes`, `relay`, `config`, `log` (its level), and the
//! files in no folder.

pub(crate) mod give;
pub(crate) mod linger;
pub(crate) mod lingering;
pub(crate) mod predecessor;
mod successor;
pub(crate) mod upgrader;
