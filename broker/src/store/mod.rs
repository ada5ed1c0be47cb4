//! What a service manager keeps of a broker for the one that it starts when this one ends, however it ends (systemd's
//! `FileDescriptorStoreMax=`): descriptors with names, and beside them, in sealed memory, what has to be known of them. What the broker
//! itself holds, connections that wait in it, is not among them.
//!
//! - [`name`]: what each is called
//! - [`entry`]: what stands beside descriptors
//! - [`mark`]: what stands on a control connection
//! - [`keeper`]: gives them to the service manager, and takes them back
//! - [`found`]: what the broker before this one has left there, as a manifest
//!
//! What this folder may use: `passed`.

pub(crate) mod entry;
pub(crate) mod found;
pub(crate) mod keeper;
pub(crate) mod mark;
pub(crate) mod name;
