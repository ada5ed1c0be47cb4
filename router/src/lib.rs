//! Which registered address a net.tcp Via belongs to, by the rules of the Net.TCP Port Sharing Service.

#![no_std]
#![forbid(unsafe_code)]
