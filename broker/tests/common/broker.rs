//! A broker process, and what is seen of it from outside.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use super::{eventually, is_root};

/// A broker of our own, ended with the value.
pub struct Broker {
    child: Child,
    folder: tempfile::TempDir,
    configuration: Option<tempfile::NamedTempFile>,
    /// The process that has taken over from the one that was started.
    successor: Option<u32>,
    /// How often it was started again.
    lives: usize,
}

impl Broker {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_broker")), arguments)
    }

    /// With a configuration file.
    pub fn configured(toml: &str, arguments: &[&str]) -> Self {
        let broker = Self::spawn_configured(toml, arguments);
        broker.ready();
        broker
    }

    /// With a configuration file; waits for nothing.
    pub fn spawn_configured(toml: &str, arguments: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, toml).unwrap();
        let arguments = [&["--config", file.path().to_str().unwrap()], arguments].concat();
        let mut broker = Self::spawn(Command::new(env!("CARGO_BIN_EXE_broker")), &arguments);
        broker.configuration = Some(file);
        broker
    }

    /// The file of the configuration.
    pub fn configuration(&self) -> &Path {
        self.configuration.as_ref().expect("a configured broker").path()
    }

    /// What it says from now on, for whoever reads it again.
    pub fn rewrite(&self, toml: &str) {
        std::fs::write(self.configuration(), toml).unwrap();
    }

    /// That can have no more descriptors than so many; needs `setpriv`.
    pub fn limited(descriptors: usize, arguments: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        // Root may have as many as it likes otherwise.
        if is_root() {
            command.args(["--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource"]);
        }
        let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        command.args(["sh", "-c", &script, env!("CARGO_BIN_EXE_broker")]);
        Self::start_by(command, arguments)
    }

    pub fn start_by(command: Command, arguments: &[&str]) -> Self {
        let broker = Self::spawn(command, arguments);
        broker.ready();
        broker
    }

    pub fn ready(&self) {
        // As text, or in JSON; not the end of "already".
        eventually(|| [" ready", "\"ready\""].iter().any(|ready| self.log().contains(ready)), || self.log());
        assert!(self.control().exists());
    }

    /// Waits for nothing.
    pub fn spawn(mut command: Command, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        let child = Self::spawn_in(folder.path(), "log", &mut command, arguments);
        Self { child, folder, configuration: None, successor: None, lives: 0 }
    }

    fn spawn_in(folder: &Path, log: &str, command: &mut Command, arguments: &[&str]) -> Child {
        let level: &[&str] = if arguments.contains(&"--log-level") { &[] } else { &["--log-level", "debug"] };
        let log = std::fs::File::create(folder.join(log)).unwrap();
        command
            .arg("run")
            .arg("--control")
            .arg(folder.join("control"))
            .args(level)
            .args(arguments)
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Kills it, and starts it again with its configuration. It has a log of its own then.
    pub fn kill_and_start_again(&mut self, arguments: &[&str]) {
        signal(self.pid(), rustix::process::Signal::KILL);
        let killed = self.pid();
        // What it has open is closed when the last of its threads has ended.
        let threads = || std::fs::read_dir(format!("/proc/{killed}/task")).map_or(0, |all| all.count());
        eventually(|| !lives(killed) && threads() < 2, || "it lives".to_owned());
        // One that has passed everything on may still have relays.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.lives += 1;
        let arguments = match &self.configuration {
            Some(file) => [&["--config", file.path().to_str().unwrap()], arguments].concat(),
            None => arguments.to_vec(),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        self.child = Self::spawn_in(self.folder.path(), &self.log_name(), &mut command, &arguments);
        self.successor = None;
        self.ready();
    }

    fn log_name(&self) -> String {
        if self.lives == 0 { "log".to_owned() } else { format!("log-{}", self.lives) }
    }

    /// Waits until it has ended, however it ends.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    /// Another process in the place of this one, which has ended. The log is the new one's.
    pub fn is_started_again(&mut self, mut command: Command, arguments: &[&str]) {
        self.lives += 1;
        self.child = Self::spawn_in(self.folder.path(), &self.log_name(), &mut command, arguments);
        self.successor = None;
    }

    pub fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(self.log_name())).unwrap_or_default()
    }

    /// All that was logged until now: lines are written a moment later, in their order, and its answer to a signal is one.
    pub fn whole_log(&self) -> String {
        let answers = || self.log().matches("SIGUSR1 changes nothing").count();
        let before = answers();
        signal(self.pid(), rustix::process::Signal::USR1);
        eventually(|| answers() > before, || self.log());
        self.log()
    }

    /// Who has which address.
    pub fn holders(&self) -> Vec<handoff::administration::Holder> {
        handoff::ControlConnection::connect(&self.control()).unwrap().list().unwrap()
    }

    /// How many connections wait for a holder.
    pub fn waiting(&self, id: u64) -> u64 {
        self.holders().iter().find(|holder| holder.id == id).map_or(0, |holder| holder.waiting())
    }

    pub fn pid(&self) -> u32 {
        self.successor.unwrap_or_else(|| self.child.id())
    }

    /// The process that was started, which may have passed everything on.
    pub fn first_pid(&self) -> u32 {
        self.child.id()
    }

    /// Has the next broker take over; returns for how many microseconds accepting paused.
    pub fn upgrade(&mut self) -> u64 {
        let mut asked = handoff::ControlConnection::connect(&self.control()).unwrap();
        let upgraded = asked.upgrade(&handoff::administration::Upgrade::default()).unwrap();
        assert_eq!(upgraded.error, None, "{}", self.log());
        self.is_followed_by(upgraded.pid.unwrap());
        upgraded.pause_microseconds.expect("it serves")
    }

    /// Another process has taken over.
    pub fn is_followed_by(&mut self, successor: u32) {
        self.successor = Some(successor);
    }

    /// How many descriptors the process has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// How many there are when nothing is under way: a reply that was just sent still has its descriptor for a moment. A thread
    /// that does something is not asleep, even if no processor has time for it.
    pub fn steady_descriptors(&self) -> usize {
        let mut last = Vec::new();
        eventually(
            || {
                if !threads(self.pid()).all(|state| state == 'S') {
                    last.clear();
                }
                last.push(self.descriptors());
                sleep(Duration::from_millis(10));
                last.len() > 8 && last.iter().rev().take(8).all(|count| Some(count) == last.last())
            },
            || self.log(),
        );
        self.descriptors()
    }

    /// Waits until the process has so many descriptors again.
    pub fn settles_at(&self, descriptors: usize) {
        eventually(
            || self.descriptors() == descriptors,
            || {
                let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().flatten();
                let open: Vec<PathBuf> =
                    open.filter_map(|open| std::fs::read_link(open.path()).ok()).collect();
                format!("{} descriptors instead of {descriptors}: {open:?}\n{}", open.len(), self.log())
            },
        );
    }

    /// Milliseconds of processor time so far.
    pub fn processor_time(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
        (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
    }

    /// The number of a thread. It gives itself its name when it begins.
    pub fn thread(&self, name: &str) -> u32 {
        let named =
            |path: &PathBuf| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let mut task = None;
        eventually(
            || {
                let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().flatten();
                task = tasks.map(|task| task.path()).find(named);
                task.is_some()
            },
            || format!("no thread {name}"),
        );
        task.unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    /// How often a thread of it went to sleep by itself.
    pub fn wake_ups(&self, thread: &str) -> u64 {
        let status = format!("/proc/{}/task/{}/status", self.pid(), self.thread(thread));
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_ascii_whitespace().last().unwrap().parse().unwrap()
    }

    /// Ends it as an administrator would; true if it ended well.
    pub fn terminate(&mut self) -> bool {
        signal(self.pid(), rustix::process::Signal::TERM);
        self.ends()
    }

    /// Waits until it has ended; true if it ended well.
    pub fn ends(&mut self) -> bool {
        if let Some(successor) = self.successor {
            // No child of ours: how it ended is in the log.
            eventually(|| !lives(successor), || format!("the broker does not end: {}", self.log()));
            let _ = self.child.wait();
            return self.log().contains(" ended; connections ");
        }
        let mut status = None;
        eventually(
            || {
                status = self.child.try_wait().unwrap();
                status.is_some()
            },
            || "the broker does not end".to_owned(),
        );
        status.unwrap().success()
    }
}

impl Drop for Broker {
    /// After every test: the broker ends when it is asked to, and each connection it has accepted has ended in one way.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            if let Some(successor) = self.successor.filter(|successor| lives(*successor)) {
                signal(successor, rustix::process::Signal::KILL);
            }
            eprintln!("the broker's log:\n{}", self.log());
            return;
        }
        let lives = match self.successor {
            Some(successor) => lives(successor),
            None => self.child.try_wait().unwrap().is_none(),
        };
        if lives {
            signal(self.pid(), rustix::process::Signal::CONT);
            assert!(self.terminate(), "{}", self.log());
            every_connection_has_ended(&self.log());
        }
    }
}

/// By what a broker says of itself when it ends, and at the level `debug` by what it has said of each connection before.
pub fn every_connection_has_ended(log: &str) {
    if log.contains(" lost: standard error") {
        // Too busy a machine to tell.
        return;
    }
    let end = log.lines().rev().find_map(|line| line.split_once(" ended; connections "));
    let counts = end.unwrap_or_else(|| panic!("no counts at the end: {log}")).1.split(' ');
    let counts = counts.map(|count| count.split_once('=').unwrap());
    let counts: Vec<(&str, usize)> = counts.map(|(name, count)| (name, count.parse().unwrap())).collect();
    let of = |name| counts.iter().find(|count| count.0 == name).map_or(0, |count| count.1);
    let outcomes = counts
        .iter()
        .filter(|(name, _)| !["accepted", "taken_back", "returned", "unfinished"].contains(name));
    let here = of("accepted") + of("taken_back") + of("returned");
    assert_eq!((here, of("unfinished")), (outcomes.map(|(_, count)| count).sum(), 0), "{log}");
    // Only if all of it was logged at this level.
    if log.contains(" DEBUG ") && !log.contains(" the log level is ") {
        let lines = |text: &str| log.matches(text).count();
        assert_eq!(
            [lines("connection ended "), lines("connection taken back "), lines("connection returned ")],
            [here, of("taken_back"), of("returned")],
            "{log}"
        );
    }
}

pub fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Stops a process, and waits until it is (or its tracer has it): a thread that sleeps in a system call may still finish it.
pub fn stop(pid: u32) {
    signal(pid, rustix::process::Signal::STOP);
    let stopped = |state| ['T', 't'].contains(&state);
    eventually(|| threads(pid).all(stopped), || format!("process {pid} does not stop"));
}

/// Whether a process runs; one that nobody has waited for yet does not.
pub fn lives(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status
        .rsplit(')')
        .next()
        .is_some_and(|fields| !matches!(fields.trim_start().chars().next(), None | Some('Z' | 'X')))
}

/// The states of a process's threads, as in `/proc`.
fn threads(pid: u32) -> impl Iterator<Item = char> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    // One may end meanwhile.
    let status = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    status.map(|status| status.rsplit(')').next().unwrap().trim_start().chars().next().unwrap())
}

/// A copy of a program that another user may run. Made by a process of its own: one that this process starts meanwhile would
/// have the copy open for writing for a moment, and it could not be run.
pub fn copy_of_the_broker() -> PathBuf {
    let program = std::env::temp_dir().join(format!("broker-{}", std::process::id()));
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_broker")).arg(&program).status().unwrap();
    assert!(copied.success());
    program
}
