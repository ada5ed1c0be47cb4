//! What a worker and the broker say to each other over a Unix socket, and how an accepted TCP socket crosses.
//!
//! `PROTOCOL.md` beside this crate specifies both sockets for implementers in any language; the modules follow it:
//!
//! - [`request`], [`reply`]: the JSON objects of the control socket; [`message`]: one of them in each `SOCK_SEQPACKET` message.
//! - [`path`], [`control`]: where the control socket is, and both of its ends.
//! - [`accept_socket`]: the pair whose messages carry TCP sockets (`SCM_RIGHTS`) from the broker to a worker.
//! - [`accept_error`]: which errors of accept(2) are those of one connection, for everybody who listens.
//! - [`environment`]: what `broker exec` tells the preloaded library.
//! - `tokio` (feature `tokio`): the same two sockets for asynchronous programs.
//!
//! A whole worker and the broker's side of it:
//!
//! ```
//! use handoff::{AcceptReceiver, ControlConnection, ControlListener, ControlOptions, accept_pair};
//! use handoff::{Register, Registered, Reply, Request};
//! use std::os::fd::AsFd;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("control");
//! let listener = ControlListener::bind(&path, &ControlOptions::default())?;
//!
//! // the broker, on a thread of its own: answer one registration, then hand one connection over
//! let broker = std::thread::spawn(move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let peer = listener.accept()?;
//!     let Some(Ok(Request::Register(register))) = peer.receive()? else { return Err("no registration".into()) };
//!     assert_eq!(register.addresses, ["net.tcp://localhost:9000/calc"]);
//!     let (sender, accept_socket) = accept_pair()?;
//!     peer.send(&Reply::Registered(Registered::new(7)), Some(accept_socket.as_fd()))?;
//!
//!     let port = std::net::TcpListener::bind("127.0.0.1:0")?;
//!     let _client = std::net::TcpStream::connect(port.local_addr()?)?;
//!     let (connection, _) = port.accept()?;
//!     sender.send(&[connection.as_fd()])?;
//!     Ok(())
//! });
//!
//! // the worker
//! let mut control = ControlConnection::connect(&path)?;
//! let (registered, accept_socket) = control.register(&Register::new(["net.tcp://localhost:9000/calc"]))?;
//! assert_eq!(registered.id, 7);
//! broker.join().unwrap().unwrap();
//! let mut receiver = AcceptReceiver::new(accept_socket);
//! let connection = receiver.try_accept()?.expect("one connection waits");
//! let _stream = std::net::TcpStream::from(connection);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod accept_error;
pub mod accept_socket;
mod alone;
pub mod control;
pub mod environment;
mod error;
pub mod message;
pub mod path;
mod permission;
pub mod reply;
pub mod request;
#[cfg(feature = "tokio")]
pub mod tokio;
mod wire;

pub use accept_socket::{
    AcceptError, AcceptReceiver, AcceptSender, AcceptSocket, MAX_SOCKETS, SendError, accept_pair,
};
pub use control::{ControlConnection, ControlListener, ControlOptions, ControlPeer, PeerCredentials};
pub use error::HandoffError;
pub use message::{MAX_MESSAGE, Malformed, PROTOCOL_VERSION};
pub use path::{CONTROL_VARIABLE, control_path, default_control_path};
pub use permission::why_not_permitted;
pub use reply::{Refused, RefusedReason, Registered, Reply, Routed};
pub use request::{Register, Request, Route};

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
