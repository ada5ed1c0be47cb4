//! The accept loop: one thread, one epoll, every connection the broker holds but for relays. Long, so that the line is in one file.
//!
//! A connection whose preamble is there takes four system calls: accept4, recv(MSG_PEEK), sendmsg, close. It is never
//! registered with epoll, nothing is allocated and no lock is taken for it.

use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use std::{io, thread};

use handoff::accept_error::concerns_one_connection;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::sockopt;
use tracing::Level;

use super::back_end;
use super::batch::{Batch, Batches};
use super::begun::Begun;
use super::connections;
use super::event_key::{EventKey, Place};
use super::helpers::Help;
use super::listeners::Listeners;
use super::parked::{Parked, Stage, Waits};
use super::pending::{Initiator, Next, Pending};
use super::preamble::{self, Origin, Step};
use super::refuse::{self, DRAIN_TIME, Drained, too_late};
use crate::command::{Command, Left};
use crate::connection::Connection;
use crate::destination::Destination;
use crate::listening::{BACKLOG, Listening, TURN};
use crate::outcome::Outcome;
use crate::routes::queue::{Queue, Refusal};
use crate::shared::Shared;
use crate::socket_options::peer_address;
use crate::source::source_of;
use crate::tally::Kind;

/// How many connections are closed to make room.
const ROOM: usize = 32;

/// Why a server is too busy: whose fault it is, and what an administrator may change.
const ACCEPTS_TOO_SLOWLY: &str =
    "its program accepts more slowly than they come, and as many wait as max_pending_connections allows";
const SOURCE_HAS_ENOUGH: &str =
    "as many connections of the same source wait in the broker as max_connections_per_source allows";
const ACCEPTS_NOTHING: &str = "no connection could be handed over for receive_timeout_seconds: its program accepts none, or the \
    system has no memory";
const NOBODY_CAME: &str =
    "its program has left, and no other has registered the address within its grace_seconds";
const RELAYS_ARE_FULL: &str =
    "as many connections are relayed as the limit of open files (LimitNOFILE) allows";

const CIRCLE: Kind = Kind {
    level: Level::ERROR,
    what: "a static route leads back to the broker itself, its connections fail: it must relay to the back-end",
};

/// The state of the thread.
#[derive(Debug)]
pub(crate) struct Loop {
    shared: Arc<Shared>,
    help: Arc<Help>,
    epoll: Arc<OwnedFd>,
    listeners: Listeners,
    parked: Parked,
    /// What this turn has for the workers.
    batches: Batches,
    pending: Pending,
    /// When the time of this turn was read.
    now: Instant,
    end: Option<End>,
}

/// What a loop is asked to end for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stop,
    Freeze,
}

/// The turns.
impl Loop {
    pub(crate) fn new(shared: Arc<Shared>, help: Arc<Help>) -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        epoll::add(&epoll, &shared.commands, EventKey::Wake.into(), epoll::EventFlags::IN)?;
        Ok(Self {
            listeners: Listeners::new(Arc::clone(&shared), Arc::clone(&epoll)),
            parked: Parked::new(Arc::clone(&epoll)),
            batches: Batches::default(),
            pending: Pending::new(Arc::clone(&shared), Arc::clone(&epoll)),
            now: Instant::now(),
            end: None,
            shared,
            help,
            epoll,
        })
    }

    /// Goes on with what another has had.
    pub(super) fn begin_with(&mut self, begun: Begun) {
        self.now = Instant::now();
        for (waits, deadline) in begun.parked {
            let source = waits.source();
            if let Err((Waits::Preamble(connection), error)) = self.parked.park(waits, source, deadline) {
                self.cannot_wait(connection, error);
            }
        }
        self.pending.begin_with(begun.held, begun.watched, begun.incomplete, self.now);
        self.listen(begun.listening);
    }

    pub(super) fn listen(&mut self, listening: Vec<Listening>) {
        listening.iter().for_each(|listening| self.help.add(listening.clone()));
        self.listeners.add_all(listening, self.now);
    }

    /// What it has when it was frozen; `None` when it was stopped.
    pub(crate) fn run(mut self) -> io::Result<Option<Begun>> {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        let ended = loop {
            match self.end {
                Some(End::Freeze) => return Ok(Some(self.freeze())),
                Some(End::Stop) => break Ok(None),
                None => {}
            }
            let timeout = self.until_next_deadline();
            let ready = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => break Err(io::Error::other(format!("epoll_wait: {error}"))),
            };
            self.turn(ready, Instant::now());
        };
        self.leave_all();
        ended
    }

    fn turn(&mut self, ready: &[epoll::Event], now: Instant) {
        self.now = now;
        self.shared.telling.turn(self.shared.counters.clock());
        for event in ready {
            match EventKey::from(event.data) {
                EventKey::Wake => self.run_commands(),
                EventKey::Listener(n) => self.accept_from(n),
                EventKey::Parked(place) => self.advance(place, event.flags),
                EventKey::Queue(id) => {
                    let leaving = self.pending.flush(id, self.now);
                    self.settle(leaving);
                }
            }
        }
        self.run_timers();
        self.send_batches();
    }

    /// One turn that waits for nothing, at a time that is said; how much there was to do.
    #[cfg(test)]
    pub(crate) fn turn_at(&mut self, now: Instant) -> usize {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        let (ready, _) = epoll::wait(&self.epoll, &mut events, Some(&Timespec::default())).unwrap();
        let count = ready.len();
        self.turn(ready, now);
        count
    }

    fn until_next_deadline(&self) -> Option<Timespec> {
        let times =
            [self.parked.next_deadline(), self.listeners.next_deadline(), self.pending.next_deadline()];
        let next = times.into_iter().flatten().min()?;
        // Rounded up by epoll_wait; a deadline in the past means not to wait.
        Timespec::try_from(next.saturating_duration_since(Instant::now())).ok()
    }

    /// What is due at this time.
    fn run_timers(&mut self) {
        while let Some(place) = self.parked.due(Stage::Preamble, self.now) {
            self.end_parked(place, Outcome::DeadlinePassed, None);
        }
        while let Some(place) = self.parked.due(Stage::Drain, self.now) {
            drop(self.parked.leave(place));
        }
        self.listeners.resume(self.now);
        let leaving = self.pending.run_timers(self.now);
        self.settle(leaving);
    }

    fn run_commands(&mut self) {
        for command in self.shared.commands.receive() {
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
                Command::NotRelayed(connection, holder, why) => {
                    self.refuse(connection, Outcome::DispatchFailed, (&holder).into(), Some(why));
                }
                Command::Again(left) => left.into_iter().for_each(|left| self.take_over(left)),
                Command::Returned(socket) => self.returned(socket),
                Command::Watch(queue) => self.pending.watch(queue, self.now),
                // Ended by our own end: its worker lives, and receives what waits there.
                Command::Ended(_) | Command::Unclaimed(_) if self.end == Some(End::Stop) => {}
                // What is on its way to this queue comes back when it is refused (`Queue::has_ended`).
                Command::Ended(queue) => {
                    let leaving = self.pending.dispatch_again(&queue, self.now);
                    self.settle(leaving);
                }
                Command::Unclaimed(queue) => {
                    let leaving = self.pending.give_up(&queue, self.now);
                    self.settle(leaving);
                }
                Command::MakeRoom => self.make_room(),
                Command::ListConnections(asked) => {
                    let receive_timeout = self.shared.receive_timeout.get();
                    connections::tell(asked, &self.parked, &self.pending, self.now, receive_timeout);
                }
                Command::Reconfigured { receive_timeout } => {
                    let before = self.shared.receive_timeout.set(receive_timeout);
                    self.parked.put_off(Stage::Preamble, before, receive_timeout);
                    self.pending.reconfigured(self.now);
                }
                Command::Freeze => self.end = self.end.or(Some(End::Freeze)),
                Command::Stop => self.end = Some(End::Stop),
                #[cfg(test)]
                Command::Panic => panic!("as asked"),
            }
        }
    }

    /// Everything that is here, and what was on the way here by now.
    pub(super) fn freeze(mut self) -> Begun {
        self.help.leave();
        self.run_commands();
        self.send_batches();
        if self.end == Some(End::Stop) {
            self.shared.commands.send(Command::Stop);
        }
        let (held, watched, incomplete) = self.pending.freeze();
        Begun { listening: self.listeners.freeze(), parked: self.parked.freeze(), held, watched, incomplete }
    }

    /// Nobody is left here without an outcome, nor on the way here.
    fn leave_all(&mut self) {
        self.help.leave();
        for command in self.shared.commands.close() {
            match command {
                Command::Watch(queue) => self.pending.watch(queue, self.now),
                command => too_late(&self.shared, command),
            }
        }
        self.send_batches();
        while let Some((place, _)) = self.parked.oldest(Stage::Preamble) {
            self.end_parked(place, Outcome::ShutDown, None);
        }
        let leaving = self.pending.leave();
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
                Ok(socket) => self.accepted(socket, listening.address),
                Err(Errno::AGAIN) => return accepted,
                Err(Errno::MFILE) if self.parked.has_any() => self.make_room(),
                Err(error) if concerns_one_connection(&error.into()) => {}
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
    fn make_way(&mut self, connection: &Connection) {
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

    /// Closes the connection that has drained longest: it has its answer. If there is none, of the source that has most without a
    /// preamble the one that has waited longest for it.
    fn crowd_out(&mut self) -> bool {
        if let Some((place, _)) = self.parked.oldest(Stage::Drain) {
            return self.parked.leave(place).is_some();
        }
        let Some(place) = self.parked.oldest_of_most() else { return false };
        self.end_parked(place, Outcome::CrowdedOut, None);
        true
    }
}

/// The straight line of a connection.
impl Loop {
    /// It was just accepted by a socket that listens on `listening`.
    fn accepted(&mut self, socket: OwnedFd, listening: SocketAddr) {
        let connection = Connection::accepted(socket, &self.shared.counters);
        self.arrived(connection, listening);
    }

    fn arrived(&mut self, connection: Connection, listening: SocketAddr) {
        self.make_way(&connection);
        let step = preamble::arrived(&self.shared, &connection, listening);
        self.dispatch(connection, step);
    }

    /// A helper has left it to us.
    fn take_over(&mut self, left: Left) {
        match left {
            Left::Accepted(connection, listening) => self.arrived(connection, listening),
            Left::For(connection, queue) => {
                self.make_way(&connection);
                self.hand_over(connection, queue);
            }
        }
    }

    /// Its worker has given it back; the octets of its next session are there, or still come.
    fn returned(&mut self, socket: OwnedFd) {
        let peer = peer_address(&socket).map(tracing::field::display);
        tracing::debug!(peer, "connection returned");
        let connection = Connection::returned(socket, &self.shared.counters);
        self.make_way(&connection);
        self.again(connection);
    }

    /// It was looked at before, and is in no batch and no queue.
    fn again(&mut self, connection: Connection) {
        let step = preamble::look(&self.shared, &connection, Origin::Queue);
        self.dispatch(connection, step);
    }

    /// Something happened to it while it was parked.
    fn advance(&mut self, place: Place, flags: epoll::EventFlags) {
        let connection = match self.parked.at(place) {
            None => return,
            Some(Waits::Drain(socket)) => {
                if refuse::drain(socket) == Drained::Whole {
                    drop(self.parked.leave(place));
                }
                return;
            }
            Some(Waits::Preamble(connection)) => connection,
        };
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
        if let Some(Waits::Preamble(connection)) = self.parked.leave(place) {
            self.dispatch(connection, step);
        }
    }

    /// Does what was decided about it. It is in no epoll.
    fn dispatch(&mut self, connection: Connection, step: Step) {
        match step {
            Step::HandOver(queue) => self.hand_over(connection, queue),
            Step::Relay(route) if self.shared.under_way.has(&connection) => {
                self.shared.tally.count(CIRCLE, 0, || route.to.to_string());
                let detail = Some("the connection comes from a relay of this broker".to_owned());
                self.refuse(connection, Outcome::DispatchFailed, Destination::Route(&route), detail);
            }
            Step::Relay(route) => {
                if let Err(connection) = back_end::relay(&self.shared, connection, &route) {
                    let detail = Some(RELAYS_ARE_FULL.to_owned());
                    self.refuse(connection, Outcome::ServerTooBusy, Destination::Route(&route), detail);
                }
            }
            // Where we do not listen, another program may.
            Step::Bridge(queue, at) if !self.listeners.listens_on(at) => {
                let (destination, detail) =
                    (Destination::Registration(&queue), Some(format!("nothing listens on {at}")));
                self.refuse(connection, Outcome::EndpointNotFound, destination, detail);
            }
            Step::Bridge(queue, at) => {
                if let Err(connection) = back_end::bridge(&self.shared, connection, &queue, at) {
                    let (destination, detail) =
                        (Destination::Registration(&queue), Some(RELAYS_ARE_FULL.to_owned()));
                    self.refuse(connection, Outcome::ServerTooBusy, destination, detail);
                }
            }
            Step::Drains(holder) => self.refuse(connection, Outcome::Draining, (&holder).into(), None),
            Step::Wait => self.park(connection),
            Step::End(outcome, detail) => self.refuse(connection, outcome, Destination::Nobody, detail),
        }
    }

    /// It goes to the worker of this queue: now, if it fills a message, else at the end of the turn.
    fn hand_over(&mut self, connection: Connection, queue: Arc<Queue>) {
        if queue.holds() {
            queue.comes();
            queue.came(1);
            return self.hold(connection, queue, Refusal::Full);
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
        let mut sent = batch.send(&self.shared);
        if sent.count > 0 && sent.queue.watch() {
            self.pending.watch(Arc::clone(&sent.queue), self.now);
        }
        for connection in sent.rest.drain(..) {
            self.hold(connection, Arc::clone(&sent.queue), sent.refusal);
        }
        self.batches.reuse(sent.rest);
    }

    fn hold(&mut self, connection: Connection, queue: Arc<Queue>, refusal: Refusal) {
        let source = source_of(&connection);
        let initiator =
            Initiator { source, has_enough: source.is_some_and(|source| self.has_enough_held(source)) };
        let refused = self.pending.hold(connection, queue, refusal, initiator, self.now);
        self.settle(refused);
    }

    /// What is not held for a worker any longer.
    fn settle(&mut self, leaving: impl IntoIterator<Item = (Connection, Next)>) {
        for (connection, next) in leaving {
            match next {
                Next::Again => self.again(connection),
                Next::HasEnough(queue) => {
                    let (destination, why) =
                        (Destination::Registration(&queue), Some(SOURCE_HAS_ENOUGH.to_owned()));
                    self.refuse(connection, Outcome::ServerTooBusy, destination, why);
                }
                Next::End(outcome, queue, error) => {
                    let destination = queue.as_deref().map_or(Destination::Nobody, Destination::Registration);
                    let why = match (outcome, &queue) {
                        (Outcome::ServerTooBusy, _) => Some(ACCEPTS_TOO_SLOWLY),
                        (Outcome::EndpointUnavailable, Some(queue)) if queue.is_absent() => Some(NOBODY_CAME),
                        (Outcome::EndpointUnavailable, _) => Some(ACCEPTS_NOTHING),
                        _ => None,
                    };
                    let detail = error.map(|error| error.to_string()).or_else(|| why.map(str::to_owned));
                    self.refuse(connection, outcome, destination, detail);
                }
            }
        }
    }

    /// The rest of the preamble has until the deadline to come. If too many of its source wait, the one of them that has been silent
    /// for longest goes; if none is, this one.
    fn park(&mut self, connection: Connection) {
        let source = source_of(&connection);
        if let Some(source) = source.filter(|source| self.has_enough(*source)) {
            let why = Some(format!("from {source}"));
            match self.parked.oldest_of(source) {
                Some(place) => self.end_parked(place, Outcome::SourceLimit, why),
                None => return self.refuse(connection, Outcome::SourceLimit, Destination::Nobody, why),
            }
        }
        let _ = sockopt::set_tcp_quickack(&connection, true);
        let deadline = self.now + self.shared.receive_timeout.get();
        if let Err((Waits::Preamble(connection), error)) =
            self.parked.park(Waits::Preamble(connection), source, deadline)
        {
            self.cannot_wait(connection, error);
        }
    }

    /// Whether as many of this source wait as may.
    fn has_enough(&self, source: IpAddr) -> bool {
        let most = self.shared.most_of_a_source.load(Ordering::Relaxed);
        most != 0 && self.parked.of(source) + self.pending.of(source) >= most
    }

    /// The same of those that wait for workers.
    fn has_enough_held(&self, source: IpAddr) -> bool {
        let most = self.shared.most_held_of_a_source.load(Ordering::Relaxed);
        most != 0 && self.pending.of(source) >= most || self.has_enough(source)
    }

    fn cannot_wait(&mut self, connection: Connection, error: Errno) {
        let detail = Some(format!("it cannot be waited for: {error}"));
        self.refuse(connection, Outcome::DispatchFailed, Destination::Nobody, detail);
    }

    fn end_parked(&mut self, place: Place, outcome: Outcome, why: Option<String>) {
        if let Some(Waits::Preamble(connection)) = self.parked.leave(place) {
            self.refuse(connection, outcome, Destination::Nobody, why);
        }
    }

    fn refuse(
        &mut self,
        connection: Connection,
        outcome: Outcome,
        destination: Destination<'_>,
        detail: Option<String>,
    ) {
        if let Some(socket) = refuse::refuse(&self.shared, connection, outcome, destination, detail) {
            // If it cannot be waited for, it is closed now.
            let _ = self.parked.park(Waits::Drain(socket), None, self.now + DRAIN_TIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::Config;
    use crate::outcome::Counters;
    use crate::routes::holder::{Holder, StaticRoute};

    /// A connection with an octet that nobody has read, and its initiator.
    fn connection(counters: &Counters) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut initiator = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        initiator.write_all(b"x").unwrap();
        connection.peek(&mut [0]).unwrap();
        (Connection::accepted(connection.into(), counters), initiator)
    }

    /// A refused one has its answer; the other may still become a session.
    #[test]
    fn who_drains_makes_room_before_who_has_a_preamble_to_send() {
        let (jobs, _) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(&Config::default(), jobs).unwrap());
        let mut accept_loop = Loop::new(Arc::clone(&shared), Arc::default()).unwrap();
        assert!(!accept_loop.crowd_out() && !accept_loop.parked.has_any());
        let (waits, _initiator) = connection(&shared.counters);
        accept_loop.park(waits);
        let (refused, mut answered) = connection(&shared.counters);
        accept_loop.refuse(refused, Outcome::EndpointNotFound, Destination::Nobody, None);
        let left = |accept_loop: &Loop| {
            [Stage::Preamble, Stage::Drain].map(|stage| accept_loop.parked.oldest(stage).is_some())
        };
        assert_eq!(left(&accept_loop), [true, true]);
        assert!(accept_loop.crowd_out());
        assert_eq!((left(&accept_loop), shared.counters.here()), ([true, false], 1));
        assert!(answered.read(&mut [0; 300]).unwrap() > 0, "its answer survives");
        assert!(accept_loop.crowd_out());
        assert_eq!(left(&accept_loop), [false, false]);
        assert_eq!((shared.counters.of(Outcome::CrowdedOut), shared.counters.here()), (1, 0));
        // What is left of descriptors when accept4 has none.
        let (refused, _answered) = connection(&shared.counters);
        accept_loop.refuse(refused, Outcome::EndpointNotFound, Destination::Nobody, None);
        assert!(accept_loop.parked.has_any() && accept_loop.crowd_out() && !accept_loop.parked.has_any());
    }

    #[test]
    fn what_comes_too_late_for_the_loop_is_shut_down() {
        let (jobs, _) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(&Config::default(), jobs).unwrap());
        let mut accept_loop = Loop::new(Arc::clone(&shared), Arc::default()).unwrap();
        let (connections, mut initiators): (Vec<_>, Vec<_>) =
            (0..4).map(|_| connection(&shared.counters)).unzip();
        let mut connections = connections.into_iter();
        let to = crate::config::RelayTo::Name("x:1".to_owned());
        let holder = Holder::Route(Arc::new(StaticRoute::new(1, to)));
        shared.commands.send(Command::NotRelayed(connections.next().unwrap(), holder, String::new()));
        let left = connections.map(|connection| Left::Accepted(connection, ([127, 0, 0, 1], 808).into()));
        shared.commands.send(Command::Again(left.collect()));
        let (returned, client) = connection(&Counters::default());
        let ended = returned.end(
            &Counters::default(),
            Outcome::HandedOver,
            Destination::Nobody,
            None,
            crate::told::Told::default(),
        );
        shared.commands.send(Command::Returned(ended));
        initiators.push(client);
        accept_loop.leave_all();
        assert_eq!((shared.counters.of(Outcome::ShutDown), shared.counters.here()), (5, 0));
        assert_eq!((shared.counters.accepted(), shared.counters.returned()), (4, 1));
        for initiator in &mut initiators {
            assert_eq!(initiator.read(&mut [0]).unwrap(), 0, "an orderly end");
        }
    }
}
