//! The WCF TCP transport: listen on an own or a shared port, connect, and exchange envelopes. tokio.
//!
//! A worker opens a [`Listener`] at its address, with [`port_sharing`](ListenOptions::port_sharing) or without, and
//! [accepts](Listener::accept) a [`Channel`] for each session; an initiator [`connect`]s and has a channel at once. A
//! channel carries [`Envelope`]s: octets whose meaning the session's content type says. What is in them is not this
//! crate's business (`message_encoding` makes SOAP of them; the examples `echo_service` and `echo_client` of `samples` use both),
//! and the framing around them ([MC-NMF]) is `framing_core`'s: this crate moves its octets.
//!
//! ```
//! use transport::{ConnectOptions, ListenOptions, Listener, connect};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const TEXT: &str = "application/soap+xml; charset=utf-8";
//! let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await?;
//! let port = listener.local_addrs()[0].port();
//!
//! let service = async {
//!     let mut channel = listener.accept().await?;
//!     while let Some(envelope) = channel.receive().await? {
//!         channel.send(&envelope.octets).await?;
//!     }
//!     channel.close().await?;
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! };
//! let client = async {
//!     let via = format!("net.tcp://127.0.0.1:{port}/echo");
//!     let mut channel = connect(&via, ConnectOptions::new(TEXT)).await?;
//!     channel.send(b"hello").await?;
//!     let reply = channel.receive().await?.ok_or("no reply")?;
//!     assert_eq!(reply.octets, b"hello");
//!     channel.close().await?;
//!     Ok(())
//! };
//! tokio::try_join!(service, client)?;
//! # Ok(()) }
//! ```
//!
//! # Modules
//!
//! `listener` takes connections from `own_port` or `shared_port` and gives each to the `receiver`'s side of a preamble;
//! `initiator` is the other side of that. Both end in a `channel` over a `connection`.
//!
//! [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/

mod address;
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

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
