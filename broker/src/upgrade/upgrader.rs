//! An upgrade, from the wish to the end of this broker. One at a time.

use std::ffi::OsString;
use std::pin::pin;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};

use handoff::administration::Upgraded;
use sd_notify::NotifyState;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::give::{Everything, Kept};
use super::lingering::AllLingering;
use super::successor::Successor;
use crate::control::configuration::Configuration;
use crate::control::registrar::Registrar;
use crate::lock::lock;
use crate::notify;
use crate::passed::pair::{Message, Pair};
use crate::wanted::{Untold, Wanted};

/// How long the next broker may take until it is ready.
const READY: Duration = Duration::from_secs(10);

/// How much of that this one may have paused.
const PAUSED: Duration = Duration::from_secs(3);

/// How long whoever asked may take to be told, and the next broker to say that it serves.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(crate) struct Upgrader {
    everything: Arc<Everything>,
    registrar: StdMutex<Option<Registrar>>,
    configuration: Arc<Configuration>,
    lingering: Arc<AllLingering>,
    busy: Mutex<()>,
    given_up: Arc<AtomicBool>,
    done: StdMutex<Option<Done>>,
    told: Notify,
}

/// Everything is passed on.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) pid: u32,
    pub(crate) pair: Arc<Pair>,
    pub(crate) child: Option<Child>,
    pub(crate) kept: Kept,
    /// Nobody has a turn any more.
    pub(crate) rest: (crate::control::turns::AtRest, super::lingering::AtRest),
}

impl Upgrader {
    pub(crate) fn new(
        everything: Everything,
        registrar: Registrar,
        configuration: Arc<Configuration>,
        lingering: Arc<AllLingering>,
    ) -> Self {
        Self {
            everything: Arc::new(everything),
            registrar: StdMutex::new(Some(registrar)),
            configuration,
            lingering,
            busy: Mutex::default(),
            given_up: Arc::default(),
            done: StdMutex::default(),
            told: Notify::new(),
        }
    }

    /// Does what is wanted until everything is passed on.
    pub(crate) async fn run(self: Arc<Self>, mut wanted: mpsc::UnboundedReceiver<Wanted>) {
        while let Some(Wanted { binary, asker, answer }) = wanted.recv().await {
            let _busy = self.busy.lock().await;
            let (tell, told) = oneshot::channel();
            let binary = binary.map(OsString::from);
            match self.upgrade_alone(binary, asker, &mut wanted).await {
                Ok((upgraded, done)) => {
                    drop(answer.send((upgraded, Untold(tell))));
                    // An end without a word is one, too.
                    let _ = timeout(LAST_WORDS, told).await;
                    *lock(&self.done) = Some(done);
                    self.told.notify_waiters();
                    break;
                }
                Err(why) => {
                    tracing::error!("upgrade: this broker goes on as if nothing had been: {why}");
                    drop(answer.send((Upgraded::refused(why), Untold(tell))));
                }
            }
        }
        std::future::pending().await
    }

    /// Returns when everything is passed on, once.
    pub(crate) async fn done(&self) -> Done {
        loop {
            let told = self.told.notified();
            if let Some(done) = lock(&self.done).take() {
                return done;
            }
            told.await;
        }
    }

    /// The broker ends: none begins any more, and one that has begun is over.
    pub(crate) async fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        drop(self.busy.lock().await);
        drop(lock(&self.registrar).take());
    }

    /// Whoever wants another meanwhile is told so.
    async fn upgrade_alone(
        &self,
        binary: Option<OsString>,
        asker: Option<u64>,
        wanted: &mut mpsc::UnboundedReceiver<Wanted>,
    ) -> Result<(Upgraded, Done), String> {
        let mut upgrade = pin!(self.upgrade(binary, asker));
        loop {
            tokio::select! {
                upgraded = &mut upgrade => return upgraded,
                Some(Wanted { answer, .. }) = wanted.recv() => {
                    let (tell, _) = oneshot::channel();
                    let refused = Upgraded::refused("an upgrade is under way already");
                    drop(answer.send((refused, Untold(tell))));
                }
            }
        }
    }

    async fn upgrade(
        &self,
        binary: Option<OsString>,
        asker: Option<u64>,
    ) -> Result<(Upgraded, Done), String> {
        if std::process::id() == 1 {
            return Err(
                "this broker is process 1, with which all others end: its container has to be started anew"
                    .to_owned(),
            );
        }
        let Some(program) = binary.or_else(|| std::env::args_os().next()) else {
            return Err("this broker does not know by which name it was started; --binary says it".to_owned());
        };
        let until = Instant::now() + READY;
        tracing::info!("upgrade: starting {}", program.display());
        let given_up = Arc::clone(&self.given_up);
        let started =
            spawn_blocking(move || Successor::start(&program, until, || given_up.load(Ordering::Relaxed)));
        let mut successor = started.await.map_err(|error| error.to_string())??;

        let left = until.saturating_duration_since(Instant::now());
        let _stays = timeout(left, self.configuration.stays())
            .await
            .map_err(|_| "the configuration is being read again, and that takes too long".to_owned())?;
        let rest = (self.everything.shared.turns.all(asker).await, self.lingering.at_rest().await);
        let (everything, given_up) = (Arc::clone(&self.everything), Arc::clone(&self.given_up));
        let registrar = lock(&self.registrar).clone().ok_or("this broker ends")?;
        if let Some(store) = &self.everything.shared.store {
            store.sent().await;
        }
        let given = registrar.ask(move |registry| {
            let (workers, lingering) = (&rest.0.connections, &rest.1);
            let until = until.min(Instant::now() + PAUSED);
            let given_up = || given_up.load(Ordering::Relaxed);
            let given = everything.give(registry, workers, lingering, &mut successor, until, given_up);
            (given, successor, rest)
        });
        let (kept, successor, rest) = given.await;
        let kept = match kept {
            Ok(kept) => kept,
            Err(why) => {
                // Waited for until it is gone.
                let killed = spawn_blocking(move || drop(successor));
                drop(rest);
                let _ = killed.await;
                return Err(why);
            }
        };
        drop(lock(&self.registrar).take());
        let (pid, version) = (successor.pid, successor.version.clone());
        let (pair, child) = successor.let_go();
        let words = Arc::clone(&pair);
        // Before anybody looks at what the service manager knows.
        let told = notify::tell(move || sd_notify::notify(&[NotifyState::MainPid(pid)]));
        let _ = timeout(LAST_WORDS, told).await;
        let serving = spawn_blocking(move || words.receive(Instant::now() + LAST_WORDS)).await;
        let pause = match serving {
            Ok(Ok((Message::Serving { pause_microseconds }, _))) => Some(pause_microseconds),
            _ => None,
        };
        tracing::info!("upgrade: process {pid}, version {version}, serves");
        Ok((Upgraded::to(pid, version, pause), Done { pid, pair, child, kept, rest }))
    }
}
