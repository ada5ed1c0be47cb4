//! Each key of the table: whoever adds one adds no test here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::{Args, Command, FromArgMatches};

use super::check::effective;
use super::options::Run;
use crate::config::keys::{KEYS, Key};
use crate::config::kind::Kind;
use crate::config::{Config, Loaded, Origin};

/// A value that no key has by default: in TOML, and as options.
fn another(kind: &Kind) -> (String, Vec<String>) {
    let both = |text: &str| (text.to_owned(), vec![text.to_owned()]);
    let both_in_quotes = |text: &str| (format!("'{text}'"), vec![text.to_owned()]);
    match kind {
        Kind::Path(_) | Kind::Text(_) => ("'/other'".to_owned(), vec!["/other".to_owned()]),
        Kind::Whole(_, range) => both(&(range.start() + 2).to_string()),
        Kind::Seconds(..) | Kind::SecondsOrNoLimit(..) => both("0.25"),
        Kind::OneOf(_, names) => {
            let last = names.last().unwrap();
            (format!("'{last}'"), vec![(*last).to_owned()])
        }
        Kind::Sockets(_) => both_in_quotes("127.0.0.1:9809"),
        Kind::Networks(_) => ("['192.0.2.0/25']".to_owned(), vec!["192.0.2.0/25".to_owned()]),
        Kind::Hosts(_) => ("['status.example.com']".to_owned(), vec!["status.example.com".to_owned()]),
        Kind::LogTo(_) => both_in_quotes("journal"),
        Kind::Names(_, names) => {
            let chosen = [names[0], names[1]];
            (format!("{chosen:?}"), chosen.map(str::to_owned).to_vec())
        }
        Kind::Ips(_) => ("['192.0.2.1', '::1']".to_owned(), vec!["192.0.2.1".to_owned(), "::1".to_owned()]),
    }
}

/// What the option of a key does not take.
fn unfit(kind: &Kind) -> &'static str {
    if matches!(kind, Kind::Path(_) | Kind::Text(_) | Kind::Hosts(_)) { "" } else { "neither" }
}

/// A document with one key, and the line of its value.
fn document(key: &Key, value: &str) -> (String, usize) {
    match key.table {
        "" => (format!("{} = {value}\n", key.name), 1),
        table => (format!("[{table}]\n{} = {value}\n", key.name), 2),
    }
}

fn command() -> Command {
    Run::augment_args(Command::new("broker"))
}

fn given(arguments: &[String]) -> Result<Loaded, clap::Error> {
    let arguments = std::iter::once("broker").chain(arguments.iter().map(String::as_str));
    let matches = command().try_get_matches_from(arguments)?;
    Ok(Run::from_arg_matches(&matches)?.load().unwrap())
}

fn options(key: &Key, values: &[String]) -> Vec<String> {
    values.iter().flat_map(|value| [format!("--{}", key.option), value.clone()]).collect()
}

fn line_of(loaded: &Loaded, key: &Key) -> Option<usize> {
    match loaded.origin(&key.to_string()) {
        Some(Origin::File(place)) => Some(place.line),
        _ => None,
    }
}

#[test]
fn each_key_can_be_set_in_the_file_and_by_its_option() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.toml");
    for key in KEYS {
        let (value, values) = another(&key.kind);
        let (text, line) = document(key, &value);
        let in_file = Loaded::from_toml(&text).unwrap();
        assert_ne!(*in_file.config(), Config::default(), "{key} has no effect");
        assert_eq!(line_of(&in_file, key), Some(line));

        let by_option = given(&options(key, &values)).unwrap();
        assert_eq!(by_option.config(), in_file.config(), "{key}");
        assert_eq!(by_option.origin(&key.to_string()), Some(Origin::Option));

        // And it changes no other.
        for other in KEYS.iter().filter(|other| other.option != key.option) {
            let (value, default) = (other.kind.shown(in_file.config()), other.kind.shown(&Config::default()));
            assert_eq!(value, default, "{key} sets {other}");
            assert_eq!(in_file.origin_of(other), Origin::Default);
        }

        // The option comes before the file.
        std::fs::write(&path, document(key, key.example).0).unwrap();
        let mut arguments = vec!["--config".to_owned(), path.to_str().unwrap().to_owned()];
        let of_example = given(&arguments).unwrap();
        assert_eq!(line_of(&of_example, key), Some(line));
        arguments.extend(options(key, &values));
        let both = given(&arguments).unwrap();
        assert_eq!((both.config(), both.origin_of(key)), (in_file.config(), Origin::Option), "{key}");
    }
}

#[test]
fn each_key_is_shown_so_that_it_can_be_pasted_back() {
    for key in KEYS {
        let (value, values) = another(&key.kind);
        let (text, line) = document(key, &value);
        for (loaded, origin) in [
            (Loaded::from_toml(&text).unwrap(), format!("# line {line}")),
            (given(&options(key, &values)).unwrap(), format!("# --{}", key.option)),
        ] {
            let shown = effective(&loaded);
            let section = in_table(&shown, key);
            let line =
                section.lines().find(|line| line.starts_with(&format!("{} = ", key.name))).expect(key.name);
            assert!(line.ends_with(&origin), "{line}");
            assert_eq!(Config::from_toml(&shown).unwrap(), *loaded.config(), "{shown}");
        }
        let shown = effective(&Loaded::default());
        let named = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{} ", key.name));
        let mut lines = in_table(&shown, key).lines();
        assert!(lines.any(|line| named(line) && line.contains("  # default")), "{key}: {shown}");
        assert_eq!(Config::from_toml(&shown).unwrap(), Config::default(), "{shown}");
    }
}

/// From the key's table on.
fn in_table<'s>(shown: &'s str, key: &Key) -> &'s str {
    match key.table {
        "" => shown,
        table => shown.split_once(&format!("[{table}]\n")).expect(table).1,
    }
}

#[test]
fn each_key_says_what_it_must_be() {
    for key in KEYS {
        let (text, line) = document(key, "true");
        let said = Config::from_toml(&text).unwrap_err().to_string();
        let Key { name, example, .. } = key;
        let column = format!("{name} = ").len() + 1;
        assert_eq!(said, format!("{line}:{column}: error: {name} is a boolean; write {name} = {example}"));

        let error = given(&options(key, &[unfit(&key.kind).to_owned()])).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&format!("--{} <{}>", key.option, key.placeholder)), "{said}");
        assert!(
            said.contains("it must ") || said.contains("write") || said.contains("possible values"),
            "{said}"
        );

        // A path is octets on Linux.
        let octets = OsString::from_vec(vec![b'x', 0xFF]);
        let set = key.kind.set_from_option(&mut Config::default(), &[octets]);
        assert_eq!(set.is_ok(), matches!(key.kind, Kind::Path(_)), "{key}: {set:?}");
    }
}

#[test]
fn each_key_is_in_the_readme_and_the_help() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, table) = readme.split_once("| key | option | default | meaning |").unwrap();
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let help = command().render_long_help().to_string();
    for key in KEYS {
        let row = rows.iter().any(|row| {
            let option = format!("| `{key}` | `--{}", key.option);
            row.strip_prefix(&option).is_some_and(|rest| rest.starts_with(['`', ' ']))
        });
        assert!(row, "README.md, \"Configuration\": no row that begins with | `{key}` | `--{}", key.option);
        assert!(help.contains(&format!("--{} <{}>", key.option, key.placeholder)), "{help}");
    }
    // Two rows are options without a key: --log-level, --log-format.
    assert_eq!(rows.len(), KEYS.len() + 2, "README.md has a row of no key");
    for option in command().get_arguments().filter_map(clap::Arg::get_long).filter(|long| *long != "config") {
        assert!(rows.iter().any(|row| row.contains(&format!("`--{option}"))), "README.md: --{option}");
    }
}
