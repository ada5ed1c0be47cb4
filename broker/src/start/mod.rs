//! Starts and ends a broker. Long, so that the order of that is in one file.
//!
//! [`before`]: what there is of another one; [`passing`]: what another one has passed on; [`following`]: the end of one that has passed everything on.
//!
//! What this folder may use: everything but `cli`.

pub(crate) mod before;
mod following;
mod passing;

use std::io;
use std::mem::take;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::before::Before;
use self::passing::{bridges, control_sockets, http_sockets, lingering, restore_level};
use crate::access::AccessLog;
use crate::background;
use crate::command::Command;
use crate::config::{Change, Config, Loaded};
use crate::control::configuration::{Configuration, Read};
use crate::control::passing::Restored;
use crate::control::ports::Ports;
use crate::control::quota::Quotas;
use crate::control::registrar::Registrar;
use crate::control::registry::Registry;
use crate::control::socket;
use crate::control::socket::ControlSocket;
use crate::control::threads::{Answer, threads_answer};
use crate::dispatch::accept_thread::{AcceptThread, Go};
use crate::dispatch::begun::Begun;
use crate::dispatch::helpers::Help;
use crate::dispatch::{back_end, helpers};
use crate::error::StartError;
use crate::failure::{Failed, Part};
use crate::http::{self, HttpServer};
use crate::listening::is_here;
use crate::outcome::Counters;
use crate::routes::holder::Holder;
use crate::shared::Shared;
use crate::store::keeper::Store;
use crate::store::name::Name;
use crate::told::Told;
use crate::upgrade::give::Everything;
use crate::upgrade::lingering::AllLingering;
use crate::upgrade::predecessor::{Passed, Taking};
use crate::upgrade::upgrader::Upgrader;
use crate::wanted;

/// Tasks that go on when everything else is passed on.
const BACKGROUND: &str = "the background task";
const LOG: &str = "the log's task";
const ACCESS: &str = "the access log's task";

/// A running broker.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let mut config = broker::Config::default();
/// config.control = Some(folder.path().join("control"));
/// let broker = broker::Broker::start(config).await?;
/// assert!(broker.control_path().exists());
/// broker.stop().await;
/// assert!(!folder.path().join("control").exists());
/// # Ok::<(), broker::StartError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    help: Arc<Help>,
    control: Arc<ControlSocket>,
    administrators: Option<Arc<ControlSocket>>,
    /// `None` when it ends: it keeps the registry's thread.
    configuration: Option<Arc<Configuration>>,
    /// By what they are called.
    tasks: Vec<(&'static str, JoinHandle<()>)>,
    accept: Arc<AcceptThread>,
    threads: Vec<thread::JoinHandle<()>>,
    /// Its thread ends when nobody has it any more: neither we nor the tasks.
    registrar: Option<(Registrar, thread::JoinHandle<()>)>,
    http: Option<HttpServer>,
    /// `None`: nobody can follow it.
    upgrader: Option<Arc<Upgrader>>,
    /// Brokers before this one that relay still.
    lingering: Arc<AllLingering>,
    /// Whether it has started: what never ran does not say how it ended.
    was_ready: bool,
}

impl Broker {
    /// Starts a broker: its control socket is open, and its static routes are, when this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left behind.
    ///
    /// # Cancel safety
    ///
    /// Waits for nothing.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_by(config, None, Before::Nothing)
    }

    /// The same with a configuration that can be read again, and with what there is of another broker.
    pub(crate) async fn start_with(loaded: Loaded, read: Read, before: Before) -> Result<Self, StartError> {
        Self::start_by(loaded.config().clone(), Some((loaded, read)), before)
    }

    fn start_by(config: Config, read: Option<(Loaded, Read)>, before: Before) -> Result<Self, StartError> {
        let mut earlier = before.all(&config);
        let is_first = earlier.is_nothing();
        let (mut manifest, mut taken) = (take(&mut earlier.manifest), take(&mut earlier.taken));
        let http = http_sockets(&mut manifest, &mut taken)?;
        let http = http::bind(&config.http, http)?;
        let http_passed = http.iter().map(|(at, socket)| Ok((*at, OwnedFd::from(socket.try_clone()?))));
        let http_passed: Vec<(SocketAddr, OwnedFd)> = http_passed.collect::<io::Result<_>>()?;
        let (jobs, jobs_to_do) = mpsc::unbounded_channel();
        let mut shared = Shared::new(&config, jobs)?;
        shared.telling.access = AccessLog::open(&config.access_log)?.map(Arc::new);
        shared.again(&mut manifest);
        // Stamps of what comes from another process are made of it.
        shared.telling.turn(shared.counters.clock());
        if read.is_some() {
            shared.store = Store::of_the_service_manager()?.map(Arc::new);
        }
        if let Some(store) = &shared.store {
            store.again(&manifest.kept);
        }
        let shared = Arc::new(shared);
        if let Some(file) = read.as_ref().and_then(|(loaded, _)| loaded.file()) {
            let _ = shared.about.configuration.set(file.to_owned());
        }
        let jobs_to_do = background::Inbox::new(jobs_to_do, Arc::clone(&shared));
        let help = Arc::new(Help::default());
        let ports = Ports::new(Arc::clone(&shared.commands), shared.jobs.clone(), config.listen.clone());
        let quotas = Arc::new(Quotas::new(&config.quota, &shared.descriptors));
        let mut registry = Registry::new(Arc::clone(&shared), Arc::clone(&quotas), ports);

        let mut broker = Self {
            accept: Arc::new(AcceptThread::new(&shared, &help)),
            threads: Vec::new(),
            shared,
            help,
            control: Arc::default(),
            administrators: None,
            configuration: None,
            tasks: Vec::new(),
            registrar: None,
            http: None,
            upgrader: None,
            lingering: Arc::default(),
            was_ready: false,
        };
        if is_first {
            broker.accept.begin(Begun::default())?;
        }
        let shared = Arc::clone(&broker.shared);
        let ended = move |initiator, holder: &Holder, end, copied, told: Told| {
            back_end::relay_ended(&shared, initiator, holder, end, copied, told);
        };
        let part = Part::new(&broker.shared.failures, "the relay thread");
        broker.threads.push(broker.shared.relays.start(part, Box::new(ended))?);
        for ip in &config.listen {
            // It may come later: the network of a machine that starts is slower than its services.
            if let Err(error) = is_here(SocketAddr::new(*ip, 0)) {
                tracing::warn!("listen: {error}; what would listen there cannot be registered until it is");
            }
        }
        let restored = registry.restore(&mut manifest, &mut taken).inspect_err(|_| {
            // Not again by the next one.
            broker.shared.store.iter().for_each(|store| store.forget_others());
        })?;
        earlier.say_found(&restored, &broker.shared);
        let all: Vec<Change> = config.routes.iter().cloned().map(Change::RouteAdded).collect();
        let routes = registry.change_routes(&all, &config);
        // Last: whoever sees it finds everything else. That another broker runs may be why a route cannot be opened.
        let control = control_sockets(&mut manifest, &mut taken)?;
        let ((listener, access), administrators) = socket::open(&config, control)?;
        broker.control = Arc::new(listener);
        routes?;
        let Restored { workers, listening, queues, left } = restored;
        let bridges = bridges(&manifest, &queues, &broker.shared);
        let go = match is_first {
            true => None,
            false => {
                let begun = Begun::restore(&mut manifest, &mut taken, &queues, &broker.shared)?;
                let begun = Begun { listening, incomplete: left, ..begun };
                Some(broker.accept.begin_later(begun)?)
            }
        };
        let taking = earlier.passed.map(Passed::ready).transpose()?;
        go.into_iter().for_each(Go::now);
        broker.control.is_ours();
        registry.keep_all();

        broker.threads.extend(helpers::start(&broker.shared, &broker.help));
        let shared = Arc::clone(&broker.shared);
        let part = Part::new(&shared.failures, "the registry's thread");
        let (registrar, thread) = Registrar::start(registry, part)?;
        registrar.tell(Registry::close_unused);
        broker.registrar = Some((registrar.clone(), thread));
        if !http.is_empty() {
            let part = Part::new(&shared.failures, "the HTTP thread");
            let control = Arc::clone(&broker.control);
            let asked = http::Asked::new(Arc::clone(&shared), registrar.clone(), control, config.http);
            let http = http.into_iter().map(|(_, socket)| socket).collect();
            broker.http = Some(HttpServer::start(http, asked, part)?);
        }
        let control = Arc::clone(&broker.control);
        let can_be_followed = read.is_some();
        let configuration =
            Configuration::new(Arc::clone(&shared), registrar.clone(), Arc::clone(&quotas), read);
        let configuration = Arc::new(configuration);
        broker.configuration = Some(Arc::clone(&configuration));
        let (of_administrators, of_workers): (Vec<_>, Vec<_>) =
            workers.into_iter().partition(|returned| returned.administrator);
        let serve = |control, access, returned| {
            let (quotas, shared) = (Arc::clone(&quotas), Arc::clone(&shared));
            let configuration = Arc::clone(&configuration);
            socket::serve(control, access, registrar.clone(), quotas, shared, configuration, returned)
        };
        broker.run("the control socket's task", serve(control, access, of_workers));
        let administrators = administrators.map(|(control, access)| {
            control.is_ours();
            let control = Arc::new(control);
            broker.administrators = Some(Arc::clone(&control));
            serve(control, access, of_administrators)
        });
        let heard = taking.map(Taking::serving);
        broker.lingering.hear(lingering(manifest.lingering, taken, heard), bridges, &shared, &registrar);
        if let Some(store) = &shared.store {
            broker.control.is_kept(store, Name::Control);
            broker.administrators.iter().for_each(|control| control.is_kept(store, Name::Administrators));
            for (_, socket) in &http_passed {
                store.keep(Name::http(socket), &[socket.as_fd()]);
            }
            store.forget_others();
        }
        if can_be_followed {
            let everything = Everything {
                shared: Arc::clone(&shared),
                accept: Arc::clone(&broker.accept),
                control: Arc::clone(&broker.control),
                administrators: broker.administrators.clone(),
                http: http_passed,
            };
            let (upgrades, wanted) = mpsc::unbounded_channel();
            let lingering = Arc::clone(&broker.lingering);
            let upgrader = Upgrader::new(everything, registrar.clone(), configuration, lingering);
            let upgrader = Arc::new(upgrader);
            broker.upgrader = Some(Arc::clone(&upgrader));
            let _ = shared.upgrades.set(upgrades);
            broker.run(BACKGROUND, background::run(jobs_to_do, registrar));
            broker.run(LOG, async move { shared.tally.run().await });
            broker.run("the upgrades' task", upgrader.run(wanted));
        } else {
            broker.run(BACKGROUND, background::run(jobs_to_do, registrar));
            broker.run(LOG, async move { shared.tally.run().await });
        }
        if let Some(task) = administrators {
            broker.run("the administrators' task", task);
        }
        if let Some(access) = broker.shared.telling.access.clone() {
            broker.run(ACCESS, async move { access.run().await });
        }
        restore_level(manifest.log_level.as_ref());
        tracing::info!("ready");
        broker.was_ready = true;
        Ok(broker)
    }

    /// Runs a task as long as the broker.
    fn run(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let part = Part::new(&self.shared.failures, name);
        let task = tokio::spawn(async move {
            let _part = part;
            task.await;
        });
        self.tasks.push((name, task));
    }

    /// Waits until the broker cannot go on: a thread or task of it has ended although nobody asked for that, by an error of the
    /// system or a bug. Its ports may still take connections that nobody accepts: whoever runs a broker ends it then, and the
    /// process, as the `broker` command does.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// # let mut config = broker::Config::default();
    /// # config.control = Some(folder.path().join("control"));
    /// let broker = broker::Broker::start(config).await?;
    /// let asked_to_end = async { /* a signal */ };
    /// let failed = tokio::select! {
    ///     () = asked_to_end => None,
    ///     failed = broker.failed() => Some(failed),
    /// };
    /// broker.stop().await;
    /// assert!(failed.is_none());
    /// # Ok::<(), broker::StartError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn failed(&self) -> Failed {
        self.shared.failures.first().await
    }

    /// Reads the configuration again and does what it says; the log says what that is.
    pub(crate) async fn reload(&self) {
        let Some(configuration) = &self.configuration else { return };
        // Whoever has a log and no file has meant the log.
        if self.shared.telling.access.is_some() && self.shared.about.configuration.get().is_none() {
            configuration.reopen_logs();
            return tracing::info!("there is no --config: no configuration is read again");
        }
        configuration.reload().await;
    }

    /// The threads without which nothing goes on; each of these returns when its thread has answered.
    pub(crate) fn threads_answer(&self) -> Vec<(&'static str, Answer<'_>)> {
        let registrar = self.registrar.as_ref();
        registrar.map(|(registrar, _)| threads_answer(&self.shared, registrar)).unwrap_or_default()
    }

    /// How it does, in a line.
    pub(crate) async fn summary(&self) -> String {
        let holders = match &self.registrar {
            Some((registrar, _)) => registrar.ask(|registry| registry.holders()).await,
            None => 0,
        };
        let Shared { counters, relayed, .. } = &*self.shared;
        let relayed = relayed.load(Ordering::Relaxed);
        let (here, accepted) = (counters.here(), counters.accepted());
        format!(
            "{holders} registrations and routes; {accepted} connections accepted, {here} here, {relayed} of them relayed"
        )
    }

    /// Where workers register.
    #[must_use]
    pub fn control_path(&self) -> &Path {
        self.control.path()
    }

    /// Has everything passed on to the next broker, which is started for that; the log says how that went.
    pub(crate) fn upgrade(&self) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move { drop(wanted::upgrade(shared.upgrades.get(), None, None).await) });
    }

    /// What became of the connections so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Ends the broker: workers see their control connections close, connections that are not handed over are closed.
    ///
    /// # Cancel safety
    ///
    /// Cancelled, the broker ends too.
    pub async fn stop(mut self) {
        self.shared.failures.may_end();
        if let Some(upgrader) = self.upgrader.take() {
            upgrader.give_up().await;
        }
        if self.shared.store.is_some()
            && let Some((registrar, _)) = &self.registrar
        {
            self.control.leave_to_the_next();
            self.administrators.iter().for_each(|control| control.leave_to_the_next());
            registrar.ask(Registry::leave_to_the_next).await;
        }
        self.lingering.stop().await;
        self.stop_threads();
        for (_, task) in take(&mut self.tasks) {
            task.abort();
            // The abort is the expected error.
            let _ = task.await;
        }
        self.configuration = None;
        // It asks the registry, which would not end.
        if let Some(mut http) = self.http.take() {
            http.stop();
        }
        if let Some((registrar, thread)) = self.registrar.take() {
            drop(registrar);
            // The tasks of the workers end meanwhile.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.join_threads();
        let here = self.shared.counters.here();
        debug_assert!(here == 0 || self.shared.failures.is_failed(), "{here} connections have no end");
    }

    fn join_threads(&mut self) {
        self.accept.join();
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }

    /// Before the registrations end with the tasks: what waits in an accept socket is its worker's, and taken back from none.
    fn stop_threads(&self) {
        self.shared.failures.may_end();
        self.shared.commands.send(Command::Stop);
        self.help.stop();
        self.shared.relays.stop();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop_threads();
        self.tasks.iter().for_each(|(_, task)| task.abort());
        self.lingering.leave();
        if let Some(http) = &mut self.http {
            http.stop();
        }
        self.join_threads();
        self.shared.tally.end();
        if let Some(access) = &self.shared.telling.access {
            access.end();
        }
        if self.was_ready {
            tracing::info!("ended; connections {}", self.shared.counters);
        }
    }
}

#[cfg(test)]
mod tests;
