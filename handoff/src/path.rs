//! Where the control socket is.

use std::path::{Path, PathBuf};

use crate::control::ControlConnection;
use crate::error::HandoffError;

/// The environment variable that names the control socket to workers.
pub const CONTROL_VARIABLE: &str = "NET_TCP_PORT_SHARING_CONTROL";

/// Below `/run` or `XDG_RUNTIME_DIR`.
const BELOW_RUNTIME_DIRECTORY: &str = "net-tcp-port-sharing/control";

/// Where a broker listens that was told nothing: `/run/net-tcp-port-sharing/control` for root,
/// `$XDG_RUNTIME_DIR/net-tcp-port-sharing/control` for others.
///
/// # Errors
/// [`HandoffError::NoControlPath`] for others without `XDG_RUNTIME_DIR`.
pub fn default_control_path() -> Result<PathBuf, HandoffError> {
    if rustix::process::geteuid().is_root() {
        return Ok(system_control_path());
    }
    user_control_path().ok_or(HandoffError::NoControlPath)
}

/// Where a worker finds the broker: at [`CONTROL_VARIABLE`] if set, else as [`default_control_path`]; other users than root
/// fall back to the system's broker when they run none of their own, whether or not one has left its socket behind.
pub fn control_path() -> PathBuf {
    if let Some(path) = std::env::var_os(CONTROL_VARIABLE).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let system = system_control_path();
    default_control_path().map_or_else(|_| system.clone(), |own| whose(own, &system))
}

fn whose(own: PathBuf, system: &Path) -> PathBuf {
    let is_dead = || matches!(ControlConnection::connect(&own), Err(HandoffError::NoBroker { .. }));
    if own != system && system.exists() && is_dead() { system.to_owned() } else { own }
}

pub(crate) fn system_control_path() -> PathBuf {
    Path::new("/run").join(BELOW_RUNTIME_DIRECTORY)
}

fn user_control_path() -> Option<PathBuf> {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty())?;
    Some(Path::new(&directory).join(BELOW_RUNTIME_DIRECTORY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{ControlListener, ControlOptions};

    #[test]
    fn a_socket_that_was_left_behind_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let [own, system] = ["own", "system"].map(|name| folder.path().join(name));
        assert_eq!(whose(own.clone(), &system), own, "neither");
        let _system = ControlListener::bind(&system, &ControlOptions::default()).unwrap();
        assert_eq!(whose(own.clone(), &system), system, "none of its own");
        let broker = ControlListener::bind(&own, &ControlOptions::default()).unwrap();
        assert_eq!(whose(own.clone(), &system), own);
        drop(broker);
        assert!(own.exists());
        assert_eq!(whose(own, &system), system, "it was left behind");
    }
}
