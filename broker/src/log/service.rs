//! The service's own log, on standard error: text for people, JSON, or, where journald reads it, journald's own protocol.
//!
//! A standard error that nobody can write to loses everything; it is counted, and told when it can be written again.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::destination::write_all;
use super::event::{Entry, Events, Form};
use super::form;
use super::journal::{Journal, has_standard_error};
use super::level;
use super::queue::{Output, Queue};
use crate::visible;

/// There is one log of a process.
static QUEUE: OnceLock<Queue<Entry>> = OnceLock::new();

/// How many lines of the process's log were lost since the start.
pub(crate) fn lost() -> u64 {
    QUEUE.get().map_or(0, Queue::lost)
}

/// How lines on standard error are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

/// The log of the process.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    queue: Queue<Entry>,
    /// `None`: text.
    form: Option<Form>,
}

impl Log {
    /// Everything that is traced from this level on is written from now on, and what a panic says, too. Without a format journald
    /// gets its own, if standard error is its.
    ///
    /// # Errors
    /// There can be no thread.
    pub(crate) fn start(level: LevelFilter, format: Option<LogFormat>) -> io::Result<Self> {
        let journal = (format.is_none() && has_standard_error()).then(Journal::open).and_then(Result::ok);
        let form = match (&journal, format) {
            (Some(_), _) => Some(Form::Journal),
            (None, Some(LogFormat::Json)) => Some(Form::Json),
            (None, _) => None,
        };
        let log = Self { queue: Queue::to(StandardError { journal, form, lost: 0 })?, form };
        let layer: Box<dyn Layer<_> + Send + Sync> = match form {
            Some(form) => Box::new(Events { queue: log.queue.clone(), form }),
            None => Box::new(
                fmt::layer()
                    .with_writer(log.clone())
                    .with_ansi(io::stderr().is_terminal() && colours_are_wanted())
                    .with_target(false)
                    // It would say so on standard error, which is where it failed to write to.
                    .log_internal_errors(false),
            ),
        };
        let installed = Registry::default().with(level::filter(level)).with(layer).try_init();
        // Whoever runs us inside a process of their own may have one.
        if installed.is_ok() {
            let _ = QUEUE.set(log.queue.clone());
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        }
        Ok(log)
    }

    /// Why the process ends, whatever the level is.
    pub(crate) fn last_words(&self, why: &str) {
        let words = match self.form {
            Some(Form::Json) => Form::Json.record(Level::ERROR, why.to_owned(), "", Vec::new()),
            // With the priority as systemd reads it in a line.
            Some(Form::Journal) => format!("<3>{}\n", visible::line(why)).into_bytes(),
            None => format!("{why}\n").into_bytes(),
        };
        let length = words.len();
        self.queue.push(Entry::LastWords(words), length);
    }

    /// See [`Queue::finish`].
    pub(crate) fn finish(&self) {
        self.queue.finish();
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = visible::line(&String::from_utf8_lossy(line)).into_owned().into_bytes();
        let octets = shown.len();
        self.queue.push(Entry::Record(shown), octets);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// <https://no-color.org>: set, and not to nothing.
pub(crate) fn colours_are_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Used by the log's thread.
struct StandardError {
    journal: Option<Journal>,
    form: Option<Form>,
    /// Lines that were not taken, and of which that is not told yet.
    lost: u64,
}

impl Output for StandardError {
    type Entry = Entry;

    fn write(&mut self, entry: Entry) -> bool {
        if self.lost > 0 {
            self.tell_lost(0);
        }
        match entry {
            Entry::Record(record) => {
                let written = self.put(&record);
                self.lost += u64::from(!written);
                written
            }
            Entry::LastWords(words) => {
                let _ = write_all(io::stderr(), &words);
                true
            }
        }
    }

    fn tell_lost(&mut self, lost: u64) {
        self.lost += lost;
        let (lost, lines) = (self.lost, if self.lost == 1 { "line" } else { "lines" });
        let message = format!(
            "{lost} log {lines} lost: {}",
            if self.journal.is_some() {
                "journald did not take them"
            } else {
                "standard error did not take them, or not fast enough"
            }
        );
        let line = match self.form {
            Some(form) => form.record(Level::WARN, message, "", Vec::new()),
            None => format!("{}  WARN {message}\n", form::now()).into_bytes(),
        };
        if self.put(&line) {
            self.lost = 0;
        }
    }
}

impl StandardError {
    /// False if it is not taken.
    fn put(&self, entry: &[u8]) -> bool {
        match &self.journal {
            Some(journal) => journal.send(entry).is_ok(),
            None => write_all(io::stderr(), entry).is_ok(),
        }
    }
}
