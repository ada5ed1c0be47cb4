//! `broker ls`: who has which address, and how that goes.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use handoff::administration::{Holder, State};
use handoff::printable;

use super::ask::{self, Listing, Which};
use super::table::{draw, long_text, number, short_time, text};
use crate::log::service::colours_are_wanted;

#[derive(Debug, Args)]
#[command(after_help = "\
Columns: WAIT is how many connections are in the worker's queue, and how many may be there, and behind a + the same of those that wait \
in the broker because it is full; HANDED how often connections were handed over; RELAYED how many \
were copied to a back-end, or to a worker of the other family of loopback; REFUSED how many got a fault instead.

Example:
  broker ls --json | jq -r '.[] | select(.state != \"up\") | .addresses[]'

Exit status: 0, or 2 if there is no answer.")]
pub(crate) struct ListArguments {
    #[command(flatten)]
    broker: Which,
    #[command(flatten)]
    listing: Listing,
}

/// The whole command.
pub(crate) fn run(arguments: &ListArguments) -> ExitCode {
    ask::command("ls", || {
        let mut holders = arguments.broker.connect()?.list()?;
        holders.sort_by(|a, b| (a.addresses.first(), a.id).cmp(&(b.addresses.first(), b.id)));
        arguments.listing.print(&holders, drawn)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn drawn(holders: &[Holder], width: Option<usize>) -> String {
    if holders.is_empty() {
        return "no registration, no static route\n".to_owned();
    }
    let columns = [
        number("ID"),
        long_text("ADDRESS", 20),
        text("MODE"),
        number("PID"),
        text("USER"),
        long_text("PROGRAM", 18),
        text("STATE"),
        number("WAIT"),
        number("HANDED"),
        number("RELAYED"),
        number("REFUSED"),
        number("AGE"),
    ];
    let table = draw(columns, holders.iter().map(row).collect(), width);
    let mut drawn = coloured(&table, holders);
    if holders.iter().any(|holder| holder.state == State::Draining) {
        drawn +=
            "draining: by an administrator or its worker, not in the file; `broker undrain ID` ends it\n";
    }
    let taken_back: u64 = holders.iter().map(|holder| holder.taken_back).sum();
    if taken_back > 0 {
        drawn += &format!(
            "taken back: {taken_back} of those handed over, which workers had left behind (`taken_back` in --json)\n"
        );
    }
    drawn + &away(holders)
}

/// For how long the addresses of workers that have left stay.
fn away(holders: &[Holder]) -> String {
    let away = holders.iter().filter_map(|holder| Some((holder.id, holder.grace_left_seconds?)));
    let each: Vec<String> = away.map(|(id, left)| format!("{id} for {left} s more")).collect();
    match each.is_empty() {
        true => String::new(),
        false => format!("away: its worker has left, connections wait for the next; {}\n", each.join(", ")),
    }
}

fn row(holder: &Holder) -> [String; 12] {
    let address = match &*holder.addresses {
        [] => String::new(),
        [address] => printable(address),
        [first, more @ ..] => format!("{} +{}", printable(first), more.len()),
    };
    let none = || "-".to_owned();
    let (program, user) = match &holder.relay {
        Some(relay) => (format!("→ {}", printable(relay)), none()),
        None => {
            let uid = || holder.uid.map_or_else(none, |uid| uid.to_string());
            (
                holder.program.as_deref().map_or_else(none, printable),
                holder.user.as_deref().map_or_else(uid, printable),
            )
        }
    };
    [
        holder.id.to_string(),
        address,
        holder.host_name_comparison.trim_end_matches("_wildcard").to_owned(),
        holder.pid.map_or_else(none, |pid| pid.to_string()),
        user,
        program,
        states(holder),
        waits(holder),
        holder.handed_over.to_string(),
        (holder.relayed + holder.relaying).to_string(),
        holder.refused.to_string(),
        short_time(holder.age_seconds),
    ]
}

/// All that is true of it: `drain,stuck`.
pub(super) fn states(holder: &Holder) -> String {
    let word = |state: &State| match state {
        State::Up => "up",
        State::Draining => "drain",
        State::Stuck => "stuck",
        State::Full => "full",
        State::Absent => "away",
        _ => "?",
    };
    // A broker of another version may say no more than the first.
    let all = if holder.states.is_empty() { std::slice::from_ref(&holder.state) } else { &holder.states };
    all.iter().map(word).collect::<Vec<_>>().join(",")
}

/// What is in its queue, of how many that may be; and what waits in the broker, of how many: `100/100+20/100`.
pub(super) fn waits(holder: &Holder) -> String {
    let of = |count: u64, most: Option<u64>| match most {
        Some(most) => format!("{count}/{most}"),
        None => count.to_string(),
    };
    match holder.max_pending {
        None => "-".to_owned(),
        queue if holder.held == 0 => of(holder.queued, queue),
        queue => format!("{}+{}", of(holder.queued, queue), of(holder.held, holder.max_held)),
    }
}

/// On a terminal, what is not up stands out.
fn coloured(table: &str, holders: &[Holder]) -> String {
    if !io::stdout().is_terminal() || !colours_are_wanted() {
        return table.to_owned();
    }
    let mut lines = table.lines();
    let mut coloured: String = lines.next().map(|head| format!("\x1b[1m{head}\x1b[0m\n")).unwrap_or_default();
    for (line, holder) in lines.zip(holders) {
        let colour = match (holder.state, &*holder.states) {
            (State::Up, _) => "",
            (State::Draining | State::Absent, [] | [_]) => "\x1b[33m",
            _ => "\x1b[31m",
        };
        let end = if colour.is_empty() { "" } else { "\x1b[0m" };
        coloured += &format!("{colour}{line}{end}\n");
    }
    coloured
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_registrations_fit_a_hundred_columns() {
        let mut holder = Holder::default();
        holder.id = 12;
        holder.addresses = vec!["net.tcp://localhost:808/orders".to_owned()];
        holder.host_name_comparison = "strong_wildcard".to_owned();
        (holder.pid, holder.uid) = (Some(41_234), Some(1000));
        (holder.user, holder.program) = (Some("orders".to_owned()), Some("dotnet".to_owned()));
        (holder.max_pending, holder.queued) = (Some(100), 3);
        holder.handed_over = 123_456;
        let drawn = drawn(&[holder], Some(100));
        assert!(drawn.lines().all(|line| line.chars().count() <= 100), "{drawn}");
        let line = drawn.lines().nth(1).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "12",
                "net.tcp://localhost:808/orders",
                "strong",
                "41234",
                "orders",
                "dotnet",
                "up",
                "3/100",
                "123456",
                "0",
                "0",
                "0s"
            ]
        );
    }
}
