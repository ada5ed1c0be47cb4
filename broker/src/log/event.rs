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
    /// # Example
    /// `{"time":"…","level":"INFO","message":"registered","fields":{"registration":7}}`
    pub(super) fn record(self, level: Level, message: String, fields: Vec<form::Field>) -> Vec<u8> {
        match self {
            Self::Journal => form::journal(level, &message, &fields),
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

/// Queues what is traced.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) queue: Queue<Vec<u8>>,
    pub(super) form: Form,
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let record = self.form.record(*event.metadata().level(), parts.message, parts.fields);
        let octets = record.len();
        self.queue.push(record, octets);
    }
}

#[derive(Debug, Default)]
struct Parts {
    message: String,
    fields: Vec<form::Field>,
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text.into())),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.into()));
    }
}
