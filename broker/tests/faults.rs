//! What the system may answer and seldom does, made to happen from outside (`strace --inject`): nothing spins, nothing is lost
//! without a word, and no dead thread leaves a process behind that looks alive.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use common::{
    Broker, Worker, address, answer, ask, eventually, free_port, installed, preamble, serve, signal,
};
use rustix::process::Signal;

/// Makes calls of one thread of a broker fail.
struct Inject {
    process: Child,
    _messages: BufReader<ChildStderr>,
    trace: tempfile::TempPath,
}

/// The system calls that may be behind `epoll_wait`.
const WAITS: &str = "epoll_wait,epoll_pwait,epoll_pwait2";

impl Inject {
    /// `what` as for `strace --inject`; these calls are traced.
    fn into(broker: &Broker, thread: &str, what: &str, traced: &str) -> Self {
        let trace = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let mut process = Command::new("strace")
            .args(["-p", &broker.thread(thread).to_string(), "-e", &format!("trace={traced}")])
            .args(["-e", &format!("inject={what}"), "-o"])
            .arg(&trace)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut messages = BufReader::new(process.stderr.take().unwrap());
        let mut message = String::new();
        while !message.contains("attached") {
            message.clear();
            assert_ne!(messages.read_line(&mut message).unwrap(), 0, "strace has ended");
        }
        Self { process, _messages: messages, trace }
    }

    fn trace(&self) -> String {
        std::fs::read_to_string(&self.trace).unwrap()
    }

    /// Waits until so many calls have failed.
    fn failed(&self, calls: usize) {
        eventually(|| self.trace().matches("(INJECTED)").count() >= calls, || self.trace());
    }
}

impl Drop for Inject {
    /// The calls work again.
    fn drop(&mut self) {
        signal(self.process.id(), Signal::INT);
        self.process.wait().unwrap();
    }
}

/// As a security module does: the connection stays where it is.
#[test]
fn an_accept_that_keeps_failing_pauses_and_is_said_once() {
    if !installed("strace") {
        return;
    }
    let broker = Broker::start(&["--log-level", "info"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let inject = Inject::into(&broker, "accept", "accept4:error=EPERM", &format!("accept4,{WAITS}"));
    let mut client = ask(port, "x");
    inject.failed(8);
    let trace = inject.trace();
    drop(inject);
    serve(worker.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut client), b'!');
    // Between two of them the loop has slept: an epoll_wait that ended with nothing.
    let calls: Vec<&str> = trace.lines().collect();
    let between: Vec<_> = calls.split(|line| line.contains("(INJECTED)")).collect();
    for calls in &between[1..between.len() - 1] {
        assert!(calls.iter().any(|line| line.starts_with("epoll_") && line.ends_with("= 0")), "{trace}");
    }
    assert_eq!(broker.log().matches("accepting pauses").count(), 1, "{}", broker.log());
    assert!(broker.log().contains("Operation not permitted"), "{}", broker.log());
}
