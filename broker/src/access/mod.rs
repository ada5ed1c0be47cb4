//! The access log: a record for each connection that has ended.
//!
//! - [`record`]: what is said of it, as text, as JSON, and to journald; [`via`]: a Via for people
//! - [`sources`]: who connects too often to be told each time
//! - [`output`]: where records go; written by a thread for which nobody waits
//!
//! What this folder may use: `config`, `log`, `routes`, and the files in no folder.

mod output;
pub(crate) mod record;
mod sources;
pub(crate) mod via;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use self::output::AccessOutput;
use self::record::{Entry, Record};
use self::sources::{Sources, Suppressed};
use crate::config::AccessLog as Settings;
use crate::error::StartError;
use crate::lock::lock;
use crate::log::form;
use crate::log::queue::Queue;
use crate::outcome::Outcome;

/// How many octets a record takes while it waits, about.
const RECORD: usize = 1024;

/// How often it is said of how many connections there is no record.
const EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct AccessLog {
    wanted: [bool; Outcome::NAMES.len()],
    queue: Queue<Entry>,
    sources: std::sync::Mutex<Sources>,
    /// Connections of which there is no record because their source had too many.
    suppressed: AtomicU64,
    begun: Notify,
}

impl AccessLog {
    /// `None`: it is not wanted.
    ///
    /// # Errors
    /// It cannot be written where it shall be.
    pub(crate) fn open(settings: &Settings) -> Result<Option<Self>, StartError> {
        let Some(to) = &settings.to else { return Ok(None) };
        let failed = |source| StartError::AccessLog { to: to.clone(), source };
        let output = AccessOutput::open(to, settings.format).map_err(failed)?;
        let is_wanted = |name: &str| settings.outcomes.as_ref().is_none_or(|wanted| wanted.contains(&name));
        Ok(Some(Self {
            wanted: Outcome::NAMES.map(is_wanted),
            queue: Queue::to(output)?,
            sources: std::sync::Mutex::new(Sources::new(settings.per_source)),
            suppressed: AtomicU64::new(0),
            begun: Notify::new(),
        }))
    }

    /// Whether connections that end so are told.
    #[inline]
    pub(crate) fn takes(&self, outcome: Outcome) -> bool {
        self.wanted[outcome.index()]
    }

    /// Tells it, unless too much was told of its source.
    pub(crate) fn tell(&self, record: Box<Record>) {
        let (admitted, first) = {
            let mut sources = lock(&self.sources);
            let first = sources.is_empty();
            (sources.admit(record.peer.map(|peer| peer.ip()), record.times.taken_back, Instant::now()), first)
        };
        if first {
            self.begun.notify_one();
        }
        if admitted {
            self.queue.push(Entry::Ended(record), RECORD);
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Of how many connections there is no record because their source had too many, since the start.
    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    /// How many records were lost since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.queue.lost()
    }

    /// Says how many records there are not, when it is time to, until it is cancelled. Asleep while nobody connects.
    pub(crate) async fn run(&self) {
        loop {
            if lock(&self.sources).is_empty() {
                self.begun.notified().await;
            }
            tokio::time::sleep(EVERY).await;
            let suppressed = lock(&self.sources).over(Instant::now());
            self.tell_suppressed(suppressed);
        }
    }

    /// What has not been said yet is, and all of it is written, though nobody is waited for long.
    pub(crate) fn end(&self) {
        let suppressed = lock(&self.sources).all();
        self.tell_suppressed(suppressed);
        self.queue.finish();
    }

    /// How many records of one source there may be in a second from now on; 0: any number.
    pub(crate) fn set_per_source(&self, records: usize) {
        lock(&self.sources).set_most(records);
    }

    /// What has a name is looked for by that name again: the file may have been given another.
    pub(crate) fn reopen(&self) {
        self.queue.reopen();
    }

    fn tell_suppressed(&self, all: Vec<Suppressed>) {
        for suppressed in all {
            self.queue.push(Entry::Suppressed { time: form::now(), suppressed }, RECORD);
        }
    }
}
