//! Shared by the tests of this crate and, by path, by the fuzz oracles.
#![allow(dead_code, unreachable_pub, reason = "each user takes its part")]

pub mod drive;
pub mod naive;
pub mod pair;
pub mod seen;
pub mod vectors;
pub mod views;
