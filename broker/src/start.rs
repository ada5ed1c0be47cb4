//! Starts and ends a broker.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::access::AccessLog;
use crate::background;
use crate::command::Command;
use crate::config::{Change, Config, Loaded};
use crate::control::configuration::{Configuration, Read};
use crate::control::ports::Ports;
use crate::control::quota::Quotas;
use crate::control::registrar::Registrar;
use crate::control::registry::Registry;
use crate::control::socket;
use crate::control::socket::ControlSocket;
use crate::control::threads::{Answer, threads_answer};
use crate::dispatch::accept_thread::AcceptThread;
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
use crate::told::Told;

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
    /// `None` when it ends: it keeps the registry's thread.
    configuration: Option<Arc<Configuration>>,
    tasks: Vec<JoinHandle<()>>,
    accept: Arc<AcceptThread>,
    threads: Vec<thread::JoinHandle<()>>,
    /// Its thread ends when nobody has it any more: neither we nor the tasks.
    registrar: Option<(Registrar, thread::JoinHandle<()>)>,
    http: Option<HttpServer>,
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
        Self::start_by(config, None)
    }

    /// The same with a configuration that can be read again.
    pub(crate) async fn start_with(loaded: Loaded, read: Read) -> Result<Self, StartError> {
        Self::start_by(loaded.config().clone(), Some((loaded, read)))
    }

    fn start_by(config: Config, read: Option<(Loaded, Read)>) -> Result<Self, StartError> {
        let http = http::bind(&config.http)?;
        let (jobs, jobs_to_do) = mpsc::unbounded_channel();
        let mut shared = Shared::new(&config, jobs)?;
        shared.telling.access = AccessLog::open(&config.access_log)?.map(Arc::new);
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
            accept: Arc::new(AcceptThread::start(&shared, &help, Begun::default())?),
            threads: Vec::new(),
            shared,
            help,
            control: Arc::default(),
            configuration: None,
            tasks: Vec::new(),
            registrar: None,
            http: None,
            was_ready: false,
        };
        let shared = Arc::clone(&broker.shared);
        let ended = move |initiator, holder: &Holder, end, copied, told: Told| {
            back_end::relay_ended(&shared, initiator, holder, end, copied, told);
        };
        let part = Part::new(&broker.shared.failures, "the relay thread");
        broker.threads.push(broker.shared.relays.start(part, Box::new(ended))?);
        broker.threads.extend(helpers::start(&broker.shared, &broker.help));
        for ip in &config.listen {
            // It may come later: the network of a machine that starts is slower than its services.
            if let Err(error) = is_here(SocketAddr::new(*ip, 0)) {
                tracing::warn!("listen: {error}; what would listen there cannot be registered until it is");
            }
        }
        let all: Vec<Change> = config.routes.iter().cloned().map(Change::RouteAdded).collect();
        let routes = registry.change_routes(&all, &config);
        // Last: whoever sees it finds everything else. That another broker runs may be why a route cannot be opened.
        let ((listener, access), administrators) = socket::open(&config)?;
        broker.control = Arc::new(listener);
        routes?;
        let shared = Arc::clone(&broker.shared);
        let part = Part::new(&shared.failures, "the registry's thread");
        let (registrar, thread) = Registrar::start(registry, part)?;
        broker.registrar = Some((registrar.clone(), thread));
        if !http.is_empty() {
            let part = Part::new(&shared.failures, "the HTTP thread");
            let control = Arc::clone(&broker.control);
            let asked = http::Asked::new(Arc::clone(&shared), registrar.clone(), control, config.http);
            broker.http = Some(HttpServer::start(http, asked, part)?);
        }
        let control = Arc::clone(&broker.control);
        let configuration =
            Configuration::new(Arc::clone(&shared), registrar.clone(), Arc::clone(&quotas), read);
        let configuration = Arc::new(configuration);
        broker.configuration = Some(Arc::clone(&configuration));
        let serve = |control, access| {
            let (quotas, shared) = (Arc::clone(&quotas), Arc::clone(&shared));
            socket::serve(control, access, registrar.clone(), quotas, shared, Arc::clone(&configuration))
        };
        broker.run("the control socket's task", serve(control, access));
        let administrators = administrators.map(|(control, access)| serve(Arc::new(control), access));
        broker.run("the background task", background::run(jobs_to_do, registrar));
        broker.run("the log's task", async move { shared.tally.run().await });
        if let Some(task) = administrators {
            broker.run("the administrators' task", task);
        }
        if let Some(access) = broker.shared.telling.access.clone() {
            broker.run("the access log's task", async move { access.run().await });
        }
        tracing::info!("ready");
        broker.was_ready = true;
        Ok(broker)
    }

    /// Runs a task as long as the broker.
    fn run(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let part = Part::new(&self.shared.failures, name);
        self.tasks.push(tokio::spawn(async move {
            let _part = part;
            task.await;
        }));
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
        if let Some(configuration) = &self.configuration {
            configuration.reload().await;
        }
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
        self.stop_threads();
        for task in std::mem::take(&mut self.tasks) {
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
        self.tasks.iter().for_each(JoinHandle::abort);
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
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use handoff::{ControlConnection, Register};

    use super::*;

    /// What is waited for here comes at once, or never.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn broker(folder: &tempfile::TempDir) -> Broker {
        let config = Config { control: Some(folder.path().join("control")), ..Config::default() };
        Broker::start(config).await.unwrap()
    }

    async fn failed(broker: &Broker) -> String {
        tokio::time::timeout(PATIENCE, broker.failed()).await.expect("nobody is told").to_string()
    }

    /// The registry waits for the loop when a port closes; it must not wait for one that is gone. The end of this test is half
    /// of it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_loop_that_panics_is_told_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker(&folder).await;
        let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let path = broker.control_path().to_owned();
        let worker = tokio::task::spawn_blocking(move || {
            let mut control = ControlConnection::connect(&path).unwrap();
            control.register(&Register::new([format!("net.tcp://localhost:{port}/x")])).unwrap();
            control
        });
        let worker = worker.await.unwrap();
        // Parked when it happens.
        let mut initiator = TcpStream::connect(("127.0.0.1", port)).unwrap();
        initiator.write_all(b"\0").unwrap();
        while broker.counters().accepted() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        broker.shared.commands.send(Command::Panic);
        let said = failed(&broker).await;
        assert_eq!(said, "the broker cannot go on, the accept thread has ended: it panicked");
        drop(worker);
        // To send something to it is no mistake either.
        broker.shared.commands.send(Command::MakeRoom);
        broker.stop().await;
    }

    #[tokio::test]
    async fn a_task_that_ends_is_told() {
        for (task, name) in
            ["the control socket's task", "the background task", "the log's task"].iter().enumerate()
        {
            let folder = tempfile::tempdir().unwrap();
            let broker = broker(&folder).await;
            broker.tasks[task].abort();
            assert!(failed(&broker).await.contains(&format!("{name} has ended: ")), "{name}");
            broker.stop().await;
        }
    }

    #[tokio::test]
    async fn an_end_that_was_asked_for_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker(&folder).await;
        let shared = Arc::clone(&broker.shared);
        broker.stop().await;
        assert!(!shared.failures.is_failed());
    }
}
