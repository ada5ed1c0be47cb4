#![doc = include_str!("../README.md")]
//!
//! # Where to look
//!
//! A worker opens a [`Listener`] at its address, with [`port_sharing`](ListenOptions::port_sharing) or without, and
//! [accepts](Listener::accept) a [`Channel`] for each session; an initiator [`connect`]s and has a channel at once. A
//! channel carries [`Envelope`]s: octets whose meaning the session's content type says.
//!
//! | you want to | see |
//! |---|---|
//! | listen, share a port, bound what a peer may do | [`ListenOptions`] |
//! | end a service without losing anybody | [`Listener::shutdown`], [`Listener::stop`], [`Listener::close`] |
//! | know that the broker is gone, and back | [`ListenOptions::on_registration`] |
//! | call a service | [`connect`], [`ConnectOptions`] |
//! | know whether to try again | `retry_helps` of [`RegisterError`], [`AcceptError`], [`TransportError`] |
//!
//! # Modules
//!
//! `listener` takes connections from `own_port` or `shared_port` and gives each to the `receiver`'s side of a preamble;
//! `broker` is asked whose the next session of a connection is. `initiator` is the other side of that. Both end in a `channel` over a `connection`.

mod address;
mod broker;
mod channel;
mod connection;
mod error;
mod home;
mod initiator;
mod listener;
mod machine;
mod options;
mod own_port;
mod receiver;
mod registration_event;
mod shared_port;

pub use channel::{Channel, Envelope};
pub use error::{AcceptError, RegisterError, TransportError};
pub use framing_core::{DecodeError, Fault, Limits, Mode};
pub use handoff::{HandoffError, RefusedReason};
pub use initiator::connect;
pub use listener::Listener;
pub use options::{ConnectOptions, ListenOptions};
pub use registration_event::RegistrationEvent;
pub use router::HostNameComparison;
