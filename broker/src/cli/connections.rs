//! `broker connections`: which connections the broker still has.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use handoff::administration::{HeldConnection, Place};
use handoff::printable;

use super::ask::{self, Listing, Which};
use super::table::{draw, long_text, number, short_octets, short_time, text};

#[derive(Debug, Args)]
#[command(after_help = "\
PLACE is where a connection is: preamble (its peer has not yet said where it wants to go), held (its worker's queue is full), relayed \
(copied to a back-end and back), refused (answered with a fault; its peer has not closed yet).

FOR is the ID in `broker ls` of whoever it is for, and RELAY the back-end that it is copied to: a relay keeps its back-end when the \
route is changed, and goes on when the route or the registration is gone, whose ID `broker ls` then no longer has.

What was handed over belongs to the workers and is not listed: `ss -tnp` shows those connections with their processes.

Example:
  broker connections --json | jq 'map(select(.place == \"preamble\")) | length'

Exit status: 0, or 2 if there is no answer.")]
pub(crate) struct ConnectionsArguments {
    #[command(flatten)]
    broker: Which,
    #[command(flatten)]
    listing: Listing,
}

/// The whole command.
pub(crate) fn run(arguments: &ConnectionsArguments) -> ExitCode {
    ask::command("connections", || {
        let mut connections = arguments.broker.connect()?.connections()?;
        connections
            .sort_by_key(|connection| (place(connection.place), u64::MAX - connection.age_milliseconds));
        arguments.listing.print(&connections, drawn)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn drawn(connections: &[HeldConnection], width: Option<usize>) -> String {
    let mut counts = BTreeMap::new();
    for connection in connections {
        *counts.entry(place(connection.place)).or_insert(0_usize) += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(place, count)| format!("{count} {place}")).collect();
    let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    let last = format!("{counts}; what was handed over belongs to the workers and is not listed\n");
    if connections.is_empty() {
        return last;
    }
    let columns = [
        text("PLACE"),
        long_text("PEER", 20),
        long_text("LOCAL", 20),
        number("FOR"),
        long_text("RELAY", 20),
        number("AGE"),
        number("IN"),
        number("OUT"),
    ];
    draw(columns, connections.iter().map(row).collect(), width) + &last
}

fn row(connection: &HeldConnection) -> [String; 8] {
    let none = || "-".to_owned();
    [
        place(connection.place).to_owned(),
        connection.peer.map_or_else(none, |peer| peer.to_string()),
        connection.local.map_or_else(none, |local| local.to_string()),
        connection.id.map_or_else(none, |id| id.to_string()),
        connection.relay.as_deref().map_or_else(none, printable),
        short_time(connection.age_milliseconds / 1000),
        short_octets(connection.octets_in),
        short_octets(connection.octets_out),
    ]
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Preamble => "preamble",
        Place::Held => "held",
        Place::Relayed => "relayed",
        Place::Refused => "refused",
        _ => "?",
    }
}
