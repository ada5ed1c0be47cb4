//! Connections that do not wait any longer, and what is to be done with them.

use std::sync::Arc;

use rustix::io::Errno;

use crate::connection::Connection;
use crate::outcome::Outcome;
use crate::routes::queue::Queue;

/// What becomes of a connection that does not wait any longer.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// It is dispatched again; nothing was read from it.
    Again,
    /// It ends here: as many of its source wait as may, and it may not wait for this queue.
    HasEnough(Arc<Queue>),
    /// It ends here, and this queue is why, if one is; what the system says, if it does.
    End(Outcome, Option<Arc<Queue>>, Option<Errno>),
}

/// Connections that do not wait any longer.
pub(crate) type Leaving = Vec<(Connection, Next)>;

/// All of these, with the same to be done.
pub(super) fn all(connections: impl IntoIterator<Item = Connection>, next: &Next) -> Leaving {
    connections.into_iter().map(|connection| (connection, next.clone())).collect()
}
