//! What the accept loop leaves to tokio, because it takes time: slow connections to back-ends, and the ends of others.

use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::command::Job;
use crate::config::RelayTo;
use crate::connection::Connection;
use crate::control::registrar::Registrar;
use crate::dial::dial;
use crate::dispatch::back_end::{RelayRoom, begin, join, not_relayed};
use crate::dispatch::refuse::shut_down;
use crate::relay::relay_loop::CONNECT_TIME;
use crate::routes::holder::{Holder, StaticRoute};
use crate::shared::Shared;
use crate::socket_options::STRAGGLERS;

/// When a Unix socket whose queue was full is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// What is to be done. If nobody does it any more, the broker ends.
#[derive(Debug)]
pub(crate) struct Inbox {
    jobs: UnboundedReceiver<Job>,
    shared: Arc<Shared>,
}

impl Inbox {
    pub(crate) fn new(jobs: UnboundedReceiver<Job>, shared: Arc<Shared>) -> Self {
        Self { jobs, shared }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            if let Job::Relay(connection, _) = job {
                shut_down(&self.shared, connection);
            }
        }
    }
}

/// A connection whose back-end is waited for; the broker may end meanwhile.
#[derive(Debug)]
struct Waiting {
    initiator: Option<Connection>,
    shared: Arc<Shared>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(initiator) = self.initiator.take() {
            shut_down(&self.shared, initiator);
        }
    }
}

/// Does jobs until it is cancelled.
pub(crate) async fn run(mut inbox: Inbox, registrar: Registrar) {
    let mut waiting = JoinSet::new();
    loop {
        let job = tokio::select! {
            Some(job) = inbox.jobs.recv() => job,
            Some(done) = waiting.join_next() => match done {
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                _ => continue,
            },
            else => return,
        };
        match job {
            Job::Gone(id) => {
                registrar
                    .tell(move |registry| registry.leave(id, "its worker has shut the accept socket down"));
            }
            Job::CloseLater(left) => {
                let registrar = registrar.clone();
                waiting.spawn(async move {
                    sleep(STRAGGLERS).await;
                    registrar.tell(move |registry| registry.close_left(&left));
                });
            }
            Job::Relay(initiator, route) => {
                let held = Waiting { initiator: Some(initiator), shared: Arc::clone(&inbox.shared) };
                waiting.spawn(relay(held, route));
            }
        }
    }
}

async fn relay(mut held: Waiting, route: Arc<StaticRoute>) {
    let connected = match &route.to {
        RelayTo::Name(name) => connect_to_name(name, &held.shared).await,
        to => connect_when_there_is_room(to).await,
    };
    let Some(initiator) = held.initiator.take() else { return };
    match connected {
        Ok(back_end) => join(&held.shared, initiator, back_end, route),
        Err(error) => not_relayed(&held.shared, initiator, Holder::Route(route), error),
    }
}

/// An attempt beside another takes a descriptor more, and counts as a relay of its own meanwhile.
async fn connect_to_name(name: &str, shared: &Arc<Shared>) -> Result<OwnedFd, String> {
    let stream = dial(name, CONNECT_TIME, || RelayRoom::take(shared)).await?;
    stream
        .set_nodelay(true)
        .and_then(|()| stream.into_std())
        .map(OwnedFd::from)
        .map_err(|error| error.to_string())
}

/// A Unix socket whose queue was full.
async fn connect_when_there_is_room(to: &RelayTo) -> Result<OwnedFd, String> {
    let begun = async {
        loop {
            match begin(to) {
                Ok(Some(back_end)) => return Ok(back_end),
                Ok(None) => sleep(RETRY).await,
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    let in_time = timeout(CONNECT_TIME, begun).await;
    in_time.unwrap_or_else(|_| Err(format!("its queue was full for {} s", CONNECT_TIME.as_secs())))
}
