//! Unknown keys of the configuration: refused with their line and the nearest key that exists.

use strsim::levenshtein;
use toml::de::{DeTable, DeValue};

/// What is wrong, and at which octet of the text.
type Wrong = (usize, String);

const TOP: &[&str] = &[
    "control",
    "control_group",
    "receive_timeout_seconds",
    "relay_idle_seconds",
    "max_pending_connections",
    "max_addresses_per_registration",
    "max_registrations_per_user",
    "max_listeners_per_user",
    "max_control_connections_per_user",
    "compatibility",
    "listen",
    "route",
];
const LISTEN: &[&str] = &["addresses"];
const ROUTE: &[&str] = &["address", "host_name_comparison", "relay"];

/// Refuses the first key that is not known where it stands.
pub(crate) fn check_keys(text: &str) -> Result<(), Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        (error.span().map_or(0, |span| span.start), error.message().trim_end().to_owned())
    })?;
    let table = table.get_ref();
    check(table, TOP, "")?;
    if let Some(listen) = table.get("listen") {
        let DeValue::Table(listen) = listen.get_ref() else {
            let message = "listen is a table: [listen] on a line of its own, and addresses = [...] below it";
            return Err((listen.span().start, message.to_owned()));
        };
        check(listen, LISTEN, " in [listen]")?;
    }
    if let Some(routes) = table.get("route") {
        let no_tables = |at: usize| {
            (
                at,
                "routes are tables: [[route]] on a line of its own for each, and address and relay below it"
                    .to_owned(),
            )
        };
        let DeValue::Array(all) = routes.get_ref() else { return Err(no_tables(routes.span().start)) };
        for route in all.iter() {
            let DeValue::Table(table) = route.get_ref() else { return Err(no_tables(route.span().start)) };
            check(table, ROUTE, " in [[route]]")?;
        }
    }
    Ok(())
}

fn check(table: &DeTable<'_>, known: &[&str], place: &str) -> Result<(), Wrong> {
    let unknown = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
    let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
    let name: &str = key.get_ref().as_ref();
    let nearest = known.iter().min_by_key(|known| levenshtein(name, known)).copied().unwrap_or_default();
    let message = format!("unknown key `{}`{place}; did you mean `{nearest}`?", name.escape_debug());
    Err((key.span().start, message))
}
