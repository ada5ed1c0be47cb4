//! The oracles behind the fuzz targets: plain functions over the crates' public interfaces, one file for each crate. A target
//! in `fuzz_targets/` is three lines that call one; `tests/replay.rs` feeds kept inputs to the same functions.
//!
//! `cargo +nightly fuzz run TARGET` in the repository's root fuzzes; `cargo run --example seed` in `fuzz/` writes starting
//! corpora from `testvectors/`. What a fuzzer finds is fixed with its input kept in `testvectors/regressions/TARGET/`. A new
//! target is an oracle here, its line in [`ORACLES`], and its `[[bin]]`.

pub mod encoding;
pub mod framing;
pub mod routing;

/// framing-core's naive decoder, drivers and operation sequences.
#[path = "../../framing-core/tests/support/mod.rs"]
mod support;

/// router's naive scan.
#[path = "../../router/tests/rules/naive.rs"]
mod naive;

/// An oracle: panics if the octets show a fault.
pub type Oracle = fn(&[u8]);

/// Every target and its oracle; the name is that of the target and of its directory in `testvectors/regressions/`.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("nbfx", encoding::nbfx),
    ("nbfse_session", encoding::nbfse_session),
    ("preamble", framing::preamble),
    ("record", framing::record),
    ("record_round_trip", framing::record_round_trip),
    ("receiver_splits", framing::receiver_splits),
    ("initiator_vs_receiver", framing::initiator_vs_receiver),
    ("via_route", routing::via_route),
];
