//! What the threads of one broker have in common.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::about::About;
use crate::command::{Commands, Job};
use crate::config::{Compatibility, Config};
use crate::control::turns::Turns;
use crate::failure::Failures;
use crate::limits::Descriptors;
use crate::live_time::LiveTime;
use crate::outcome::Counters;
use crate::recent::{NoMatch, NotRegistered, Recent};
use crate::relay::bridge::Bridges;
use crate::relay::circle::UnderWay;
use crate::relay::relay_loop::Relays;
use crate::routes::queue::Bounds;
use crate::routes::table::Table;
use crate::store::keeper::Store;
use crate::tally::Tally;
use crate::told::Telling;
use crate::wanted::Upgrades;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) about: About,
    pub(crate) table: Arc<ArcSwap<Table>>,
    pub(crate) telling: Telling,
    pub(crate) counters: Counters,
    /// Vias that matched nothing lately.
    pub(crate) unmatched: Recent<NoMatch>,
    /// Registrations that were refused lately.
    pub(crate) not_registered: Recent<NotRegistered>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) failures: Arc<Failures>,
    pub(crate) bounds: Bounds,
    pub(crate) descriptors: Descriptors,
    /// How many connections of one source may wait; 0: as many as there is room for. A reload may change it.
    pub(crate) most_of_a_source: AtomicUsize,
    /// How many of these may wait for workers; 0: any number.
    pub(crate) most_held_of_a_source: AtomicUsize,
    /// How long a preamble may take. The accept loop changes it, with the deadlines that follow from it.
    pub(crate) receive_timeout: LiveTime,
    /// Whether `compatibility` is `smsvchost`; a reload may change it.
    smsvchost: AtomicBool,
    pub(crate) bridges: Arc<Bridges>,
    pub(crate) under_way: Arc<UnderWay>,
    /// Connections that are relayed or about to be.
    pub(crate) relayed: AtomicUsize,
    /// How long relays stay in a broker that is followed by another.
    pub(crate) relay_linger: LiveTime,
    pub(crate) relays: Arc<Relays>,
    /// The way into the accept loop.
    pub(crate) commands: Arc<Commands>,
    /// What is left to tokio.
    pub(crate) jobs: UnboundedSender<Job>,
    /// Told when files of logs may have been given other names.
    pub(crate) reopened: Notify,
    /// Control connections at rest.
    pub(crate) turns: Arc<Turns>,
    /// What a service manager keeps for the next broker, if it keeps anything.
    pub(crate) store: Option<Arc<Store>>,
    /// The way to whoever starts the next broker; nobody: this one is part of another program.
    pub(crate) upgrades: OnceLock<Upgrades>,
}

impl Shared {
    pub(crate) fn new(config: &Config, jobs: UnboundedSender<Job>) -> io::Result<Self> {
        let descriptors = Descriptors::raise();
        let counters = Counters::default();
        let table = Arc::new(ArcSwap::from_pointee(Table::default()));
        Ok(Self {
            about: About::default(),
            telling: Telling { access: None, table: Arc::clone(&table) },
            table,
            unmatched: Recent::default(),
            not_registered: Recent::default(),
            tally: Arc::clone(counters.tally()),
            counters,
            failures: Arc::default(),
            bounds: Bounds::new(config.max_pending_connections, &descriptors),
            most_of_a_source: AtomicUsize::new(descriptors.of_a_source(config.max_connections_per_source)),
            most_held_of_a_source: AtomicUsize::new(
                descriptors.held_of_a_source(config.max_connections_per_source),
            ),
            descriptors,
            receive_timeout: LiveTime::new(config.receive_timeout),
            smsvchost: AtomicBool::new(config.compatibility == Compatibility::Smsvchost),
            bridges: Arc::default(),
            under_way: Arc::default(),
            relayed: AtomicUsize::new(0),
            relay_linger: LiveTime::new(config.relay_linger),
            relays: Arc::new(Relays::new(config.relay_idle)?),
            commands: Arc::new(Commands::new()?),
            jobs,
            reopened: Notify::new(),
            turns: Arc::default(),
            store: None,
            upgrades: OnceLock::new(),
        })
    }

    /// How connections that cannot be dispatched are answered.
    pub(crate) fn compatibility(&self) -> Compatibility {
        match self.smsvchost.load(Ordering::Relaxed) {
            true => Compatibility::Smsvchost,
            false => Compatibility::Default,
        }
    }

    /// How many connections of one source may wait from now on.
    pub(crate) fn set_most_of_a_source(&self, configured: Option<usize>) {
        self.most_of_a_source.store(self.descriptors.of_a_source(configured), Ordering::Relaxed);
        self.most_held_of_a_source.store(self.descriptors.held_of_a_source(configured), Ordering::Relaxed);
    }

    pub(crate) fn set_compatibility(&self, compatibility: Compatibility) {
        self.smsvchost.store(compatibility == Compatibility::Smsvchost, Ordering::Relaxed);
    }
}
