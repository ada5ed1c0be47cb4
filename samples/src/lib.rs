//! The calculator service and client of the port sharing sample, and a demonstration that runs them on one port.
//!
//! A message takes one way through these modules: [`transport`] carries octets, [`encoding`] makes a [`message`] of
//! them, [`calculator`] answers it. [`service`] and [`client`] are the two programs.

use std::net::Ipv6Addr;

pub mod calculator;
pub mod client;
pub mod demo;
pub mod encoding;
pub mod listeners;
pub mod message;
pub mod random;
pub mod service;
pub mod soap;
pub mod terminate;
pub mod xml;

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
