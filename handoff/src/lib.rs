// The README's link leads to the page here: of two definitions the first counts.
//! [hand-over protocol]: protocol
#![doc = include_str!("../README.md")]
//!
//! # Where to look
//!
//! | you write | use |
//! |---|---|
//! | a worker | [`ControlConnection`], [`Register`], [`AcceptReceiver`]; under tokio those of `handoff::tokio` (feature `tokio`) |
//! | a broker | [`ControlListener`], [`ControlPeer`], [`Request`] and [`Reply`], [`accept_pair`] |
//! | either in another language | the [`protocol`] |
//! | a tool that asks a broker | [`ControlConnection::route`], [`administration`] |
//!
//! # Modules
//!
//! - [`request`], [`reply`]: the JSON objects of the control socket; [`message`]: what all of them have in common.
//! - [`administration`]: what an administrator asks, and is answered.
//! - [`path`], [`control`]: where the control socket is, and both of its ends.
//! - [`accept_socket`]: the pair whose messages carry TCP sockets (`SCM_RIGHTS`) from the broker to a worker.
//! - `tokio` (feature `tokio`): the same two sockets for asynchronous programs.
//! - [`accept_error`], [`why_not_permitted`]: for whoever also listens on a port of TCP.
//! - [`misleads`], [`printable()`]: what others have written, for a terminal.

pub mod accept_error;
pub mod accept_socket;
pub mod administration;
mod alone;
pub mod control;
#[doc(hidden)]
pub mod environment;
mod error;
pub mod message;
pub mod path;
mod peer;
mod permission;
mod printable;
#[cfg(doc)]
#[doc = include_str!("../PROTOCOL.md")]
pub mod protocol {}
mod questions;
mod refused;
pub mod reply;
pub mod request;
mod status;
#[cfg(feature = "tokio")]
pub mod tokio;
mod used_again;
mod wire;

pub use accept_socket::{
    AcceptReceiver, AcceptSender, AcceptSocket, MAX_SOCKETS, ReceiveError, SendError, accept_pair,
};
pub use control::{ControlConnection, ControlListener, ControlOptions, ControlPeer, PeerCredentials};
pub use error::HandoffError;
pub use message::{MAX_MESSAGE, Malformed, PROTOCOL_VERSION};
pub use path::{CONTROL_VARIABLE, control_path, default_control_path};
pub use permission::why_not_permitted;
pub use printable::{misleads, printable};
pub use reply::{Refused, RefusedReason, Registered, Reply, Routed};
pub use request::{Register, Request, RequestWithConnection, Route, Validate};
