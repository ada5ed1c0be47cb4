//! The configuration of a broker that runs, and how it is read again.

use std::fmt;
use std::sync::Arc;

use handoff::administration::Reloaded;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::obstacles::{Obstacles, obstacles};
use super::quota::Quotas;
use super::registrar::Registrar;
use crate::command::Command;
use crate::config::{About, Change, Config, Loaded, OnReload, Said};
use crate::error::StartError;
use crate::notify;
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

    /// Nothing is read again as long as somebody has this.
    pub(crate) async fn stays(&self) -> impl Send + use<'_> {
        self.known.lock().await
    }

    pub(crate) fn reopen_logs(&self) {
        if let Some(access) = &self.shared.telling.access {
            access.reopen();
        }
        self.shared.reopened.notify_waiters();
    }

    /// Reads it again, does what it says, and says so in the log. A file of a log may have been given another name: the one that has
    /// its name now is written from now on, also if the configuration is wrong.
    pub(crate) async fn reload(&self) -> Reloaded {
        self.reopen_logs();
        let mut known = self.known.lock().await;
        // Whoever runs a broker in a process of their own has their own words with the service manager.
        let is_a_service = known.is_some();
        if is_a_service {
            notify::reloading().await;
        }
        let reloaded = self.read_and_apply(known.as_mut()).await.unwrap_or_else(Reloaded::refused);
        if is_a_service {
            notify::reloaded().await;
        }
        drop(known);
        self.shared.about.reloaded(reloaded.error.is_none(), message(&reloaded));
        if let Some(error) = &reloaded.error {
            error.lines().for_each(|line| tracing::error!("reload: nothing has changed: {line}"));
        } else if reloaded.changes.is_empty() && reloaded.needs_restart.is_empty() {
            tracing::info!("reload: nothing has changed in the configuration");
        }
        reloaded.changes.iter().for_each(|change| tracing::info!("reload: {change}"));
        for told in reloaded.needs_restart.iter().chain(&reloaded.warnings) {
            tracing::warn!("reload: {told}");
        }
        reloaded
    }

    async fn read_and_apply(&self, known: Option<&mut Known>) -> Result<Reloaded, String> {
        let known = known
            .filter(|known| known.started.file().is_some())
            .ok_or("the broker was started without --config: there is no file that it could read again")?;
        let read = Arc::clone(&known.read);
        let last = known.last.clone();
        let looked = spawn_blocking(move || looked_at(&last, &read)).await;
        let (new, warnings) = looked.map_err(|error| error.to_string())??;

        let mut needs_restart = known.started.difference(&new);
        needs_restart.retain(needs_a_restart);
        let mut changes = known.last.difference(&new);
        changes.retain(|change| !needs_a_restart(change));
        let reloaded = Reloaded::applied(Change::sentences(&changes), Change::sentences(&needs_restart));
        let reloaded = reloaded.with_warnings(warnings);
        // Which ports are the broker's own is as it was.
        let listen = known.started.config().listen.clone();
        let config = Config { listen, ..new.config().clone() };
        self.apply(changes, config).await.map_err(|denied| new.error(&denied))?;
        known.last = new;
        Ok(reloaded)
    }

    /// First what can fail.
    async fn apply(&self, changes: Vec<Change>, config: Config) -> Result<(), Said> {
        let Config {
            receive_timeout,
            relay_idle,
            relay_linger,
            max_pending_connections,
            max_connections_per_source,
            compatibility,
            quota,
            ref access_log,
            ..
        } = config;
        let per_source = access_log.per_source;
        if let Err(denied) =
            self.registrar.ask(move |registry| registry.change_routes(&changes, &config)).await
        {
            let told = spawn_blocking(move || StartError::from(denied).said()).await;
            return Err(
                told.unwrap_or_else(|error| Said { about: About::Nothing, message: error.to_string() })
            );
        }
        self.quotas.set(&quota);
        self.shared.bounds.set_per_queue(max_pending_connections);
        self.shared.set_most_of_a_source(max_connections_per_source);
        self.shared.set_compatibility(compatibility);
        self.shared.relays.set_idle(relay_idle);
        self.shared.relay_linger.set(relay_linger);
        if let Some(access) = &self.shared.telling.access {
            access.set_per_source(per_source);
        }
        self.shared.commands.send(Command::Reconfigured { receive_timeout });
        Ok(())
    }
}

/// What the file says now, and warnings; or all that is wrong with it. What would keep a broker from starting with it is wrong, too,
/// unless that was so before: then it is no reason to leave the rest undone.
fn looked_at(last: &Loaded, read: &Read) -> Result<(Loaded, Vec<String>), String> {
    let new = read()?;
    let Obstacles { found, of_another_broker, .. } = obstacles(new.config(), true);
    let mut warnings = of_another_broker;
    if !found.is_empty() {
        let before = obstacles(last.config(), true).found;
        let is_old = |obstacle: &Said| before.iter().any(|before| before.message == obstacle.message);
        let (old, errors): (Vec<_>, Vec<_>) = found.into_iter().partition(is_old);
        if !errors.is_empty() {
            return Err(errors.iter().map(|error| new.error(error)).collect::<Vec<_>>().join("\n"));
        }
        warnings.extend(old);
    }
    warnings.extend(new.idle());
    warnings.extend(new.newly_hidden(last));
    let warnings = warnings.iter().map(|warning| new.warning(warning)).collect();
    Ok((new, warnings))
}

/// What has changed, or why nothing has, in a few words.
fn message(reloaded: &Reloaded) -> String {
    const LINES: usize = 20;
    let Reloaded { error, changes, needs_restart, warnings, .. } = reloaded;
    let errors = error.iter().flat_map(|error| error.lines());
    let said = changes.iter().chain(needs_restart).chain(warnings).map(String::as_str);
    let lines = errors.chain(said);
    let (count, mut lines) =
        (lines.clone().count(), lines.take(LINES).map(str::to_owned).collect::<Vec<_>>());
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
