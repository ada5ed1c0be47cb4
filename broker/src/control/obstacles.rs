//! What keeps a broker from starting with a configuration on this machine, as it is now: all of it, and without starting one. A broker
//! that starts looks here first, `broker check` instead, and a reload for the start that comes after it.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use handoff::administration::admin_path;

use super::ports::{Wanted, wanted};
use super::socket::access;
use super::static_routes::table_of;
use crate::config::{AccessLogTo, Config, Route, Said};
use crate::error::StartError;
use crate::listening::ListenError;
use crate::listening::free::check_free;
use crate::listening::owner::{overlap, runs_this_program, sockets_of};
use crate::log::destination::LogFile;
use crate::log::journal::Journal;
use crate::relay::circle::circles;
use crate::routes::table::Bound;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Obstacles {
    /// With these no broker starts.
    pub(crate) found: Vec<Said>,
    /// With these none starts while a broker runs that has another control socket.
    pub(crate) of_another_broker: Vec<Said>,
    /// A broker runs with this control socket: another does not start, but this one could start again.
    pub(crate) running: Option<Said>,
}

/// Who may have a port without being in the way.
enum Held {
    /// Nobody.
    Never,
    /// Whoever has one of these sockets.
    By(HashSet<u64>),
    /// A broker that runs, whose sockets we may not see.
    Unseen,
}

impl Held {
    fn by(pid: u32) -> Self {
        sockets_of(pid).map_or(Self::Unseen, Self::By)
    }

    fn may_have(&self, port: &ListenError) -> bool {
        match (self, port.holder()) {
            (_, None) | (Self::Never, _) => false,
            (Self::By(sockets), Some(inode)) => sockets.contains(&inode),
            (Self::Unseen, Some(_)) => true,
        }
    }
}

/// Everything that is in the way of a broker that would start with this configuration. `own`: what this process has is not.
///
/// Blocks: it looks at files, and who has a port.
pub(crate) fn obstacles(config: &Config, own: bool) -> Obstacles {
    let mut obstacles = Obstacles::default();
    let (errors, running) = access::check(config);
    obstacles.found.extend(errors.into_iter().map(StartError::said));
    let held = match (&running, own) {
        (_, true) => Held::by(std::process::id()),
        (Some((pid, _)), _) => Held::by(*pid),
        (None, _) => Held::Never,
    };
    obstacles.running = running.map(|(_, error)| error.said());
    obstacles.look_at_http(config, &held);
    obstacles.look_at_the_access_log(config);
    obstacles.look_at_routes(config, &held);
    obstacles
}

impl Obstacles {
    fn note(&mut self, error: StartError) {
        self.found.push(error.said());
    }

    /// A port that cannot be had; `error` has the words for why.
    fn note_port(&mut self, port: ListenError, error: impl FnOnce(String) -> StartError) {
        let said = if port.holder().is_some_and(runs_this_program) {
            &mut self.of_another_broker
        } else {
            &mut self.found
        };
        said.push(error(port.explained()).said());
    }

    fn look_at_http(&mut self, config: &Config, held: &Held) {
        let http = &config.http;
        if let Err(message) = http.check() {
            self.note(StartError::Http { message });
        }
        for (at, &address) in http.listen.iter().enumerate() {
            let not_opened = |why| StartError::Http {
                message: format!("[http] listen {address} cannot be opened: {why}"),
            };
            if let Some(other) = http.listen[..at].iter().find(|other| overlap(**other, address)) {
                self.note(not_opened(format!("{other} in listen has that port already; leave one of them")));
            } else if let Some((route, of_route)) = route_at(config, address) {
                let (place, route) = (route.place.line, route.prefix.address());
                self.note(not_opened(format!(
                    "the route at line {place}, {route}, listens on {of_route}; give another port"
                )));
            } else if let Err(port) = check_free(address, false)
                && !held.may_have(&port)
            {
                self.note_port(port, not_opened);
            }
        }
    }

    fn look_at_the_access_log(&mut self, config: &Config) {
        let Some(to) = &config.access_log.to else { return };
        let can_be = match to {
            AccessLogTo::Stderr => Ok(()),
            AccessLogTo::Journal => Journal::open().map(drop),
            // Which of the two is opened first would be in the way of the other.
            AccessLogTo::File(path) if is_control_socket(config, path) => {
                Err(io::Error::other("that is where the control socket is"))
            }
            AccessLogTo::File(path) => LogFile::check(path),
        };
        if let Err(source) = can_be {
            self.note(StartError::AccessLog { to: to.clone(), source });
        }
    }

    fn look_at_routes(&mut self, config: &Config, held: &Held) {
        for (route, message) in circles(config, &table_of(config)) {
            self.note(StartError::of_route(route, message));
        }
        // A port that cannot be had is said once.
        let (mut said, mut fine) = (BTreeSet::new(), BTreeSet::new());
        for route in &config.routes {
            let wanted = wanted(&config.listen, &route.prefix, &Bound::default());
            if wanted.iter().any(|wanted| said.contains(&wanted.address)) {
                continue;
            }
            if let Some(port) = first_not_free(&wanted, held, &mut fine) {
                said.extend(wanted.iter().map(|wanted| wanted.address));
                self.note_port(port, |why| StartError::of_route(route, why));
            }
        }
    }
}

/// As the registry asks for what a registration wants: what means "all" may be missing, but not all of it. Each address is looked at
/// once: `fine` are those that were.
fn first_not_free(wanted: &[Wanted], held: &Held, fine: &mut BTreeSet<SocketAddr>) -> Option<ListenError> {
    let (mut absent, mut present) = (None, false);
    for &Wanted { address, optional } in wanted {
        let looked_at = if fine.contains(&address) { Ok(()) } else { check_free(address, true) };
        match looked_at {
            Err(port) if optional && port.is_absent() => absent = Some(port),
            Err(port) if !held.may_have(&port) => return Some(port),
            _ => {
                fine.insert(address);
                present = true;
            }
        }
    }
    absent.filter(|_| !present)
}

fn is_control_socket(config: &Config, file: &Path) -> bool {
    let Ok(control) = access::path(config).and_then(|path| Ok(std::path::absolute(path)?)) else {
        return false;
    };
    file == control || (config.admin_group.is_some() && file == admin_path(&control))
}

/// The first route that would listen where HTTP does, and on what.
fn route_at(config: &Config, http: SocketAddr) -> Option<(&Route, SocketAddr)> {
    let routes = config.routes.iter().filter(|route| route.prefix.port() == http.port());
    let mut wanted = routes.flat_map(|route| {
        let wanted = wanted(&config.listen, &route.prefix, &Bound::default());
        wanted.into_iter().map(move |wanted| (route, wanted.address))
    });
    wanted.find(|(_, address)| overlap(http, *address))
}
