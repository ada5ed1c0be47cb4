//! Brokers before this one that relay still: what they tell of that is counted here, as if it had happened here.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::command::Command;
use crate::config::RelayTo;
use crate::control::registrar::Registrar;
use crate::dispatch::passing::again;
use crate::dispatch::refuse::too_late;
use crate::lock::lock;
use crate::outcome::Outcome;
use crate::passed::descriptors::Given;
use crate::passed::manifest::{Lingering as Passed, Manifest};
use crate::passed::pair::{Ended, Message, OfHolder, Pair, PairError};
use crate::relay::bridge::Expected;
use crate::routes::figures::Copied;
use crate::routes::holder::{Holder, StaticRoute};
use crate::shared::Shared;

/// How long they may take to end their relays when this broker ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AllLingering {
    all: Arc<StdMutex<Vec<Arc<Lingering>>>>,
    /// Their tasks.
    heard: StdMutex<JoinSet<()>>,
}

/// One of them.
#[derive(Debug)]
struct Lingering {
    pid: u32,
    pair: Arc<Pair>,
    state: Arc<Mutex<State>>,
    over: watch::Sender<bool>,
}

/// What is still to be told of.
#[derive(Debug, Default)]
struct State {
    connections: u64,
    relaying: BTreeMap<u64, u64>,
    bridges: HashMap<SocketAddr, Expected>,
}

/// None of them is heard, and what they have told is counted.
#[derive(Debug)]
pub(crate) struct AtRest(Vec<(Arc<Lingering>, OwnedMutexGuard<State>)>);

/// What is with them together.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    pub(super) connections: u64,
    pub(super) relaying: BTreeMap<u64, u64>,
}

impl AtRest {
    /// Writes them down.
    pub(super) fn pass<'d>(&'d self, manifest: &mut Manifest, given: &mut Given<'d>) -> Elsewhere {
        let mut elsewhere = Elsewhere::default();
        for (lingering, state) in self.0.iter().filter(|(lingering, _)| !*lingering.over.borrow()) {
            elsewhere.connections += state.connections;
            for (holder, relaying) in &state.relaying {
                *elsewhere.relaying.entry(*holder).or_default() += relaying;
            }
            manifest.lingering.push(Passed {
                pid: lingering.pid,
                pair: Some(given.give(&*lingering.pair)),
                connections: state.connections,
                relaying: state.relaying.clone(),
            });
        }
        elsewhere
    }
}

impl AllLingering {
    /// Hears these, each with its end of its pair.
    pub(crate) fn hear(
        &self,
        passed: Vec<(Passed, Arc<Pair>)>,
        bridges: HashMap<SocketAddr, Expected>,
        shared: &Arc<Shared>,
        registrar: &Registrar,
    ) {
        let mut bridges = Some(bridges);
        // The last is the one that has made the bridges.
        for (passed, pair) in passed.into_iter().rev() {
            let Passed { pid, connections, relaying, .. } = passed;
            let bridges = bridges.take().unwrap_or_default();
            let state = Arc::new(Mutex::new(State { connections, relaying, bridges }));
            let (over, _) = watch::channel(false);
            let lingering = Arc::new(Lingering { pid, pair, state, over });
            lock(&self.all).push(Arc::clone(&lingering));
            let (shared, registrar, all) = (Arc::clone(shared), registrar.clone(), Arc::clone(&self.all));
            lock(&self.heard).spawn(async move {
                if let Err(error) = lingering.listen(&shared, &registrar).await {
                    tracing::error!("upgrade: process {} is not heard any more: {error}", lingering.pid);
                }
                lingering.is_over(&shared, &registrar).await;
                // Its end of the pair would stay open.
                lock(&all).retain(|other| !Arc::ptr_eq(other, &lingering));
            });
        }
    }

    /// Returns when none of them is being heard.
    pub(crate) async fn at_rest(&self) -> AtRest {
        let all = lock(&self.all).clone();
        let mut rest = Vec::new();
        for lingering in all {
            let state = Arc::clone(&lingering.state).lock_owned().await;
            rest.push((lingering, state));
        }
        AtRest(rest)
    }

    /// The broker ends, and they do: what they relay ends now.
    pub(crate) async fn stop(&self) {
        self.say(&Message::Stop);
        let all = lock(&self.all).clone();
        let over = async {
            for lingering in &all {
                let _ = lingering.over.subscribe().wait_for(|over| *over).await;
            }
        };
        if timeout(LAST_WORDS, over).await.is_err() {
            tracing::warn!("a broker before this one still relays, and does not end");
        }
        self.leave();
    }

    /// None of them is heard any more.
    pub(crate) fn leave(&self) {
        lock(&self.heard).abort_all();
        lock(&self.all).clear();
    }

    fn say(&self, message: &Message) {
        for lingering in &*lock(&self.all) {
            // One that has ended is asked for nothing.
            let _ = lingering.pair.send(message, None, Instant::now());
        }
    }
}

impl Lingering {
    async fn listen(&self, shared: &Arc<Shared>, registrar: &Registrar) -> io::Result<()> {
        let stream = self.pair.stream()?;
        loop {
            tokio::select! {
                ready = stream.readable() => ready?,
                () = shared.reopened.notified() => {
                    let _ = self.pair.send(&Message::Reopen, None, Instant::now());
                    continue;
                }
            }
            let mut state = self.state.lock().await;
            loop {
                let said = match stream.try_io(Interest::READABLE, || self.pair.next()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    said => said?,
                };
                match said {
                    Ok((Message::Ended(ended), _)) => state.ended(ended, shared, registrar),
                    Ok((Message::NotRelayed { holder, relay, why, connection }, sockets)) => {
                        let Some(socket) = sockets.into_iter().next() else { continue };
                        let connection = again(socket, connection, shared);
                        state.connections = state.connections.saturating_sub(1);
                        let holder = holder_of(holder, relay, registrar).await;
                        let command = Command::NotRelayed(connection, holder, why);
                        if let Err(command) = shared.commands.try_send(command) {
                            too_late(shared, command);
                        }
                    }
                    Ok(_) => {}
                    Err(PairError::Closed) => return Ok(()),
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
        }
    }

    /// What it has not told of ended with it.
    async fn is_over(&self, shared: &Arc<Shared>, registrar: &Registrar) {
        let mut state = self.state.lock().await;
        let State { connections, relaying, .. } = std::mem::take(&mut *state);
        shared.counters.add(Outcome::ShutDown.name(), connections);
        for (holder, over) in relaying {
            told(holder, OfHolder { over, ..OfHolder::default() }, registrar);
        }
        self.over.send_replace(true);
    }
}

impl State {
    fn ended(&mut self, ended: Ended, shared: &Shared, registrar: &Registrar) {
        for (name, count) in ended.outcomes {
            shared.counters.add(&name, count);
            self.connections = self.connections.saturating_sub(count);
        }
        for (holder, of) in ended.holders {
            let relaying = self.relaying.entry(holder).or_default();
            *relaying = relaying.saturating_sub(of.over);
            told(holder, of, registrar);
        }
        self.relaying.retain(|_, relaying| *relaying > 0);
        for from in ended.bridges {
            drop(self.bridges.remove(&from));
        }
    }
}

fn told(holder: u64, of: OfHolder, registrar: &Registrar) {
    registrar.tell(move |registry| {
        if let Some(holder) = registry.holder(holder) {
            let copied = Copied { octets_in: of.octets_in, octets_out: of.octets_out };
            holder.figures().told(of.over, of.relayed, of.refused, copied);
        }
    });
}

/// For whom it was; somebody without an address if that is gone.
async fn holder_of(id: u64, relay: Option<String>, registrar: &Registrar) -> Holder {
    let known = registrar.ask(move |registry| registry.holder(id)).await;
    known.unwrap_or_else(|| {
        let relay = relay.unwrap_or_else(|| "a worker that has left".to_owned());
        let to = relay.parse().unwrap_or(RelayTo::Name(relay));
        Holder::Route(Arc::new(StaticRoute::new(id, to)))
    })
}
