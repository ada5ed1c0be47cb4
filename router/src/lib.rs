//! Which registered address a net.tcp Via belongs to, by the rules of the Net.TCP Port Sharing Service.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod mode;
mod prefix;
mod table;
mod tree;
mod uri;
mod via;

pub use error::{Conflict, Miss, PrefixError, ViaError};
pub use mode::{HostNameComparison, UnknownMode};
pub use prefix::{Host, Prefix};
pub use table::{Match, RouteTable};
pub use via::Via;
