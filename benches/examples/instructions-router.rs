//! Instruction counts of router, for `benches/instructions/check`.

use std::hint::black_box;
use std::net::SocketAddr;
use std::process::ExitCode;

use benches::{addresses, instructions};
use router::Via;

fn main() -> ExitCode {
    // A million takes valgrind minutes to register: `instructions-router NAME TIMES 1000000`.
    let many = std::env::args().nth(3).and_then(|many| many.parse().ok()).unwrap_or(10_000);
    let one = addresses::table(1);
    let many = addresses::table(many);
    let local: SocketAddr = ([192, 0, 2, 5], 9000).into();
    let (text, escaped) = (addresses::via(0), format!("{}/caf%C3%A9", addresses::via(0)));
    let (text, escaped) = (text.as_str(), escaped.as_str());
    let via = Via::parse(text).expect("a valid Via");
    instructions::run(&mut [
        ("parse_57", &mut || {
            let _ = black_box(&Via::parse(black_box(text)));
        }),
        ("parse_67_with_escapes", &mut || {
            let _ = black_box(&Via::parse(black_box(escaped)));
        }),
        ("lookup_3_of_1", &mut || {
            let _ = black_box(&one.lookup(black_box(&via), local));
        }),
        ("lookup_3_of_10000", &mut || {
            let _ = black_box(&many.lookup(black_box(&via), local));
        }),
        ("parse_lookup_3_of_1", &mut || {
            let via = Via::parse(black_box(text)).expect("a valid Via");
            let _ = black_box(&one.lookup(&via, local));
        }),
        ("parse_lookup_3_of_10000", &mut || {
            let via = Via::parse(black_box(text)).expect("a valid Via");
            let _ = black_box(&many.lookup(&via, local));
        }),
    ])
}
