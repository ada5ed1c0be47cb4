//! `broker watch`, at a terminal and without one.

mod common;

use std::process::Command;

use common::{
    Broker, Terminal, Worker, address, answer, ask, eventually, fault, free_port, preamble, serve, signal,
    told,
};
use rustix::process::Signal;

const OTHER_SCREEN: &str = "\u{1b}[?1049h";
const BACK: &str = "\u{1b}[?25h\u{1b}[?1049l";

fn watch(broker: &Broker) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.arg("watch").arg("--control").arg(broker.control());
    command
}

#[test]
fn without_a_terminal_it_is_drawn_once() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "orders")]);
    let mut client = ask(port, "orders");
    serve(worker.accept(), &preamble(&address(port, "orders")), b'o');
    assert_eq!(answer(&mut client), b'o');
    for _ in 0..2 {
        assert_eq!(told(&mut ask(port, "oders\u{1b}[2J")), fault("EndpointNotFound"));
    }
    let output = watch(&broker).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let view = String::from_utf8(output.stdout).unwrap();
    assert!(!view.contains('\u{1b}'), "{view}");
    assert!(
        view.starts_with(&format!("broker {}  process {}  ", env!("CARGO_PKG_VERSION"), broker.pid())),
        "{view}"
    );
    assert!(view.contains("accepted 3  handed over 1  relayed 0  refused 2  here "), "{view}");
    let row = view.lines().find(|line| line.contains("/orders")).unwrap();
    assert!(row.contains(" up ") && row.contains(" 0/100 "), "{view}");
    assert!(view.contains("refused lately\n2× "), "{view}");
    assert!(view.contains("/oders\u{fffd}[2J"), "{view}");
    drop(worker);
}

/// Ends one that is shown, and looks at what it leaves.
fn ends_by(end: impl FnOnce(&Terminal)) {
    let broker = Broker::start(&[]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "orders")]);
    let mut terminal = Terminal::start(&mut Command::new("true"));
    let plain = terminal.settings();
    assert!(terminal.ended().success());
    let mut terminal = Terminal::start(&mut watch(&broker));
    eventually(|| terminal.said().contains("/orders"), || terminal.said());
    assert_ne!(terminal.settings(), plain, "keys come one by one");
    // It is drawn again, with rates.
    assert_eq!(told(&mut ask(port, "oders")), fault("EndpointNotFound"));
    eventually(|| terminal.said().contains("refused 1 ("), || terminal.said());
    end(&terminal);
    assert!(terminal.ended().success(), "{}", terminal.said());
    assert_eq!(terminal.settings(), plain);
    let (_, said) = terminal.finish();
    assert!(said.starts_with(OTHER_SCREEN) && said.ends_with(BACK), "{said:?}");
    drop(worker);
}

#[test]
fn q_ends_it_and_the_terminal_is_as_before() {
    ends_by(|terminal| terminal.press("xq"));
}

#[test]
fn so_does_the_key_that_interrupts() {
    ends_by(|terminal| terminal.press("\u{3}"));
}

#[test]
fn and_so_do_signals() {
    ends_by(|terminal| signal(terminal.id(), Signal::TERM));
}

#[test]
fn a_broker_that_ends_ends_it() {
    let mut broker = Broker::start(&[]);
    let terminal = Terminal::start(&mut watch(&broker));
    eventually(|| terminal.said().contains("no registration"), || terminal.said());
    assert!(broker.terminate());
    let (status, said) = terminal.finish();
    assert_eq!(status.code(), Some(2), "{said}");
    let (_, after) = said.rsplit_once(BACK).expect("the screen is given back first");
    assert!(after.starts_with("broker watch: "), "{after}");
}
