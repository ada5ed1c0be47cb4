//! Relays.

pub(crate) mod bridge;
pub(crate) mod circle;
mod pump;
pub(crate) mod relay_loop;
