//! The Net.TCP port sharing service for Linux: listen, preamble, route, dispatch.
