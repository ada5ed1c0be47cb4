//! A line of the service's log in its parts, for whoever does not read it as text.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::form;
use super::queue::Queue;

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Journal,
}

impl Form {
    /// A message and its fields, which `said` has as text, too: whoever reads the journal reads messages.
    ///
    /// # Example
    /// `{"time":"…","level":"INFO","message":"registered","fields":{"registration":7}}`
    pub(super) fn record(
        self,
        level: Level,
        message: String,
        said: &str,
        fields: Vec<form::Field>,
    ) -> Vec<u8> {
        match self {
            Self::Journal => form::journal(level, &(message + said), &fields),
            Self::Json => {
                let mut record = vec![
                    ("time", form::now().into()),
                    ("level", level.as_str().into()),
                    ("message", message.into()),
                ];
                if !fields.is_empty() {
                    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                    record.push(("fields", Value::Object(Map::from_iter(fields))));
                }
                form::json(&record).into_bytes()
            }
        }
    }
}

/// What is written.
#[derive(Debug)]
pub(super) enum Entry {
    Record(Vec<u8>),
    /// To standard error, also where journald reads it: that knows whose it is. Whose a datagram is journald asks `/proc`, and the
    /// process may be gone by then; `systemctl status` would not show it.
    LastWords(Vec<u8>),
}

/// Queues what is traced.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) queue: Queue<Entry>,
    pub(super) form: Form,
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let level = *event.metadata().level();
        let record = self.form.record(level, parts.message, &parts.said, parts.fields);
        let octets = record.len();
        self.queue.push(Entry::Record(record), octets);
    }
}

#[derive(Debug, Default)]
struct Parts {
    message: String,
    fields: Vec<form::Field>,
    /// The fields as text, each behind a space.
    said: String,
}

impl Parts {
    fn add(&mut self, name: &'static str, said: impl fmt::Display, value: Value) {
        self.said += &format!(" {name}={said}");
        self.fields.push((name, value));
    }
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.add(name, &text, text.as_str().into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.add(name, format_args!("{value:?}"), value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value, value.into());
    }
}
