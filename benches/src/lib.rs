//! Criterion benches: decode, route, dispatch, encode.
