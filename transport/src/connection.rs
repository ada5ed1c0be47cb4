//! The stream under a session, and what was read from it and not yet used. An upgrade would change the stream in here.
//!
//! [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/

use core::time::Duration;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use framing_core::{Fault, Record};
use rustix::net::{RecvFlags, recv};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Room for one read, in octets: WCF's connection buffer.
const READ: usize = 8192;
/// The most octets that are read to be forgotten.
const MOST_FORGOTTEN: usize = 65_536;
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

    /// Looks at what has come and was not read, as far as `octets` has room for it, once that is more than `seen`; gives how much it
    /// is. No more than before: nothing more comes.
    ///
    /// Nothing is read, so the socket stays readable: what wakes us is that more comes.
    pub(crate) async fn peek(&self, octets: &mut [u8], seen: usize) -> io::Result<usize> {
        loop {
            let ready = self.stream.ready(Interest::READABLE).await?;
            let peeked = self.stream.try_io(Interest::READABLE, || {
                let (_, there) = recv(&self.stream, &mut *octets, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
                if there > seen || there == 0 { Ok(there) } else { Err(io::ErrorKind::WouldBlock.into()) }
            });
            match peeked {
                Ok(there) => return Ok(there.max(seen)),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if ready.is_read_closed() => return Ok(seen),
                Err(_) => {}
            }
        }
    }

    /// The socket, in no runtime any more. What was read from it is lost.
    pub(crate) fn into_socket(self) -> io::Result<OwnedFd> {
        Ok(self.stream.into_std()?.into())
    }

    /// Forgets what has come, so that the peer sees an orderly end when the connection is closed.
    pub(crate) fn forget(&self) {
        let mut sink = [0; 4096];
        let mut left = MOST_FORGOTTEN;
        while left > 0
            && let Ok((_, octets @ 1..)) = recv(&self.stream, &mut sink, RecvFlags::DONTWAIT)
        {
            left = left.saturating_sub(octets);
        }
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
    use std::io::Write;

    use super::*;

    /// A connection, and its peer.
    async fn connection() -> (Connection, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Connection::new(stream).unwrap(), listener.accept().unwrap().0)
    }

    /// It is readable all the time.
    #[tokio::test]
    async fn whoever_looks_at_what_is_there_sleeps_until_more_comes() {
        let (connection, mut peer) = connection().await;
        peer.write_all(b"abc").unwrap();
        let mut octets = [0; 16];
        assert_eq!(connection.peek(&mut octets, 0).await.unwrap(), 3);
        let later = tokio::spawn(async move {
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            peer.write_all(b"d").unwrap();
            peer
        });
        let mut polls = 0;
        {
            let mut more = core::pin::pin!(connection.peek(&mut octets, 3));
            let counted = core::future::poll_fn(|context| {
                polls += 1;
                more.as_mut().poll(context)
            });
            assert_eq!(counted.await.unwrap(), 4);
        }
        let peer = later.await.unwrap();
        assert!(polls < 10, "{polls}");
        assert_eq!(&octets[..4], b"abcd");
        assert_eq!(connection.peek(&mut octets, 2).await.unwrap(), 4, "they are there already");
        drop(peer);
        assert_eq!(connection.peek(&mut octets, 4).await.unwrap(), 4, "nothing more comes");
    }

    #[tokio::test]
    async fn a_peer_that_has_vanished_is_noticed() {
        let (connection, _peer) = connection().await;
        assert!(SockRef::from(connection.stream()).keepalive().unwrap());
    }
}
