//! Relays: connections to back-ends that cannot take a descriptor are copied, both ways, by a loop of their own.
//!
//! Nothing was read from such a connection before, so the back-end sees it from the Version Record on. Either side may end
//! its half first; the relay is over when both have, or when one resets.
//!
//! One thread, one epoll, edge-triggered. An idle connection costs it nothing but its entry. Whoever brings a connection
//! registers the sockets, and their first event makes the loop look into its inbox: no other wake-up is needed.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::sockopt;

use crate::config::RelayTo;
use crate::line::{Expected, lock};
use crate::pump::{Moved, Pool, Pump};

/// How long a back-end may take to accept a connection.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);

/// The event that ends the thread.
const STOP: u64 = u64::MAX;

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelayEnd {
    /// Both directions have ended, and both ends were passed on.
    Complete,
    /// One side was gone without an end; the other is told by a reset.
    Broken,
    /// The back-end did not take the connection; nothing was read from the initiator.
    NotConnected(Errno),
    /// The broker ended.
    ShutDown,
}

/// Told of each end, with the initiator's socket, which is in no epoll any more, and where it was to go.
type Ended = dyn Fn(OwnedFd, &RelayTo, RelayEnd) + Send;

/// The way into the relay loop.
#[derive(Debug)]
pub(crate) struct Relays {
    epoll: OwnedFd,
    stop: OwnedFd,
    inbox: Mutex<Vec<(u64, Relay)>>,
    next: AtomicU64,
}

/// A connection to be relayed: two non-blocking sockets.
#[derive(Debug)]
pub(crate) struct Joined {
    /// Nothing was read from it.
    pub(crate) initiator: OwnedFd,
    /// Connected, or about to be.
    pub(crate) back_end: OwnedFd,
    pub(crate) to: Arc<RelayTo>,
    /// If the broker itself is the back-end.
    pub(crate) expected: Option<Box<Expected>>,
}

/// A relayed connection.
#[derive(Debug)]
struct Relay {
    joined: Joined,
    /// Until the back-end's socket is connected nothing is read from the initiator.
    connecting: bool,
    broken: bool,
    up: Pump,
    down: Pump,
}

/// A direction, by where its octets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Initiator,
    BackEnd,
}

/// The state of the thread.
struct Loop {
    shared: Arc<Relays>,
    relays: HashMap<u64, Relay>,
    /// In the order of their deadlines.
    connecting: VecDeque<(Instant, u64)>,
    /// Directions that had more to move than fits one turn.
    unfinished: VecDeque<(u64, From)>,
    pool: Pool,
    ended: Box<Ended>,
}

impl Relays {
    /// # Errors
    /// When there is no descriptor for it.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &stop, epoll::EventData::new_u64(STOP), epoll::EventFlags::IN)?;
        Ok(Self { epoll, stop, inbox: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Starts the thread, which runs until [`Relays::stop`].
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn start(self: &Arc<Self>, ended: Box<Ended>) -> io::Result<thread::JoinHandle<()>> {
        let relays = Loop {
            shared: Arc::clone(self),
            relays: HashMap::new(),
            connecting: VecDeque::new(),
            unfinished: VecDeque::new(),
            pool: Pool::new(),
            ended,
        };
        thread::Builder::new().name("relay".to_owned()).spawn(move || relays.run())
    }

    /// Ends the thread and what it relays.
    pub(crate) fn stop(&self) {
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
    }

    /// Takes over a connection.
    ///
    /// # Errors
    /// When the kernel cannot watch it; it comes back.
    pub(crate) fn join(&self, joined: Joined) -> Result<(), (Joined, Errno)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        // An event may come before the connection is in the inbox, but nobody looks there before the lock is free.
        let mut inbox = lock(&self.inbox);
        if let Err(error) = epoll::add(&self.epoll, &joined.initiator, From::Initiator.token(id), flags) {
            return Err((joined, error));
        }
        if let Err(error) = epoll::add(&self.epoll, &joined.back_end, From::BackEnd.token(id), flags) {
            let _ = epoll::delete(&self.epoll, &joined.initiator);
            return Err((joined, error));
        }
        let splices = !matches!(*joined.to, RelayTo::Unix(_));
        let (up, down) = (Pump::new(splices), Pump::new(splices));
        inbox.push((id, Relay { joined, connecting: true, broken: false, up, down }));
        Ok(())
    }
}

impl From {
    fn token(self, id: u64) -> epoll::EventData {
        epoll::EventData::new_u64(id << 1 | u64::from(self == Self::BackEnd))
    }

    fn of(token: u64) -> (u64, Self) {
        (token >> 1, if token & 1 == 0 { Self::Initiator } else { Self::BackEnd })
    }

    fn other(self) -> Self {
        match self {
            Self::Initiator => Self::BackEnd,
            Self::BackEnd => Self::Initiator,
        }
    }
}

impl Relay {
    fn pump(&mut self, from: From) -> &mut Pump {
        match from {
            From::Initiator => &mut self.up,
            From::BackEnd => &mut self.down,
        }
    }

    fn run(&mut self, from: From, pool: &mut Pool) -> Moved {
        match from {
            From::Initiator => self.up.run(&self.joined.initiator, &self.joined.back_end, pool),
            From::BackEnd => self.down.run(&self.joined.back_end, &self.joined.initiator, pool),
        }
    }
}

impl Loop {
    fn run(mut self) {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        loop {
            let timeout = self.until_next_deadline();
            let ready = match epoll::wait(&self.shared.epoll, &mut events, timeout.as_ref()) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    return tracing::error!(%error, "epoll_wait failed; no connection is relayed any more");
                }
            };
            for event in ready.iter() {
                if event.data.u64() == STOP {
                    return self.end_all();
                }
                let (id, from) = From::of(event.data.u64());
                self.happened(id, from, event.flags);
            }
            for _ in 0..self.unfinished.len() {
                let Some((id, from)) = self.unfinished.pop_front() else { break };
                self.go_on(id, &[from]);
            }
            self.give_up_connecting();
        }
    }

    fn until_next_deadline(&self) -> Option<Timespec> {
        if !self.unfinished.is_empty() {
            return Some(Timespec::default());
        }
        let (deadline, _) = self.connecting.front()?;
        Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok()
    }

    /// Something happened to one of the two sockets.
    fn happened(&mut self, id: u64, side: From, flags: epoll::EventFlags) {
        if !self.relays.contains_key(&id) {
            self.look_into_inbox();
        }
        // Ended by an earlier event of the same turn.
        let Some(relay) = self.relays.get_mut(&id) else { return };
        let failed = flags.contains(epoll::EventFlags::ERR);
        if flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            relay.pump(side).end_is_near();
        }
        if relay.connecting {
            if side == From::BackEnd && (failed || flags.contains(epoll::EventFlags::OUT)) {
                relay.connecting = false;
                match sockopt::socket_error(&relay.joined.back_end) {
                    Ok(Ok(())) => self.go_on(id, &[From::Initiator, From::BackEnd]),
                    Ok(Err(error)) | Err(error) => self.end(id, RelayEnd::NotConnected(error)),
                }
            }
            return;
        }
        // A reset after the end of what this side sent: the pump of that direction would never see it.
        if failed && relay.pump(side).ended() {
            return self.end(id, RelayEnd::Broken);
        }
        let room = flags.contains(epoll::EventFlags::OUT) && relay.pump(side.other()).waits_for_room();
        match (flags.intersects(!epoll::EventFlags::OUT), room) {
            (true, true) => self.go_on(id, &[side, side.other()]),
            (true, false) => self.go_on(id, &[side]),
            (false, true) => self.go_on(id, &[side.other()]),
            (false, false) => {}
        }
    }

    fn look_into_inbox(&mut self) {
        let arrived = std::mem::take(&mut *lock(&self.shared.inbox));
        let deadline = Instant::now() + CONNECT_TIME;
        self.connecting.extend(arrived.iter().map(|(id, _)| (deadline, *id)));
        self.relays.extend(arrived);
    }

    /// Moves what there is in these directions.
    fn go_on(&mut self, id: u64, directions: &[From]) {
        let Some(relay) = self.relays.get_mut(&id) else { return };
        for &from in directions {
            match relay.run(from, &mut self.pool) {
                Moved::All | Moved::End => {}
                Moved::Some => self.unfinished.push_back((id, from)),
                // What the other side has sent before it went is still worth delivering.
                Moved::Unwanted => relay.broken = true,
                Moved::Broken => return self.end(id, RelayEnd::Broken),
            }
        }
        if relay.up.ended() && relay.down.ended() {
            let end = if relay.broken { RelayEnd::Broken } else { RelayEnd::Complete };
            self.end(id, end);
        }
    }

    fn give_up_connecting(&mut self) {
        while let Some(&(deadline, id)) = self.connecting.front() {
            let connecting = self.relays.get(&id).is_some_and(|relay| relay.connecting);
            if connecting && deadline > Instant::now() {
                return;
            }
            self.connecting.pop_front();
            if connecting {
                self.end(id, RelayEnd::NotConnected(Errno::TIMEDOUT));
            }
        }
    }

    fn end(&mut self, id: u64, end: RelayEnd) {
        let Some(Relay { joined, mut up, mut down, .. }) = self.relays.remove(&id) else { return };
        self.pool.put_back(&mut up);
        self.pool.put_back(&mut down);
        if self.relays.is_empty() {
            self.pool.rest();
        }
        let Joined { initiator, back_end, to, expected: _expected } = joined;
        if end == RelayEnd::Broken {
            for socket in [&initiator, &back_end] {
                let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
            }
        }
        if matches!(end, RelayEnd::NotConnected(_)) {
            let _ = epoll::delete(&self.shared.epoll, &initiator);
        }
        (self.ended)(initiator, &to, end);
    }

    fn end_all(mut self) {
        self.look_into_inbox();
        for id in self.relays.keys().copied().collect::<Vec<_>>() {
            self.end(id, RelayEnd::ShutDown);
        }
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop").field("relays", &self.relays.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Receiver, channel};

    use proptest::prelude::{Strategy, any, prop};
    use proptest::{prop_assert_eq, proptest};
    use rustix::net::AddressFamily;

    use super::*;

    /// A connection of whichever family, as seen by one of its ends.
    struct End(std::fs::File, Box<dyn Fn() + Send + Sync>);

    impl End {
        fn tcp(stream: TcpStream) -> Self {
            let other = stream.try_clone().unwrap();
            Self(OwnedFd::from(stream).into(), Box::new(move || other.shutdown(Shutdown::Write).unwrap()))
        }

        fn unix(stream: UnixStream) -> Self {
            let other = stream.try_clone().unwrap();
            Self(OwnedFd::from(stream).into(), Box::new(move || other.shutdown(Shutdown::Write).unwrap()))
        }
    }

    fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (stream, listener.accept().unwrap().0)
    }

    /// Stopped at the end of a test.
    struct Running(Arc<Relays>, Option<thread::JoinHandle<()>>);

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.stop();
            self.1.take().unwrap().join().unwrap();
        }
    }

    fn relays() -> (Running, Receiver<(OwnedFd, RelayEnd)>) {
        let (said, ends) = channel();
        let relays = Arc::new(Relays::new().unwrap());
        let ended = move |initiator, _: &RelayTo, end| drop(said.send((initiator, end)));
        let thread = relays.start(Box::new(ended)).unwrap();
        (Running(relays, Some(thread)), ends)
    }

    fn join(relays: &Running, initiator: OwnedFd, back_end: OwnedFd) {
        let unix = rustix::net::getsockname(&back_end).unwrap().address_family() == AddressFamily::UNIX;
        let to = if unix { RelayTo::Unix("/test".into()) } else { RelayTo::Name("test:1".to_owned()) };
        let to = Arc::new(to);
        relays.0.join(Joined { initiator, back_end, to, expected: None }).unwrap();
    }

    fn non_blocking(socket: impl Into<OwnedFd>) -> OwnedFd {
        let socket = socket.into();
        rustix::io::ioctl_fionbio(&socket, true).unwrap();
        socket
    }

    /// The initiator's end and the back-end's end of a relayed connection.
    fn relayed(relays: &Running, unix: bool) -> (End, End) {
        let (initiator, accepted) = tcp_pair();
        let (back_end, ours) = if unix {
            let (back_end, ours) = UnixStream::pair().unwrap();
            (End::unix(back_end), OwnedFd::from(ours))
        } else {
            let (back_end, ours) = tcp_pair();
            (End::tcp(back_end), OwnedFd::from(ours))
        };
        join(relays, non_blocking(accepted), non_blocking(ours));
        (End::tcp(initiator), back_end)
    }

    /// The octet at a place of a stream; no two near places have the same neighbourhood.
    fn octet(place: usize) -> u8 {
        (place.wrapping_mul(0x9E37_79B1) >> 13) as u8
    }

    #[derive(Clone, Debug)]
    struct Stream {
        chunks: Vec<usize>,
        /// Octets a read asks for, in turns.
        reads: Vec<usize>,
        /// Whether the reader begins only when the writer could do no more.
        late: bool,
    }

    fn stream() -> impl Strategy<Value = Stream> {
        let chunk = prop::sample::select(vec![1, 7, 60, 1500, 16_383, 16_384, 16_385, 70_000, 1_200_000]);
        let read = prop::sample::select(vec![1 << 10, 5000, 65_536, 1 << 20]);
        (prop::collection::vec(chunk, 0..6), prop::collection::vec(read, 1..4), any::<bool>())
            .prop_map(|(chunks, reads, late)| Stream { chunks, reads, late })
    }

    /// Writes a stream and then its end.
    fn write(end: &End, stream: &Stream) {
        let mut place = 0;
        for &chunk in &stream.chunks {
            let octets: Vec<u8> = (place..place + chunk).map(octet).collect();
            (&end.0).write_all(&octets).unwrap();
            place += chunk;
        }
        (end.1)();
    }

    /// Reads to the end; how many octets came, and whether each was the one that was sent.
    fn read(end: &End, stream: &Stream) -> (usize, bool) {
        if stream.late {
            thread::sleep(Duration::from_millis(20));
        }
        let (mut place, mut same) = (0, true);
        for &most in stream.reads.iter().cycle() {
            let mut octets = vec![0; most];
            let length = (&end.0).read(&mut octets).unwrap();
            if length == 0 {
                break;
            }
            same &= octets[..length].iter().enumerate().all(|(n, &got)| got == octet(place + n));
            place += length;
        }
        (place, same)
    }

    proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 48, ..Default::default() })]

        /// However it is cut, however late it is read, whoever ends first: what arrives is what was sent, then the end.
        #[test]
        fn what_arrives_is_what_was_sent(up in stream(), down in stream(), unix in any::<bool>(), turns in 0..3) {
            let (relays, ends) = relays();
            let (initiator, back_end) = relayed(&relays, unix);
            let (got_up, got_down) = thread::scope(|scope| {
                let reading_up = scope.spawn(|| read(&back_end, &up));
                let reading_down = scope.spawn(|| read(&initiator, &down));
                match turns {
                    0 => {
                        scope.spawn(|| write(&back_end, &down));
                        write(&initiator, &up);
                    }
                    // One direction has ended before the other begins.
                    1 => {
                        write(&initiator, &up);
                        let got_up = reading_up.join().unwrap();
                        write(&back_end, &down);
                        return (got_up, reading_down.join().unwrap());
                    }
                    _ => {
                        write(&back_end, &down);
                        let got_down = reading_down.join().unwrap();
                        write(&initiator, &up);
                        return (reading_up.join().unwrap(), got_down);
                    }
                }
                (reading_up.join().unwrap(), reading_down.join().unwrap())
            });
            prop_assert_eq!(got_up, (up.chunks.iter().sum(), true));
            prop_assert_eq!(got_down, (down.chunks.iter().sum(), true));
            prop_assert_eq!(ends.recv_timeout(Duration::from_secs(20)).unwrap().1, RelayEnd::Complete);
        }
    }

    #[test]
    fn a_reset_is_passed_on() {
        for unix in [false, true] {
            let (relays, ends) = relays();
            let (initiator, back_end) = relayed(&relays, unix);
            (&initiator.0).write_all(b"preamble").unwrap();
            (&back_end.0).read_exact(&mut [0; 8]).unwrap();
            sockopt::set_socket_linger(&initiator.0, Some(Duration::ZERO)).unwrap();
            drop(initiator);
            assert_eq!(ends.recv_timeout(Duration::from_secs(20)).unwrap().1, RelayEnd::Broken);
            let seen = (&back_end.0).read(&mut [0; 8]);
            if !unix {
                assert_eq!(seen.unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
        }
    }

    #[test]
    fn what_a_side_sent_before_it_went_is_delivered() {
        let (relays, ends) = relays();
        let (initiator, back_end) = relayed(&relays, false);
        let sent: Vec<u8> = (0..3_000_000).map(octet).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                (&back_end.0).write_all(&sent).unwrap();
                drop(back_end);
            });
            let mut got = Vec::new();
            (&initiator.0).read_to_end(&mut got).unwrap();
            assert!(got == sent, "{} of {} octets", got.len(), sent.len());
        });
        drop(initiator);
        ends.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    #[test]
    fn a_back_end_that_is_not_there() {
        let (relays, ends) = relays();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let back_end = rustix::net::socket_with(
            AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK,
            None,
        )
        .unwrap();
        assert_eq!(rustix::net::connect(&back_end, &nobody), Err(Errno::INPROGRESS));
        let (mut initiator, accepted) = tcp_pair();
        initiator.write_all(b"preamble").unwrap();
        join(&relays, non_blocking(accepted), back_end);
        let (accepted, end) = ends.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(end, RelayEnd::NotConnected(Errno::CONNREFUSED));
        // Nothing was read: it can still be refused, or relayed elsewhere.
        let mut octets = [0; 8];
        rustix::net::recv(&accepted, &mut octets, rustix::net::RecvFlags::empty()).unwrap();
        assert_eq!(&octets, b"preamble");
    }

    #[test]
    fn the_end_of_the_broker_is_the_end_of_its_relays() {
        let (relays, ends) = relays();
        let (initiator, _back_end) = relayed(&relays, false);
        drop(relays);
        assert_eq!(ends.recv().unwrap().1, RelayEnd::ShutDown);
        assert_eq!((&initiator.0).read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<(u64, Relay)>() <= 160, "{}", size_of::<(u64, Relay)>());
    }
}
