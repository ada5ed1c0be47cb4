//! What `broker exec` tells the preloaded library, beside [`CONTROL_VARIABLE`](crate::CONTROL_VARIABLE).

/// The addresses the program's listeners are registered under, separated by `|`, which no URI has.
pub const ADDRESSES_VARIABLE: &str = "NET_TCP_PORT_SHARING_ADDRESSES";

/// `host_name_comparison` of the registrations; not set: the default.
pub const HOST_NAME_COMPARISON_VARIABLE: &str = "NET_TCP_PORT_SHARING_HOST_NAME_COMPARISON";

/// Set and not empty: the library says nothing on standard error while all is well.
pub const QUIET_VARIABLE: &str = "NET_TCP_PORT_SHARING_QUIET";

/// How many seconds `bind` waits for a broker that is not there yet.
pub const WAIT_VARIABLE: &str = "NET_TCP_PORT_SHARING_WAIT";

/// The library's file name.
pub const LIBRARY: &str = "libnet_tcp_port_sharing.so";
