//! Instruction counts of the broker's fast path, for `benches/instructions/check`.
//!
//! Counted is everything this process does for a connection: its initiator's four system calls and the worker's one are in
//! it as well, the kernel's part of none of them.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::process::ExitCode;

use benches::instructions;
use broker::OneTurn;
use handoff::accept_socket::{Sockets, receive};

fn main() -> ExitCode {
    let paths: Vec<String> = (0..1000).map(|n| format!("services/{n}/calc")).collect();
    let turns = OneTurn::new(paths.iter().map(String::as_str));
    let Ok(mut turns) = turns else { return ExitCode::FAILURE };
    let via = format!("net.tcp://localhost:{:05}/services/500/calc", turns.address().port());
    let Ok(size) = u8::try_from(via.len()) else { return ExitCode::FAILURE };
    let preamble = [b"\0\x01\0\x01\x02\x02", &[size][..], via.as_bytes(), b"\x03\x08\x0C"].concat();
    let mut sockets = Sockets::default();
    let hand_over = |together: usize| {
        let mut clients = [const { None::<TcpStream> }; 32];
        for client in clients.iter_mut().take(together) {
            let Ok(stream) = TcpStream::connect(turns.address()) else { std::process::exit(1) };
            if client.insert(stream).write_all(&preamble).is_err() {
                std::process::exit(1);
            }
        }
        turns.take(together);
        if !matches!(receive(turns.worker().as_fd(), &mut sockets), Ok(true))
            || sockets.drain().count() != together
        {
            std::process::exit(1);
        }
    };
    let hand_over = std::cell::RefCell::new(hand_over);
    instructions::run(&mut [
        ("accept_to_dispatch", &mut || hand_over.borrow_mut()(1)),
        ("accept_to_dispatch_32", &mut || hand_over.borrow_mut()(32)),
    ])
}
