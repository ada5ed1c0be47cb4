//! The configuration of a broker that runs, and how it is read again.

use std::fmt;
use std::sync::Arc;

use handoff::administration::Reloaded;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::quota::Quotas;
use super::registrar::Registrar;
use crate::command::Command;
use crate::config::{Change, Config, Loaded, OnReload};
use crate::shared::Shared;

/// Most of what is kept of the last reload, in characters.
const LONGEST_MESSAGE: usize = 2000;

/// Reads the file again, with the options of the command line over it; or says what is wrong, and where.
pub(crate) type Read = Arc<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// See the module. One reload at a time.
#[derive(Debug)]
pub(crate) struct Configuration {
    shared: Arc<Shared>,
    registrar: Registrar,
    quotas: Arc<Quotas>,
    /// `None`: there is nothing to be read.
    known: Mutex<Option<Known>>,
}

struct Known {
    /// What needs a restart is still as it was when the broker started.
    started: Loaded,
    /// Everything else is as it was read last.
    last: Loaded,
    read: Read,
}

impl Configuration {
    pub(crate) fn new(
        shared: Arc<Shared>,
        registrar: Registrar,
        quotas: Arc<Quotas>,
        read: Option<(Loaded, Read)>,
    ) -> Self {
        let known = read.map(|(started, read)| Known { last: started.clone(), started, read });
        Self { shared, registrar, quotas, known: Mutex::new(known) }
    }

    /// Reads it again, does what it says, and says so in the log.
    pub(crate) async fn reload(&self) -> Reloaded {
        let reloaded = self.read_and_apply().await.unwrap_or_else(Reloaded::refused);
        self.shared.about.reloaded(reloaded.error.is_none(), message(&reloaded));
        if let Some(error) = &reloaded.error {
            tracing::error!("reload: nothing has changed: {error}");
        } else if reloaded.changes.is_empty() && reloaded.needs_restart.is_empty() {
            tracing::info!("reload: nothing has changed in the configuration");
        }
        reloaded.changes.iter().for_each(|change| tracing::info!("reload: {change}"));
        reloaded.needs_restart.iter().for_each(|change| tracing::warn!("reload: {change}"));
        reloaded
    }

    async fn read_and_apply(&self) -> Result<Reloaded, String> {
        let mut known = self.known.lock().await;
        let known = known
            .as_mut()
            .filter(|known| known.started.file().is_some())
            .ok_or("the broker was started without --config: there is no file that it could read again")?;
        let read = Arc::clone(&known.read);
        let new = spawn_blocking(move || read()).await.map_err(|error| error.to_string())??;

        let mut needs_restart = known.started.difference(&new);
        needs_restart.retain(needs_a_restart);
        let mut changes = known.last.difference(&new);
        changes.retain(|change| !needs_a_restart(change));
        let said = |changes: &[Change]| changes.iter().map(Change::to_string).collect();
        let reloaded = Reloaded::applied(said(&changes), said(&needs_restart));
        let file = new.file().map(|file| file.display().to_string()).unwrap_or_default();
        // Which ports are the broker's own is as it was.
        let listen = known.started.config().listen.clone();
        let config = Config { listen, ..new.config().clone() };
        self.apply(changes, config, &file).await?;
        known.last = new;
        Ok(reloaded)
    }

    /// First what can fail.
    async fn apply(&self, changes: Vec<Change>, config: Config, file: &str) -> Result<(), String> {
        let Config { receive_timeout, relay_idle, max_pending_connections, compatibility, quota, .. } =
            config;
        if let Err(denied) =
            self.registrar.ask(move |registry| registry.change_routes(&changes, &config)).await
        {
            let place = format!("{file}:{}: error: the route {}", denied.line, denied.address);
            let why = spawn_blocking(move || denied.told()).await.map_err(|error| error.to_string())?;
            return Err(format!("{place}: {why}"));
        }
        self.quotas.set(&quota);
        self.shared.bounds.set_per_queue(max_pending_connections);
        self.shared.set_compatibility(compatibility);
        self.shared.relays.set_idle(relay_idle);
        self.shared.commands.send(Command::Reconfigured { receive_timeout });
        Ok(())
    }
}

/// What has changed, or why nothing has, in a few words.
fn message(reloaded: &Reloaded) -> String {
    const LINES: usize = 20;
    let lines = reloaded.error.iter().chain(&reloaded.changes).chain(&reloaded.needs_restart);
    let (count, mut lines) = (lines.clone().count(), lines.take(LINES).cloned().collect::<Vec<_>>());
    match count {
        0 => lines.push("nothing has changed in the configuration".to_owned()),
        _ if count > LINES => lines.push(format!("and {} more", count - LINES)),
        _ => {}
    }
    lines.join("; ").chars().take(LONGEST_MESSAGE).collect()
}

fn needs_a_restart(change: &Change) -> bool {
    matches!(change, Change::Key { on_reload: OnReload::Restart, .. })
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("last", &self.last).finish_non_exhaustive()
    }
}
