//! Relays: connections to back-ends that cannot take a descriptor are copied, both ways, by a loop of their own.
//!
//! Nothing was read from such a connection before, so the back-end sees it from the Version Record on. Either side may end
//! its half first; the relay is over when both have, when one resets, or when nothing has moved for too long.
//!
//! One thread, one epoll, edge-triggered. An idle connection costs it nothing but its entry. Whoever brings a connection
//! registers the sockets, and their first event makes the loop look into its inbox: no other wake-up is needed.

mod relay;

use std::collections::{BTreeMap, VecDeque};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::sync::Notify;

use self::relay::{From, Relay};
pub(crate) use self::relay::{Joined, Own, RelayEnd};
use super::pump::{Moved, Pool, Pump};
use crate::connection::Connection;
use crate::failure::Part;
use crate::here::{Asked, Here, PLACES};
use crate::live_time::LiveTime;
use crate::lock::lock;
use crate::routes::figures::Copied;
use crate::routes::holder::Holder;
use crate::told::Told;

/// How long a back-end may take to accept a connection.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How often a relay is looked at in the time in which something has to move.
const LOOKS: u32 = 8;

/// The event that says that something is asked of the thread.
const WAKE: u64 = u64::MAX;

/// Told of each end, with the initiator's socket, which is in no epoll any more, where it was to go, and what was copied.
type Ended = dyn Fn(Connection, &Holder, RelayEnd, Copied, Told) + Send;

/// The way into the relay loop.
#[derive(Debug)]
pub(crate) struct Relays {
    epoll: OwnedFd,
    wake: OwnedFd,
    stopping: AtomicBool,
    asked: Mutex<Vec<Asked>>,
    /// How long nothing may move; zero: for ever.
    idle: LiveTime,
    /// `None` when the thread has ended.
    inbox: Mutex<Option<Vec<(u64, Relay)>>>,
    next: AtomicU64,
    /// Told when a relay has ended.
    pub(crate) over: Notify,
}

/// The state of the thread.
struct Loop {
    shared: Arc<Relays>,
    /// By their numbers.
    relays: BTreeMap<u64, Relay>,
    /// In the order of their deadlines.
    connecting: VecDeque<(Instant, u64)>,
    /// How long nothing may move, as the thread knows it.
    idle: Duration,
    /// When those are looked for that have been idle too long.
    look_at: Option<Instant>,
    /// When the time of this turn was read.
    now: Instant,
    /// Directions that had more to move than fits one turn.
    unfinished: VecDeque<(u64, From)>,
    pool: Pool,
    ended: Box<Ended>,
}

impl Relays {
    /// A relay in which nothing moves is ended after between `idle` and an eighth more; never if that is zero.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub(crate) fn new(idle: Duration) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let (stopping, asked) = (AtomicBool::new(false), Mutex::default());
        Ok(Self {
            epoll,
            wake,
            stopping,
            asked,
            idle: LiveTime::new(idle),
            inbox: Mutex::new(Some(Vec::new())),
            next: AtomicU64::new(0),
            over: Notify::new(),
        })
    }

    /// Starts the thread, which runs until [`Relays::stop`].
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn start(
        self: &Arc<Self>,
        part: Part,
        ended: Box<Ended>,
    ) -> io::Result<thread::JoinHandle<()>> {
        let relays = Loop {
            shared: Arc::clone(self),
            relays: BTreeMap::new(),
            connecting: VecDeque::new(),
            idle: self.idle.get(),
            look_at: None,
            now: Instant::now(),
            unfinished: VecDeque::new(),
            pool: Pool::new(),
            ended,
        };
        let run = move || {
            // Behind the loop, which ends before it.
            let part = part;
            if let Err(error) = relays.run() {
                part.failed(&error);
            }
        };
        thread::Builder::new().name("relay".to_owned()).spawn(run)
    }

    /// Ends the thread and what it relays.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// A relay in which nothing moves may be as long again as this, from now on.
    pub(crate) fn set_idle(&self, idle: Duration) {
        self.idle.set(idle);
        self.wake();
    }

    /// Has a page of what is relayed told.
    pub(crate) fn list(&self, asked: Asked) {
        lock(&self.asked).push(asked);
        self.wake();
    }

    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Takes over a connection. Where both sockets are TCP's (`splices`), the kernel moves what passes without copying it.
    ///
    /// # Errors
    /// When the kernel cannot watch it; it comes back.
    pub(crate) fn join(&self, joined: Joined, splices: bool, told: Told) -> Result<(), (Joined, Errno)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        // An event may come before the connection is in the inbox, but nobody looks there before the lock is free.
        let mut inbox = lock(&self.inbox);
        let Some(inbox) = &mut *inbox else { return Err((joined, Errno::CANCELED)) };
        if let Err(error) = epoll::add(&self.epoll, &joined.initiator, From::Initiator.token(id), flags) {
            return Err((joined, error));
        }
        if let Err(error) = epoll::add(&self.epoll, &joined.back_end, From::BackEnd.token(id), flags) {
            let _ = epoll::delete(&self.epoll, &joined.initiator);
            return Err((joined, error));
        }
        let (up, down) = (Pump::new(splices), Pump::new(splices));
        let since = Instant::now();
        inbox.push((id, Relay { joined, told, since, connecting: true, broken: false, looks: 0, up, down }));
        Ok(())
    }
}

impl Loop {
    fn run(mut self) -> io::Result<()> {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        loop {
            let timeout = self.until_next_deadline();
            let ready = match epoll::wait(&self.shared.epoll, &mut events, timeout.as_ref()) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    self.end_all();
                    return Err(io::Error::other(format!("epoll_wait: {error}")));
                }
            };
            self.now = Instant::now();
            for event in ready.iter() {
                if event.data.u64() == WAKE {
                    if self.shared.stopping.load(Ordering::Relaxed) {
                        self.end_all();
                        return Ok(());
                    }
                    self.tell();
                    continue;
                }
                let (id, from) = From::of(event.data.u64());
                self.happened(id, from, event.flags);
            }
            for _ in 0..self.unfinished.len() {
                let Some((id, from)) = self.unfinished.pop_front() else { break };
                self.go_on(id, &[from]);
            }
            self.give_up_connecting();
            self.give_up_idle();
        }
    }

    fn until_next_deadline(&self) -> Option<Timespec> {
        if !self.unfinished.is_empty() {
            return Some(Timespec::default());
        }
        let connecting = self.connecting.front().map(|(deadline, _)| *deadline);
        let deadline = connecting.into_iter().chain(self.look_at).min()?;
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
                if failed && let Ok(Err(error)) | Err(error) = sockopt::socket_error(&relay.joined.back_end) {
                    return self.end(id, RelayEnd::NotConnected(error));
                }
                self.go_on(id, &[From::Initiator, From::BackEnd]);
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

    /// Tells whoever asked which connections are here.
    fn tell(&mut self) {
        let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
        self.look_into_inbox();
        self.idle_may_have_changed();
        let all = std::mem::take(&mut *lock(&self.shared.asked));
        for asked in all {
            let mut relays = self.relays.range(asked.from.at..);
            let page: Vec<_> =
                relays.by_ref().take(PLACES).map(|(_, relay)| relay.listed(self.now)).collect();
            let next = relays.next().map(|(&id, _)| Here { at: id, ..asked.from });
            asked.answer(page, next);
        }
    }

    fn idle_may_have_changed(&mut self) {
        let idle = self.shared.idle.get();
        if idle != self.idle {
            (self.idle, self.look_at) = (idle, None);
            self.relays.values_mut().for_each(|relay| relay.looks = 0);
            self.look_later();
        }
    }

    fn look_into_inbox(&mut self) {
        let arrived = lock(&self.shared.inbox).as_mut().map(std::mem::take).unwrap_or_default();
        self.take_in(arrived);
    }

    fn take_in(&mut self, arrived: Vec<(u64, Relay)>) {
        let deadline = self.now + CONNECT_TIME;
        self.connecting.extend(arrived.iter().map(|(id, _)| (deadline, *id)));
        self.relays.extend(arrived);
        self.look_later();
    }

    /// Not at every movement of any: an eighth of the time more is soon enough.
    fn look_later(&mut self) {
        if !self.idle.is_zero() && !self.relays.is_empty() {
            self.look_at.get_or_insert(self.now + self.idle / LOOKS);
        }
    }

    /// Moves what there is in these directions.
    fn go_on(&mut self, id: u64, directions: &[From]) {
        let Some(relay) = self.relays.get_mut(&id) else { return };
        relay.looks = 0;
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
            if connecting && deadline > self.now {
                return;
            }
            self.connecting.pop_front();
            if connecting {
                self.end(id, RelayEnd::NotConnected(Errno::TIMEDOUT));
            }
        }
    }

    fn give_up_idle(&mut self) {
        if self.look_at.is_none_or(|at| at > self.now) {
            return;
        }
        let idle = self.relays.iter_mut().filter_map(|(id, relay)| {
            relay.looks += 1;
            // The first look may have come right behind a movement.
            (u32::from(relay.looks) > LOOKS).then_some(*id)
        });
        for id in idle.collect::<Vec<u64>>() {
            self.end(id, RelayEnd::Idle);
        }
        self.look_at = None;
        self.look_later();
    }

    fn end(&mut self, id: u64, end: RelayEnd) {
        let Some(Relay { joined, told, mut up, mut down, .. }) = self.relays.remove(&id) else { return };
        let copied = Copied { octets_in: up.copied(), octets_out: down.copied() };
        self.pool.put_back(&mut up);
        self.pool.put_back(&mut down);
        if self.relays.is_empty() {
            self.pool.rest();
        }
        let Joined { initiator, back_end, holder, own } = joined;
        if end == RelayEnd::Broken {
            for socket in [initiator.as_fd(), back_end.as_fd()] {
                let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
            }
        }
        if matches!(end, RelayEnd::NotConnected(_)) {
            let _ = epoll::delete(&self.shared.epoll, &initiator);
        }
        (self.ended)(initiator, holder.holder(), end, copied, told);
        drop((back_end, holder, own));
        self.shared.over.notify_waiters();
    }

    /// Nobody is left here, nor on the way here.
    fn end_all(&mut self) {
        let late = lock(&self.shared.inbox).take().unwrap_or_default();
        self.take_in(late);
        for id in self.relays.keys().copied().collect::<Vec<_>>() {
            self.end(id, RelayEnd::ShutDown);
        }
    }
}

impl Drop for Loop {
    /// However it ends, nobody may come any more.
    fn drop(&mut self) {
        drop(lock(&self.shared.inbox).take());
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop").field("relays", &self.relays.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
