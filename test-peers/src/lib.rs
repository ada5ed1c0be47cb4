//! Foreign programs that tests run against: how to start one, read what it says with a deadline, and what a test says when
//! one is not there. For tests only; no crate depends on it otherwise.
//!
//! ```no_run
//! use test_peers::{DotNet, Process};
//!
//! let Some(dotnet) = DotNet::found() else { return };
//! let mut command = dotnet.client();
//! let client = Process::start(command.args(["--address", "net.tcp://localhost:9000/calculator/1"]));
//! let (status, said, errors) = client.finish();
//! assert!(status.success(), "{said:?} {errors:?}");
//! ```

mod dotnet;
mod missing;
mod mono;
mod port;
mod process;
mod strace;
mod systemd;
mod terminal;

pub use dotnet::DotNet;
pub use missing::{installed, is_root, skip};
pub use mono::Mono;
pub use port::{free_port, has_ipv6, needs_ipv6};
pub use process::{DEADLINE, Process, until};
pub use strace::Strace;
pub use systemd::Systemd;
pub use terminal::Terminal;

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
