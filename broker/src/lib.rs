//! The Net.TCP port sharing service for Linux: many processes behind one net.tcp port.
//!
//! A worker registers addresses on the control socket; the broker opens their ports, looks at the Via of each connection
//! without reading it, and hands the socket to the worker it belongs to. `ARCHITECTURE.md` beside this crate says what
//! is where and why; the modules follow the life of a connection:
//!
//! accept → preamble → batch (or held, back_end, refuse) → outcome.

mod accept;
mod back_end;
mod batch;
mod bridge;
mod circle;
mod cli;
mod config;
mod config_keys;
mod connection;
mod control;
mod denied;
mod errands;
mod error;
mod exec;
mod failure;
mod held;
mod help;
mod in_flight;
mod limits;
mod line;
mod listeners;
mod listening;
mod lock;
mod log;
mod one_turn;
mod outcome;
mod owner;
mod parked;
mod ports;
mod preamble;
mod program;
mod pump;
mod queue;
mod quota;
mod refuse;
mod registrar;
mod registry;
mod relay;
mod route;
mod shared;
mod signals;
mod socket_options;
mod start;
mod table;
mod tally;
mod token;

pub use cli::main_from;
pub use config::{Compatibility, Config, ConfigError, Quota, RelayTo, Route};
pub use error::StartError;
pub use failure::Failed;
#[doc(hidden)]
pub use one_turn::OneTurn;
pub use outcome::{Counters, Outcome};
pub use start::Broker;
