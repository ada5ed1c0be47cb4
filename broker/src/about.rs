//! The process, for whoever asks: since when it runs, what it was configured by, how the last reload went.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use handoff::administration::LastReload;

use crate::lock::lock;

/// See the module.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) started: SystemTime,
    /// The same moment, whatever becomes of the clock.
    pub(crate) since: Instant,
    /// The file of the configuration, if there is one.
    pub(crate) configuration: OnceLock<PathBuf>,
    last_reload: Mutex<Option<LastReload>>,
}

impl Default for About {
    fn default() -> Self {
        Self {
            started: SystemTime::now(),
            since: Instant::now(),
            configuration: OnceLock::new(),
            last_reload: Mutex::default(),
        }
    }
}

impl About {
    /// What another process has begun, and this one goes on with.
    pub(crate) fn again(&mut self, started: u64, uptime: Duration, last_reload: Option<LastReload>) {
        self.started = UNIX_EPOCH + Duration::from_secs(started);
        self.since = self.since.checked_sub(uptime).unwrap_or(self.since);
        self.last_reload = Mutex::new(last_reload);
    }

    /// How the last reload went.
    pub(crate) fn last_reload(&self) -> Option<LastReload> {
        lock(&self.last_reload).clone()
    }

    /// The configuration was read again; what has changed, or why nothing has.
    pub(crate) fn reloaded(&self, applied: bool, message: impl Into<String>) {
        *lock(&self.last_reload) = Some(LastReload::new(unix_seconds(SystemTime::now()), applied, message));
    }
}

/// Seconds since 1970-01-01 UTC.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
