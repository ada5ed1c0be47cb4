//! What systemd is told (sd_notify(3)): that the broker is ready, reads its configuration again, ends, and how it does; and that its
//! threads live, for as long as they do. Where nobody wants to know (`NOTIFY_SOCKET`, `WATCHDOG_USEC`), nothing happens.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{sleep, timeout};

use crate::notify;
use crate::start::Broker;

/// How often it is told how the broker does, if that has changed.
const STATUS: Duration = Duration::from_secs(5);

/// How long the end waits for a service manager that does not read.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) async fn ready(broker: &Broker) {
    let status = broker.summary().await;
    notify::tell(move || sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)])).await;
}

pub(super) async fn stopping() {
    let told = notify::tell(|| sd_notify::notify(&[NotifyState::Stopping]));
    let _ = timeout(LAST_WORDS, told).await;
}

/// As long as the broker runs.
pub(super) async fn watch(broker: &Broker) -> Infallible {
    tokio::select! {
        never = tell_status(broker) => never,
        never = answer_watchdog(broker) => never,
    }
}

async fn tell_status(broker: &Broker) -> Infallible {
    if !is_there() {
        return std::future::pending().await;
    }
    let mut last = String::new();
    loop {
        sleep(STATUS).await;
        let now = broker.summary().await;
        if now != last {
            last.clone_from(&now);
            notify::tell(move || sd_notify::notify(&[NotifyState::Status(&now)])).await;
        }
    }
}

/// Twice in the time after which systemd ends the process, but never for a thread that is stuck.
async fn answer_watchdog(broker: &Broker) -> Infallible {
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
        notify::tell(|| sd_notify::notify(&[NotifyState::Watchdog])).await;
        sleep(time / 2).await;
    }
}

fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}
