//! A connection to a back-end that has a name.

use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// Connects to `NAME:PORT` within this time. An attempt beside another needs `room`; without it the other is waited for.
///
/// # Errors
/// What came of each address.
pub(crate) async fn dial<R: Send + 'static>(
    name: &str,
    time: Duration,
    room: impl Fn() -> Option<R>,
) -> Result<TcpStream, String> {
    let end = Instant::now() + time;
    let Ok(resolved) = timeout_at(end, lookup_host(name)).await else {
        return Err(format!("the name was not resolved within {} s", time.as_secs()));
    };
    let addresses = resolved.map_err(|error| format!("the name cannot be resolved: {error}"))?;
    happy_eyeballs::connect(addresses, Some(end), room).await.map_err(|error| error.to_string())
}
