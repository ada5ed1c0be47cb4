//! What is right in a configuration, but not, or not yet, on this machine.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::keys::KEYS;
use crate::config::{AccessLog, AccessLogTo, Config, Loaded, Origin, RelayTo, Route};
use crate::control::socket::group_id;
use crate::listening::is_here;

/// Something that may be meant, and where it is said.
#[derive(Debug)]
pub(crate) struct Warning {
    pub(crate) origin: Origin,
    pub(crate) option: &'static str,
    pub(crate) message: String,
}

/// How long a name may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many names are looked up at once.
const AT_ONCE: usize = 8;

/// Everything that can be seen without a right.
///
/// # Errors
/// The system refuses what looking needs.
pub(crate) fn warnings(loaded: &Loaded) -> io::Result<Vec<Warning>> {
    let config = loaded.config();
    let about = |option: &'static str, message: String| {
        let key = KEYS.iter().find(|key| key.option == option);
        Warning { origin: key.map_or(Origin::Default, |key| loaded.origin_of(key)), option, message }
    };
    let mut warnings = Vec::new();
    if let Some(path) = &config.control {
        let taken = path.metadata().is_ok_and(|file| !file.file_type().is_socket());
        warnings.extend(taken.then(|| {
            let path = path.display();
            about("control", format!("control: {path} exists and is no socket; no broker starts with it"))
        }));
    }
    if let Some(group) = &config.control_group {
        let unknown = group_id("control_group", group).err();
        warnings.extend(unknown.map(|error| about("control-group", error.to_string())));
    }
    if let Some(group) = &config.admin_group {
        let unknown = group_id("[admin] group", group).err();
        warnings.extend(unknown.map(|error| about("admin-group", error.to_string())));
    }
    for ip in &config.listen {
        let absent = is_here(SocketAddr::new(*ip, 0)).err();
        warnings.extend(absent.map(|error| about("listen", format!("listen: {error}"))));
    }
    match &config.access_log {
        AccessLog { to: Some(AccessLogTo::File(path)), .. } => {
            let folder = path.parent().unwrap_or(path);
            warnings.extend((!folder.is_dir()).then(|| {
                let message = format!("to: {} is no folder; no broker starts with it", folder.display());
                about("access-log", message)
            }));
        }
        without @ AccessLog { to: None, .. } if *without != AccessLog::default() => {
            let option = if without.outcomes.is_some() { "access-log-outcomes" } else { "access-log-format" };
            warnings.push(about(option, "[access_log] has no `to`: there is no access log".to_owned()));
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut unresolved = BTreeMap::new();
    runtime.block_on(each_unresolved(names(config), |line, message| {
        unresolved.insert(line, message);
    }));
    runtime.shutdown_background();
    for route in &config.routes {
        let messages = [absent_address(route), unresolved.remove(&route.line), absent_back_end(&route.relay)];
        warnings.extend(messages.into_iter().flatten().map(|message| Warning {
            origin: Origin::File { line: route.line },
            option: "",
            message,
        }));
    }
    Ok(warnings)
}

fn absent_address(route: &Route) -> Option<String> {
    let error = is_here(SocketAddr::new(route.literal()?, 0)).err()?;
    Some(format!("the route {}: {error}; no broker starts with it until it is", route.prefix.address()))
}

fn absent_back_end(relay: &RelayTo) -> Option<String> {
    let RelayTo::Unix(path) = relay else { return None };
    let found = no_socket(path)?;
    let relay = relay.to_string();
    Some(format!("the relay {relay:?}: {found}; until a back-end listens there, its connections are refused"))
}

/// Why no socket is at a path, as far as can be seen.
fn no_socket(path: &Path) -> Option<&'static str> {
    match path.metadata() {
        Ok(file) if file.file_type().is_socket() => None,
        Ok(_) => Some("that is no socket"),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Some("nothing is there"),
            _ => None,
        },
    }
}

/// The back-ends that have to be resolved, and at which line.
pub(crate) fn names(config: &Config) -> Vec<(usize, String)> {
    let name = |route: &Route| match &route.relay {
        RelayTo::Name(name) => Some((route.line, name.clone())),
        _ => None,
    };
    config.routes.iter().filter_map(name).collect()
}

/// A name is resolved at each connection. One that cannot be now may be a mistake.
///
/// Cancelled, those that were not resolved yet are not told.
pub(crate) async fn each_unresolved(names: Vec<(usize, String)>, mut tell: impl FnMut(usize, String)) {
    let mut lookups = JoinSet::new();
    let mut names = names.into_iter();
    loop {
        // Those of connections are looked up by the same threads.
        while lookups.len() < AT_ONCE {
            let Some((line, name)) = names.next() else { break };
            lookups.spawn(async move {
                let why = match tokio::time::timeout(PATIENCE, tokio::net::lookup_host(&name)).await {
                    Ok(Ok(_)) => return None,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("there is no answer within {} s", PATIENCE.as_secs()),
                };
                Some((line, format!("the relay {name:?} cannot be resolved: {why}; until it can be, its connections are refused")))
            });
        }
        match lookups.join_next().await {
            None => return,
            Some(Ok(Some((line, message)))) => tell(line, message),
            Some(_) => {}
        }
    }
}
