//! The sockets that the accept loop accepts from, and when it does not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use tracing::Level;

use super::event_key::EventKey;
use crate::listening::Listening;
use crate::shared::Shared;
use crate::tally::Kind;

/// The most turns without a look at the length of a listening socket's queue. There are more with each look in a row that
/// showed a single connection.
const QUIET: u32 = 31;

/// How long accepting pauses when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(50);

const PAUSED: Kind = Kind {
    level: Level::ERROR,
    what: "accepting pauses, those that come wait: no connection can be accepted",
};
const UNWATCHED: Kind =
    Kind { level: Level::ERROR, what: "a listening socket cannot be waited for, it is tried again" };

/// See the module.
#[derive(Debug)]
pub(crate) struct Listeners {
    shared: Arc<Shared>,
    epoll: Arc<OwnedFd>,
    open: HashMap<u32, Open>,
    next: u32,
    paused: bool,
    /// When a pause ends, or what failed is tried again.
    again_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    listening: Listening,
    /// Whether it is in the epoll.
    watched: bool,
    /// How many turns more one connection is taken for all there is.
    quiet: u32,
    /// How many there were after the last look.
    rest: u32,
}

impl Listeners {
    pub(crate) fn new(shared: Arc<Shared>, epoll: Arc<OwnedFd>) -> Self {
        Self { shared, epoll, open: HashMap::new(), next: 0, paused: false, again_at: None }
    }

    pub(crate) fn add(&mut self, listening: Listening, now: Instant) {
        self.add_all(vec![listening], now);
    }

    pub(crate) fn add_all(&mut self, all: Vec<Listening>, now: Instant) {
        for listening in all {
            let n = self.next;
            self.next = self.next.wrapping_add(1);
            self.open.insert(n, Open { listening, watched: false, quiet: 0, rest: 0 });
        }
        self.watch(now);
    }

    /// All of them; none is here after that.
    pub(crate) fn freeze(&mut self) -> Vec<Listening> {
        let all: Vec<u32> = self.open.keys().copied().collect();
        let listening = all.iter().filter_map(|n| Some(self.at(*n)?.clone())).collect();
        all.into_iter().for_each(|n| self.remove(n));
        listening
    }

    pub(crate) fn remove(&mut self, n: u32) {
        if let Some(open) = self.open.remove(&n)
            && open.watched
        {
            let _ = epoll::delete(&self.epoll, &*open.listening.socket);
        }
    }

    pub(crate) fn number_of(&self, listening: &Listening) -> Option<u32> {
        self.open.iter().find(|(_, open)| open.listening.is(listening)).map(|(n, _)| *n)
    }

    pub(crate) fn at(&self, n: u32) -> Option<&Listening> {
        self.open.get(&n).map(|open| &open.listening)
    }

    /// Whether a connection to this address comes to one of our own sockets.
    pub(crate) fn listens_on(&self, address: SocketAddr) -> bool {
        self.open.values().map(|open| open.listening.address).any(|own| {
            let all = own.ip().is_unspecified() && own.is_ipv4() == address.is_ipv4();
            own.port() == address.port() && (all || own.ip() == address.ip())
        })
    }

    /// How many connections wait at a socket that is ready: then no call finds nobody, and there is one `epoll_wait` for all of
    /// them. While they come one at a time their number is not asked for either.
    pub(crate) fn waiting(&mut self, n: u32) -> usize {
        let Some(open) = self.open.get_mut(&n) else { return 0 };
        if open.quiet > 0 {
            open.quiet -= 1;
            return 1;
        }
        let waiting = open.listening.waiting().unwrap_or(1).max(1);
        open.rest = if waiting == 1 { (2 * open.rest + 1).min(QUIET) } else { 0 };
        open.quiet = open.rest;
        waiting
    }

    /// No connection is accepted for a moment; those that come wait in the kernel.
    pub(crate) fn pause(&mut self, now: Instant, error: Errno) {
        self.shared.tally.count(PAUSED, about(error), || error.to_string());
        self.again_at = Some(now + PAUSE);
        if !self.paused {
            self.paused = true;
            self.watch(now);
        }
    }

    /// Ends a pause that has been long enough.
    pub(crate) fn resume(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            (self.paused, self.again_at) = (false, None);
            self.watch(now);
        }
    }

    /// When [`Listeners::resume`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.again_at
    }

    /// Waits for all of them, or during a pause for none. What cannot be had now is tried again after a pause.
    fn watch(&mut self, now: Instant) {
        let flags = if self.paused { epoll::EventFlags::empty() } else { epoll::EventFlags::IN };
        let mut failed = None;
        for (&n, Open { listening, watched, .. }) in &mut self.open {
            let (socket, data) = (&*listening.socket, EventKey::Listener(n).into());
            let done = match *watched {
                true => epoll::modify(&self.epoll, socket, data, flags),
                false => epoll::add(&self.epoll, socket, data, flags),
            };
            match done {
                Ok(()) => *watched = true,
                Err(error) => failed = Some((error, listening.address)),
            }
        }
        if let Some((error, address)) = failed {
            self.shared.tally.count(UNWATCHED, about(error), || format!("{address}: {error}"));
            self.again_at.get_or_insert(now + PAUSE);
        }
    }
}

fn about(error: Errno) -> u64 {
    u64::from(error.raw_os_error().unsigned_abs())
}
