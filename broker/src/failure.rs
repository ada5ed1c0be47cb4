//! Threads and tasks that a broker cannot be without. One that ends unasked would leave a process behind whose ports take
//! connections that nobody accepts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::{io, thread};

use tokio::sync::Notify;

/// A thread or task of the broker has ended although nobody asked it to. The broker cannot go on; end it, and the process.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the broker cannot go on, {part} has ended: {why}")]
pub struct Failed {
    part: &'static str,
    why: String,
}

/// What is known of the parts of one broker.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    first: OnceLock<Failed>,
    told: Notify,
    ending: AtomicBool,
}

impl Failures {
    /// From now on every part may end.
    pub(crate) fn may_end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether the broker ends.
    pub(crate) fn are_over(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.first.get().is_some()
    }

    /// Waits for the first.
    pub(crate) async fn first(&self) -> Failed {
        loop {
            let told = self.told.notified();
            if let Some(failed) = self.first.get() {
                return failed.clone();
            }
            told.await;
        }
    }

    fn report(&self, part: &'static str, why: String) {
        if !self.ending.load(Ordering::Relaxed) {
            let _ = self.first.set(Failed { part, why });
            self.told.notify_waiters();
        }
    }
}

/// Reports the end of a part when it is dropped with it.
#[derive(Debug)]
pub(crate) struct Part {
    failures: Arc<Failures>,
    name: &'static str,
    /// Whether somebody asked it to end.
    asked: bool,
}

impl Part {
    /// The name says what it is: "the accept thread".
    pub(crate) fn new(failures: &Arc<Failures>, name: &'static str) -> Self {
        Self { failures: Arc::clone(failures), name, asked: false }
    }

    /// It has failed, and is about to end.
    pub(crate) fn failed(&self, error: &io::Error) {
        self.failures.report(self.name, error.to_string());
    }

    /// It ends because it was asked to.
    pub(crate) fn over(mut self) {
        self.asked = true;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.asked {
            return;
        }
        let why = if thread::panicking() { "it panicked" } else { "nobody asked it to" };
        self.failures.report(self.name, why.to_owned());
    }
}
