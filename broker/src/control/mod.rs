//! The control socket, and who has registered what.

mod denied;
pub(crate) mod lookup;
pub(crate) mod ports;
pub(crate) mod quota;
pub(crate) mod registrar;
pub(crate) mod registry;
pub(crate) mod socket;
