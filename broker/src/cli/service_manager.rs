//! What systemd is told (sd_notify(3)): that the broker is ready, reads its configuration again, ends, and how it does; and that its
//! threads live, for as long as they do. Where nobody wants to know (`NOTIFY_SOCKET`, `WATCHDOG_USEC`), nothing happens.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::start::Broker;

/// How often it is told how the broker does, if that has changed.
const STATUS: Duration = Duration::from_secs(5);

/// How long the end waits for a service manager that does not read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ServiceManager {
    /// That it cannot be told is said once.
    complained: AtomicBool,
}

impl ServiceManager {
    pub(super) async fn ready(&self, broker: &Broker) {
        let status = broker.summary().await;
        self.tell(move || sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)])).await;
    }

    pub(super) async fn reloading(&self) {
        // systemd takes it for the answer to its signal if it was said behind that.
        self.tell(|| sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])).await;
    }

    pub(super) async fn reloaded(&self) {
        self.tell(|| sd_notify::notify(&[NotifyState::Ready])).await;
    }

    pub(super) async fn stopping(&self) {
        let told = self.tell(|| sd_notify::notify(&[NotifyState::Stopping]));
        let _ = timeout(LAST_WORDS, told).await;
    }

    /// As long as the broker runs.
    pub(super) async fn watch(&self, broker: &Broker) -> Infallible {
        tokio::select! {
            never = self.tell_status(broker) => never,
            never = self.answer_watchdog(broker) => never,
        }
    }

    async fn tell_status(&self, broker: &Broker) -> Infallible {
        if !is_there() {
            return std::future::pending().await;
        }
        let mut last = String::new();
        loop {
            sleep(STATUS).await;
            let now = broker.summary().await;
            if now != last {
                last.clone_from(&now);
                self.tell(move || sd_notify::notify(&[NotifyState::Status(&now)])).await;
            }
        }
    }

    /// Twice in the time after which systemd ends the process, but never for a thread that is stuck.
    async fn answer_watchdog(&self, broker: &Broker) -> Infallible {
        let Some(time) = sd_notify::watchdog_enabled().filter(|_| is_there()) else {
            return std::future::pending().await;
        };
        loop {
            for (thread, mut answer) in broker.threads_answer() {
                if timeout(time / 4, &mut answer).await.is_err() {
                    tracing::error!(
                        "the {thread} thread does not answer; if it goes on like this, the service manager ends the broker"
                    );
                    answer.await;
                    tracing::info!("the {thread} thread answers again");
                }
            }
            self.tell(|| sd_notify::notify(&[NotifyState::Watchdog])).await;
            sleep(time / 2).await;
        }
    }

    /// On a thread where it may wait: so does the socket of a service manager that does not read.
    async fn tell(&self, notify: impl FnOnce() -> io::Result<()> + Send + 'static) {
        if let Ok(Err(error)) = spawn_blocking(notify).await
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            let socket = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
            tracing::warn!(
                "the service manager cannot be told anything, NOTIFY_SOCKET is {socket:?}: {error}"
            );
        }
    }
}

fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}
