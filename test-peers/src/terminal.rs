//! A program at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::tcgetattr;

use crate::process::until;

/// A program whose three standard streams are one pseudo-terminal, and what it has written there. Killed when dropped.
///
/// What it writes is read all the time.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    keyboard: File,
    /// The program's side, kept so that what was written last can be read after it has ended.
    program_side: Option<OwnedFd>,
}

impl Terminal {
    /// Starts it.
    ///
    /// # Panics
    /// There is no terminal to be had, or it cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("the terminal is ours");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = openat(CWD, name, flags, Mode::empty()).expect("the other side");
        let stream = || theirs.try_clone().expect("a descriptor");
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // What the command keeps would be the program's side for ever.
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let keyboard = File::from(ours.try_clone().expect("a descriptor"));
        let said = Arc::default();
        let reader = std::thread::spawn({
            let (said, mut ours) = (Arc::clone(&said), File::from(ours));
            move || read(&mut ours, &said)
        });
        Self { child, said, reader: Some(reader), keyboard, program_side: Some(theirs) }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Presses keys.
    ///
    /// # Panics
    /// The terminal takes none.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).expect("keys are taken");
    }

    /// Its settings, to be compared.
    ///
    /// # Panics
    /// It tells none.
    #[track_caller]
    pub fn settings(&self) -> String {
        format!("{:?}", tcgetattr(self.program_side.as_ref().expect("it has not ended")).expect("settings"))
    }

    /// Waits until the program has ended; the terminal stays.
    ///
    /// # Panics
    /// It does not end in time.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until(|| {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// What it has written so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until it has ended; gives all that it has written.
    ///
    /// # Panics
    /// It does not end in time.
    #[track_caller]
    pub fn finish(mut self) -> (ExitStatus, String) {
        let status = self.ended();
        // Nobody has the program's side any more: the reader comes to the end.
        drop(self.program_side.take());
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it only reads");
        }
        (status, self.said())
    }
}

fn read(terminal: &mut File, said: &Mutex<Vec<u8>>) {
    let mut octets = [0; 4096];
    // The end is an error, EIO.
    while let Ok(read @ 1..) = terminal.read(&mut octets) {
        said.lock().unwrap_or_else(PoisonError::into_inner).extend(&octets[..read]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
