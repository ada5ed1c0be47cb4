//! The accept loop: one thread, one epoll, every connection the broker holds but for relays.
//!
//! A connection whose preamble is there takes four system calls: accept4, recv(MSG_PEEK), sendmsg, close. It is never
//! registered with epoll, nothing is allocated and no lock is taken for it.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::sockopt;
use tracing::Level;

use crate::back_end;
use crate::batch::{Batch, Batches};
use crate::held::{Held, Next};
use crate::help::Help;
use crate::line::Command;
use crate::listeners::Listeners;
use crate::listening::{BACKLOG, Listening, TURN};
use crate::outcome::Outcome;
use crate::parked::{ParkingLot, Stage};
use crate::preamble::{self, Origin, Step};
use crate::queue::{Queue, Refusal};
use crate::refuse::{self, DRAIN_TIME};
use crate::shared::Shared;
use crate::tally::Kind;
use crate::token::{Place, Token};

/// How many connections are closed to make room.
const ROOM: usize = 32;

const CIRCLE: Kind = Kind {
    level: Level::ERROR,
    what: "a static route leads back to the broker itself, its connections fail: it must relay to the back-end",
};

/// The state of the thread.
#[derive(Debug)]
struct Loop {
    shared: Arc<Shared>,
    help: Arc<Help>,
    epoll: Arc<OwnedFd>,
    listeners: Listeners,
    lot: ParkingLot,
    /// What this turn has for the workers.
    batches: Batches,
    held: Held,
    /// When the time of this turn was read.
    now: Instant,
    stopping: bool,
}

/// Starts the thread. It ends after [`Command::Stop`].
pub(crate) fn start(shared: Arc<Shared>, help: Arc<Help>) -> io::Result<thread::JoinHandle<()>> {
    let accept_loop = Loop::new(shared, help)?;
    thread::Builder::new().name("accept".to_owned()).spawn(move || accept_loop.run())
}

/// The turns.
impl Loop {
    fn new(shared: Arc<Shared>, help: Arc<Help>) -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        epoll::add(&epoll, &shared.line, Token::Wake.into(), epoll::EventFlags::IN)?;
        Ok(Self {
            listeners: Listeners::new(Arc::clone(&shared), Arc::clone(&epoll)),
            lot: ParkingLot::new(Arc::clone(&epoll)),
            batches: Batches::default(),
            held: Held::new(Arc::clone(&shared), Arc::clone(&epoll)),
            now: Instant::now(),
            stopping: false,
            shared,
            help,
            epoll,
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
                    Token::Queue(id) => {
                        let leaving = self.held.flush(id, self.now);
                        self.settle(leaving);
                    }
                }
            }
            self.keep_time();
            self.send_batches();
        }
        self.leave_all();
    }

    fn until_next_deadline(&self) -> Option<Timespec> {
        let times = [self.lot.next_deadline(), self.listeners.next_deadline(), self.held.next_deadline()];
        let next = times.into_iter().flatten().min()?;
        // Rounded up by epoll_wait; a deadline in the past means not to wait.
        Timespec::try_from(next.saturating_duration_since(Instant::now())).ok()
    }

    /// What is due at this time.
    fn keep_time(&mut self) {
        while let Some(place) = self.lot.due(Stage::Preamble, self.now) {
            self.end_parked(place, Outcome::DeadlinePassed);
        }
        while let Some(place) = self.lot.due(Stage::DRAIN, self.now) {
            drop(self.lot.leave(place));
        }
        self.listeners.resume(self.now);
        let leaving = self.held.keep_time(self.now);
        self.settle(leaving);
    }

    fn obey(&mut self) {
        for command in self.shared.line.receive() {
            match command {
                Command::Listen(listening) => {
                    self.help.add(listening.clone());
                    self.listeners.add(listening, self.now);
                }
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
                Command::Watch(queue) => self.held.watch(queue, self.now),
                // Ended by our own end: its worker lives, and receives what waits there.
                Command::Ended(_) if self.stopping => {}
                // What is on its way to this queue comes back when it is refused (`Queue::has_ended`).
                Command::Ended(queue) => {
                    let leaving = self.held.dispatch_again(&queue, self.now);
                    self.settle(leaving);
                }
                Command::MakeRoom => self.make_room(),
                Command::Stop => self.stopping = true,
            }
        }
    }

    /// Nobody is left here without an outcome, nor on the way here.
    fn leave_all(&mut self) {
        self.help.leave();
        for command in self.shared.line.close() {
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
        let leaving = self.held.leave();
        self.settle(leaving);
    }
}

/// Accepting.
impl Loop {
    fn accept_from(&mut self, n: u32) {
        let waiting = self.listeners.waiting(n);
        if waiting > TURN {
            self.help.wanted();
        }
        self.accept_some(n, waiting.min(TURN));
        // What was begun is in the processor's cache now, and would not be after many such turns.
        if waiting > TURN && self.shared.relayed.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
    }

    /// Accepts until nothing waits, at most `most` connections.
    fn accept_some(&mut self, n: u32, most: usize) -> usize {
        let Some(listening) = self.listeners.at(n).cloned() else { return 0 };
        for accepted in 0..most {
            match listening.accept() {
                Ok(connection) => self.accepted(connection, listening.address),
                Err(Errno::AGAIN) => return accepted,
                Err(Errno::MFILE) if self.lot.has_any() => self.make_room(),
                Err(error) if is_gone(error) => {}
                Err(error) => {
                    self.listeners.pause(self.now, error);
                    return accepted;
                }
            }
        }
        most
    }

    /// Whoever is in the kernel's queue already is not turned away by the close.
    fn unlisten(&mut self, listening: &Listening) {
        let Some(n) = self.listeners.number_of(listening) else { return };
        self.help.remove(listening);
        // No more than can have waited: whoever keeps connecting must not keep us here.
        for _ in 0..usize::from(BACKLOG).div_ceil(TURN) {
            if self.accept_some(n, TURN) < TURN {
                break;
            }
        }
        self.listeners.remove(n);
    }

    /// A connection whose number says that the table is nearly full takes the place of another.
    fn make_way(&mut self, connection: &OwnedFd) {
        if self.shared.descriptors.are_scarce(connection) {
            self.crowd_out();
        }
    }

    fn make_room(&mut self) {
        for _ in 0..ROOM {
            if !self.crowd_out() {
                return;
            }
        }
    }

    /// Closes the connection that has drained longest: it has its answer. If there is none, the one that has waited longest for
    /// its preamble.
    fn crowd_out(&mut self) -> bool {
        if let Some((place, _)) = self.lot.oldest(Stage::DRAIN) {
            return self.lot.leave(place).is_some();
        }
        let Some((place, _)) = self.lot.oldest(Stage::Preamble) else { return false };
        self.end_parked(place, Outcome::CrowdedOut);
        true
    }
}

/// The connection was gone before we came, or the network has something to say about it (accept(2), "Error handling"). Whatever
/// else there is would be there at the next try as well.
fn is_gone(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED
            | Errno::INTR
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
    )
}

/// The straight line of a connection.
impl Loop {
    /// It was just accepted by a socket that listens on `listening`.
    fn accepted(&mut self, connection: OwnedFd, listening: SocketAddr) {
        self.shared.counters.accept();
        self.make_way(&connection);
        let step = preamble::arrived(&self.shared, &connection, listening);
        self.dispatch(connection, step);
    }

    /// It was looked at before, and is in no batch and no queue.
    fn again(&mut self, connection: OwnedFd) {
        let step = preamble::look(&self.shared, &connection, Origin::Queue);
        self.dispatch(connection, step);
    }

    /// Something happened to it while it was parked.
    fn advance(&mut self, place: Place, flags: epoll::EventFlags) {
        let Some((connection, stage)) = self.lot.at(place) else { return };
        if let Stage::Drain { left } = stage {
            return match refuse::drain(connection, left) {
                Some(left) => self.lot.set_left(place, left),
                None => drop(self.lot.leave(place)),
            };
        }
        let step = match preamble::look(&self.shared, connection, Origin::Parked) {
            // A FIN behind an incomplete preamble: a peek would show the same octets for ever.
            Step::Wait if flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP) => {
                Step::End(Outcome::ClosedEarly, None)
            }
            // The next octet wakes us again. What we peek is acknowledged late unless we ask.
            Step::Wait => {
                let _ = sockopt::set_tcp_quickack(connection, true);
                return;
            }
            step => step,
        };
        if let Some((connection, ..)) = self.lot.leave(place) {
            self.dispatch(connection, step);
        }
    }

    /// Does what was decided about it. It is in no epoll.
    fn dispatch(&mut self, connection: OwnedFd, step: Step) {
        match step {
            Step::HandOver(queue) => self.hand_over(connection, queue),
            Step::Relay(to) if self.shared.under_way.has(&connection) => {
                self.shared.tally.count(CIRCLE, 0, || to.to_string());
                self.refuse(connection, Outcome::DispatchFailed, Some(format!("from a relay to {to}")));
            }
            Step::Relay(to) => {
                let relayed = back_end::relay(&self.shared, connection, to);
                self.or_too_busy(relayed);
            }
            // Where we do not listen, another program may.
            Step::Bridge(_, at) if !self.listeners.listens_on(at) => {
                self.refuse(connection, Outcome::EndpointNotFound, None);
            }
            Step::Bridge(queue, at) => {
                let bridged = back_end::bridge(&self.shared, connection, queue, at);
                self.or_too_busy(bridged);
            }
            Step::Wait => self.park(connection),
            Step::End(outcome, detail) => self.refuse(connection, outcome, detail),
        }
    }

    /// It goes to the worker of this queue: now, if it fills a message, else at the end of the turn.
    fn hand_over(&mut self, connection: OwnedFd, queue: Arc<Queue>) {
        if queue.holds() {
            let refused = self.held.hold(connection, queue, Refusal::Full, self.now);
            return self.settle(refused);
        }
        if let Some(full) = self.batches.add(connection, queue) {
            self.send(full);
        }
    }

    fn send_batches(&mut self) {
        while let Some(batch) = self.batches.pop() {
            self.send(batch);
        }
    }

    fn send(&mut self, batch: Batch) {
        let sent = batch.send(&self.shared);
        if sent.count > 0 && sent.queue.watch() {
            self.held.watch(Arc::clone(&sent.queue), self.now);
        }
        for connection in sent.rest {
            let refused = self.held.hold(connection, Arc::clone(&sent.queue), sent.refusal, self.now);
            self.settle(refused);
        }
    }

    /// What is not held for a worker any longer.
    fn settle(&mut self, leaving: impl IntoIterator<Item = (OwnedFd, Next)>) {
        for (connection, next) in leaving {
            match next {
                Next::Again => self.again(connection),
                Next::End(outcome) => self.refuse(connection, outcome, None),
            }
        }
    }

    fn or_too_busy(&mut self, relayed: Result<(), OwnedFd>) {
        if let Err(connection) = relayed {
            self.refuse(connection, Outcome::ServerTooBusy, None);
        }
    }

    /// The rest of the preamble has until the deadline to come.
    fn park(&mut self, connection: OwnedFd) {
        let _ = sockopt::set_tcp_quickack(&connection, true);
        let deadline = self.now + self.shared.receive_timeout;
        if let Err(connection) = self.lot.park(connection, Stage::Preamble, deadline) {
            self.refuse(connection, Outcome::DispatchFailed, None);
        }
    }

    fn end_parked(&mut self, place: Place, outcome: Outcome) {
        if let Some((connection, ..)) = self.lot.leave(place) {
            self.refuse(connection, outcome, None);
        }
    }

    fn refuse(&mut self, connection: OwnedFd, outcome: Outcome, detail: Option<String>) {
        if let Some((connection, left)) = refuse::refuse(&self.shared, connection, outcome, detail) {
            // If it cannot be waited for, it is closed now.
            let _ = self.lot.park(connection, Stage::Drain { left }, self.now + DRAIN_TIME);
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
        let mut accept_loop = Loop::new(Arc::clone(&shared), Arc::default()).unwrap();
        let (connections, mut initiators): (Vec<_>, Vec<_>) = (0..4).map(|_| connection()).unzip();
        let mut connections = connections.into_iter();
        shared.line.send(Command::Refuse(connections.next().unwrap(), Outcome::DispatchFailed, None));
        shared.line.send(Command::Again(connections.collect()));
        accept_loop.leave_all();
        assert_eq!(shared.counters.of(Outcome::ShutDown), 4);
        for initiator in &mut initiators {
            assert_eq!(initiator.read(&mut [0]).unwrap(), 0, "an orderly end");
        }
    }
}
