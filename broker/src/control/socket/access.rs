//! The control sockets of a broker, and who may do what on each: one for workers, and beside it, if the configuration has an
//! `[admin] group`, one for the members of that.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff::administration::admin_path;
use handoff::tokio::AsyncControlPeer;
use handoff::{ControlListener, ControlOptions, HandoffError, Refused, RefusedReason};
use nix::unistd::Group;
use rustix::process::getuid;

use super::opened::ControlSocket;
use crate::config::Config;
use crate::control::denied::refused;
use crate::error::StartError;
use crate::passed::manifest::Control;

/// Who may do what on a control socket.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    user: u32,
    /// The file system keeps everyone else out, supplementary groups considered.
    group_only: bool,
    /// On the socket for administrators: where workers register.
    workers: Option<Arc<Path>>,
}

impl Access {
    pub(super) fn admits(&self, peer: &AsyncControlPeer) -> bool {
        let uid = peer.credentials().uid;
        uid == 0 || uid == self.user || self.group_only
    }

    /// Whether the peer may see what others registered, and change it.
    ///
    /// # Errors
    /// What it is told.
    pub(super) fn admits_administrator(&self, peer: &AsyncControlPeer) -> Result<(), Refused> {
        let uid = peer.credentials().uid;
        if uid == 0 || uid == self.user || self.workers.is_some() {
            return Ok(());
        }
        let message =
            "only root, the broker's own user and members of its configuration's [admin] group may ask this";
        Err(refused(RefusedReason::AccessDenied, None, message.to_owned()))
    }

    /// Whether the peer may say which program the next broker is: it could say any, and would be the broker's user by it.
    pub(super) fn may_name_a_program(&self, peer: &AsyncControlPeer) -> bool {
        let uid = peer.credentials().uid;
        uid == 0 || uid == self.user
    }

    /// Whether it is the socket for administrators.
    pub(super) fn is_for_administrators(&self) -> bool {
        self.workers.is_some()
    }

    /// Whether somebody may register here.
    ///
    /// # Errors
    /// What it is told.
    pub(super) fn admits_worker(&self) -> Result<(), Refused> {
        let Some(workers) = &self.workers else { return Ok(()) };
        let message = format!("this socket is for administrators; workers register on {}", workers.display());
        Err(refused(RefusedReason::AccessDenied, None, message))
    }
}

/// A control socket that is open, and who may do what on it.
pub(crate) type Opened = (ControlSocket, Access);

/// What another process had: the control socket, and that for administrators.
pub(crate) type Passed = [Option<(Control, OwnedFd)>; 2];

/// Opens the control socket, and that for administrators if there is one; a living broker is never displaced. One that another
/// process had at the same path stays.
pub(crate) fn open(config: &Config, passed: Passed) -> Result<(Opened, Option<Opened>), StartError> {
    let path = path(config)?;
    let (user, options) = (getuid().as_raw(), of_workers(config)?);
    let of_administrators = of_administrators(config)?;
    let open = |path: PathBuf, options, passed: Option<(Control, OwnedFd)>| {
        if let Some((passed, socket)) = passed.filter(|(passed, _)| passed.path == path) {
            return Ok(ControlSocket::inherited(path, options, socket, passed.file)?);
        }
        let opened = ControlSocket::open(path.clone(), options);
        opened.map_err(|source| StartError::Control { path, source })
    };
    let [passed, passed_admin] = passed;
    let socket = open(path.clone(), options, passed)?;
    tracing::info!("control socket: {}", path.display());
    let access = Access { user, group_only: config.control_group.is_some(), workers: None };
    let Some(options) = of_administrators else { return Ok(((socket, access), None)) };
    let administrators = open(admin_path(&path), options, passed_admin)?;
    tracing::info!("control socket for administrators: {}", administrators.path().display());
    let theirs = Access { user, group_only: true, workers: Some(path.into()) };
    Ok(((socket, access), Some((administrators, theirs))))
}

/// Whether that could be done, now; and the broker that has them already, by its process, with what another that starts says of it.
pub(crate) fn check(config: &Config) -> (Vec<StartError>, Option<(u32, StartError)>) {
    let (mut errors, mut running) = (Vec::new(), None);
    let mut noted = |result: Result<_, _>| result.map_err(|error| errors.push(error)).ok();
    let workers = noted(of_workers(config).map(Some)).flatten();
    let administrators = noted(of_administrators(config)).flatten();
    let path = match path(config) {
        Ok(path) => path,
        Err(error) => {
            errors.push(error);
            return (errors, running);
        }
    };
    let beside = admin_path(&path);
    for (path, options) in [(path, workers), (beside, administrators)] {
        let Some(options) = options else { continue };
        match ControlListener::check(&path, &options) {
            Ok(None) => {}
            Ok(Some(pid)) => {
                let source = HandoffError::AlreadyRunning { path: path.clone() };
                running.get_or_insert((pid, StartError::Control { path, source }));
            }
            Err(source) => errors.push(StartError::Control { path, source }),
        }
    }
    (errors, running)
}

fn of_workers(config: &Config) -> Result<ControlOptions, StartError> {
    let options = ControlOptions::default();
    Ok(match &config.control_group {
        Some(group) => options.with_group(group_id("control_group", group)?),
        None => options,
    })
}

fn of_administrators(config: &Config) -> Result<Option<ControlOptions>, StartError> {
    let Some(group) = &config.admin_group else { return Ok(None) };
    Ok(Some(ControlOptions::default().with_group(group_id("[admin] group", group)?)))
}

/// Where workers register.
///
/// # Errors
/// No path is known.
pub(crate) fn path(config: &Config) -> Result<PathBuf, StartError> {
    if let Some(path) = &config.control {
        return Ok(path.clone());
    }
    match std::env::var_os(handoff::CONTROL_VARIABLE) {
        Some(path) if !path.is_empty() => Ok(path.into()),
        _ => handoff::default_control_path().map_err(StartError::ControlPath),
    }
}

/// The number of a group that a key names, by its name or by the number.
///
/// # Errors
/// There is none of that name.
fn group_id(key: &'static str, group: &str) -> Result<u32, StartError> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    match Group::from_name(group) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        _ => Err(StartError::Group { key, group: group.to_owned() }),
    }
}
