//! The peer comparison: what a connection costs in the broker, in the C floor, in HAProxy and in nginx.
//!
//! `cargo run --release -p benches --bin peers` builds the floor, starts every contender on loopback, checks that it
//! routes by the Via, takes turns among them, and prints a table; `--svg FILE` draws it. Needs `cc`; HAProxy and nginx
//! (with its stream and njs modules) are skipped with a line that says so when they are not installed, and
//! `NET_TCP_REQUIRE_PEERS=1` makes that a failure.

mod chart;
mod contender;
mod load;
mod report;
mod start;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use benches::cost;
use contender::Kind;
use report::Row;

/// What to measure, and how long.
#[derive(Parser)]
struct Options {
    /// Rounds; in each one every contender has its turn, and the table shows the medians.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Connections of one turn.
    #[arg(long, default_value_t = 4000)]
    connections: usize,
    /// Connections open at any moment.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Connections that wait when the process wakes up, in the turns that are called saturated.
    #[arg(long, default_value_t = 64)]
    burst: usize,
    /// Registrations of the broker that is measured with many.
    #[arg(long, default_value_t = 1_000_000)]
    registrations: usize,
    /// GiB through one relayed connection; 0 leaves this part out.
    #[arg(long, default_value_t = 2)]
    bulk: u64,
    /// Idle relayed connections whose memory is measured; 0 leaves this part out.
    #[arg(long, default_value_t = 2000)]
    idle: usize,
    /// Only contenders whose name contains this word; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// The processor everything is pinned to; the default is the last one.
    #[arg(long)]
    core: Option<usize>,
    /// Draw the table here.
    #[arg(long)]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    // The same program is every helper process of a run: a worker, or the broker itself.
    let mut words: Vec<String> = std::env::args().collect();
    let result = match words.get(1).map(String::as_str) {
        Some("worker") => worker::main(&words[2..]),
        Some("crowd") => worker::crowd(&words[2..]),
        Some("broker") => return broker::main_from(words.split_off(1)),
        _ => compare(&Options::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> std::io::Result<()> {
    let core = cost::pin(options.core)?;
    let place = start::Place::new(options.registrations)?;
    let mut rows = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| wanted(&options.only, kind.name())) {
        if kind.program().is_none_or(test_peers::installed) {
            let contender = place.start(kind).map_err(|error| {
                std::io::Error::new(error.kind(), format!("{} does not start: {error}", kind.name()))
            })?;
            contender.check()?;
            rows.push(Row::new(contender));
        }
    }
    for round in 0..=options.rounds {
        for row in &mut rows {
            row.turn(options.connections, options.in_flight, options.burst, round == 0)?; // the first round warms up
        }
    }
    for row in rows.iter_mut().filter(|row| row.contender.kind.relays()) {
        row.bulk = (options.bulk > 0).then(|| row.contender.bulk(options.bulk)).transpose()?;
        row.idle = (options.idle > 0).then(|| row.contender.idle(options.idle)).transpose()?;
    }
    report::print(&rows, core, options.in_flight);
    if let Some(path) = &options.svg {
        std::fs::write(path, chart::draw(&rows, options.in_flight))?;
        println!("drawn: {}", path.display());
    }
    Ok(())
}

fn wanted(only: &[String], name: &str) -> bool {
    only.is_empty() || only.iter().any(|word| name.contains(word.as_str()))
}
