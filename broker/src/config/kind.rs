//! Of what kind the value of a key is: how it is written in the file and behind an option, what it may be, how it is shown.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;

use super::settings::{AccessLogTo, Config};

/// So many letters may be wrong in a word that was meant.
pub(super) const CLOSE: usize = 3;

/// Where a value is kept.
pub(crate) struct Field<T> {
    /// `None`: it follows from something else.
    pub(crate) get: fn(&Config) -> Option<T>,
    pub(crate) set: fn(&mut Config, T),
}

pub(crate) enum Kind {
    Path(Field<PathBuf>),
    Text(Field<String>),
    Whole(Field<usize>, RangeInclusive<usize>),
    /// From a thousandth to so many.
    Seconds(Field<Duration>, u64),
    /// As `Seconds`, and 0 for no limit.
    SecondsOrNoLimit(Field<Duration>, u64),
    OneOf(Field<&'static str>, &'static [&'static str]),
    Ips(Field<Vec<IpAddr>>),
    /// Addresses with ports; one alone needs no brackets.
    Sockets(Field<Vec<SocketAddr>>),
    Networks(Field<Vec<IpNet>>),
    /// Names of machines.
    Hosts(Field<Vec<String>>),
    /// `stderr`, `journal`, or the path of a file.
    LogTo(Field<AccessLogTo>),
    /// Some of these, at least one.
    Names(Field<Vec<&'static str>>, &'static [&'static str]),
}

/// Why a value is refused, without its key.
#[derive(Debug, PartialEq)]
pub(crate) enum Unfit {
    /// It is of another type.
    Type(&'static str),
    /// Some of it is of another type.
    EntryType(&'static str),
    /// It is none of those that it must be: which it is, and what it must be.
    Value(String, String),
    /// An entry of it makes no sense.
    Entry(String),
}

impl Kind {
    /// Sets what the file says; or at which octets it says what.
    pub(crate) fn set_from_file(
        &self,
        config: &mut Config,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), Vec<(usize, Unfit)>> {
        let at = |unfit| vec![(value.span().start, unfit)];
        let value = value.get_ref();
        let unfit = |must| at(Unfit::Value(written(value), must));
        match (self, value) {
            (Self::Path(field), DeValue::String(text)) => {
                (field.set)(config, not_empty(text.as_ref()).map_err(unfit)?.into());
            }
            (Self::Text(field), DeValue::String(text)) => {
                (field.set)(config, not_empty(text.as_ref()).map_err(unfit)?.to_owned());
            }
            (Self::Whole(field, range), DeValue::Integer(number)) => {
                let number = usize::from_str_radix(number.as_str(), number.radix());
                (field.set)(config, whole(number.ok(), range).map_err(unfit)?);
            }
            (
                Self::Seconds(field, _) | Self::SecondsOrNoLimit(field, _),
                DeValue::Integer(_) | DeValue::Float(_),
            ) => (field.set)(config, self.seconds(number(value)).map_err(unfit)?),
            (Self::OneOf(field, names), DeValue::String(text)) => {
                (field.set)(config, one_of(text, names).map_err(unfit)?);
            }
            (Self::Ips(field), DeValue::Array(entries)) => (field.set)(config, each(entries, ip)?),
            (Self::Sockets(field), DeValue::Array(entries)) => (field.set)(config, each(entries, socket)?),
            (Self::Sockets(field), DeValue::String(text)) => {
                (field.set)(config, vec![socket(text).map_err(|message| at(Unfit::Entry(message)))?]);
            }
            (Self::Networks(field), DeValue::Array(entries)) => (field.set)(config, each(entries, network)?),
            (Self::Hosts(field), DeValue::Array(entries)) => (field.set)(config, each(entries, host)?),
            (Self::LogTo(field), DeValue::String(text)) => {
                (field.set)(config, log_to(text.as_ref().as_ref()).map_err(unfit)?);
            }
            (Self::Names(_, _), DeValue::Array(entries)) if entries.is_empty() => {
                return Err(at(Unfit::Entry(
                    "no outcome is here; leave the key out for all of them".to_owned(),
                )));
            }
            (Self::Names(field, names), DeValue::Array(entries)) => {
                (field.set)(config, each(entries, |text| name(text, names))?);
            }
            (_, other) => return Err(at(Unfit::Type(other.type_str()))),
        }
        Ok(())
    }

    /// Sets what an option says, given once or, a list, several times.
    pub(crate) fn set_from_option(&self, config: &mut Config, given: &[OsString]) -> Result<(), String> {
        let one = given.last().map(OsString::as_os_str).unwrap_or_default();
        match self {
            Self::Path(field) => (field.set)(config, not_empty(one)?.into()),
            Self::Text(field) => (field.set)(config, not_empty(utf8(one)?)?.to_owned()),
            Self::Whole(field, range) => (field.set)(config, whole(utf8(one)?.parse().ok(), range)?),
            Self::Seconds(field, _) | Self::SecondsOrNoLimit(field, _) => {
                let number = utf8(one)?.parse();
                let number =
                    number.map_err(|_| "it is no number of seconds; write, for instance, 30".to_owned())?;
                (field.set)(config, self.seconds(number)?);
            }
            Self::OneOf(field, names) => (field.set)(config, one_of(utf8(one)?, names)?),
            Self::Ips(field) => (field.set)(config, each_given(given, ip)?),
            Self::Sockets(field) => (field.set)(config, each_given(given, socket)?),
            Self::Networks(field) => (field.set)(config, each_given(given, network)?),
            Self::Hosts(field) => (field.set)(config, each_given(given, host)?),
            Self::LogTo(field) => (field.set)(config, log_to(one)?),
            Self::Names(field, names) => {
                (field.set)(config, each_given(given, |text| name(text, names))?);
            }
        }
        Ok(())
    }

    /// As it is written in TOML; `None`: it follows from something else.
    pub(crate) fn shown(&self, config: &Config) -> Option<String> {
        match self {
            Self::Path(field) => (field.get)(config).map(|path| in_quotes(&path.to_string_lossy())),
            Self::Text(field) => (field.get)(config).map(|text| in_quotes(&text)),
            Self::Whole(field, _) => (field.get)(config).map(|number| number.to_string()),
            Self::Seconds(field, _) | Self::SecondsOrNoLimit(field, _) => {
                (field.get)(config).map(|time| time.as_secs_f64().to_string())
            }
            Self::OneOf(field, _) => (field.get)(config).map(in_quotes),
            Self::Ips(field) => (field.get)(config).map(|ips| list(&ips)),
            Self::Sockets(field) => (field.get)(config).map(|addresses| list(&addresses)),
            Self::Networks(field) => (field.get)(config).map(|networks| list(&networks)),
            Self::Hosts(field) => (field.get)(config).map(|names| list(&names)),
            Self::LogTo(field) => (field.get)(config).map(|to| in_quotes(&to.shown())),
            Self::Names(field, _) => (field.get)(config).map(|names| list(&names)),
        }
    }

    /// Whether it has a value; an empty list is none.
    pub(crate) fn is_set(&self, config: &Config) -> bool {
        self.shown(config).is_some_and(|shown| shown != "[]")
    }

    /// Whether its option may be given several times.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::Ips(_) | Self::Sockets(_) | Self::Networks(_) | Self::Hosts(_) | Self::Names(..))
    }

    fn seconds(&self, number: f64) -> Result<Duration, String> {
        let (or_zero, most) = match self {
            Self::SecondsOrNoLimit(_, most) => ("0, for no limit, or ", *most),
            Self::Seconds(_, most) => ("", *most),
            _ => ("", 0),
        };
        let range = Duration::from_millis(1)..=Duration::from_secs(most);
        let time = Duration::try_from_secs_f64(number).ok();
        let time = time.filter(|time| range.contains(time) || (time.is_zero() && !or_zero.is_empty()));
        time.ok_or_else(|| format!("it must be {or_zero}from 0.001 to {most}"))
    }
}

/// The entries of a list in the file.
fn each<T>(
    entries: &[Spanned<DeValue<'_>>],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Vec<(usize, Unfit)>> {
    let (mut values, mut unfit) = (Vec::new(), Vec::new());
    for entry in entries {
        let read = match entry.get_ref() {
            DeValue::String(text) => read(text).map_err(Unfit::Entry),
            other => Err(Unfit::EntryType(other.type_str())),
        };
        match read {
            Ok(value) => values.push(value),
            Err(why) => unfit.push((entry.span().start, why)),
        }
    }
    if unfit.is_empty() { Ok(values) } else { Err(unfit) }
}

/// An option that was given several times.
fn each_given<T>(given: &[OsString], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    given.iter().map(|text| read(utf8(text)?)).collect()
}

fn list(entries: &[impl ToString]) -> String {
    let entries: Vec<_> = entries.iter().map(|entry| in_quotes(&entry.to_string())).collect();
    format!("[{}]", entries.join(", "))
}

/// A text as TOML has it.
pub(crate) fn in_quotes(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A value as people read it.
fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        other => other.type_str().to_owned(),
    }
}

fn number(value: &DeValue<'_>) -> f64 {
    match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        // One that is too long for this is far too long for a time.
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
        }
        _ => None,
    }
    .unwrap_or(f64::INFINITY)
}

fn utf8(given: &OsStr) -> Result<&str, String> {
    given.to_str().ok_or_else(|| "it is no UTF-8".to_owned())
}

fn not_empty<T: AsRef<OsStr> + ?Sized>(text: &T) -> Result<&T, String> {
    let is_empty = text.as_ref().is_empty();
    if is_empty { Err("it must not be empty".to_owned()) } else { Ok(text) }
}

fn whole(number: Option<usize>, range: &RangeInclusive<usize>) -> Result<usize, String> {
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("it must be from {} to {}", range.start(), range.end()))
}

pub(super) fn one_of(text: &str, names: &[&'static str]) -> Result<&'static str, String> {
    let name = names.iter().copied().find(|name| *name == text);
    name.ok_or_else(|| format!("it must be {}", names.join(" or ")))
}

fn log_to(text: &OsStr) -> Result<AccessLogTo, String> {
    match text.as_encoded_bytes() {
        b"stderr" => Ok(AccessLogTo::Stderr),
        b"journal" => Ok(AccessLogTo::Journal),
        // Whoever starts the service may do that anywhere.
        [b'/', ..] => Ok(AccessLogTo::File(text.into())),
        _ => Err("it must be stderr, journal, or the whole path of a file, from / on".to_owned()),
    }
}

/// One of many; one that is near is said.
fn name(text: &str, names: &[&'static str]) -> Result<&'static str, String> {
    one_of(text, names).map_err(|_| {
        let near = |name: &&&str| strsim::levenshtein(name, text) <= CLOSE;
        let near = names.iter().find(near).map(|name| format!(" (did you mean {name:?}?)"));
        let near = near.unwrap_or_default();
        format!("{text:?} is no outcome{near}; it must be one of {}", names.join(", "))
    })
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is no IP address; write one of this machine's, without a port, such as 127.0.0.1 or ::1"
        )
    })
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0);
    address.ok_or_else(|| {
        format!("{text:?} is no IP address with a port; write, for instance, 127.0.0.1:9808 or [::1]:9808")
    })
}

/// An address alone is a network of one.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| format!("{text:?} is no network; write, for instance, 192.0.2.0/24 or 2001:db8::/32"))
}

fn host(text: &str) -> Result<String, String> {
    let is_in_a_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !text.is_empty() && text.chars().all(is_in_a_name) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no name of a machine; write, for instance, status.example.com, without scheme, port or path"
        )),
    }
}
