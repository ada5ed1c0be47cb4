//! What one holder has, and whose it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handoff::PeerCredentials;
use handoff::tokio::AsyncControlPeer;
use router::Prefix;
use rustix::process::getuid;

use crate::routes::holder::Holder;
use crate::routes::table::Bound;

/// See the module.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) holder: Holder,
    pub(super) prefixes: Vec<Prefix>,
    /// What it keeps open.
    pub(super) open: Vec<SocketAddr>,
    /// The local addresses that the worker's own listener would have had.
    pub(super) bound: Bound,
    pub(super) owner: Owner,
    /// It gets no new connections.
    pub(super) draining: bool,
    /// Others of the same user may have its addresses, too.
    pub(super) share: bool,
    /// How long its addresses stay when its worker leaves.
    pub(super) grace: Duration,
}

/// Who has asked for it.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    Configuration,
    Worker(Arc<AsyncControlPeer>),
    /// A worker that has left. Its addresses stay until then.
    Left(PeerCredentials, Instant),
}

impl Registration {
    /// Whose it is; a route of the configuration is the broker's own.
    pub(super) fn user(&self) -> u32 {
        self.owner.credentials().map_or_else(|| getuid().as_raw(), |worker| worker.uid)
    }
}

impl Owner {
    /// Who its worker is, or was.
    pub(super) fn credentials(&self) -> Option<PeerCredentials> {
        match self {
            Self::Configuration => None,
            Self::Worker(peer) => Some(peer.credentials()),
            Self::Left(worker, _) => Some(*worker),
        }
    }

    /// Until when its addresses stay, if its worker has left.
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::Left(_, until) => Some(*until),
            Self::Configuration | Self::Worker(_) => None,
        }
    }

    /// For how long they still do, in seconds, rounded up.
    pub(super) fn seconds_left(&self) -> Option<u64> {
        let left = self.until()?.saturating_duration_since(Instant::now());
        Some(left.as_secs() + u64::from(left.subsec_nanos() > 0))
    }

    /// Its worker leaves, if it has not; the addresses stay for so long.
    pub(super) fn leave(&mut self, grace: Duration) {
        if let Self::Worker(peer) = self {
            *self = Self::Left(peer.credentials(), Instant::now() + grace);
        }
    }
}
