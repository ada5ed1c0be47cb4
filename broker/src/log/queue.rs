//! What is to be written, and a thread that writes it: whoever reads a log slowly, or not at all, stops nobody else.
//!
//! Entries wait in a queue; what does not fit is lost and counted, and the number is told where the entries would have stood.
//!
//! This is what `tracing-appender`'s non-blocking writer is for; that one does not tell what was lost, and prints to standard
//! output when it cannot end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread;
use std::time::Duration;

/// How many octets of entries may wait.
const MOST: usize = 1 << 20;

/// How long the end of the process waits for what is queued.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where entries go; used by the thread alone.
pub(crate) trait Output: Send + 'static {
    type Entry: Send + 'static;

    /// False: it could not be written. That is told from here, when it can be.
    fn write(&mut self, entry: Self::Entry) -> bool;

    /// So many entries should be here.
    fn tell_lost(&mut self, lost: u64);

    /// What has a name is looked for by that name again.
    fn reopen(&mut self) {}
}

/// The queue, for whoever has something to say.
#[derive(Debug)]
pub(crate) struct Queue<Entry> {
    messages: Sender<Message<Entry>>,
    backlog: Arc<Backlog>,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Octets of the entries that are queued.
    queued: AtomicUsize,
    /// Entries that were lost since it was last told.
    lost: AtomicU64,
    /// Entries that were lost ever, also by the output.
    lost_in_all: AtomicU64,
}

#[derive(Debug)]
enum Message<Entry> {
    /// With how many octets it counts.
    Write(Entry, usize),
    Lost(u64),
    Reopen,
    /// Everything before this is written when it answers.
    End(SyncSender<()>),
}

impl<Entry: Send + 'static> Queue<Entry> {
    /// Starts the thread.
    ///
    /// # Errors
    /// There can be none.
    pub(crate) fn to(output: impl Output<Entry = Entry>) -> io::Result<Self> {
        let (messages, queue) = channel();
        let backlog = Arc::new(Backlog::default());
        let log = Self { messages, backlog: Arc::clone(&backlog) };
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&queue, &backlog, output))?;
        Ok(log)
    }

    /// Queues an entry of about so many octets; never waits.
    pub(crate) fn push(&self, entry: Entry, octets: usize) {
        let Backlog { queued, lost, lost_in_all } = &*self.backlog;
        if queued.fetch_add(octets, Ordering::Relaxed) + octets > MOST {
            queued.fetch_sub(octets, Ordering::Relaxed);
            lost.fetch_add(1, Ordering::Relaxed);
            lost_in_all.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = self.messages.send(Message::Lost(lost));
        }
        let _ = self.messages.send(Message::Write(entry, octets));
    }

    /// How many entries did not fit, or could not be written, since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.backlog.lost_in_all.load(Ordering::Relaxed)
    }

    /// See [`Output::reopen`]; behind what is queued.
    pub(crate) fn reopen(&self) {
        let _ = self.messages.send(Message::Reopen);
    }

    /// Waits until everything is written, though not for ever: nobody may be reading.
    pub(crate) fn finish(&self) {
        let (written, wait) = sync_channel(1);
        let _ = self.messages.send(Message::End(written));
        let _ = wait.recv_timeout(LAST_WORDS);
    }
}

impl<Entry> Clone for Queue<Entry> {
    fn clone(&self) -> Self {
        Self { messages: self.messages.clone(), backlog: Arc::clone(&self.backlog) }
    }
}

/// The thread.
fn write_all<O: Output>(queue: &Receiver<Message<O::Entry>>, backlog: &Backlog, mut output: O) {
    loop {
        let message = match queue.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Empty) => {
                // There may be no further entry to tell it before.
                tell_lost(backlog.lost.swap(0, Ordering::Relaxed), &mut output);
                queue.recv().ok()
            }
            Err(TryRecvError::Disconnected) => None,
        };
        match message {
            Some(Message::Write(entry, octets)) => {
                if !output.write(entry) {
                    backlog.lost_in_all.fetch_add(1, Ordering::Relaxed);
                }
                backlog.queued.fetch_sub(octets, Ordering::Relaxed);
            }
            Some(Message::Lost(lost)) => tell_lost(lost, &mut output),
            Some(Message::Reopen) => output.reopen(),
            Some(Message::End(written)) => {
                tell_lost(backlog.lost.swap(0, Ordering::Relaxed), &mut output);
                let _ = written.send(());
            }
            None => return,
        }
    }
}

fn tell_lost(lost: u64, output: &mut impl Output) {
    if lost > 0 {
        output.tell_lost(lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a line when it is given leave to, and tells it.
    struct Slow(Receiver<()>, Sender<String>);

    impl Output for Slow {
        type Entry = String;

        fn write(&mut self, line: String) -> bool {
            let _ = self.0.recv();
            self.1.send(line).is_ok()
        }

        fn tell_lost(&mut self, lost: u64) {
            self.write(format!("{lost} lost"));
        }

        fn reopen(&mut self) {
            self.write("reopened".to_owned());
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_would_have_stood() {
        let (leave, wait) = channel();
        let (told, lines) = channel();
        let log = Queue::to(Slow(wait, told)).unwrap();
        for name in ["a", "b", "c", "d", "lost", "lost", "lost"] {
            log.push(name.to_owned(), MOST / 4);
        }
        assert_eq!(log.lost(), 3);
        leave.send(()).unwrap();
        assert_eq!(lines.recv().unwrap(), "a");
        // Its octets are free when it is written, a moment later.
        while log.backlog.queued.load(Ordering::Relaxed) == MOST {
            thread::yield_now();
        }
        log.push("e".to_owned(), MOST / 4);
        log.push("lost at the end".to_owned(), MOST / 4);
        log.reopen();
        drop(leave);
        let said: Vec<String> = (0..7).map(|_| lines.recv().unwrap()).collect();
        assert_eq!(said[..6], ["b", "c", "d", "3 lost", "e", "reopened"]);
        assert_eq!(said[6], "1 lost");
        log.finish();
        assert!(lines.try_recv().is_err());
        assert_eq!(log.lost(), 4, "what was told stays counted");
        drop(lines);
        log.push("nobody takes it".to_owned(), 1);
        log.finish();
        assert_eq!(log.lost(), 5);
    }

    #[test]
    fn the_end_waits_for_what_is_queued() {
        let (told, lines) = channel();
        let log = Queue::to(Slow(channel().1, told)).unwrap();
        (0..1000).for_each(|n| log.push(n.to_string(), 1));
        log.finish();
        assert_eq!(lines.try_iter().count(), 1000);
    }

    #[test]
    fn the_end_does_not_wait_for_nobody() {
        let (_leave, wait) = channel();
        let log = Queue::to(Slow(wait, channel().0)).unwrap();
        log.push("x".to_owned(), 1);
        log.finish();
    }
}
