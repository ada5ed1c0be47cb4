//! The accept loop: one thread, one epoll, every connection the broker holds but for relays.
//!
//! A connection whose preamble is there takes four system calls: accept4, recv(MSG_PEEK), sendmsg, close. It is never
//! registered with epoll, nothing is allocated and no lock is taken for it.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::batch::Batches;
use crate::dispatch::{Held, Watched};
use crate::line::{Command, Line, Listening, Shared};
use crate::listening::BACKLOG;
use crate::outcome::Outcome;
use crate::parked::{ParkingLot, Place, Stage};
use crate::queue::Queue;

/// Connections accepted from one socket before others get their turn.
pub(crate) const TURN: usize = 64;

/// Turns without a look at the length of a listening socket's queue after one that showed a single connection.
const QUIET: u32 = 31;

/// How long accepting pauses when the system has no descriptor or memory for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// How many connections are closed to make room.
const ROOM: usize = 32;

/// What an event is about. The kind is in the upper eight bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Wake,
    Listener(u32),
    Parked(Place),
    Queue(u64),
}

impl From<Token> for epoll::EventData {
    fn from(token: Token) -> Self {
        Self::new_u64(match token {
            Token::Wake => 0,
            Token::Listener(n) => 1 << 56 | u64::from(n),
            Token::Parked(place) => 2 << 56 | u64::from(place.generation) << 32 | u64::from(place.slot),
            Token::Queue(id) => 3 << 56 | id,
        })
    }
}

impl From<epoll::EventData> for Token {
    fn from(data: epoll::EventData) -> Self {
        let [kind, a, b, c, d, e, f, g] = data.u64().to_be_bytes();
        let low = u32::from_be_bytes([d, e, f, g]);
        match kind {
            0 => Self::Wake,
            1 => Self::Listener(low),
            2 => Self::Parked(Place { slot: low, generation: u32::from_be_bytes([0, a, b, c]) }),
            _ => Self::Queue(u64::from_be_bytes([0, a, b, c, d, e, f, g])),
        }
    }
}

/// The state of the thread. Its methods are in the files of the straight line: this one, `preamble`, `dispatch`, `refuse`.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) shared: Arc<Shared>,
    pub(crate) epoll: OwnedFd,
    pub(crate) lot: ParkingLot,
    /// What this turn has for the workers.
    pub(crate) batches: Batches,
    pub(crate) held: HashMap<u64, Held>,
    pub(crate) watched: Vec<Watched>,
    /// Ended queues that could not be emptied for want of descriptors.
    pub(crate) undrained: Vec<Arc<Queue>>,
    /// When the time of this turn was read.
    pub(crate) now: Instant,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) watch_at: Option<Instant>,
    pub(crate) line: Arc<Line>,
    listeners: HashMap<u32, Open>,
    next_listener: u32,
    paused_until: Option<Instant>,
    stopping: bool,
}

/// A listening socket in the loop.
#[derive(Debug)]
struct Open {
    listening: Listening,
    /// How many turns more one connection is taken for all there is.
    quiet: u32,
}

/// Starts the thread. It ends after [`Command::Stop`].
pub(crate) fn start(shared: Arc<Shared>, line: Arc<Line>) -> io::Result<thread::JoinHandle<()>> {
    let accept_loop = Loop::new(shared, line)?;
    thread::Builder::new().name("accept".to_owned()).spawn(move || accept_loop.run())
}

impl Loop {
    fn new(shared: Arc<Shared>, line: Arc<Line>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &line, Token::Wake.into(), epoll::EventFlags::IN)?;
        Ok(Self {
            shared,
            epoll,
            lot: ParkingLot::new(),
            batches: Batches::default(),
            held: HashMap::new(),
            watched: Vec::new(),
            undrained: Vec::new(),
            now: Instant::now(),
            retry_at: None,
            watch_at: None,
            line,
            listeners: HashMap::new(),
            next_listener: 0,
            paused_until: None,
            stopping: false,
        })
    }

    fn run(mut self) {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        while !self.stopping {
            let timeout = self.until_next_deadline();
            let ready = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "epoll_wait failed");
                    break;
                }
            };
            self.now = Instant::now();
            for event in ready.iter() {
                match Token::from(event.data) {
                    Token::Wake => self.obey(),
                    Token::Listener(n) => self.accept_from(n),
                    Token::Parked(place) => self.advance(place, event.flags),
                    Token::Queue(id) => self.flush(id),
                }
            }
            self.keep_time();
            self.send_batches();
        }
        self.leave_all();
    }

    fn until_next_deadline(&self) -> Option<Timespec> {
        let times = [self.lot.next_deadline(), self.paused_until, self.retry_at, self.watch_at];
        let next = times.into_iter().flatten().min()?;
        // Rounded up by epoll_wait; a deadline in the past means not to wait.
        Timespec::try_from(next.saturating_duration_since(Instant::now())).ok()
    }

    /// What is due at this time.
    fn keep_time(&mut self) {
        let now = self.now;
        while let Some((place, _)) = self.lot.oldest(Stage::Preamble).filter(|(_, deadline)| *deadline <= now)
        {
            self.end_parked(place, Outcome::DeadlinePassed);
        }
        while let Some((place, _)) = self.lot.oldest(Stage::DRAIN).filter(|(_, deadline)| *deadline <= now) {
            self.close_parked(place);
        }
        if self.paused_until.is_some_and(|until| until <= now) {
            self.resume();
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry();
        }
        if self.watch_at.is_some_and(|at| at <= now) {
            self.watch_queues();
        }
    }

    fn obey(&mut self) {
        for command in self.line.receive() {
            match command {
                Command::Listen(listening) => self.listen(listening),
                Command::Unlisten(listening, done) => {
                    self.unlisten(&listening);
                    drop(listening);
                    let _ = done.send(());
                }
                Command::Refuse(socket, outcome, detail) => self.refuse(socket, outcome, detail),
                Command::Again(connections) => {
                    for connection in connections {
                        self.make_way(&connection);
                        self.again(connection);
                    }
                }
                Command::Watch(queue) => self.watch(queue),
                // Ended by our own end: its worker lives, and receives what waits there.
                Command::Ended(_) if self.stopping => {}
                // What is on its way to this queue comes back when it is refused (`Queue::has_ended`).
                Command::Ended(queue) => self.dispatch_again(&queue),
                Command::MakeRoom => self.make_room(),
                Command::Stop => self.stopping = true,
            }
        }
    }

    fn listen(&mut self, listening: Listening) {
        let n = self.next_listener;
        self.next_listener = self.next_listener.wrapping_add(1);
        let flags =
            if self.paused_until.is_some() { epoll::EventFlags::empty() } else { epoll::EventFlags::IN };
        if let Err(error) = epoll::add(&self.epoll, &*listening.socket, Token::Listener(n).into(), flags) {
            tracing::error!(%error, address = %listening.address, "the listening socket cannot be waited for");
        }
        self.shared.help.add(listening.clone());
        self.listeners.insert(n, Open { listening, quiet: 0 });
    }

    /// Whether a connection to this address comes to one of our own sockets.
    pub(crate) fn listens_on(&self, address: SocketAddr) -> bool {
        self.listeners.values().map(|open| open.listening.address).any(|own| {
            let all = own.ip().is_unspecified() && own.is_ipv4() == address.is_ipv4();
            own.port() == address.port() && (all || own.ip() == address.ip())
        })
    }

    /// Whoever is in the kernel's queue already is not turned away by the close.
    fn unlisten(&mut self, listening: &Listening) {
        let ours = self.listeners.iter().find(|(_, open)| open.listening.is(listening));
        let Some((&n, _)) = ours else { return };
        self.shared.help.remove(listening);
        // No more than can have waited: whoever keeps connecting must not keep us here.
        for _ in 0..usize::from(BACKLOG).div_ceil(TURN) {
            if self.accept_some(n, TURN) < TURN {
                break;
            }
        }
        if let Some(open) = self.listeners.remove(&n) {
            let _ = epoll::delete(&self.epoll, &*open.listening.socket);
        }
    }

    /// Accepts as many connections as wait: no call that finds nobody, and one `epoll_wait` for all of them. While they come
    /// one at a time their number is not asked for either.
    fn accept_from(&mut self, n: u32) {
        let Some(open) = self.listeners.get_mut(&n) else { return };
        if open.quiet > 0 {
            open.quiet -= 1;
            self.accept_some(n, 1);
            return;
        }
        let waiting = open.listening.waiting().unwrap_or(1);
        if waiting <= 1 {
            open.quiet = QUIET;
        } else if waiting > TURN {
            self.shared.help.wanted();
        }
        self.accept_some(n, waiting.clamp(1, TURN));
        // What was begun is in the processor's cache now, and would not be after many such turns.
        if waiting > TURN && self.shared.relayed.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
    }

    /// Accepts until nothing waits, at most `most` connections.
    fn accept_some(&mut self, n: u32, most: usize) -> usize {
        let Some(open) = self.listeners.get(&n) else { return 0 };
        let listening = open.listening.clone();
        for accepted in 0..most {
            match listening.accept() {
                Ok(connection) => self.accepted(connection, listening.address),
                Err(Errno::AGAIN) => return accepted,
                // The table is full, and connections without a preamble are what we can do without best.
                Err(Errno::MFILE) if self.lot.oldest(Stage::Preamble).is_some() => self.make_room(),
                Err(
                    error @ (Errno::MFILE
                    | Errno::NFILE
                    | Errno::NOBUFS
                    | Errno::NOMEM
                    | Errno::INVAL
                    | Errno::BADF),
                ) => {
                    self.pause(error);
                    return accepted;
                }
                // The connection was gone before we came, or the network has something to say about it.
                Err(_) => {}
            }
        }
        most
    }

    fn accepted(&mut self, connection: OwnedFd, listening: SocketAddr) {
        self.shared.counters.accept();
        self.make_way(&connection);
        self.arrived(connection, listening);
    }

    /// A connection whose number says that the table is nearly full takes the place of another.
    fn make_way(&mut self, connection: &OwnedFd) {
        if usize::try_from(connection.as_raw_fd()).is_ok_and(|n| n >= self.shared.descriptors.pressure) {
            self.crowd_out();
        }
    }

    /// Closes the connection that has waited longest for its preamble, or for the end of its drain.
    fn crowd_out(&mut self) -> bool {
        if let Some((place, _)) = self.lot.oldest(Stage::Preamble) {
            self.end_parked(place, Outcome::CrowdedOut);
            return true;
        }
        let Some((place, _)) = self.lot.oldest(Stage::DRAIN) else { return false };
        self.close_parked(place);
        true
    }

    pub(crate) fn make_room(&mut self) {
        for _ in 0..ROOM {
            if !self.crowd_out() {
                return;
            }
        }
    }

    /// No connection is accepted for a moment; those that come wait in the kernel.
    fn pause(&mut self, error: Errno) {
        if self.paused_until.is_none() {
            tracing::error!(%error, "accepting pauses: the system has no room for another connection");
            self.set_listeners(epoll::EventFlags::empty());
        }
        self.paused_until = Some(self.now + PAUSE);
    }

    fn resume(&mut self) {
        self.paused_until = None;
        self.set_listeners(epoll::EventFlags::IN);
    }

    fn set_listeners(&self, flags: epoll::EventFlags) {
        for (&n, Open { listening, .. }) in &self.listeners {
            if let Err(error) =
                epoll::modify(&self.epoll, &*listening.socket, Token::Listener(n).into(), flags)
            {
                tracing::error!(%error, address = %listening.address, "the listening socket cannot be waited for");
            }
        }
    }

    /// Nobody is left here without an outcome, nor on the way here.
    fn leave_all(&mut self) {
        self.shared.help.leave();
        for command in self.line.close() {
            match command {
                Command::Refuse(connection, ..) => self.refuse(connection, Outcome::ShutDown, None),
                Command::Again(connections) => {
                    for connection in connections {
                        self.refuse(connection, Outcome::ShutDown, None);
                    }
                }
                _ => {}
            }
        }
        self.send_batches();
        while let Some((place, _)) = self.lot.oldest(Stage::Preamble) {
            self.end_parked(place, Outcome::ShutDown);
        }
        for (_, held) in std::mem::take(&mut self.held) {
            for socket in held.sockets {
                self.refuse(socket, Outcome::ShutDown, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::Config;

    /// A connection with an octet that nobody has read, and its initiator.
    fn connection() -> (OwnedFd, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut initiator = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        initiator.write_all(b"x").unwrap();
        connection.peek(&mut [0]).unwrap();
        (connection.into(), initiator)
    }

    #[test]
    fn what_comes_too_late_for_the_loop_is_shut_down() {
        let (errands, _) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(&Config::default(), errands).unwrap());
        let line = Arc::new(Line::new().unwrap());
        let mut accept_loop = Loop::new(Arc::clone(&shared), Arc::clone(&line)).unwrap();
        let (connections, mut initiators): (Vec<_>, Vec<_>) = (0..4).map(|_| connection()).unzip();
        let mut connections = connections.into_iter();
        line.send(Command::Refuse(connections.next().unwrap(), Outcome::DispatchFailed, None));
        line.send(Command::Again(connections.collect()));
        accept_loop.leave_all();
        assert_eq!(shared.counters.of(Outcome::ShutDown), 4);
        for initiator in &mut initiators {
            assert_eq!(initiator.read(&mut [0]).unwrap(), 0, "an orderly end");
        }
    }

    #[test]
    fn tokens_survive_the_kernel() {
        for token in [
            Token::Wake,
            Token::Listener(7),
            Token::Parked(Place { slot: 0, generation: 0 }),
            Token::Parked(Place { slot: 0xffff_fffe, generation: 0xff_ffff }),
            Token::Queue(1),
            Token::Queue((1 << 56) - 1),
        ] {
            assert_eq!(Token::from(epoll::EventData::from(token)), token);
        }
    }
}
