//! Where the access log goes, and in which form.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use nix::unistd::{Uid, User};
use tracing::Level;

use super::record::{Entry, text};
use crate::config::{AccessLogFormat, AccessLogTo};
use crate::log::destination::{LogFile, write_all};
use crate::log::form::{self, Field};
use crate::log::journal::Journal;
use crate::log::queue::Output;

/// Names of users that are kept: looking one up may mean to ask another machine.
const NAMES: usize = 1024;

/// See the module. Used by the log's thread.
#[derive(Debug)]
pub(super) struct AccessOutput {
    to: To,
    format: AccessLogFormat,
    names: HashMap<u32, Option<String>>,
    /// Records that could not be written, and of which that is not told yet.
    lost: u64,
}

#[derive(Debug)]
enum To {
    StandardError,
    Journal(Journal),
    File(LogFile),
}

impl AccessOutput {
    /// # Errors
    /// There is no journald, or the file cannot be opened.
    pub(super) fn open(to: &AccessLogTo, format: AccessLogFormat) -> io::Result<Self> {
        let to = match to {
            AccessLogTo::Stderr => To::StandardError,
            AccessLogTo::Journal => To::Journal(Journal::open()?),
            AccessLogTo::File(path) => To::File(LogFile::open(Path::new(path))?),
        };
        Ok(Self { to, format, names: HashMap::new(), lost: 0 })
    }

    /// False if it cannot be written.
    fn put(&mut self, time: &str, level: Level, what: &str, fields: Vec<Field>, via: Option<&[u8]>) -> bool {
        let line = match (&self.to, self.format) {
            (To::Journal(_), _) => {
                let message = text(what, &fields, via);
                let fields: Vec<Field> = [("outcome", what.into())].into_iter().chain(fields).collect();
                form::journal(level, &message, &fields)
            }
            (_, AccessLogFormat::Text) => format!("{time} {}\n", text(what, &fields, via)).into_bytes(),
            (_, AccessLogFormat::Json) => {
                let first = [("time", time.into()), ("outcome", what.into())];
                form::json(&first.into_iter().chain(fields).collect::<Vec<_>>()).into_bytes()
            }
        };
        match &mut self.to {
            To::StandardError => write_all(io::stderr(), &line).is_ok(),
            To::Journal(journal) => journal.send(&line).is_ok(),
            To::File(file) => file.write(&line),
        }
    }

    fn name(names: &mut HashMap<u32, Option<String>>, uid: u32) -> Option<String> {
        if names.len() >= NAMES {
            names.clear();
        }
        let look_up = || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        names.entry(uid).or_insert_with(look_up).clone()
    }
}

impl Output for AccessOutput {
    type Entry = Entry;

    fn write(&mut self, entry: Entry) -> bool {
        self.tell_lost(0);
        let (time, what, fields) = entry.parts(|uid| Self::name(&mut self.names, uid));
        let level = if what == "suppressed" { Level::WARN } else { Level::INFO };
        let written = self.put(time, level, what, fields, entry.via());
        self.lost += u64::from(!written);
        written
    }

    fn tell_lost(&mut self, lost: u64) {
        self.lost += lost;
        if self.lost > 0
            && self.put(&form::now(), Level::WARN, "lost", vec![("count", self.lost.into())], None)
        {
            self.lost = 0;
        }
    }

    fn reopen(&mut self) {
        if let To::File(file) = &mut self.to {
            file.reopen();
        }
    }
}
