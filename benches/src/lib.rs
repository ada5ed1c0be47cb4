//! Criterion benches: decode, route, dispatch, encode.

pub mod addresses;
pub mod cost;
pub mod encoding;
pub mod instructions;
mod machine;

pub use machine::machine;
