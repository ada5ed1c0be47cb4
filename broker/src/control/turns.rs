//! Control connections take turns with an upgrade: each request has one, from before it is received until it is answered. Whoever has
//! all the turns finds every connection at rest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoff::tokio::AsyncControlPeer;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, watch};
use tokio::time::{Instant, timeout_at};

use crate::lock::lock;

/// How long a request may still take.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Turns {
    next: AtomicU64,
    connections: Mutex<BTreeMap<u64, Connection>>,
    /// Whoever accepts connections has it to read.
    accepting: Arc<RwLock<()>>,
    /// Whether somebody wants all the turns.
    wanted: watch::Sender<bool>,
}

#[derive(Clone, Debug)]
struct Connection {
    peer: Arc<AsyncControlPeer>,
    administrator: bool,
    turn: Arc<Turn<()>>,
}

/// All the turns, and whose they are. Those who took too long are not among them.
#[derive(Debug)]
pub(crate) struct AtRest {
    /// Each with whether it is an administrator's.
    pub(crate) connections: Vec<(Arc<AsyncControlPeer>, bool)>,
    _turns: Vec<OwnedMutexGuard<()>>,
    _accepting: OwnedRwLockWriteGuard<()>,
}

/// A control connection that is among the others until this is dropped.
#[derive(Debug)]
pub(crate) struct Present {
    turns: Arc<Turns>,
    number: u64,
    turn: Arc<Turn<()>>,
}

impl Default for Turns {
    fn default() -> Self {
        let (wanted, _) = watch::channel(false);
        Self { next: AtomicU64::new(0), connections: Mutex::default(), accepting: Arc::default(), wanted }
    }
}

impl Turns {
    /// One connection more.
    pub(crate) fn enter(self: &Arc<Self>, peer: &Arc<AsyncControlPeer>, administrator: bool) -> Present {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = Arc::<Turn<()>>::default();
        let connection = Connection { peer: Arc::clone(peer), administrator, turn: Arc::clone(&turn) };
        lock(&self.connections).insert(number, connection);
        Present { turns: Arc::clone(self), number, turn }
    }

    /// The turn of whoever accepts; it is to be given back when [`Turns::are_wanted`].
    pub(crate) async fn accepting(&self) -> RwLockReadGuard<'_, ()> {
        self.accepting.read().await
    }

    /// Returns when somebody wants all the turns.
    pub(crate) async fn are_wanted(&self) {
        // The sender is here.
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }

    /// Waits for all the turns, but that of `asker`, whose request this is.
    pub(crate) async fn all(&self, asker: Option<u64>) -> AtRest {
        self.wanted.send_replace(true);
        let accepting = Arc::clone(&self.accepting).write_owned().await;
        self.wanted.send_replace(false);
        let all: Vec<(u64, Connection)> = lock(&self.connections)
            .iter()
            .map(|(number, connection)| (*number, connection.clone()))
            .collect();
        let (mut connections, mut turns) = (Vec::new(), Vec::new());
        let end = Instant::now() + PATIENCE;
        for (number, Connection { peer, administrator, turn }) in all {
            if asker != Some(number) {
                let Ok(turn) = timeout_at(end, turn.lock_owned()).await else { continue };
                turns.push(turn);
            }
            connections.push((peer, administrator));
        }
        AtRest { connections, _turns: turns, _accepting: accepting }
    }
}

impl Present {
    /// By which [`Turns::all`] knows it.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A turn for a request.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        lock(&self.turns.connections).remove(&self.number);
    }
}
