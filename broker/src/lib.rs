//! The Net.TCP port sharing service for Linux: many processes behind one net.tcp port.
//!
//! A worker registers addresses on the control socket; the broker opens their ports, looks at the Via of each connection
//! without reading it, and hands the socket to the worker it belongs to. `ARCHITECTURE.md` beside this crate says what
//! is where and why; the modules follow the life of a connection:
//!
//! `dispatch`: accept → preamble → batch (or pending, back_end, refuse) → outcome.

mod about;
mod access;
mod background;
mod cli;
mod clock;
mod command;
mod config;
mod connection;
mod control;
mod destination;
mod dial;
mod dispatch;
mod error;
mod failure;
mod here;
mod http;
mod limits;
mod listening;
mod live_time;
mod lock;
mod log;
#[cfg(test)]
mod model;
mod notify;
mod outcome;
mod passed;
mod recent;
mod relay;
mod routes;
mod shared;
mod socket_options;
mod source;
mod start;
mod store;
mod tally;
mod told;
mod upgrade;
mod visible;
mod wanted;

pub use cli::main_from;
pub use config::{
    AccessLog, AccessLogFormat, AccessLogTo, Change, Compatibility, Config, ConfigError, Http, Loaded,
    Mistake, OnReload, Origin, Place, Quota, RelayTo, Route,
};
#[doc(hidden)]
pub use dispatch::one_turn::OneTurn;
pub use error::StartError;
pub use failure::Failed;
#[doc(hidden)]
pub use listening::owner::{Listener as ListeningSocket, Owner, listeners_on, owners_of};
pub use outcome::{Blame, Counters, Outcome};
pub use start::Broker;

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
