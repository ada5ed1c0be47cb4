//! Why a broker does not start.

use std::path::PathBuf;

use handoff::HandoffError;

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No path for the control socket is known.
    #[error(transparent)]
    ControlPath(HandoffError),
    /// The control socket cannot be opened.
    #[error("the control socket {} cannot be opened", path.display())]
    Control {
        /// The control socket.
        path: PathBuf,
        /// Why.
        source: HandoffError,
    },
    /// `control_group` names no group.
    #[error("there is no group {group:?}; `getent group` lists those that this machine knows")]
    Group {
        /// The name.
        group: String,
    },
    /// A static route cannot be opened.
    #[error("the route {address}: {message}")]
    Route {
        /// The route's address.
        address: String,
        /// Why.
        message: String,
    },
    /// The system refuses what every broker needs.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
