//! The calculator service and client of the port sharing sample, and a demonstration that runs them on one port.
//!
//! A message takes one way: [`transport`] carries octets, [`message_encoding`] makes an envelope of them as
//! [`encoding`] says, [`calculator`] answers it. [`service`] and [`client`] are the two programs.

use std::net::Ipv6Addr;

pub mod calculator;
pub mod client;
pub mod demo;
pub mod dump;
pub mod encoding;
pub mod listeners;
pub mod random;
pub mod service;
pub mod terminate;

/// The address of a calculator service.
///
/// ```
/// assert_eq!(samples::address("srv1", 9000, 4381), "net.tcp://srv1:9000/calculator/4381");
/// assert_eq!(samples::address("::1", 9000, 4381), "net.tcp://[::1]:9000/calculator/4381");
/// ```
pub fn address(host: &str, port: u16, number: u32) -> String {
    let literal = host.parse::<Ipv6Addr>().map(|literal| format!("[{literal}]"));
    format!("net.tcp://{}:{port}/calculator/{number}", literal.as_deref().unwrap_or(host))
}
