//! What is said of a connection that has ended.

use std::fmt::Write;
use std::net::SocketAddr;

use router::HostNameComparison;
use serde_json::Value;

use super::sources::Suppressed;
use super::via::{as_text, in_quotes};
use crate::log::form::Field;
use crate::outcome::Outcome;
use crate::routes::figures::Copied;
use crate::routes::queue::Worker;
use crate::visible;

/// A connection that has ended. What is not known, or makes no sense for it, is `None`, and is not told.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) time: String,
    pub(crate) outcome: Outcome,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    /// The octets of the Via.
    pub(crate) via: Option<Vec<u8>>,
    /// The registered address that matched, or, where that cannot be told any more, what is registered.
    pub(crate) address: Option<String>,
    pub(crate) mode: Option<HostNameComparison>,
    /// The number of the registration or of the static route.
    pub(crate) holder: Option<u64>,
    pub(crate) worker: Option<Worker>,
    /// The back-end of a static route.
    pub(crate) relay: Option<String>,
    pub(crate) times: Times,
    pub(crate) copied: Option<Copied>,
    /// Its name, of the fault that is sent.
    pub(crate) fault: Option<&'static str>,
    /// What an operator may want to know besides.
    pub(crate) detail: Option<String>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// Its second record, at least: it was handed over, and its worker has left it behind. When it was accepted is not known any
    /// more; its times begin when its last octets came.
    pub(crate) taken_back: bool,
    /// From accept until the preamble was there, or the end.
    pub(crate) preamble: u32,
    /// In the broker's queue for a full worker.
    pub(crate) queue: Option<u32>,
    pub(crate) all: u32,
}

/// What the log's thread gets.
#[derive(Debug)]
pub(super) enum Entry {
    Ended(Box<Record>),
    /// So many connections have ended without a record.
    Suppressed {
        time: String,
        suppressed: Suppressed,
    },
}

impl Entry {
    /// The time, what it is about, and the other parts; a Via for people, or as it is.
    pub(super) fn parts(&self, user: impl FnOnce(u32) -> Option<String>) -> (&str, &'static str, Vec<Field>) {
        match self {
            Self::Ended(record) => (&record.time, record.outcome.name(), record.fields(user)),
            Self::Suppressed { time, suppressed: Suppressed { source, count, taken_back } } => {
                let source = source.map_or_else(|| "others".to_owned(), |source| source.to_string());
                let mut fields = vec![("source", source.into()), ("count", (*count).into())];
                if *taken_back > 0 {
                    fields.push(("taken_back", (*taken_back).into()));
                }
                (time, "suppressed", fields)
            }
        }
    }

    /// The Via, for a line of text.
    pub(super) fn via(&self) -> Option<&[u8]> {
        match self {
            Self::Ended(record) => record.via.as_deref(),
            Self::Suppressed { .. } => None,
        }
    }
}

impl Record {
    fn fields(&self, user: impl FnOnce(u32) -> Option<String>) -> Vec<Field> {
        let mut fields = Vec::with_capacity(20);
        let mut put = |name, value: Option<Value>| fields.extend(value.map(|value| (name, value)));
        let shown = |address: Option<SocketAddr>| address.map(|address| address.to_string().into());
        put("blame", self.outcome.blame().map(|blame| blame.name().into()));
        put("peer", shown(self.peer));
        put("local", shown(self.local));
        if let Some((via, not_utf8)) = self.via.as_deref().map(as_text) {
            put("via", Some(via.into()));
            put("via_not_utf8", not_utf8.then_some(true.into()));
        }
        put("address", self.address.clone().map(Value::from));
        put("mode", self.mode.map(|mode| mode.to_string().into()));
        put("registration", self.holder.map(Value::from));
        put("relay", self.relay.clone().map(Value::from));
        if let Some(Worker { pid, uid }) = self.worker {
            put("pid", pid.map(Value::from));
            put("user", Some(user(uid).map_or_else(|| uid.into(), Value::from)));
        }
        put("taken_back", self.times.taken_back.then_some(true.into()));
        put("preamble_ms", (!self.times.taken_back).then_some(self.times.preamble.into()));
        put("queue_ms", self.times.queue.map(Value::from));
        put("total_ms", Some(self.times.all.into()));
        put("octets_in", self.copied.map(|copied| copied.octets_in.into()));
        put("octets_out", self.copied.map(|copied| copied.octets_out.into()));
        put("fault", self.fault.map(Value::from));
        put("detail", self.detail.clone().map(Value::from));
        fields
    }
}

/// A line for people: `outcome name=value …`. Values that are texts with more than letters in them are in quotes, with escapes.
pub(super) fn text(what: &str, fields: &[Field], via: Option<&[u8]>) -> String {
    let mut line = what.to_owned();
    for (name, value) in fields {
        let _ = match (*name, value, via) {
            ("via", _, Some(via)) => write!(line, " via={}", in_quotes(via)),
            ("via_not_utf8", ..) => Ok(()),
            (_, Value::String(text), _) if is_plain(text) => write!(line, " {name}={text}"),
            (_, Value::String(text), _) => write!(line, " {name}={text:?}"),
            (_, value, _) => write!(line, " {name}={value}"),
        };
    }
    visible::line(&line).into_owned()
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.:[]%".contains(&octet))
}
