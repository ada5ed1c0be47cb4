//! What the threads of one broker have in common.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc::UnboundedSender;

use crate::bridge::Bridges;
use crate::circle::UnderWay;
use crate::config::{Compatibility, Config};
use crate::failure::Failures;
use crate::limits::Descriptors;
use crate::line::{Errand, Line};
use crate::outcome::Counters;
use crate::queue::Bounds;
use crate::quota::Quotas;
use crate::relay::Relays;
use crate::table::Table;
use crate::tally::Tally;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: ArcSwap<Table>,
    pub(crate) counters: Counters,
    pub(crate) tally: Arc<Tally>,
    pub(crate) failures: Arc<Failures>,
    pub(crate) bounds: Bounds,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) descriptors: Descriptors,
    pub(crate) receive_timeout: Duration,
    pub(crate) compatibility: Compatibility,
    pub(crate) bridges: Arc<Bridges>,
    pub(crate) under_way: Arc<UnderWay>,
    /// Connections that are relayed or about to be.
    pub(crate) relayed: AtomicUsize,
    pub(crate) relays: Arc<Relays>,
    /// The way into the accept loop.
    pub(crate) line: Arc<Line>,
    /// What is left to tokio.
    pub(crate) errands: UnboundedSender<Errand>,
}

impl Shared {
    pub(crate) fn new(config: &Config, errands: UnboundedSender<Errand>) -> io::Result<Self> {
        let descriptors = Descriptors::raise();
        let counters = Counters::default();
        Ok(Self {
            table: ArcSwap::from_pointee(Table::default()),
            tally: Arc::clone(counters.tally()),
            counters,
            failures: Arc::default(),
            quotas: Arc::new(Quotas::new(&config.quota, &descriptors)),
            bounds: Bounds::new(config.max_pending_connections, &descriptors),
            descriptors,
            receive_timeout: config.receive_timeout,
            compatibility: config.compatibility,
            bridges: Arc::default(),
            under_way: Arc::default(),
            relayed: AtomicUsize::new(0),
            relays: Arc::new(Relays::new(config.relay_idle)?),
            line: Arc::new(Line::new()?),
            errands,
        })
    }
}
