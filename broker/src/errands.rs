//! What the accept loop leaves to tokio, because it takes time: slow connections to back-ends, and the ends of others.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::back_end::{begin, join, not_relayed};
use crate::config::RelayTo;
use crate::line::Errand;
use crate::registry::Registry;
use crate::relay::CONNECT_TIME;
use crate::shared::Shared;
use crate::socket_options::STRAGGLERS;

/// When a Unix socket whose queue was full is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// Does errands until it is cancelled.
pub(crate) async fn run(
    mut errands: UnboundedReceiver<Errand>,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
) {
    let mut waiting = JoinSet::new();
    loop {
        let errand = tokio::select! {
            Some(errand) = errands.recv() => errand,
            Some(_) = waiting.join_next() => continue,
            else => return,
        };
        match errand {
            Errand::Gone(id) => registry.unregister(id),
            Errand::CloseLater(left) => {
                let registry = Arc::clone(&registry);
                waiting.spawn(async move {
                    sleep(STRAGGLERS).await;
                    registry.close_left(&left);
                });
            }
            Errand::Relay(initiator, to) => {
                let shared = Arc::clone(&shared);
                waiting.spawn(async move {
                    let connected = timeout(CONNECT_TIME, wait_for(&to)).await;
                    match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                        Ok(back_end) => join(&shared, initiator, back_end, to),
                        Err(error) => not_relayed(&shared, initiator, &to, error),
                    }
                });
            }
        }
    }
}

async fn wait_for(to: &RelayTo) -> io::Result<OwnedFd> {
    if let RelayTo::Name(name) = to {
        let stream = TcpStream::connect(name.as_str()).await?;
        stream.set_nodelay(true)?;
        return Ok(stream.into_std()?.into());
    }
    loop {
        match begin(to)? {
            Some(back_end) => return Ok(back_end),
            None => sleep(RETRY).await,
        }
    }
}
