//! An echo service, and a peer that writes octets of its own choice.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod broker;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use tokio::task::AbortHandle;
use transport::{Channel, Fault, ListenOptions, Listener, TransportError};

pub const TEXT: &str = "application/soap+xml; charset=utf-8";
pub const BINARY: &str = "application/soap+msbin1";

/// Nothing that a test waits for takes as long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// An echo service at `/echo` of an unused port of 127.0.0.1.
pub struct Echo {
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn echo(configure: impl FnOnce(ListenOptions) -> ListenOptions) -> Echo {
    let listener = Listener::bind(configure(ListenOptions::new("net.tcp://127.0.0.1:0/echo"))).await.unwrap();
    let address = listener.local_addrs()[0];
    Echo { address, task: tokio::spawn(serve(listener)).abort_handle() }
}

/// Accepts for ever and sends every envelope back.
pub async fn serve(mut listener: Listener) {
    loop {
        let channel = listener.accept().await.unwrap();
        tokio::spawn(answer(channel));
    }
}

pub async fn answer(mut channel: Channel) -> Result<(), TransportError> {
    while let Some(envelope) = channel.receive().await? {
        channel.send(&envelope.octets).await?;
    }
    channel.close().await
}

pub fn via(address: SocketAddr) -> String {
    format!("net.tcp://{address}/echo")
}

/// A connection without any protocol.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(stream)
    }

    pub fn write(&mut self, octets: &[u8]) {
        self.0.write_all(octets).unwrap();
    }

    /// Exactly these octets come.
    pub fn expect(&mut self, wanted: &[u8]) {
        let mut octets = vec![0; wanted.len()];
        self.0.read_exact(&mut octets).unwrap();
        assert_eq!(octets, wanted);
    }

    /// Nothing comes but the end, and it is an orderly one.
    pub fn expect_fin(&mut self) {
        assert_eq!(self.0.read(&mut [0; 16]).unwrap(), 0);
    }

    /// Nothing comes, and the connection is reset.
    pub fn expect_reset(&mut self) {
        assert_eq!(self.0.read(&mut [0; 16]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }

    /// The connection is closed, one way or the other.
    pub fn expect_closed(&mut self) {
        match self.0.read(&mut [0; 16]) {
            Ok(octets) => assert_eq!(octets, 0),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it was open all the time")
            }
        }
    }
}

/// Runs a peer that blocks beside the asynchronous service.
pub async fn peer<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

pub const DUPLEX: u8 = 2;
pub const SINGLETON: u8 = 1;
/// SOAP 1.2 text, and the end of the preamble.
pub const TEXT_END: &[u8] = &[3, 3, 12];

pub fn preamble(mode: u8, via: &str, rest: &[u8]) -> Vec<u8> {
    let mut octets = vec![0, 1, 0, 1, mode, 2];
    let (low, high) = (u8::try_from(via.len() & 0x7f).unwrap(), u8::try_from(via.len() >> 7).unwrap());
    octets.extend(if high == 0 { vec![low] } else { vec![low | 0x80, high] });
    [&octets, via.as_bytes(), rest].concat()
}

pub fn fault(fault: Fault<'_>) -> Vec<u8> {
    [&[8, u8::try_from(fault.uri().len()).unwrap()], fault.uri().as_bytes()].concat()
}

pub fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
