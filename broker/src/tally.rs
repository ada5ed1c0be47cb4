//! One line for many events of a kind: the first at once, then how many more there were, every few seconds while it goes on.
//!
//! What a stranger can bring about as often as he likes reaches the log at `info` only through here, so that the log does not
//! grow with the number of connections.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::Level;

use crate::lock::lock;

/// How long the next line about the same is held back, to count what happens meanwhile.
const EVERY: Duration = Duration::from_secs(5);

/// How many pairs of a kind and a subject are told apart at a time; the others of a kind are counted together.
const SUBJECTS: usize = 64;

/// Stands for all subjects that are not told apart.
const OTHERS: u64 = u64::MAX;

/// What is told in one line however often it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    /// `ERROR`, or anything else for `WARN`.
    pub(crate) level: Level,
    /// What happens, and what it means or what to do about it.
    pub(crate) what: &'static str,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    told: Mutex<HashMap<(Kind, u64), Told>>,
    begun: Notify,
}

/// One subject of one kind.
#[derive(Debug)]
struct Told {
    /// Whom it is about.
    about: Cow<'static, str>,
    /// When the last line was written.
    at: Instant,
    /// What has happened since.
    more: u64,
}

impl Tally {
    /// It has happened once more; `subject` is a number for whom it is about (a registration, a process, an error), and `about`
    /// is what is said of that, if it has to be: whatever is not the broker's own must be escaped in it.
    pub(crate) fn count<About: Into<Cow<'static, str>>>(
        &self,
        kind: Kind,
        subject: u64,
        about: impl FnOnce() -> About,
    ) {
        let mut told = lock(&self.told);
        let room = told.len() < SUBJECTS;
        if let Some(told) = told.get_mut(&(kind, subject)) {
            told.more += 1;
            return;
        }
        let (subject, about) =
            if room { (subject, about().into()) } else { (OTHERS, Cow::Borrowed("others")) };
        if let Some(others) = told.get_mut(&(kind, subject)) {
            others.more += 1;
            return;
        }
        told.insert((kind, subject), Told { about: about.clone(), at: Instant::now(), more: 0 });
        drop(told);
        self.begun.notify_one();
        say(kind, &about, None);
    }

    /// Says how many more there were, when it is time to, until it is cancelled. Asleep while nothing happens.
    pub(crate) async fn run(&self) {
        loop {
            let next = lock(&self.told).values().map(|told| told.at + EVERY).min();
            match next {
                None => self.begun.notified().await,
                Some(at) => sleep_until(at).await,
            }
            self.sum_up(Instant::now(), EVERY);
        }
    }

    /// Says what has not been said yet.
    pub(crate) fn end(&self) {
        self.sum_up(Instant::now(), Duration::ZERO);
    }

    /// For those whose last line is so old.
    fn sum_up(&self, now: Instant, age: Duration) {
        let mut due = Vec::new();
        lock(&self.told).retain(|(kind, _), told| {
            if now < told.at + age {
                return true;
            }
            let more = std::mem::take(&mut told.more);
            if more > 0 {
                due.push((*kind, told.about.clone(), more, now.duration_since(told.at)));
            }
            told.at = now;
            more > 0
        });
        for (kind, about, more, since) in due {
            say(kind, &about, Some((more, since)));
        }
    }
}

fn say(Kind { level, what }: Kind, about: &str, more: Option<(u64, Duration)>) {
    let more = match more {
        None => String::new(),
        Some((more, since)) => format!("; {more} more in {} s", since.as_secs().max(1)),
    };
    let between = if about.is_empty() { "" } else { ": " };
    if level == Level::ERROR {
        tracing::error!("{what}{between}{about}{more}");
    } else {
        tracing::warn!("{what}{between}{about}{more}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, PoisonError};

    use super::*;

    const BUSY: Kind = Kind { level: Level::WARN, what: "too busy" };
    const FULL: Kind = Kind { level: Level::ERROR, what: "full" };

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are written meanwhile, from their level on.
    fn lines(act: impl FnOnce()) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .finish();
        tracing::subscriber::with_default(subscriber, act);
        let text = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn the_first_at_once_and_then_their_number() {
        let tally = Tally::default();
        let busy = || tally.count(BUSY, 1, || "registration 1");
        let start = Instant::now();
        assert_eq!(lines(|| (0..50).for_each(|_| busy())), ["WARN too busy: registration 1"]);
        assert_eq!(lines(|| tally.count(BUSY, 2, || "registration 2")), ["WARN too busy: registration 2"]);
        assert_eq!(lines(|| tally.count(FULL, 1, || "EMFILE")), ["ERROR full: EMFILE"]);
        assert!(lines(|| tally.sum_up(start, EVERY)).is_empty(), "too early");
        let later = Instant::now() + EVERY;
        assert_eq!(lines(|| tally.sum_up(later, EVERY)), ["WARN too busy: registration 1; 49 more in 5 s"]);
        // It goes on.
        assert!(lines(busy).is_empty());
        assert_eq!(
            lines(|| tally.sum_up(later + EVERY, EVERY)),
            ["WARN too busy: registration 1; 1 more in 5 s"]
        );
        // It is over, and begins again.
        assert!(lines(|| tally.sum_up(later + 2 * EVERY, EVERY)).is_empty());
        assert_eq!(lines(busy), ["WARN too busy: registration 1"]);
    }

    #[test]
    fn what_is_not_said_yet_is_said_at_the_end() {
        let tally = Tally::default();
        (0..3).for_each(|_| tally.count(BUSY, 1, || "x"));
        assert_eq!(lines(|| tally.end()), ["WARN too busy: x; 2 more in 1 s"]);
    }

    #[test]
    fn many_subjects_are_one_in_the_end() {
        let tally = Tally::default();
        let all = lines(|| (0..10_000).for_each(|n| tally.count(BUSY, n, || n.to_string())));
        assert_eq!(all.len(), SUBJECTS + 1);
        assert_eq!(all.last().unwrap(), "WARN too busy: others");
        assert_eq!(lines(|| tally.end()).len(), 1);
        assert!(tally.told.lock().unwrap().len() <= SUBJECTS + 1);
    }
}
