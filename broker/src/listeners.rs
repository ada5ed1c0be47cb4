//! The sockets that the accept loop accepts from, and when it does not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;

use crate::listening::Listening;
use crate::token::Token;

/// The most turns without a look at the length of a listening socket's queue. There are more with each look in a row that
/// showed a single connection.
const QUIET: u32 = 31;

/// How long accepting pauses when the system has no descriptor or memory for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub(crate) struct Listeners {
    epoll: Arc<OwnedFd>,
    open: HashMap<u32, Open>,
    next: u32,
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    listening: Listening,
    /// How many turns more one connection is taken for all there is.
    quiet: u32,
    /// How many there were after the last look.
    rest: u32,
}

impl Listeners {
    pub(crate) fn new(epoll: Arc<OwnedFd>) -> Self {
        Self { epoll, open: HashMap::new(), next: 0, paused_until: None }
    }

    pub(crate) fn add(&mut self, listening: Listening) {
        let n = self.next;
        self.next = self.next.wrapping_add(1);
        if let Err(error) =
            epoll::add(&self.epoll, &*listening.socket, Token::Listener(n).into(), self.flags())
        {
            tracing::error!(%error, address = %listening.address, "the listening socket cannot be waited for");
        }
        self.open.insert(n, Open { listening, quiet: 0, rest: 0 });
    }

    pub(crate) fn remove(&mut self, n: u32) {
        if let Some(open) = self.open.remove(&n) {
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
        if self.paused_until.replace(now + PAUSE).is_none() {
            tracing::error!(%error, "accepting pauses: the system has no room for another connection");
            self.set_flags();
        }
    }

    /// Ends a pause that has been long enough.
    pub(crate) fn resume(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.set_flags();
        }
    }

    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    fn flags(&self) -> epoll::EventFlags {
        if self.paused_until.is_some() { epoll::EventFlags::empty() } else { epoll::EventFlags::IN }
    }

    fn set_flags(&self) {
        for (&n, Open { listening, .. }) in &self.open {
            if let Err(error) =
                epoll::modify(&self.epoll, &*listening.socket, Token::Listener(n).into(), self.flags())
            {
                tracing::error!(%error, address = %listening.address, "the listening socket cannot be waited for");
            }
        }
    }
}
