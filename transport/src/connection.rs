//! The stream under a session, and what was read from it and not yet used. An upgrade would change the stream in here.
//!
//! [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/

use core::time::Duration;
use std::io::{self, IoSlice};

use framing_core::{Fault, Record};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Room for one read, in octets: WCF's connection buffer.
const READ: usize = 8192;
/// For so long a peer that was refused may go on sending before it is cut off, however much.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// INVARIANT: not past the end of `input`.
    used: usize,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        // A session's records are answered at once or not at all; waiting for more to send would only delay them.
        stream.set_nodelay(true)?;
        // A peer that has vanished without a word is noticed after two minutes.
        let keep_alive = TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(15))
            .with_retries(4);
        SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
        Ok(Self { stream, input: Vec::new(), used: 0 })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Octets that were read and not used.
    pub(crate) fn unread(&self) -> &[u8] {
        self.input.get(self.used..).unwrap_or_default()
    }

    pub(crate) fn discard(&mut self, octets: usize) {
        self.used = self.input.len().min(self.used + octets);
    }

    /// Reads what is there; 0 at the end of the stream. Cancelled, nothing is lost.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.input.drain(..self.used);
        self.used = 0;
        if self.input.is_empty() && self.input.capacity() == 0 {
            // An idle connection holds no buffer.
            self.stream.readable().await?;
        }
        self.input.reserve(READ);
        self.stream.read_buf(&mut self.input).await
    }

    /// Frees the buffer of a connection that may stay idle.
    pub(crate) fn rest(&mut self) {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.shrink_to_fit();
    }

    /// Writes all parts, in one system call where the kernel takes them.
    pub(crate) async fn write<const N: usize>(&mut self, parts: [&[u8]; N]) -> io::Result<()> {
        let mut slices = parts.map(IoSlice::new);
        let mut left: &mut [IoSlice<'_>] = &mut slices;
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.stream.write_vectored(left).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut left, written),
            }
        }
        Ok(())
    }

    /// Answers with a fault, or with nothing but the end of the stream.
    pub(crate) async fn refuse(&mut self, fault: Option<Fault<'_>>) {
        let mut octets = Vec::new();
        if let Some(record) = fault.map(Record::Fault) {
            octets.resize(record.encoded_len(), 0);
            if record.encode(&mut octets).is_err() {
                octets.clear();
            }
        }
        self.finish_with(&octets).await;
    }

    /// Writes these octets, half-closes and drains, so that the peer reads them before it could see a reset
    /// ([MC-NMF] 3.1.4).
    async fn finish_with(&mut self, octets: &[u8]) {
        let finished = async {
            self.stream.write_all(octets).await?;
            self.stream.shutdown().await?;
            let mut sink = [0; 4096];
            while self.stream.read(&mut sink).await? > 0 {}
            io::Result::Ok(())
        };
        drop(timeout(DRAIN_TIMEOUT, finished).await);
    }

    /// Closes with a reset, as the original does where its clients try again by themselves.
    pub(crate) fn reset(self) {
        drop(SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_has_vanished_is_noticed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connection = Connection::new(stream).unwrap();
        assert!(SockRef::from(connection.stream()).keepalive().unwrap());
    }
}
