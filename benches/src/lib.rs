//! Criterion benches: decode, route, dispatch, encode.

pub mod addresses;
pub mod instructions;
