//! What accept(2) may answer and seldom does, made to happen from outside (`strace --inject`).

mod common;

use common::{DEADLINE, DUPLEX, Raw, TEXT_END, preamble, via};
use test_peers::{Strace, installed};
use transport::{AcceptError, ListenOptions, Listener};

/// The system calls that may be behind a sleep.
const WAITS: &str = "epoll_wait,epoll_pwait,epoll_pwait2";

/// Lets `accept4` of this thread fail with an error, which is not of one connection: each call says so, none follows another
/// without a sleep, and afterwards everybody who waited is served.
async fn pauses_at(error: &str) {
    let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await.unwrap();
    let address = listener.local_addrs()[0];
    let mut raw = Raw::connect(address);
    raw.write(&preamble(DUPLEX, &via(address), TEXT_END));

    let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    let (traced, inject) = (format!("trace=accept4,{WAITS}"), format!("inject=accept4:error={error}"));
    let strace = Strace::attach(thread, &["-e", &traced, "-e", &inject]);
    for _ in 0..4 {
        let accepted =
            tokio::time::timeout(DEADLINE, listener.accept()).await.expect("it does not try for ever");
        assert!(matches!(accepted, Err(AcceptError::Io(_) | AcceptError::AtLimit(_))), "{error}");
    }
    let trace = strace.end();
    let calls: Vec<&str> = trace.lines().collect();
    let between: Vec<&[&str]> = calls.split(|line| line.contains("(INJECTED)")).collect();
    assert_eq!(between.len(), 5, "{trace}");
    for calls in &between[1..4] {
        assert!(
            calls.iter().any(|line| line.starts_with("epoll_") && line.ends_with("= 0")),
            "{error}: {trace}"
        );
    }
    drop(tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap().unwrap());
}

/// EPERM: a security module. The others are no errors of accept(2), but filters of system calls may give any.
#[tokio::test]
async fn an_accept_that_keeps_failing_pauses() {
    if !installed("strace") {
        return;
    }
    for error in ["EPERM", "ECONNRESET", "ETIMEDOUT", "EACCES", "ENFILE"] {
        pauses_at(error).await;
    }
}

/// One that was gone before it was accepted is passed over, and nobody is told.
#[tokio::test]
async fn a_connection_that_is_gone_is_passed_over() {
    if !installed("strace") {
        return;
    }
    let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/echo")).await.unwrap();
    let address = listener.local_addrs()[0];
    let mut raw = Raw::connect(address);
    raw.write(&preamble(DUPLEX, &via(address), TEXT_END));
    let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    let strace =
        Strace::attach(thread, &["-e", "trace=accept4", "-e", "inject=accept4:error=ECONNABORTED:when=1..3"]);
    let accepted = tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap();
    drop(accepted.unwrap());
    assert_eq!(strace.injected(), 3, "{}", strace.output());
}
