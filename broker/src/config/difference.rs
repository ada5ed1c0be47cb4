//! What is different between two configurations: what a broker that reads its own again has to do.

use std::collections::HashMap;
use std::fmt;

use super::keys::{KEYS, OnReload};
use super::loaded::Loaded;
use super::route::Route;

/// One thing that is different in the newer of two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Another value.
    Key {
        /// The key as messages name it: `control`, `[listen] addresses`.
        key: String,
        /// The older value in TOML; `None`: there was none, or it followed from something else.
        from: Option<String>,
        /// The newer one.
        to: Option<String>,
        /// Whether a broker that runs can take it.
        on_reload: OnReload,
    },
    /// The newer one has no route of this address and mode.
    RouteRemoved(Route),
    /// The route of this address and mode leads elsewhere, or its address is written in another way.
    RouteChanged {
        /// As it was.
        from: Route,
        /// As it is.
        to: Route,
    },
    /// The older one has no route of this address and mode.
    RouteAdded(Route),
}

impl Loaded {
    /// What is different in `new`. In this order routes can be changed one by one without two of them meeting. Where values come
    /// from, and in which line a route stands, is no difference.
    ///
    /// ```
    /// use broker::{Change, Loaded};
    ///
    /// let old = Loaded::from_toml("max_pending_connections = 7")?;
    /// let new = Loaded::from_toml("[[route]]\naddress = 'net.tcp://localhost:9000/x'\nrelay = '127.0.0.1:9101'")?;
    /// let said: Vec<String> = old.difference(&new).iter().map(Change::to_string).collect();
    /// assert_eq!(
    ///     said,
    ///     [
    ///         "max_pending_connections is 100, was 7",
    ///         "the route net.tcp://localhost:9000/x (strong_wildcard) to 127.0.0.1:9101 is new",
    ///     ]
    /// );
    /// # Ok::<(), broker::ConfigError>(())
    /// ```
    #[must_use]
    pub fn difference(&self, new: &Self) -> Vec<Change> {
        let (old, new) = (&self.config, &new.config);
        let mut changes: Vec<Change> = Vec::new();
        for key in KEYS {
            let shown = |config| key.kind.is_set(config).then(|| key.kind.shown(config)).flatten();
            let (from, to) = (shown(old), shown(new));
            if from != to {
                changes.push(Change::Key { key: key.to_string(), from, to, on_reload: key.on_reload });
            }
        }
        let is_in = |routes: &[Route], route: &Route| routes.iter().any(|other| other.is(route));
        let removed = old.routes.iter().filter(|route| !is_in(&new.routes, route));
        changes.extend(removed.cloned().map(Change::RouteRemoved));
        for to in &new.routes {
            match old.routes.iter().find(|from| from.is(to)) {
                Some(from) if from.relay == to.relay && from.prefix.address() == to.prefix.address() => {}
                Some(from) => changes.push(Change::RouteChanged { from: from.clone(), to: to.clone() }),
                None => {}
            }
        }
        let added = new.routes.iter().filter(|route| !is_in(&old.routes, route));
        changes.extend(added.cloned().map(Change::RouteAdded));
        changes
    }
}

impl Change {
    /// The changes in sentences. A route that has another mode is one that has changed for whoever reads that, though it is one that
    /// goes and one that comes for whoever does it.
    pub(crate) fn sentences(changes: &[Self]) -> Vec<String> {
        let mut of_address: HashMap<&str, (Vec<&Route>, Vec<&Route>)> = HashMap::new();
        for change in changes {
            match change {
                Self::RouteRemoved(route) => {
                    of_address.entry(route.prefix.address()).or_default().0.push(route);
                }
                Self::RouteAdded(route) => {
                    of_address.entry(route.prefix.address()).or_default().1.push(route);
                }
                _ => {}
            }
        }
        let pair = |route: &Route| match of_address.get(route.prefix.address()) {
            Some((from, to)) => match (&from[..], &to[..]) {
                ([from], [to]) => Some(Self::RouteChanged { from: Route::clone(from), to: Route::clone(to) }),
                _ => None,
            },
            None => None,
        };
        let sentence = |change: &Self| match change {
            Self::RouteRemoved(route) => Some(pair(route).as_ref().unwrap_or(change).to_string()),
            Self::RouteAdded(route) if pair(route).is_some() => None,
            _ => Some(change.to_string()),
        };
        changes.iter().filter_map(sentence).collect()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = |route: &Route| {
            let Route { prefix, relay, .. } = route;
            format!("the route {} ({}) to {relay}", prefix.address(), prefix.mode())
        };
        match self {
            Self::Key { key, from, to, on_reload } => {
                let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
                write!(f, "{key} is {}, was {}", value(to), value(from))?;
                match on_reload {
                    OnReload::Applied => Ok(()),
                    OnReload::Restart => f.write_str("; that needs a restart"),
                }
            }
            Self::RouteRemoved(removed) => write!(f, "{} is gone", route(removed)),
            Self::RouteChanged { from, to } => write!(f, "{} was {}", route(to), route(from)),
            Self::RouteAdded(added) => write!(f, "{} is new", route(added)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loaded(text: &str) -> Loaded {
        Loaded::from_toml(text).unwrap()
    }

    fn said(old: &str, new: &str) -> Vec<String> {
        Change::sentences(&loaded(old).difference(&loaded(new)))
    }

    #[test]
    fn nothing_is_different_in_what_means_the_same() {
        let old = "relay_idle_seconds = 3600\n[[route]]\naddress = 'net.tcp://h/x'\nrelay = '127.0.0.1:1'\n";
        let new = "[listen]\naddresses = []\n\n[[route]]\nrelay = '127.0.0.1:1'\naddress = 'net.tcp://h/x'\n";
        assert_eq!(said(old, new), [""; 0]);
    }

    #[test]
    fn each_key_says_whether_it_needs_a_restart() {
        let new = "control = '/x'\nreceive_timeout_seconds = 2.5\n[listen]\naddresses = ['::1']\n";
        assert_eq!(
            said("", new),
            [
                "control is \"/x\", was not set; that needs a restart",
                "receive_timeout_seconds is 2.5, was 30",
                "[listen] addresses is [\"::1\"], was not set; that needs a restart",
            ]
        );
        assert_eq!(said(new, "").len(), 3);
    }

    /// A route that leads elsewhere, and one that is written in another way; an IP literal makes another of it, and so does the mode,
    /// which is told as a change.
    #[test]
    fn a_route_is_its_address_and_mode() {
        let route = |address: &str, mode: &str, relay: &str| {
            format!("[[route]]\naddress = '{address}'\nhost_name_comparison = '{mode}'\nrelay = '{relay}'\n")
        };
        let old = route("net.tcp://h/x", "strong_wildcard", "127.0.0.1:1");
        for (new, expected) in [
            (
                route("net.tcp://other/X/", "strong_wildcard", "127.0.0.1:1"),
                &[
                    "the route net.tcp://other/X/ (strong_wildcard) to 127.0.0.1:1 was the route net.tcp://h/x \
                   (strong_wildcard) to 127.0.0.1:1",
                ][..],
            ),
            (
                route("net.tcp://h/x", "exact", "127.0.0.1:1"),
                &[
                    "the route net.tcp://h/x (exact) to 127.0.0.1:1 was the route net.tcp://h/x (strong_wildcard) to 127.0.0.1:1",
                ],
            ),
            (
                route("net.tcp://h/x", "exact", "127.0.0.1:2")
                    + &route("net.tcp://h/x", "weak_wildcard", "127.0.0.1:1"),
                &[
                    "the route net.tcp://h/x (strong_wildcard) to 127.0.0.1:1 is gone",
                    "the route net.tcp://h/x (exact) to 127.0.0.1:2 is new",
                    "the route net.tcp://h/x (weak_wildcard) to 127.0.0.1:1 is new",
                ],
            ),
            (
                route("net.tcp://127.0.0.1/x", "strong_wildcard", "127.0.0.1:1"),
                &[
                    "the route net.tcp://h/x (strong_wildcard) to 127.0.0.1:1 is gone",
                    "the route net.tcp://127.0.0.1/x (strong_wildcard) to 127.0.0.1:1 is new",
                ],
            ),
        ] {
            assert_eq!(said(&old, &new), expected);
        }
    }

    /// Any routes that a file can have: each that excludes none before it.
    fn routes() -> impl Strategy<Value = Loaded> {
        let host = prop::sample::select(vec!["localhost", "h", "127.0.0.1", "127.0.0.2", "[::]"]);
        let mode = prop::sample::select(vec!["strong_wildcard", "exact", "weak_wildcard"]);
        let route = (host, "[xX]", mode, 1..3u16).prop_map(|(host, path, mode, relay)| {
            format!(
                "[[route]]\naddress = 'net.tcp://{host}/{path}'\nhost_name_comparison = '{mode}'\nrelay = '192.0.2.1:{relay}'\n"
            )
        });
        prop::collection::vec(route, 0..12).prop_map(|routes| {
            let text = routes.into_iter().fold(String::new(), |text, route| {
                let more = text.clone() + &route;
                if Loaded::from_toml(&more).is_ok() { more } else { text }
            });
            loaded(&text)
        })
    }

    /// What is the same in two routes that a client cannot tell apart.
    fn seen(route: &Route) -> (String, String, String) {
        (route.prefix.address().to_owned(), route.prefix.mode().to_string(), route.relay.to_string())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn the_difference_makes_the_new_of_the_old(old in routes(), new in routes()) {
            let mut routes = old.config.routes.clone();
            for change in old.difference(&new) {
                let take = |routes: &mut Vec<Route>, route: &Route| {
                    let at = routes.iter().position(|there| there == route).expect("it is there");
                    routes.remove(at);
                };
                let added = match change {
                    Change::RouteRemoved(route) => {
                        take(&mut routes, &route);
                        continue;
                    }
                    Change::RouteChanged { from, to } => {
                        prop_assert_ne!(seen(&from), seen(&to));
                        take(&mut routes, &from);
                        to
                    }
                    Change::RouteAdded(route) => route,
                    Change::Key { .. } => panic!("no key differs"),
                };
                // A registry would refuse it.
                prop_assert!(!routes.iter().any(|there| there.excludes(&added)), "{added:?} meets one of {routes:?}");
                routes.push(added);
            }
            let sorted = |routes: &[Route]| {
                let mut routes: Vec<_> = routes.iter().map(seen).collect();
                routes.sort();
                routes
            };
            prop_assert_eq!(sorted(&routes), sorted(&new.config.routes));
        }
    }
}
