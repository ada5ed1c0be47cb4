//! Routes.

mod in_flight;
pub(crate) mod queue;
pub(crate) mod table;
