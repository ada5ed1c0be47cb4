//! .NET Message Framing ([MC-NMF]): records, preamble and both roles' state machines. no_std, no allocation, no I/O.
//!
//! [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(
    clippy::alloc_instead_of_core,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::unreachable,
    clippy::unwrap_used
)]

// `arbitrary` is a std crate, and its derive names std: a feature for test programs only.
#[cfg(any(test, feature = "arbitrary"))]
extern crate std;

mod codes;
pub mod dump;
mod encoding;
mod error;
mod fault;
pub mod initiator;
mod limits;
mod parse;
pub mod preamble;
pub mod receiver;
mod record;
mod session;
pub mod size;

pub use codes::{KnownEncoding, Mode, RecordType};
pub use encoding::Encoding;
pub use error::{ApiMisuse, DecodeError, EncodeError, Expected, Field, Original};
pub use fault::Fault;
pub use initiator::Initiator;
pub use limits::Limits;
pub use preamble::{CapacityExceeded, OwnedPreamble, Preamble, PreambleView};
pub use receiver::Receiver;
pub use record::{Decoded, Record};
pub use session::{Step, StreamEnd};
