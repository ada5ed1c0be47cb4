//! System calls seen, or made to fail, from outside.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// `strace`, attached to a process or a thread until it is dropped: then the traced one goes on alone.
#[derive(Debug)]
pub struct Strace {
    process: Child,
    // It would get SIGPIPE if it had more to say.
    _messages: BufReader<ChildStderr>,
    output: tempfile::TempPath,
}

impl Strace {
    /// Attaches it, with these options besides; returns when it has all threads that it was asked for.
    ///
    /// # Panics
    /// It cannot be started, or may not attach.
    #[track_caller]
    pub fn attach(pid: u32, options: &[&str]) -> Self {
        let output = tempfile::NamedTempFile::new().expect("a temporary file").into_temp_path();
        let mut process = Command::new("strace")
            .args(options)
            .args(["-p", &pid.to_string(), "-o"])
            .arg(&output)
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace starts");
        let mut messages = BufReader::new(process.stderr.take().expect("a pipe"));
        // It says so once, when it has the last thread.
        let mut message = String::new();
        while !message.contains("attached") {
            message.clear();
            let read = messages.read_line(&mut message).expect("it is text");
            assert_ne!(read, 0, "strace has ended");
        }
        Self { process, _messages: messages, output }
    }

    /// What it has written until now.
    ///
    /// # Panics
    /// Somebody has taken its file away.
    #[track_caller]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.output).expect("its output")
    }

    /// How many calls have failed because it was to make them fail.
    #[track_caller]
    pub fn injected(&self) -> usize {
        self.output().matches("(INJECTED)").count()
    }

    /// Detaches it; gives what it has written.
    #[track_caller]
    pub fn end(mut self) -> String {
        self.detach();
        self.output()
    }

    fn detach(&mut self) {
        if let Ok(pid) = i32::try_from(self.process.id())
            && let Some(pid) = Pid::from_raw(pid)
            && let Ok(None) = self.process.try_wait()
        {
            let _ = kill_process(pid, Signal::INT);
            let _ = self.process.wait();
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.detach();
    }
}
