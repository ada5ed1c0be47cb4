//! What can go wrong on the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::message::Malformed;
use crate::path::system_control_path;
use crate::reply::Refused;

/// Why a control connection could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoffError {
    /// Nothing listens at the control socket. The service is never enabled by itself.
    #[error("no port sharing broker runs at {}; {}", path.display(), how_to_start(path))]
    NoBroker {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The control socket's file permissions keep this process out.
    #[error("this user may not use the port sharing broker at {} (its --control-group admits a group)", path.display())]
    AccessDenied {
        /// The control socket.
        path: PathBuf,
    },
    /// Another broker listens at the path.
    #[error("a port sharing broker already runs at {}", path.display())]
    AlreadyRunning {
        /// The control socket.
        path: PathBuf,
    },
    /// Something that is no socket stands at the path.
    #[error("{} exists and is no socket: no port sharing broker can be there", path.display())]
    NoSocket {
        /// The file.
        path: PathBuf,
    },
    /// The socket at the path is of another type than a broker's: another program's.
    #[error(
        "the socket {} is another program's, no port sharing broker's; name the broker's control socket with --control or \
         NET_TCP_PORT_SHARING_CONTROL",
        path.display()
    )]
    OtherSocket {
        /// The socket.
        path: PathBuf,
    },
    /// A path that no Unix socket can have.
    #[error(
        "the path {} of the control socket has {} octets, and at most {longest} are possible; name a shorter one with --control \
         or NET_TCP_PORT_SHARING_CONTROL",
        path.display(), path.as_os_str().len()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// How many octets it may have.
        longest: usize,
    },
    /// The broker has taken the control connection and said nothing for as long as this side waits.
    #[error(
        "the port sharing broker at {} has not answered for {} s: is it stopped, or does it hang? It can be started again without \
         harm to connections that were handed over",
        path.display(), waited.as_secs()
    )]
    NoAnswer {
        /// The control socket.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// There is no default path: not root, and `XDG_RUNTIME_DIR` is not set.
    #[error(
        "XDG_RUNTIME_DIR is not set; name the control socket with --control or NET_TCP_PORT_SHARING_CONTROL"
    )]
    NoControlPath,
    /// The broker refused the request.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The other side closed the control connection.
    #[error("the control connection was closed")]
    Closed,
    /// A reply is not of the protocol's form, or not one to the request.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The reply to a registration carries no accept socket.
    #[error("the broker's reply carries no accept socket")]
    DescriptorMissing,
    /// The descriptor table is full: the accept socket could not be received. The registration must be ended.
    #[error("no descriptor is free for the accept socket")]
    ControlTruncated,
    /// Everything else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for HandoffError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// The unit's broker is at one place only.
fn how_to_start(path: &Path) -> String {
    if path == system_control_path() {
        return "an administrator enables it with `systemctl enable --now net-tcp-port-sharing`".to_owned();
    }
    format!("`broker run --control {}` starts one", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_named_where_its_broker_would_be() {
        let said = |path: PathBuf| HandoffError::NoBroker { path }.to_string();
        assert!(said(system_control_path()).contains("systemctl enable --now net-tcp-port-sharing"));
        assert!(!said("/elsewhere".into()).contains("systemctl"));
    }
}
