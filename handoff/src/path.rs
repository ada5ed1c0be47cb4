//! Where the control socket is.

use std::path::{Path, PathBuf};

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
/// fall back to the system's broker when they run none of their own.
pub fn control_path() -> PathBuf {
    if let Some(path) = std::env::var_os(CONTROL_VARIABLE).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let system = system_control_path();
    match default_control_path() {
        Ok(own) if own.exists() || !system.exists() => own,
        _ => system,
    }
}

fn system_control_path() -> PathBuf {
    Path::new("/run").join(BELOW_RUNTIME_DIRECTORY)
}

fn user_control_path() -> Option<PathBuf> {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty())?;
    Some(Path::new(&directory).join(BELOW_RUNTIME_DIRECTORY))
}
