//! What is right in a configuration, but not, or not yet, on this machine.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::{Config, RelayTo, Route};

/// How long a name may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many names are looked up at once.
const AT_ONCE: usize = 8;

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
