//! What a broker does when it has passed everything on.

use std::sync::Arc;

use super::{ACCESS, BACKGROUND, Broker, LOG};
use crate::upgrade::linger::Linger;
use crate::upgrade::upgrader::Done;

impl Broker {
    /// Returns when everything is passed on, once; then there is [`Broker::linger`] alone.
    pub(crate) async fn passed_on(&self) -> Done {
        match &self.upgrader {
            Some(upgrader) => upgrader.done().await,
            None => std::future::pending().await,
        }
    }

    /// Relays what it has until that is over, for no longer than `relay_linger`, and not when `end` comes.
    pub(crate) async fn linger(mut self, done: Done, end: impl Future<Output = ()>) {
        let Done { pid, pair, child, kept, rest } = done;
        let time = self.shared.relay_linger.get();
        self.was_ready = false;
        self.help.stop();
        let (kept_tasks, others): (Vec<_>, Vec<_>) =
            self.tasks.drain(..).partition(|(name, _)| [BACKGROUND, LOG, ACCESS].contains(name));
        self.tasks = kept_tasks;
        for (_, task) in others {
            task.abort();
            let _ = task.await;
        }
        // Nothing that is the next broker's stays open here: it could not close it.
        drop(rest);
        (self.configuration, self.upgrader, self.administrators) = (None, None, None);
        self.lingering.leave();
        if let Some(mut http) = self.http.take() {
            let _ = tokio::task::spawn_blocking(move || http.stop()).await;
        }
        // Told when it ends, as nobody else would be.
        if let Some(mut child) = child {
            std::thread::spawn(move || child.wait());
        }
        let mut linger = Linger::new(Arc::clone(&self.shared), pair, kept);
        let connections = linger.connections();
        if connections > 0 {
            let seconds = time.as_secs();
            tracing::info!(
                "upgrade: process {pid} goes on; {connections} relays stay in this one until they end, for {seconds} s at most"
            );
        }
        tokio::select! {
            lingered = linger.run(time) => {
                if let Err(error) = lingered {
                    tracing::error!("upgrade: relays cannot go on here: {error}");
                }
            }
            () = end => {}
        }
        self.stop_threads();
        for (_, task) in std::mem::take(&mut self.tasks) {
            task.abort();
            let _ = task.await;
        }
        self.join_threads();
        linger.last_words();
        tracing::info!("upgrade: everything is process {pid}'s, this one ends");
    }
}
