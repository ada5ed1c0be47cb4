//! The calculator service and client of the port sharing sample, and a demonstration that runs them on one port.
//!
//! A message takes one way through these modules: [`transport`] carries octets, [`encoding`] makes a [`message`] of
//! them, [`calculator`] answers it. [`service`] and [`client`] are the two programs.

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
pub fn address(host: &str, port: u16, number: u16) -> String {
    format!("net.tcp://{host}:{port}/calculator/{number}")
}
