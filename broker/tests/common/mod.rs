//! A broker process, workers and initiators for whole-process tests.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its own part")]

pub mod access_log;
mod broker;
pub mod http;
mod initiator;
pub mod injection;
mod journal;
mod worker;

use std::thread::sleep;
use std::time::{Duration, Instant};

pub use broker::{Broker, copy_of_the_broker, every_connection_has_ended, lives, open_to_all, signal, stop};
pub use initiator::{
    Told, address, answer, ask, connect, connect_to, fault, finish, preamble, serve, tell, told,
};
pub use journal::Journal;
pub use test_peers::{Strace, Terminal, free_port, has_ipv6, installed, is_root, needs_ipv6, skip};
pub use worker::{Python, Raw, Worker, reason};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that comes at its own time.
pub fn eventually(mut done: impl FnMut() -> bool, otherwise: impl FnOnce() -> String) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{}", otherwise());
        sleep(Duration::from_millis(5));
    }
}
