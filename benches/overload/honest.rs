//! A client and a worker that behave, and how long the client waits.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use handoff::AcceptSocket;
use handoff::accept_socket::{Sockets, receive};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A Preamble Ack Record.
const ACK: u8 = 0x0b;

/// Between two connections of the client.
const EACH: Duration = Duration::from_millis(4);

/// How long the client waited: half of the times no longer, and all but a hundredth.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) half: Duration,
    pub(crate) most: Duration,
}

/// Connects at a steady rate for so long, from the first SYN to the worker's answer each.
///
/// # Errors
/// One of them is refused, reset, or not answered within seconds: overload has bent something.
pub(crate) fn client(target: SocketAddr, preamble: &[u8], time: Duration) -> io::Result<Latency> {
    let (begin, mut latencies, mut next) = (Instant::now(), Vec::new(), Instant::now());
    while begin.elapsed() < time {
        let start = Instant::now();
        let mut stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(preamble)?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        if answer != [ACK] {
            return Err(io::Error::other(format!("an honest client was told {answer:02x?}")));
        }
        latencies.push(start.elapsed());
        next += EACH;
        sleep(next.saturating_duration_since(Instant::now()));
    }
    latencies.sort_unstable();
    Ok(Latency { half: latencies[latencies.len() / 2], most: latencies[latencies.len() * 99 / 100] })
}

/// Answers each connection that is handed over, until it is over.
///
/// # Errors
/// The accept socket breaks.
pub(crate) fn worker(socket: &AcceptSocket, over: &AtomicBool) -> io::Result<()> {
    let mut sockets = Sockets::default();
    while !over.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket, PollFlags::IN)];
        poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 }))?;
        while receive(socket.as_fd(), &mut sockets).map_err(io::Error::other)? {
            for socket in sockets.drain() {
                let mut stream = TcpStream::from(socket);
                let _ = stream.read(&mut [0; 2304]);
                let _ = stream.write_all(&[ACK]);
            }
        }
    }
    Ok(())
}
