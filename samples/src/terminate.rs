//! When a service process ends.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Completes on ENTER, SIGINT or SIGTERM. End of input counts at a terminal only: a service whose standard input is
/// `/dev/null` keeps running.
///
/// # Errors
/// Signals cannot be waited for.
pub fn enter_or_signal() -> io::Result<impl Future<Output = ()>> {
    input_or_signal(|| {
        let mut line = String::new();
        matches!(io::stdin().read_line(&mut line), Ok(1..)) || io::stdin().is_terminal()
    })
}

/// Completes on end of input, SIGINT or SIGTERM: for a process whose starter holds the other end of a pipe, and takes it
/// along however it ends.
///
/// # Errors
/// Signals cannot be waited for.
pub fn end_of_input_or_signal() -> io::Result<impl Future<Output = ()>> {
    input_or_signal(|| {
        drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
        true
    })
}

/// `input` waits on a thread of its own, because a read of a terminal cannot be taken back; it says whether to end.
fn input_or_signal(input: impl FnOnce() -> bool + Send + 'static) -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("input".into()).spawn(move || {
        if input() {
            let _ = ended.send(());
        }
    })?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            Ok(()) = end => {}
        }
    })
}
