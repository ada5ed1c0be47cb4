//! `broker watch`: how a running broker does, drawn again each second.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use handoff::administration::{Bounded, Holder, List, Nearest, Status};
use handoff::{ControlConnection, printable};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::ask::{self, Which};
use super::list::{states, waits};
use super::table::{draw, long_text, number, short_time, text};

const EVERY: Duration = Duration::from_secs(1);

/// So many holders are asked for: a view of more would be a load, and no view.
const HOLDERS: u64 = 500;

/// How wide and high it is where no terminal says so.
const SIZE: Size = Size { columns: 100, rows: usize::MAX };

/// So many lines are left for what was refused lately, if there is any.
const LATELY: usize = 8;

#[derive(Debug, Args)]
#[command(after_help = "\
Rates are connections a second since it was drawn last. Without a terminal it is drawn once.

Keys: q, ^C: end.

Example:
  broker watch

Exit status: 0, or 2 if there is no answer (any more).")]
pub(crate) struct WatchArguments {
    #[command(flatten)]
    broker: Which,
}

/// The whole command.
pub(crate) fn run(arguments: &WatchArguments) -> ExitCode {
    ask::command("watch", || {
        let mut broker = arguments.broker.connect()?;
        if !io::stdout().is_terminal() {
            let seen = Seen::of(&mut broker)?;
            io::stdout().lock().write_all(drawn(&seen, None, SIZE).as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(live(&mut broker))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Until somebody ends it.
async fn live(broker: &mut ControlConnection) -> Result<()> {
    // What signals do is changed first, so that none leaves the terminal as it is while this runs.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut resized = signal(SignalKind::window_change())?;
    let first = Seen::of(broker)?;
    let screen = Screen::take()?;
    let mut ended = key_that_ends();
    let mut seconds = interval(EVERY);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    seconds.tick().await;
    let (mut before, mut seen) = (None, first);
    loop {
        screen.draw(&drawn(&seen, before.as_ref(), Size::of_terminal()))?;
        tokio::select! {
            Ok(()) = &mut ended => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = quit.recv() => return Ok(()),
            _ = resized.recv() => {}
            _ = seconds.tick() => {
                let now = Seen::of(broker)?;
                before = Some(std::mem::replace(&mut seen, now));
            }
        }
    }
}

/// Told when one is pressed; other keys mean nothing. Who waits for keys ends with the process.
fn key_that_ends() -> oneshot::Receiver<()> {
    let (told, ended) = oneshot::channel();
    thread::spawn(move || {
        let mut input = io::stdin();
        let mut pressed = [0; 64];
        while input.is_terminal() {
            // ^C and ^D, and the end of the terminal.
            let is_end = |key: &u8| [b'q', b'Q', 3, 4].contains(key);
            match input.read(&mut pressed) {
                Ok(count @ 1..) if !pressed.iter().take(count).any(is_end) => {}
                _ => {
                    let _ = told.send(());
                    return;
                }
            }
        }
    });
    ended
}

/// The terminal while it is ours. As it was before when dropped.
struct Screen(Option<Termios>);

impl Screen {
    /// The other screen, without a cursor; keys come one by one and unseen.
    fn take() -> io::Result<Self> {
        let input = io::stdin();
        let before = input.is_terminal().then(|| tcgetattr(&input)).transpose()?;
        if let Some(before) = &before {
            let mut ours = before.clone();
            ours.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            ours.special_codes[SpecialCodeIndex::VMIN] = 1;
            ours.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(&input, OptionalActions::Now, &ours)?;
        }
        let screen = Self(before);
        io::stdout().write_all(b"\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    /// In one piece, over what was there: nothing flickers.
    fn draw(&self, view: &str) -> io::Result<()> {
        let mut drawn = String::from("\x1b[H");
        for line in view.lines() {
            drawn += line;
            drawn += "\x1b[K\n";
        }
        let drawn = drawn.trim_end_matches('\n').to_owned() + "\x1b[J";
        let mut output = io::stdout().lock();
        output.write_all(drawn.as_bytes())?;
        output.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut output = io::stdout().lock();
        let _ = output.write_all(b"\x1b[?25h\x1b[?1049l").and_then(|()| output.flush());
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Size {
    columns: usize,
    rows: usize,
}

impl Size {
    fn of_terminal() -> Self {
        let told = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        told.map_or(Self { rows: 24, ..SIZE }, |size| Self {
            columns: size.ws_col.into(),
            rows: size.ws_row.into(),
        })
    }
}

/// What the broker said at one moment.
struct Seen {
    at: Instant,
    status: Status,
    holders: Vec<Holder>,
}

impl Seen {
    fn of(broker: &mut ControlConnection) -> Result<Self> {
        let status = broker.status()?;
        let holders = broker.list_of(List::first(HOLDERS))?;
        Ok(Self { at: Instant::now(), status, holders })
    }
}

/// The view, no larger than this; with rates if it is known what was before.
fn drawn(seen: &Seen, before: Option<&Seen>, size: Size) -> String {
    let lately = lately(&seen.status);
    let below = if lately.is_empty() { 0 } else { lately.len().min(LATELY) + 2 };
    let head = head(seen, before);
    let room = size.rows.saturating_sub(head.lines().count() + 1 + below);
    let mut view = head + "\n" + &holders(seen, before, size.columns, room);
    if !lately.is_empty() {
        view += "\nrefused lately\n";
        view.extend(
            lately
                .iter()
                .take(if size.rows == usize::MAX { usize::MAX } else { LATELY })
                .map(|line| format!("{line}\n")),
        );
    }
    let cut = |line: &str| line.chars().take(size.columns).collect::<String>() + "\n";
    view.lines().take(size.rows).map(cut).collect()
}

fn head(seen: &Seen, before: Option<&Seen>) -> String {
    let Seen { status, .. } = seen;
    let mut head = format!(
        "broker {}  process {}  up {}  {}\n",
        printable(&status.version),
        status.pid,
        short_time(status.uptime_seconds),
        status.configuration.as_deref().map_or_else(|| "no configuration file".to_owned(), printable),
    );
    let rate = |of: &dyn Fn(&Status) -> u64| {
        before.map_or_else(String::new, |before| {
            format!(" ({}/s)", per_second(seen, before, of(status), of(&before.status)))
        })
    };
    for (what, of) in [
        ("accepted", &(|status: &Status| status.accepted) as &dyn Fn(&Status) -> u64),
        ("handed over", &|status| status.ended("handed_over")),
        ("relayed", &|status| status.ended("relayed")),
        ("refused", &Status::refusals),
    ] {
        let _ = write!(head, "{what} {}{}  ", of(status), rate(of));
    }
    let _ = writeln!(head, "here {}", status.here);
    let of = |Bounded { now, most, .. }: Bounded| {
        now.map_or_else(|| format!("-/{most}"), |now| format!("{now}/{most}"))
    };
    let totals = &status.totals;
    let _ = writeln!(
        head,
        "descriptors {}  queued {}  held {}  relays {}  listeners {}",
        of(totals.descriptors),
        of(totals.queued),
        of(totals.held),
        of(totals.relays),
        status.listening
    );
    head
}

fn per_second(seen: &Seen, before: &Seen, now: u64, then: u64) -> u64 {
    let milliseconds = seen.at.duration_since(before.at).as_millis().max(1);
    let more = u128::from(now.saturating_sub(then));
    u64::try_from((more * 1000 + milliseconds / 2) / milliseconds).unwrap_or(u64::MAX)
}

fn holders(seen: &Seen, before: Option<&Seen>, columns: usize, room: usize) -> String {
    if seen.holders.is_empty() {
        return "no registration, no static route\n".to_owned();
    }
    let earlier: HashMap<u64, &Holder> =
        before.iter().flat_map(|before| &before.holders).map(|holder| (holder.id, holder)).collect();
    let mut sorted: Vec<&Holder> = seen.holders.iter().collect();
    sorted.sort_by(|a, b| (a.addresses.first(), a.id).cmp(&(b.addresses.first(), b.id)));
    // A line for the head, and one for what is left out.
    let is_whole = seen.status.holders <= HOLDERS;
    let shown = if sorted.len() < room && is_whole {
        sorted.len()
    } else {
        room.saturating_sub(2).max(1).min(sorted.len())
    };
    let row = |holder: &&Holder| {
        let rate = |of: fn(&Holder) -> u64| match before.zip(earlier.get(&holder.id)) {
            Some((before, earlier)) => per_second(seen, before, of(holder), of(earlier)).to_string(),
            None => "-".to_owned(),
        };
        [
            holder.id.to_string(),
            holder.addresses.first().map(|address| printable(address)).unwrap_or_default(),
            states(holder),
            waits(holder),
            holder.handed_over.to_string(),
            rate(|holder| holder.handed_over),
            (holder.relayed + holder.relaying).to_string(),
            rate(|holder| holder.relayed + holder.relaying),
            holder.refused.to_string(),
            rate(|holder| holder.refused),
        ]
    };
    let head = [
        number("ID"),
        long_text("ADDRESS", 20),
        text("STATE"),
        number("WAIT"),
        number("HANDED"),
        number("/s"),
        number("RELAYED"),
        number("/s"),
        number("REFUSED"),
        number("/s"),
    ];
    let mut table = draw(head, sorted.iter().take(shown).map(row).collect(), Some(columns));
    let all = usize::try_from(seen.status.holders).unwrap_or(usize::MAX).max(sorted.len());
    if shown < all {
        let _ = writeln!(table, "and {} more: `broker ls`", all - shown);
    }
    table
}

/// The lines for each Via that matched nothing, and each registration that was refused, the last first.
fn lately(status: &Status) -> Vec<String> {
    let nearest = |nearest: &Option<Nearest>| match nearest {
        Some(Nearest { address, difference, .. }) => {
            format!("\n   nearest {} ({})", printable(address), printable(difference))
        }
        None => String::new(),
    };
    let vias = status.unmatched.iter().map(|entry| {
        let line = format!(
            "{}× {}: {}{}",
            entry.count,
            printable(&entry.via),
            printable(&entry.reason),
            nearest(&entry.nearest)
        );
        (entry.last, line)
    });
    let registrations = status.refused.iter().map(|entry| {
        let address = entry.address.as_deref().map(printable).unwrap_or_default();
        let pid = entry.pid.map(|pid| format!("process {pid}, ")).unwrap_or_default();
        let line = format!(
            "{}× registration {address} ({pid}user {}): {}",
            entry.count,
            entry.uid,
            printable(&entry.message)
        );
        (entry.last, line)
    });
    let mut lines: Vec<(u64, String)> = vias.chain(registrations).collect();
    lines.sort_by_key(|(last, _)| std::cmp::Reverse(*last));
    lines.iter().flat_map(|(_, entry)| entry.lines()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_no_larger_than_the_terminal() {
        let mut holders = Vec::new();
        for n in 0..50 {
            let mut holder = Holder::default();
            (holder.id, holder.handed_over) = (n, n * 10);
            holder.addresses = vec![format!("net.tcp://localhost:808/service/{n:03}")];
            holder.max_pending = Some(100);
            holders.push(holder);
        }
        let mut status = Status::default();
        status.unmatched = vec![Default::default(); 20];
        let before = Seen { at: Instant::now(), status: status.clone(), holders: holders.clone() };
        holders[0].handed_over += 14;
        status.accepted = 30;
        let seen = Seen { at: before.at + Duration::from_secs(2), status, holders };
        for (columns, rows) in [(80, 24), (40, 12), (200, 60)] {
            let drawn = drawn(&seen, Some(&before), Size { columns, rows });
            assert!(drawn.lines().count() <= rows, "{drawn}");
            assert!(drawn.lines().all(|line| line.chars().count() <= columns), "{drawn}");
        }
        let drawn = drawn(&seen, Some(&before), Size { columns: 100, rows: 24 });
        assert!(drawn.contains("accepted 30 (15/s)"), "{drawn}");
        let first = drawn.lines().find(|line| line.contains("/service/000")).unwrap();
        assert_eq!(first.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["14", "7"], "{first}");
        assert!(drawn.contains(" more: `broker ls`") && drawn.contains("refused lately"), "{drawn}");
    }
}
