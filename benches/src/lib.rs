//! Criterion benches: decode, route, dispatch, encode.

pub mod instructions;
