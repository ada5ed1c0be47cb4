//! What one broker passes on to the next: as it stands in messages, and the descriptors that come with them.
//!
//! - [`manifest`]: all that is passed on; what is not known of it is ignored, so that either side may be the newer one
//! - [`descriptors`]: a descriptor stands in it as a number
//! - [`pair`]: the socket between the two, and what they say to each other
//!
//! Whoever has what is passed on takes it apart and puts it together again: `control` the registrations, ports and quotas, `dispatch`
//! the connections. What this folder may use: nothing but the files in no folder.

pub(crate) mod descriptors;
pub(crate) mod manifest;
pub(crate) mod pair;
