//! What `broker exec` tells the library that it preloads, beside [`CONTROL_VARIABLE`](crate::CONTROL_VARIABLE). Between these two
//! programs of one version only: no part of the protocol, and it may change.

/// The addresses the program's listeners are registered under, separated by `|`, which no URI has.
pub const ADDRESSES_VARIABLE: &str = "NET_TCP_PORT_SHARING_ADDRESSES";

/// `host_name_comparison` of the registrations; not set: the default.
pub const HOST_NAME_COMPARISON_VARIABLE: &str = "NET_TCP_PORT_SHARING_HOST_NAME_COMPARISON";

/// `grace_seconds` of the registrations; not set: 0.
pub const GRACE_VARIABLE: &str = "NET_TCP_PORT_SHARING_GRACE_SECONDS";

/// Set, not empty and not 0: the registrations have `share`.
pub const SHARE_VARIABLE: &str = "NET_TCP_PORT_SHARING_SHARE";

/// Set, not empty and not 0: the library says nothing on standard error while all is well.
pub const QUIET_VARIABLE: &str = "NET_TCP_PORT_SHARING_QUIET";

/// How many seconds `bind` waits for a broker that is not there yet.
pub const WAIT_VARIABLE: &str = "NET_TCP_PORT_SHARING_WAIT";

/// 0 until the library has said that a listener was inherited: its first process makes it 1, for all that have it from there.
pub const INHERITED_SAID_VARIABLE: &str = "NET_TCP_PORT_SHARING_INHERITED_SAID";

/// The library's file name.
pub const LIBRARY: &str = "libnet_tcp_port_sharing.so";
