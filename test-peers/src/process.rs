//! A running program.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes as long.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until this is so.
///
/// # Panics
/// It is not so by [`DEADLINE`].
#[track_caller]
pub fn until(mut so: impl FnMut() -> bool) {
    let limit = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < limit, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running program whose lines can be waited for. Killed when dropped.
///
/// Whatever is waited for must come by [`DEADLINE`]; otherwise the test fails, with what the program said.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Process {
    /// Starts it with pipes for its three standard streams.
    ///
    /// # Panics
    /// It cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = lines_of(child.stdout.take().expect("a pipe"));
        let errors = lines_of(child.stderr.take().expect("a pipe"));
        Self { name, child, lines, errors }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line on standard output; `None` at its end.
    ///
    /// # Panics
    /// None comes in time.
    #[track_caller]
    pub fn line(&self) -> Option<String> {
        next(&self.lines).unwrap_or_else(|| self.silent())
    }

    /// The next line on standard error; `None` at its end.
    ///
    /// # Panics
    /// None comes in time.
    #[track_caller]
    pub fn error_line(&self) -> Option<String> {
        next(&self.errors).unwrap_or_else(|| self.silent())
    }

    /// Waits for a line on standard output that starts like this.
    ///
    /// # Panics
    /// It does not come in time, or standard output ends.
    #[track_caller]
    pub fn expect(&self, start: &str) -> String {
        let mut said = Vec::new();
        while let Some(line) = self.line() {
            if line.starts_with(start) {
                return line;
            }
            said.push(line);
        }
        panic!(
            "{} never said '{start}' but {said:?} and {:?}",
            self.name,
            self.errors.iter().collect::<Vec<_>>()
        );
    }

    #[track_caller]
    fn silent(&self) -> ! {
        let said: Vec<_> = self.lines.try_iter().chain(self.errors.try_iter()).collect();
        panic!("{} says no more, but {said:?}", self.name)
    }

    /// Types this.
    ///
    /// # Panics
    /// It reads no more.
    #[track_caller]
    pub fn enter(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("it is open").write_all(text.as_bytes()).expect("it reads");
    }

    /// Closes standard input: end of input.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Lets it do nothing until it is told to [go on](Self::go_on); returns when each of its threads has stopped.
    ///
    /// # Panics
    /// It has ended.
    pub fn stop(&self) {
        self.signal("-STOP");
        let threads = format!("/proc/{}/task", self.id());
        let stopped = |thread: std::fs::DirEntry| {
            // One may end meanwhile. Behind its name, which is in parentheses, stands its state.
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let (_, state) = stat.rsplit_once(')').unwrap_or_default();
            matches!(state.trim_start().chars().next(), None | Some('T' | 't'))
        };
        until(|| std::fs::read_dir(&threads).expect("a process").flatten().all(stopped));
    }

    /// Ends a [`stop`](Self::stop).
    ///
    /// # Panics
    /// It has ended.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    #[track_caller]
    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "{}: kill {signal}", self.name);
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; gives what it said on standard output, as far as nobody has read it, and on standard error.
    ///
    /// # Panics
    /// It does not end in time.
    #[track_caller]
    pub fn finish(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        let limit = Instant::now() + DEADLINE;
        while self.is_running() {
            if Instant::now() > limit {
                self.silent();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = self.child.wait().expect("its status is kept");
        (status, self.lines.iter().collect(), self.errors.iter().collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `Some(None)` at the end, `None` when nothing comes.
fn next(lines: &Receiver<String>) -> Option<Option<String>> {
    match lines.recv_timeout(DEADLINE) {
        Ok(line) => Some(Some(line)),
        Err(RecvTimeoutError::Disconnected) => Some(None),
        Err(RecvTimeoutError::Timeout) => None,
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
