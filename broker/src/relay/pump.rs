//! One direction of a relayed connection: what one socket receives, the other sends.
//!
//! Octets that come in small pieces are copied through a buffer that all connections share. A piece that fills it is the
//! beginning of many, and between two TCP sockets those go through a pipe (`splice`), never through the broker's memory;
//! for a Unix socket copying is cheaper. A connection that has nothing under way holds no buffer and no pipe.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// Octets of the shared buffer. Preambles and most messages are smaller.
pub(crate) const PIECE: usize = 16_384;

/// Octets of a pipe, the most that Linux gives everybody. A quarter of it makes splicing dearer than copying.
const PIPE: usize = 1 << 20;

/// Pipes of one relay loop; the directions that find none copy. A user has 64 MiB of pipes before Linux makes them small.
const PIPES: usize = 16;

/// When a pipe is tried for again after one could not be had.
const AGAIN: Duration = Duration::from_secs(1);

/// However the socket is set: a worker that had it may have a copy.
const AT_ONCE: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// How far a direction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Until there was nothing to receive, or no room to send it.
    All,
    /// There may be more, but others are waiting too.
    Some,
    /// Until the end of the stream; the receiving side is still to be told.
    End,
    /// The receiving side is gone, and with it whatever was under way to it.
    Unwanted,
    /// The sending side is gone without an end.
    Broken,
}

/// What is under way in one direction.
#[derive(Debug, Default)]
pub(crate) struct Pump {
    /// Received and not sent: of a piece.
    left: Box<[u8]>,
    sent: usize,
    /// Received and not sent: so many octets in a pipe.
    pipe: Option<Pipe>,
    in_pipe: usize,
    splices: bool,
    many: bool,
    ending: bool,
    ended: bool,
    /// Octets that were received.
    copied: u64,
}

/// Both ends of a pipe: reading, writing.
#[derive(Debug)]
struct Pipe(OwnedFd, OwnedFd);

/// What the directions of one loop share.
#[derive(Debug)]
pub(crate) struct Pool {
    buffer: Box<[u8]>,
    idle: Vec<Pipe>,
    pipes: usize,
    make: fn() -> Option<Pipe>,
    /// When a pipe could not be had.
    failed: Option<Instant>,
}

impl Pipe {
    fn new() -> Option<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        fcntl_setpipe_size(&write, PIPE).ok()?;
        Some(Self(read, write))
    }
}

impl Pool {
    pub(crate) fn new() -> Self {
        let buffer = vec![0; PIECE].into_boxed_slice();
        Self { buffer, idle: Vec::new(), pipes: 0, make: Pipe::new, failed: None }
    }

    /// An empty pipe, unless they are all in use, descriptors are short or the user has too many. One that cannot be had is not
    /// asked for again and again, but a while later.
    fn take(&mut self) -> Option<Pipe> {
        if !self.idle.is_empty() || self.pipes >= PIPES {
            return self.idle.pop();
        }
        if self.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return None;
        }
        let pipe = (self.make)();
        self.failed = pipe.is_none().then(Instant::now);
        self.pipes += usize::from(pipe.is_some());
        pipe
    }

    /// Closes the pipes that nobody uses.
    pub(crate) fn rest(&mut self) {
        self.pipes -= self.idle.len();
        self.idle.clear();
    }

    /// Takes back the pipe of a direction that does not need it any more.
    pub(crate) fn put_back(&mut self, pump: &mut Pump) {
        let Some(pipe) = pump.pipe.take() else { return };
        if pump.in_pipe == 0 {
            self.idle.push(pipe);
        } else {
            self.pipes -= 1;
        }
    }
}

impl Pump {
    /// A direction in which nothing is under way; `splices` if both sockets are TCP.
    pub(crate) fn new(splices: bool) -> Self {
        Self { splices, ..Self::default() }
    }

    /// Whether something waits for the receiving side to take it.
    pub(crate) fn waits_for_room(&self) -> bool {
        !self.left.is_empty() || self.in_pipe > 0
    }

    /// Octets that came so far.
    pub(crate) fn copied(&self) -> u64 {
        self.copied
    }

    /// Whether this direction is over.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Notes that the stream has an end that no further event will tell of.
    pub(crate) fn end_is_near(&mut self) {
        self.ending = true;
    }

    /// Moves what there is, up to a bound. Edge-triggered: after [`Moved::All`] only an event can bring more.
    pub(crate) fn run(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, pool: &mut Pool) -> Moved {
        if self.ended {
            return Moved::All;
        }
        let moved = match self.rest(to).and_then(|()| self.fresh(from, to, pool)) {
            Ok(moved) | Err(moved) => moved,
        };
        if !self.waits_for_room() || self.ended {
            pool.put_back(self);
        }
        moved
    }

    /// Sends what was received before.
    fn rest(&mut self, to: BorrowedFd<'_>) -> Result<(), Moved> {
        while let Some(left) = self.left.get(self.sent..).filter(|left| !left.is_empty()) {
            self.sent += send(to, left, AT_ONCE).or_else(|error| self.not_sent(error))?;
        }
        (self.left, self.sent) = (Box::default(), 0);
        while let Some(pipe) = self.pipe.as_ref().filter(|_| self.in_pipe > 0) {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            let moved = splice(&pipe.0, None, to, None, self.in_pipe, flags);
            self.in_pipe -= moved.or_else(|error| self.not_sent(error))?;
        }
        Ok(())
    }

    fn not_sent(&mut self, error: Errno) -> Result<usize, Moved> {
        match error {
            Errno::INTR => Ok(0),
            Errno::AGAIN => Err(Moved::All),
            _ => {
                self.ended = true;
                Err(Moved::Unwanted)
            }
        }
    }

    /// Receives and sends, as much as fits a pipe.
    fn fresh(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, pool: &mut Pool) -> Result<Moved, Moved> {
        let mut bound = PIPE;
        while bound > 0 {
            if self.many && self.splices && self.pipe.is_none() {
                self.pipe = pool.take();
            }
            let received = match &self.pipe {
                Some(pipe) => {
                    splice(from, None, &pipe.1, None, PIPE, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)
                }
                None => recv(from, &mut pool.buffer[..], RecvFlags::DONTWAIT).map(|(octets, _)| octets),
            };
            let octets = match received {
                Ok(0) => {
                    self.ended = true;
                    return Ok(Moved::End);
                }
                Ok(octets) => octets,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(Moved::All),
                Err(_) => return Err(Moved::Broken),
            };
            self.copied += octets as u64;
            bound = bound.saturating_sub(octets);
            self.many = octets >= PIECE;
            if self.pipe.is_some() {
                self.in_pipe = octets;
                self.rest(to)?;
                continue;
            }
            self.piece(to, &pool.buffer[..octets])?;
            // Less than there was room for: whatever comes next brings an event, unless it is an end that had its event.
            if !self.many && !self.ending {
                return Ok(Moved::All);
            }
        }
        Ok(Moved::Some)
    }

    /// Sends a piece, and keeps what cannot be sent now.
    fn piece(&mut self, to: BorrowedFd<'_>, piece: &[u8]) -> Result<(), Moved> {
        let sent = match send(to, piece, AT_ONCE) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => self.not_sent(error)?,
        };
        if sent < piece.len() {
            self.left = piece[sent..].into();
            return self.rest(to);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_that_could_not_be_had_are_tried_for_again() {
        let mut pool = Pool::new();
        pool.make = || None;
        for _ in 0..2 * PIPES {
            assert!(pool.take().is_none());
            // As if it was a while ago.
            pool.failed = pool.failed.map(|at| at - AGAIN);
        }
        pool.make = Pipe::new;
        let taken: Vec<Pipe> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(taken.len(), PIPES);
        // While they are short nobody asks at every piece.
        let mut pool = Pool::new();
        pool.make = || None;
        assert!(pool.take().is_none());
        pool.make = || panic!("asked again at once");
        assert!(pool.take().is_none());
    }
}
