//! The calculator service and client of the port sharing sample, and a demonstration that runs them on one port.
//!
//! A message takes one way: [`transport`] carries octets, [`message_encoding`] makes an envelope of them as
//! [`encoding`] says, [`calculator`] answers it. [`service`] and [`client`] are the two programs.

pub mod calculator;
pub mod client;
pub mod demo;
pub mod dump;
pub mod encoding;
pub mod place;
pub mod random;
pub mod service;
pub mod terminate;

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
