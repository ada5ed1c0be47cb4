//! .NET Binary XML (MC-NBFX, MC-NBFS, MC-NBFSE) and text SOAP envelopes, as WCF writes and reads them.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod dictionary;
pub mod envelope;
pub mod event;
mod int31;
mod quotas;
pub mod record;
pub mod text;
pub mod value;

pub use event::ReadError;
pub use int31::Int31;
pub use quotas::Quotas;
pub use record::RecordError;
pub use value::{Value, ValueError};
