//! The control socket, and who has registered what.
//!
//! - [`socket`]: who may speak; a task for each worker, one answer for each request. [`folder_watch`]: whether workers find it
//! - [`registrar`]: the thread to which the registry belongs; [`registry`]: registrations, their checks, and the order in which
//!   things begin and end; [`registration`]: one of them; [`conflicts`]: who has an address already, and makes way or not;
//!   [`succession`]: whose worker leaves, and who gets its addresses; [`absent`]: those that wait; [`denied`]: why not
//! - [`static_routes`]: those of the configuration, and what a reload changes of them; [`configuration`]: what a reload does;
//!   [`obstacles`]: what keeps a broker from starting
//! - [`administration`]: what an administrator asks; [`status`]: how the broker does; [`threads`]: whether it
//!   does anything; [`nearest`]: what may have been meant;
//!   [`refusals`]: whose request was refused
//! - [`ports`]: which ports are open, for how many; [`quota`]: what the workers of one user may hold
//! - [`given_back`]: a connection that a worker gives back
//! - [`passing`]: the registry taken apart for another process, and put together there; [`turns`]: control connections at rest
//!   meanwhile; [`kept`]: what a service manager keeps of it
//! - [`lookup`]: where a connection would go; [`listing`]: who has which address, and drains
//!
//! What this folder may use: `routes` (it alone writes the table), `relay` (for circles), `listening`, `passed`, `store`, `config`, `log` (how much of
//! it, and whether it can be written), and the files in no folder. It tells the
//! accept loop by [`Command`](crate::command::Command).

mod absent;
pub(crate) mod administration;
pub(crate) mod configuration;
mod conflicts;
mod denied;
mod folder_watch;
pub(crate) mod given_back;
mod kept;
pub(crate) mod listing;
pub(crate) mod lookup;
pub(crate) mod nearest;
pub(crate) mod obstacles;
pub(crate) mod passing;
pub(crate) mod ports;
pub(crate) mod quota;
mod refusals;
pub(crate) mod registrar;
mod registration;
pub(crate) mod registry;
pub(crate) mod socket;
pub(crate) mod static_routes;
pub(crate) mod status;
mod succession;
pub(crate) mod threads;
pub(crate) mod turns;
