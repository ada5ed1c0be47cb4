//! What is right in a configuration, but not, or not yet, on this machine.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::{About, Config, Loaded, Place, RelayTo, Route, Said};
use crate::listening::is_here;

/// How long a name may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many names are looked up at once.
const AT_ONCE: usize = 8;

/// What is no obstacle.
///
/// # Errors
/// The system refuses what looking needs.
pub(crate) fn warnings(loaded: &Loaded) -> io::Result<Vec<Said>> {
    let config = loaded.config();
    let mut warnings = Vec::new();
    for ip in &config.listen {
        let absent = is_here(SocketAddr::new(*ip, 0)).err();
        warnings.extend(absent.map(|error| Said::of_key("listen", format!("listen: {error}"))));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut unresolved = BTreeMap::new();
    runtime.block_on(each_unresolved(names(config), |place, message| {
        unresolved.insert(place, message);
    }));
    runtime.shutdown_background();
    for route in &config.routes {
        let messages = [unresolved.remove(&route.place), absent_back_end(&route.relay)];
        let said = |message| Said { about: About::At(route.place), message };
        warnings.extend(messages.into_iter().flatten().map(said));
    }
    Ok(warnings)
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

/// The back-ends that have to be resolved, and the routes to them.
pub(crate) fn names(config: &Config) -> Vec<(Place, String)> {
    let name = |route: &Route| match &route.relay {
        RelayTo::Name(name) => Some((route.place, name.clone())),
        _ => None,
    };
    config.routes.iter().filter_map(name).collect()
}

/// A name is resolved at each connection. One that cannot be now may be a mistake.
///
/// Cancelled, those that were not resolved yet are not told.
pub(crate) async fn each_unresolved(names: Vec<(Place, String)>, mut tell: impl FnMut(Place, String)) {
    let mut lookups = JoinSet::new();
    let mut names = names.into_iter();
    loop {
        // Those of connections are looked up by the same threads.
        while lookups.len() < AT_ONCE {
            let Some((place, name)) = names.next() else { break };
            lookups.spawn(async move {
                let why = match tokio::time::timeout(PATIENCE, tokio::net::lookup_host(&name)).await {
                    Ok(Ok(_)) => return None,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("there is no answer within {} s", PATIENCE.as_secs()),
                };
                Some((place, format!("the relay {name:?} cannot be resolved: {why}; until it can be, its connections are refused")))
            });
        }
        match lookups.join_next().await {
            None => return,
            Some(Ok(Some((place, message)))) => tell(place, message),
            Some(_) => {}
        }
    }
}
