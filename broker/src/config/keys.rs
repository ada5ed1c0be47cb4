//! The shape of the configuration: which keys there are, what their values are, and what is wrong in words that need no source:
//! the line, the key, and what to write instead.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use strsim::levenshtein;
use toml::de::{DeTable, DeValue};

/// What `max_pending_connections` may be: 0 would refuse everything, as in the original.
pub(crate) const PENDING: RangeInclusive<usize> = 1..=100_000;
/// What a bound of what workers may hold may be.
pub(crate) const QUOTA: RangeInclusive<usize> = 1..=1 << 20;

/// What is wrong, and at which octet of the text.
type Wrong = (usize, String);

struct Key {
    name: &'static str,
    value: Value,
    /// How it is written.
    example: &'static str,
    required: bool,
}

enum Value {
    Text,
    Whole(RangeInclusive<usize>),
    Seconds,
    OneOf(&'static [&'static str]),
    Ips,
    /// `[name]`
    Table(&'static [Key]),
    /// `[[name]]`, each
    Tables(&'static [Key]),
}

const fn may(name: &'static str, value: Value, example: &'static str) -> Key {
    Key { name, value, example, required: false }
}

const fn must(name: &'static str, value: Value, example: &'static str) -> Key {
    Key { name, value, example, required: true }
}

const TOP: &[Key] = &[
    may("control", Value::Text, "control = '/run/net-tcp-port-sharing/control'"),
    may("control_group", Value::Text, "control_group = 'wcf'"),
    may("receive_timeout_seconds", Value::Seconds, "receive_timeout_seconds = 30"),
    may("relay_idle_seconds", Value::Seconds, "relay_idle_seconds = 3600"),
    may("max_pending_connections", Value::Whole(PENDING), "max_pending_connections = 100"),
    may("max_addresses_per_registration", Value::Whole(QUOTA), "max_addresses_per_registration = 1024"),
    may("max_registrations_per_user", Value::Whole(QUOTA), "max_registrations_per_user = 128"),
    may("max_listeners_per_user", Value::Whole(QUOTA), "max_listeners_per_user = 64"),
    may("max_control_connections_per_user", Value::Whole(QUOTA), "max_control_connections_per_user = 128"),
    may("compatibility", Value::OneOf(&["default", "smsvchost"]), "compatibility = 'default'"),
    may("listen", Value::Table(LISTEN), "[listen] on a line of its own, and addresses = [...] below it"),
    may(
        "route",
        Value::Tables(ROUTE),
        "[[route]] on a line of its own for each, and address and relay below it",
    ),
];
const LISTEN: &[Key] = &[must("addresses", Value::Ips, "addresses = ['127.0.0.1', '::1']")];
const ROUTE: &[Key] = &[
    must("address", Value::Text, "address = 'net.tcp://localhost:9000/calc'"),
    may(
        "host_name_comparison",
        Value::OneOf(&["strong_wildcard", "exact", "weak_wildcard"]),
        "host_name_comparison = 'exact'",
    ),
    must("relay", Value::Text, "relay = '127.0.0.1:9101'"),
];

/// Where a key stands, for people.
const PLACES: [(&[Key], &str); 3] = [(TOP, ""), (LISTEN, " in [listen]"), (ROUTE, " in [[route]]")];

/// Refuses what is not of this shape, where it stands.
pub(crate) fn check_keys(text: &str) -> Result<(), Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let message = match (error.message().trim_end(), text.get(span.clone())) {
            ("duplicate key", Some(key)) => {
                format!("{} is there twice; leave one", key.trim_matches(['[', ']', ' ']).escape_debug())
            }
            (message, _) => format!("{message}{}", example_at(text, span.start)),
        };
        (span.start, message)
    })?;
    check_table(table.get_ref(), 0, TOP, "")
}

/// How the key is written that this line seems to be about.
fn example_at(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = text.get(before.rfind('\n').map_or(0, |end| end + 1)..).and_then(|rest| rest.lines().next());
    let name = line.and_then(|line| line.split('=').next()).unwrap_or_default().trim();
    let known = PLACES.iter().flat_map(|(keys, _)| keys.iter()).find(|key| key.name == name);
    known.map_or_else(String::new, |key| format!("; write {}", key.example))
}

fn check_table(table: &DeTable<'_>, at: usize, keys: &[Key], place: &str) -> Result<(), Wrong> {
    let unknown = table.keys().filter(|key| !keys.iter().any(|known| known.name == key.get_ref().as_ref()));
    if let Some(key) = unknown.min_by_key(|key| key.span().start) {
        return Err((key.span().start, unknown_key(key.get_ref(), keys, place)));
    }
    for key in keys {
        match table.get(key.name) {
            Some(value) => check_value(key, value.get_ref(), value.span().start)?,
            None if key.required => {
                let message = format!("{} is missing{place}; write {}", key.name, key.example);
                return Err((at, message));
            }
            None => {}
        }
    }
    Ok(())
}

/// So many letters may be wrong in a word that was meant.
const CLOSE: usize = 3;

fn unknown_key(name: &str, keys: &[Key], place: &str) -> String {
    let far = |known: &str| match known.starts_with(name) {
        true => 1,
        false => levenshtein(name, known),
    };
    let here = |known: &&Key| keys.iter().any(|key| key.name == known.name);
    let all = PLACES.iter().flat_map(|(keys, place)| keys.iter().map(move |key| (key, *place)));
    let nearest = all.min_by_key(|(key, _)| (far(key.name) > CLOSE, !here(key), far(key.name)));
    let hint = match nearest {
        Some((known, elsewhere)) if far(known.name) <= CLOSE => {
            let elsewhere = if here(&known) { "" } else { elsewhere };
            format!("did you mean `{}`{elsewhere}?", known.name)
        }
        _ => format!("there are {}", keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")),
    };
    format!("unknown key `{}`{place}; {hint}", name.escape_debug())
}

fn check_value(key: &Key, value: &DeValue<'_>, at: usize) -> Result<(), Wrong> {
    let Key { name, example, .. } = key;
    match (&key.value, value) {
        (Value::Text, DeValue::String(_)) | (Value::Seconds, DeValue::Integer(_) | DeValue::Float(_)) => {
            Ok(())
        }
        (Value::Whole(range), DeValue::Integer(number)) => {
            let parsed = usize::from_str_radix(number.as_str(), number.radix());
            match parsed.is_ok_and(|number| range.contains(&number)) {
                true => Ok(()),
                false => Err((at, out_of_range(name, number, range))),
            }
        }
        (Value::OneOf(known), DeValue::String(text)) => match known.contains(&text.as_ref()) {
            true => Ok(()),
            false => Err((at, format!("{name} is {text:?}; it must be {}", known.join(" or ")))),
        },
        (Value::Ips, DeValue::Array(ips)) => ips.iter().try_for_each(|ip| match ip.get_ref() {
            DeValue::String(text) => listen_address(text).map(drop).map_err(|why| (ip.span().start, why)),
            other => Err((ip.span().start, wrong_type(&format!("an entry of {name}"), other, example))),
        }),
        (Value::Table(keys), DeValue::Table(table)) => check_table(table, at, keys, " in [listen]"),
        (Value::Tables(keys), DeValue::Array(tables)) => {
            tables.iter().try_for_each(|table| match table.get_ref() {
                DeValue::Table(of) => check_table(of, table.span().start, keys, " in [[route]]"),
                other => {
                    Err((table.span().start, wrong_type(&format!("an entry of {name}"), other, example)))
                }
            })
        }
        (_, other) => Err((at, wrong_type(name, other, example))),
    }
}

fn wrong_type(name: &str, value: &DeValue<'_>, example: &str) -> String {
    let article = if value.type_str().starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{name} is {article} {}; write {example}", value.type_str())
}

/// A number that is none of these.
fn out_of_range(name: &str, number: impl std::fmt::Display, range: &RangeInclusive<usize>) -> String {
    format!("{name} is {number}; it must be from {} to {}", range.start(), range.end())
}

/// What "all addresses" may mean.
pub(crate) fn listen_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is no IP address; write one of this machine's, without a port, such as 127.0.0.1 or ::1"
        )
    })
}

/// A bound of a queue, or of what workers may hold.
pub(crate) fn whole(text: &str, range: &RangeInclusive<usize>) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| out_of_range("it", format_args!("{text:?}"), range))
}
