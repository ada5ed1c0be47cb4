//! Criterion benches: decode, route, dispatch, encode.

pub mod addresses;
pub mod encoding;
pub mod instructions;
