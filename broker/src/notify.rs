//! What a service manager is told (sd_notify(3)), and that it cannot be. Where nobody wants to know (`NOTIFY_SOCKET`), nothing happens.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;

/// The configuration is read again. It is to hear [`reloaded`] afterwards, whatever comes of it: it waits for that.
pub(crate) async fn reloading() {
    // systemd takes it for the answer to its signal if it was said behind that.
    tell(|| sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])).await;
}

pub(crate) async fn reloaded() {
    tell(|| sd_notify::notify(&[NotifyState::Ready])).await;
}

/// On a thread where it may wait: so does the socket of a service manager that does not read.
pub(crate) async fn tell(notify: impl FnOnce() -> io::Result<()> + Send + 'static) {
    if let Ok(result) = spawn_blocking(notify).await {
        said(result);
    }
}

/// What comes of that: that it cannot be told is said once.
pub(crate) fn said(result: io::Result<()>) {
    static COMPLAINED: AtomicBool = AtomicBool::new(false);
    if let Err(error) = result
        && !COMPLAINED.swap(true, Ordering::Relaxed)
    {
        let socket = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
        tracing::warn!("the service manager cannot be told anything, NOTIFY_SOCKET is {socket:?}: {error}");
    }
}
