//! The load generator: connections with real preambles, a fixed number of them in flight.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// What a worker answers a preamble with: a Preamble Ack Record, and the worker's own letter.
pub(crate) const ANSWER: usize = 2;
const ACK: u8 = 0x0B;
/// The longest a connection may take; a contender that loses one ends the run.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// A preamble for duplex mode and .NET Binary XML, as WCF's NetTcpBinding sends it: one segment up to Preamble End.
pub(crate) fn preamble(via: &str) -> Vec<u8> {
    let size = u8::try_from(via.len()).expect("a Via of less than 128 octets");
    assert!(size < 0x80, "the size is one octet");
    let mut octets = vec![0x00, 0x01, 0x00, 0x01, 0x02, 0x02, size];
    octets.extend_from_slice(via.as_bytes());
    octets.extend_from_slice(&[0x03, 0x08, 0x0C]);
    octets
}

/// Where connections go, with what, and who must answer.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Connections send these in turn.
    pub(crate) preambles: Vec<Vec<u8>>,
    pub(crate) letter: u8,
}

/// How a number of connections went.
#[derive(Default)]
pub(crate) struct Sample {
    /// From connect to the worker's answer, one a connection.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) elapsed: Duration,
}

impl Target {
    /// Makes `connections`, `in_flight` at any moment.
    ///
    /// # Errors
    /// When one of them is refused, reset, answered by the wrong worker or not at all.
    pub(crate) fn steady(&self, connections: usize, in_flight: usize) -> io::Result<Sample> {
        let mut sample = Sample::default();
        let mut flight = Flight::new(in_flight)?;
        let begin = Instant::now();
        for slot in 0..in_flight.min(connections) {
            flight.open(self, slot)?;
        }
        let mut opened = in_flight.min(connections);
        while sample.latencies.len() < connections {
            for slot in flight.answered(self, &mut sample)? {
                if opened < connections {
                    flight.open(self, slot)?;
                    opened += 1;
                }
            }
        }
        sample.elapsed = begin.elapsed();
        Ok(sample)
    }

    /// Makes `connections` in batches; the contender sees each batch at once, because it sleeps while one is made.
    ///
    /// # Errors
    /// As [`Self::steady`], and those of `sleep`.
    pub(crate) fn batches(
        &self,
        connections: usize,
        batch: usize,
        sleep: impl Fn(bool) -> io::Result<()>,
    ) -> io::Result<Sample> {
        let mut sample = Sample::default();
        let mut flight = Flight::new(batch)?;
        let begin = Instant::now();
        while sample.latencies.len() < connections {
            sleep(true)?;
            for slot in 0..batch {
                flight.open(self, slot)?;
            }
            sleep(false)?;
            let complete = sample.latencies.len() + batch;
            while sample.latencies.len() < complete {
                flight.answered(self, &mut sample)?;
            }
        }
        sample.elapsed = begin.elapsed();
        Ok(sample)
    }

    /// Makes one connection and leaves it open once its worker has answered.
    ///
    /// # Errors
    /// As [`Self::steady`].
    pub(crate) fn open(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(&self.preambles[0])?;
        let mut answer = [0; ANSWER];
        stream.read_exact(&mut answer)?;
        self.judge(&answer)?;
        Ok(stream)
    }

    fn judge(&self, answer: &[u8]) -> io::Result<()> {
        if *answer == [ACK, self.letter] {
            return Ok(());
        }
        Err(io::Error::other(format!("answered {answer:02x?}, not by worker {}", char::from(self.letter))))
    }
}

/// The connections that wait for an answer.
struct Flight {
    epoll: OwnedFd,
    slots: Vec<Option<(OwnedFd, Instant)>>,
    ready: Vec<epoll::Event>,
    opened: usize,
}

impl Flight {
    fn new(size: usize) -> io::Result<Self> {
        let slots = std::iter::repeat_with(|| None).take(size).collect();
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots,
            ready: Vec::with_capacity(64),
            opened: 0,
        })
    }

    fn open(&mut self, target: &Target, slot: usize) -> io::Result<()> {
        let begin = Instant::now();
        let socket = rustix::net::socket_with(
            if target.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 },
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )?;
        match rustix::net::connect(&socket, &target.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        // On loopback the handshake is over before connect returns, unless the listener's queue is full.
        let preamble = &target.preambles[self.opened % target.preambles.len()];
        self.opened += 1;
        rustix::net::send(&socket, preamble, SendFlags::NOSIGNAL)?;
        let data = epoll::EventData::new_u64(u64::try_from(slot).unwrap_or(u64::MAX));
        epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN)?;
        self.slots[slot] = Some((socket, begin));
        Ok(())
    }

    /// Waits for answers, closes their connections and says which slots are free again.
    fn answered(&mut self, target: &Target, sample: &mut Sample) -> io::Result<Vec<usize>> {
        self.ready.clear();
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&PATIENCE))?;
        if self.ready.is_empty() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut free = Vec::with_capacity(self.ready.len());
        for event in &self.ready {
            let slot = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some((socket, begin)) = self.slots[slot].take() else { continue };
            let mut answer = [0; ANSWER];
            let (length, _) = rustix::net::recv(socket.as_fd(), &mut answer, RecvFlags::empty())?;
            target.judge(&answer[..length])?;
            sample.latencies.push(begin.elapsed());
            free.push(slot);
        }
        Ok(free)
    }
}
