//! A relayed connection: two sockets, and a pump for each direction.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use handoff::administration::{HeldConnection, Place};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::connection::Connection;
use crate::relay::bridge::Expected;
use crate::relay::circle::Noted;
use crate::relay::pump::{Moved, Pool, Pump};
use crate::relay::relaying::Relaying;
use crate::routes::holder::Holder;
use crate::socket_options::{local_address, peer_address};
use crate::told::Told;

/// A connection to be relayed: two non-blocking sockets.
#[derive(Debug)]
pub(crate) struct Joined {
    /// Nothing was read from it.
    pub(crate) initiator: Connection,
    /// Connected, or about to be.
    pub(crate) back_end: OwnedFd,
    /// For whom it was.
    pub(crate) holder: Relaying,
    pub(crate) own: Option<Box<Own>>,
}

/// What is known of a connection to a back-end at its other end, as long as it is there.
#[derive(Debug)]
pub(crate) enum Own {
    /// The broker itself is the back-end, for a worker of the other family.
    Bridge(#[expect(dead_code, reason = "ends with it")] Expected),
    /// It stays on this machine.
    Relay(#[expect(dead_code, reason = "ends with it")] Noted),
}

/// A relayed connection.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) joined: Joined,
    pub(super) told: Told,
    pub(super) since: Instant,
    /// Until the back-end's socket is connected nothing is read from the initiator.
    pub(super) connecting: bool,
    pub(super) broken: bool,
    /// How often it was looked at since something moved.
    pub(super) looks: u8,
    pub(super) up: Pump,
    pub(super) down: Pump,
}

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelayEnd {
    /// Both directions have ended, and both ends were passed on.
    Complete,
    /// One side was gone without an end; the other is told by a reset.
    Broken,
    /// The back-end did not take the connection; nothing was read from the initiator.
    NotConnected(Errno),
    /// Nothing has moved for too long.
    Idle,
    /// The broker ended.
    ShutDown,
}

/// A direction, by where its octets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Initiator,
    BackEnd,
}

impl From {
    pub(super) fn token(self, id: u64) -> epoll::EventData {
        epoll::EventData::new_u64(id << 1 | u64::from(self == Self::BackEnd))
    }

    pub(super) fn of(token: u64) -> (u64, Self) {
        (token >> 1, if token & 1 == 0 { Self::Initiator } else { Self::BackEnd })
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Initiator => Self::BackEnd,
            Self::BackEnd => Self::Initiator,
        }
    }
}

impl Relay {
    /// For an administrator.
    pub(super) fn listed(&self, now: Instant) -> HeldConnection {
        let mut listed = HeldConnection::default();
        let holder = self.joined.holder.holder();
        listed.place = Place::Relayed;
        listed.peer = peer_address(&self.joined.initiator);
        listed.local = local_address(&self.joined.initiator);
        listed.id = Some(holder.id());
        listed.relay = match holder {
            Holder::Route(route) => Some(route.to.to_string()),
            Holder::Worker(_) => None,
        };
        let age = now.saturating_duration_since(self.since).as_millis();
        listed.age_milliseconds = u64::try_from(age).unwrap_or(u64::MAX);
        (listed.octets_in, listed.octets_out) = (self.up.copied(), self.down.copied());
        listed
    }

    pub(super) fn pump(&mut self, from: From) -> &mut Pump {
        match from {
            From::Initiator => &mut self.up,
            From::BackEnd => &mut self.down,
        }
    }

    pub(super) fn run(&mut self, from: From, pool: &mut Pool) -> Moved {
        let Self { joined, up, down, .. } = self;
        let (initiator, back_end) = (joined.initiator.as_fd(), joined.back_end.as_fd());
        let moved = match from {
            From::Initiator => up.run(initiator, back_end, pool),
            From::BackEnd => down.run(back_end, initiator, pool),
        };
        if moved == Moved::End {
            // The other side may be gone already; then nobody misses it.
            let _ = match from {
                From::BackEnd => shutdown(&joined.initiator, Shutdown::Write),
                // Both ends are there: the back-end's socket is about to be closed.
                From::Initiator if down.ended() => Ok(()),
                From::Initiator => shutdown(&joined.back_end, Shutdown::Write),
            };
        }
        moved
    }
}
