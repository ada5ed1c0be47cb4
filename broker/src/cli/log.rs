//! The log: lines on standard error, written by a thread of its own, so that whoever reads them slowly, or not at all, stops
//! nobody else.
//!
//! Lines wait in a queue; what does not fit is lost and counted, and the number is told where the lines would have stood. A
//! standard error that nobody can write to any more loses everything, silently.
//!
//! This is what `tracing-appender`'s non-blocking writer is for; that one does not tell what was lost, and prints to standard
//! output when it cannot end.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// How many octets of lines may wait.
const MOST: usize = 1 << 20;

/// How long the end of the process waits for what is queued.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The queue, for whoever has something to say.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    entries: Sender<Entry>,
    backlog: Arc<Backlog>,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Octets of the lines that are queued.
    queued: AtomicUsize,
    /// Lines that were lost since it was last told.
    lost: AtomicU64,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// So many lines should be here.
    Lost(u64),
    /// Everything before this is written when it answers.
    End(SyncSender<()>),
}

impl Log {
    /// Everything that is traced from this level on is written to standard error from now on, and what a panic says, too.
    ///
    /// # Errors
    /// There can be no thread.
    pub(crate) fn start(level: LevelFilter) -> io::Result<Self> {
        let log = Self::to(io::stderr())?;
        let installed = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(io::stderr().is_terminal() && colours_are_wanted())
            .with_target(false)
            .with_max_level(level)
            // It would say so on standard error, which is where it failed to write to.
            .log_internal_errors(false)
            .try_init();
        // Whoever runs us inside a process of their own may have one.
        if installed.is_ok() {
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        }
        Ok(log)
    }

    fn to(output: impl Output) -> io::Result<Self> {
        let (entries, queue) = channel();
        let backlog = Arc::new(Backlog::default());
        let log = Self { entries, backlog: Arc::clone(&backlog) };
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&queue, &backlog, output))?;
        Ok(log)
    }

    /// Queues a line, with its line feed; never waits.
    pub(crate) fn line(&self, line: &[u8]) {
        let Backlog { queued, lost } = &*self.backlog;
        if queued.fetch_add(line.len(), Ordering::Relaxed) + line.len() > MOST {
            queued.fetch_sub(line.len(), Ordering::Relaxed);
            lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = self.entries.send(Entry::Lost(lost));
        }
        let _ = self.entries.send(Entry::Line(line.to_owned()));
    }

    /// Waits until everything is written, though not for ever: nobody may be reading.
    pub(crate) fn finish(&self) {
        let (written, wait) = sync_channel(1);
        let _ = self.entries.send(Entry::End(written));
        let _ = wait.recv_timeout(LAST_WORDS);
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
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
pub(super) fn colours_are_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Where lines go.
trait Output: Send + 'static {
    fn write_line(&mut self, line: &[u8]);
}

impl Output for io::Stderr {
    fn write_line(&mut self, mut line: &[u8]) {
        while !line.is_empty() {
            match self.write(line) {
                Ok(written) => line = &line[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever started us made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _ = poll(&mut [PollFd::new(&*self, PollFlags::OUT)], None);
                }
                // Its reader is gone.
                Err(_) => return,
            }
        }
    }
}

/// The thread.
fn write_all(queue: &Receiver<Entry>, backlog: &Backlog, mut output: impl Output) {
    loop {
        let entry = match queue.try_recv() {
            Ok(entry) => Some(entry),
            Err(TryRecvError::Empty) => {
                // There may be no further line to tell it before.
                tell_lost(backlog.lost.swap(0, Ordering::Relaxed), &mut output);
                queue.recv().ok()
            }
            Err(TryRecvError::Disconnected) => None,
        };
        match entry {
            Some(Entry::Line(line)) => {
                output.write_line(&line);
                backlog.queued.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Some(Entry::Lost(lost)) => tell_lost(lost, &mut output),
            Some(Entry::End(written)) => {
                tell_lost(backlog.lost.swap(0, Ordering::Relaxed), &mut output);
                let _ = written.send(());
            }
            None => return,
        }
    }
}

fn tell_lost(lost: u64, output: &mut impl Output) {
    if lost > 0 {
        let mut line = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut line));
        let lines = if lost == 1 { "line" } else { "lines" };
        line += &format!("  WARN {lost} log {lines} lost: standard error was not read fast enough\n");
        output.write_line(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a line when it is given leave to, and tells it.
    struct Slow(Receiver<()>, Sender<String>);

    impl Output for Slow {
        fn write_line(&mut self, line: &[u8]) {
            let _ = self.0.recv();
            let _ = self.1.send(String::from_utf8_lossy(line).trim_end().to_owned());
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_would_have_stood() {
        let (leave, wait) = channel();
        let (told, lines) = channel();
        let log = Log::to(Slow(wait, told)).unwrap();
        let line = |name: &str| format!("{name}{}\n", " ".repeat(MOST / 4 - name.len() - 1)).into_bytes();
        for name in ["a", "b", "c", "d", "lost", "lost", "lost"] {
            log.line(&line(name));
        }
        leave.send(()).unwrap();
        assert_eq!(lines.recv().unwrap(), "a");
        // Its octets are free when it is written, a moment later.
        while log.backlog.queued.load(Ordering::Relaxed) == MOST {
            thread::yield_now();
        }
        log.line(&line("e"));
        log.line(&line("lost at the end"));
        drop(leave);
        let said: Vec<String> = (0..6).map(|_| lines.recv().unwrap()).collect();
        assert_eq!([&said[0], &said[1], &said[2], &said[4]], ["b", "c", "d", "e"]);
        assert!(said[3].contains("WARN 3 log lines lost"), "{}", said[3]);
        assert!(said[5].contains("WARN 1 log line lost"), "{}", said[5]);
        log.finish();
        assert!(lines.try_recv().is_err());
    }

    #[test]
    fn the_end_waits_for_what_is_queued() {
        let (told, lines) = channel();
        let log = Log::to(Slow(channel().1, told)).unwrap();
        (0..1000).for_each(|n| log.line(format!("{n}\n").as_bytes()));
        log.finish();
        assert_eq!(lines.try_iter().count(), 1000);
    }

    #[test]
    fn the_end_does_not_wait_for_nobody() {
        let (_leave, wait) = channel();
        let log = Log::to(Slow(wait, channel().0)).unwrap();
        log.line(b"x\n");
        log.finish();
    }
}
