//! Reads the TOML file. What is wrong is said in words that need no source: the place, the key, and what to write instead.

use std::collections::BTreeMap;

use router::HostNameComparison;
use strsim::levenshtein;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::keys::KEYS;
use super::kind::{CLOSE, Unfit, one_of};
use super::route::{self, RelayTo, Route};
use super::settings::Config;

/// What is wrong, and at which octet of the text.
type Wrong = (usize, String);

/// A name that may stand in a table.
struct Name {
    name: &'static str,
    example: String,
    required: bool,
}

/// The keys of a `[[route]]`: there may be many, so that they are no options.
const ROUTE: [(&str, &str, bool); 3] = [
    ("address", "'net.tcp://localhost:9000/calc'", true),
    ("host_name_comparison", "'exact'", false),
    ("relay", "'127.0.0.1:9101'", true),
];
/// The first goes without saying.
const MODES: [&str; 3] = ["strong_wildcard", "exact", "weak_wildcard"];

/// The tables, "" for none.
fn tables() -> Vec<&'static str> {
    let mut tables: Vec<_> = KEYS.iter().map(|key| key.table).collect();
    tables.dedup();
    tables
}

/// What may stand in a table, in `"route"`, or, `""`, in none.
fn names(table: &str) -> Vec<Name> {
    if table == "route" {
        let route = |(name, example, required): (_, &str, _)| Name {
            name,
            example: format!("{name} = {example}"),
            required,
        };
        return ROUTE.map(route).into();
    }
    let keys = KEYS.iter().filter(|key| key.table == table).map(|key| Name {
        name: key.name,
        example: format!("{} = {}", key.name, key.example),
        required: key.required,
    });
    let mut names: Vec<_> = keys.collect();
    if table.is_empty() {
        let table = |name: &'static str| Name { name, example: table_example(name), required: false };
        names.extend(tables().into_iter().filter(|name| !name.is_empty()).chain(["route"]).map(table));
    }
    names
}

fn table_example(table: &str) -> String {
    match table {
        "route" => "[[route]] on a line of its own for each, and address and relay below it".to_owned(),
        _ => {
            let first = names(table).into_iter().next().map(|name| name.example).unwrap_or_default();
            format!("[{table}] on a line of its own, and {first} below it")
        }
    }
}

/// Where a name stands, for people.
fn place_of(table: &str) -> String {
    match table {
        "" => String::new(),
        "route" => " in [[route]]".to_owned(),
        _ => format!(" in [{table}]"),
    }
}

/// The configuration in a text, and where the value of each key that is there stands, by its option.
pub(super) fn read(text: &str) -> Result<(Config, BTreeMap<&'static str, Place>), ConfigError> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let is_twice = |error: &toml::de::Error| error.message().trim_end() == TWICE;
    // What a text says behind what is no TOML is a guess; but a second value does not make the others unclear.
    let told = errors.iter().position(|error| !is_twice(error)).map_or(errors.len(), |at| at + 1);
    let mut wrong: Vec<Wrong> = errors.iter().take(told).map(|error| no_toml(text, error)).collect();
    if errors.iter().any(|error| !is_twice(error)) {
        return Err(ConfigError::at(text, wrong));
    }
    let document = document.get_ref();
    check_names(document, 0, "", &mut wrong);
    let (mut config, mut places) = (Config::default(), BTreeMap::new());
    for table_name in tables() {
        let Some((table, at)) = table(document, table_name, &mut wrong) else { continue };
        if !table_name.is_empty() {
            check_names(table, at, table_name, &mut wrong);
        }
        for key in KEYS.iter().filter(|key| key.table == table_name) {
            let Some(value) = table.get(key.name) else { continue };
            let unfit = key.kind.set_from_file(&mut config, value).err().unwrap_or_default().into_iter();
            wrong.extend(unfit.map(|(at, unfit)| (at, unfit_in_words(key.name, key.example, unfit))));
            places.insert(key.option, Place::of(text, value.span().start));
        }
    }
    read_routes(text, document, &mut config, &mut wrong);
    if wrong.is_empty() { Ok((config, places)) } else { Err(ConfigError::at(text, wrong)) }
}

/// What the parser says of a key or table that is there twice.
const TWICE: &str = "duplicate key";

fn no_toml(text: &str, error: &toml::de::Error) -> Wrong {
    let span = error.span().unwrap_or_default();
    let message = match (error.message().trim_end(), text.get(span.clone())) {
        (TWICE, Some(key)) => {
            format!("{} is there twice; leave one", key.trim_matches(['[', ']', ' ']).escape_debug())
        }
        (message, _) => format!("{message}{}", example_at(text, span.start)),
    };
    (span.start, message)
}

/// How the key is written that this line seems to be about.
fn example_at(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = text.get(before.rfind('\n').map_or(0, |end| end + 1)..).and_then(|rest| rest.lines().next());
    let name =
        line.and_then(|line| line.split('=').next()).unwrap_or_default().trim_matches(['[', ']', ' ', '\t']);
    let known = tables().into_iter().chain(["route"]).flat_map(names).find(|known| known.name == name);
    known.map_or_else(String::new, |known| format!("; write {}", known.example))
}

/// A table of the document, the document itself for "", and where it stands.
fn table<'t>(
    document: &'t DeTable<'_>,
    name: &str,
    wrong: &mut Vec<Wrong>,
) -> Option<(&'t DeTable<'t>, usize)> {
    if name.is_empty() {
        return Some((document, 0));
    }
    let value = document.get(name)?;
    let at = value.span().start;
    match value.get_ref() {
        DeValue::Table(table) => Some((table, at)),
        other => {
            wrong.push((at, wrong_type(name, other.type_str(), &table_example(name))));
            None
        }
    }
}

/// Refuses unknown names, and asks for those that are missing; one that is unknown may be meant for one that is missing.
fn check_names(table: &DeTable<'_>, at: usize, place: &str, wrong: &mut Vec<Wrong>) {
    let names = names(place);
    let is_known = |key: &str| names.iter().any(|known| known.name == key);
    let unknown = table.keys().filter(|key| !is_known(key.get_ref()));
    let unknown: Vec<Wrong> =
        unknown.map(|key| (key.span().start, unknown_key(key.get_ref(), &names, place))).collect();
    let missing = names.iter().filter(|known| known.required && !table.contains_key(known.name));
    if unknown.is_empty() {
        wrong.extend(missing.map(|Name { name, example, .. }| {
            (at, format!("{name} is missing{}; write {example}", place_of(place)))
        }));
    }
    wrong.extend(unknown);
}

fn unknown_key(name: &str, here: &[Name], place: &str) -> String {
    let distance = |known: &str| match known.starts_with(name) {
        true => 1,
        false => levenshtein(name, known),
    };
    let is_here = |known: &str| here.iter().any(|here| here.name == known);
    let all = tables().into_iter().chain(["route"]);
    let all = all.flat_map(|table| names(table).into_iter().map(move |known| (known.name, table)));
    let nearest = all.min_by_key(|(known, _)| (distance(known) > CLOSE, !is_here(known), distance(known)));
    let hint = match nearest {
        Some((known, elsewhere)) if distance(known) <= CLOSE => {
            let elsewhere = if is_here(known) { String::new() } else { place_of(elsewhere) };
            format!("did you mean `{known}`{elsewhere}?")
        }
        _ => format!("there are {}", here.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")),
    };
    format!("unknown key `{}`{}; {hint}", name.escape_debug(), place_of(place))
}

fn unfit_in_words(name: &str, example: &str, unfit: Unfit) -> String {
    let example = format!("{name} = {example}");
    match unfit {
        Unfit::Type(found) => wrong_type(name, found, &example),
        Unfit::EntryType(found) => wrong_type(&format!("an entry of {name}"), found, &example),
        Unfit::Value(written, must) => format!("{name} is {written}; {must}"),
        Unfit::Entry(message) => message,
    }
}

fn wrong_type(name: &str, found: &str, example: &str) -> String {
    let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{name} is {article} {found}; write {example}")
}

fn read_routes(text: &str, document: &DeTable<'_>, config: &mut Config, wrong: &mut Vec<Wrong>) {
    let Some(value) = document.get("route") else { return };
    let not_tables = |name, value: &Spanned<DeValue<'_>>| {
        (value.span().start, wrong_type(name, value.get_ref().type_str(), &table_example("route")))
    };
    let DeValue::Array(entries) = value.get_ref() else { return wrong.push(not_tables("route", value)) };
    for entry in entries {
        let DeValue::Table(table) = entry.get_ref() else {
            wrong.push(not_tables("an entry of route", entry));
            continue;
        };
        check_names(table, entry.span().start, "route", wrong);
        let Some((at, route)) = read_route(text, table, wrong) else { continue };
        match config.routes.iter().find(|other| other.excludes(&route)) {
            Some(other) => {
                let (address, line, other) =
                    (route.prefix.address(), other.place.line, other.prefix.address());
                wrong.push((
                    at,
                    format!(
                        "the address {address:?} is that of the route at line {line} already, as {other:?}; leave one of them"
                    ),
                ));
            }
            None => config.routes.push(route),
        }
    }
}

/// A route, and where its address stands; `None` if something is missing or wrong.
fn read_route(text: &str, table: &DeTable<'_>, wrong: &mut Vec<Wrong>) -> Option<(usize, Route)> {
    let mistakes = wrong.len();
    let mut texts = [None; ROUTE.len()];
    for ((name, example, _), read) in ROUTE.iter().zip(&mut texts) {
        let Some(value) = table.get(*name) else { continue };
        let at = value.span().start;
        match value.get_ref() {
            DeValue::String(text) => *read = Some((at, text.as_ref())),
            other => wrong.push((at, unfit_in_words(name, example, Unfit::Type(other.type_str())))),
        }
    }
    let [address, mode, relay] = texts;
    let (mode_at, mode) = mode.unwrap_or((0, MODES[0]));
    let known = one_of(mode, &MODES).and_then(|name| name.parse().map_err(|error| format!("{error}")));
    let mode: HostNameComparison = known.unwrap_or_else(|must| {
        wrong.push((mode_at, format!("host_name_comparison is {mode:?}; {must}")));
        HostNameComparison::default()
    });
    let mut noted = |at, why| wrong.push((at, why));
    let address = address
        .and_then(|(at, text)| Some((at, route::address(text, mode).map_err(|why| noted(at, why)).ok()?)));
    let relay =
        relay.and_then(|(at, text)| Some((at, text.parse::<RelayTo>().map_err(|why| noted(at, why)).ok()?)));
    let ((at, prefix), (relay_at, relay)) = (address?, relay?);
    if let Err(why) = relay.check(&prefix) {
        noted(relay_at, why);
    }
    let place = Place::of(text, at);
    (wrong.len() == mistakes).then_some((at, Route { prefix, relay, place }))
}
