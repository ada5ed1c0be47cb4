//! A broker with an access log, and what it has in it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Broker, eventually};

pub const JSON: &str = "format = 'json'";

/// A broker, and the file of its access log.
pub struct Logging {
    pub broker: Broker,
    pub folder: tempfile::TempDir,
}

impl Logging {
    /// With this in `[access_log]`, and this behind it.
    pub fn start(access_log: &str, more: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let toml = format!("[access_log]\nto = '{}'\n{access_log}\n{more}", path.display());
        Self { broker: Broker::configured(&toml, arguments), folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    pub fn records(&self) -> Vec<Value> {
        records(&self.path())
    }

    /// The one record with this outcome, when it is there.
    pub fn of(&self, outcome: &str) -> Value {
        let mut found = Vec::new();
        eventually(
            || {
                found = self.records().into_iter().filter(|record| record["outcome"] == outcome).collect();
                !found.is_empty()
            },
            || format!("no {outcome}: {}", self.text()),
        );
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// All records; the broker ends.
    pub fn end(mut self) -> Vec<Value> {
        assert!(self.broker.terminate());
        self.records()
    }
}

/// Each whole line as an object.
pub fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// What else is in a record, whose members are these.
pub fn without(record: &Value, expected: &Value) -> serde_json::Map<String, Value> {
    let mut rest = record.as_object().unwrap().clone();
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(rest.remove(name).as_ref(), Some(value), "{name} of {record}");
    }
    rest
}

/// Whether it has one connection.
pub fn has_one(broker: &Broker) -> bool {
    let mut control = handoff::ControlConnection::connect(&broker.control()).unwrap();
    control.connections().unwrap().len() == 1
}
