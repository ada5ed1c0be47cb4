//! Starts and ends a broker.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::circle::first_circle;
use crate::config::{Config, RelayTo};
use crate::control::ControlSocket;
use crate::error::StartError;
use crate::help::Help;
use crate::line::Command;
use crate::outcome::Counters;
use crate::ports::Ports;
use crate::registry::Registry;
use crate::shared::Shared;
use crate::{accept, back_end, control, errands, help};

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
    tasks: Vec<JoinHandle<()>>,
    threads: Vec<thread::JoinHandle<()>>,
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
        let (errands, errands_to_do) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(&config, errands)?);
        let help = Arc::new(Help::default());
        let ports = Ports::new(Arc::clone(&shared.line), shared.errands.clone(), config.listen.clone());
        let registry = Arc::new(Registry::new(Arc::clone(&shared), ports));

        let mut broker = Self {
            threads: vec![accept::start(Arc::clone(&shared), Arc::clone(&help))?],
            shared,
            help,
            control: Arc::default(),
            tasks: Vec::new(),
        };
        let told = Arc::clone(&broker.shared);
        let ended = move |initiator, to: &RelayTo, end| back_end::relay_ended(&told, initiator, to, end);
        broker.threads.push(broker.shared.relays.start(Box::new(ended))?);
        broker.threads.extend(help::start(&broker.shared, &broker.help)?);
        let routes = open_routes(&broker.shared, &registry, &config);
        // Last: whoever sees it finds everything else. That another broker runs may be why a route cannot be opened.
        let (listener, access) = control::open(&config)?;
        broker.control = Arc::new(listener);
        routes?;
        let (shared, line) = (Arc::clone(&broker.shared), Arc::clone(&broker.shared.line));
        let errands = errands::run(errands_to_do, Arc::clone(&shared), Arc::clone(&registry));
        let control = control::serve(Arc::clone(&broker.control), access, registry, line);
        broker.tasks = vec![
            tokio::spawn(errands),
            tokio::spawn(control),
            tokio::spawn(async move { shared.tally.run().await }),
        ];
        tracing::info!("ready");
        Ok(broker)
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
    }

    /// Before the registrations end with the tasks: what waits in an accept socket is its worker's, and taken back from none.
    fn stop_threads(&self) {
        self.shared.line.send(Command::Stop);
        self.help.stop();
        self.shared.relays.stop();
    }
}

fn open_routes(shared: &Shared, registry: &Registry, config: &Config) -> Result<(), StartError> {
    for step in [Registry::add_route, Registry::open_route] {
        for route in &config.routes {
            step(registry, route).map_err(|refused| StartError::Route {
                address: route.prefix.address().to_owned(),
                message: refused.message,
            })?;
        }
    }
    let circle = first_circle(config, &shared.table.load());
    circle.map_or(Ok(()), |(route, message)| {
        let address = route.prefix.address().to_owned();
        Err(StartError::Route { address, message: format!("its relay leads back: {message}") })
    })
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop_threads();
        self.tasks.iter().for_each(JoinHandle::abort);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.shared.tally.end();
    }
}
