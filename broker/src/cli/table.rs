//! Tables for people: aligned, a line for each entry, as wide as the terminal and no wider.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use rustix::termios::tcgetwinsize;

/// How wide a table is at least: that of a narrow terminal, too.
const WIDTH: usize = 100;

/// A column: its head, and how it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) align: CellAlignment,
    /// Its texts are cut to so many characters where the table is too wide; the last such column first.
    pub(super) least: Option<usize>,
}

/// Text stands left, numbers right.
pub(super) const fn text(head: &'static str) -> Column {
    Column { head, align: CellAlignment::Left, least: None }
}

pub(super) const fn number(head: &'static str) -> Column {
    Column { head, align: CellAlignment::Right, least: None }
}

/// A text that is cut where there is no room for all of it.
pub(super) const fn long_text(head: &'static str, least: usize) -> Column {
    Column { head, align: CellAlignment::Left, least: Some(least) }
}

/// How wide it may be: the terminal, but not less than [`WIDTH`]; `None` where nothing shall be cut, as for a program that reads it.
pub(super) fn width(wide: bool) -> Option<usize> {
    let terminal = || tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    let cut = io::stdout().is_terminal() && !wide;
    cut.then(|| terminal().unwrap_or(WIDTH).max(WIDTH))
}

/// The table, a line feed behind each line.
pub(super) fn draw<const N: usize>(
    columns: [Column; N],
    mut rows: Vec<[String; N]>,
    width: Option<usize>,
) -> String {
    if let Some(width) = width {
        let widest = |n: usize| {
            let texts = rows.iter().map(|row| row[n].chars().count());
            texts.chain([columns[n].head.len()]).max().unwrap_or_default()
        };
        let widths: [usize; N] = std::array::from_fn(widest);
        let mut over = (widths.iter().sum::<usize>() + N - 1).saturating_sub(width);
        for (n, least) in (0..N).rev().filter_map(|n| Some((n, columns[n].least?))) {
            let most = widths[n].saturating_sub(over).max(least);
            rows.iter_mut().for_each(|row| shorten(&mut row[n], most));
            over = over.saturating_sub(widths[n].saturating_sub(most));
        }
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.map(|column| column.head)).add_rows(rows);
    for (column, Column { align, .. }) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 1)).set_cell_alignment(align);
    }
    let mut drawn = String::new();
    for line in table.lines() {
        let _ = writeln!(drawn, "{}", line.trim_end());
    }
    drawn
}

/// Takes out of the middle what is too much: both ends tell addresses apart.
fn shorten(text: &mut String, most: usize) {
    let length = text.chars().count();
    if length > most {
        let (first, last) = (most / 2, most - most / 2 - 1);
        *text = text.chars().take(first).chain(['…']).chain(text.chars().skip(length - last)).collect();
    }
}

/// A time in at most four characters: `59s`, `59m`, `23h`, `999d`.
pub(super) fn short_time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A number of octets: `999`, `1.5K`, `12M`.
pub(super) fn short_octets(octets: u64) -> String {
    let (mut value, mut unit) = (octets, "");
    let mut tenth = 0;
    for next in ["K", "M", "G", "T", "P"] {
        if value < 1024 {
            break;
        }
        (tenth, value, unit) = (value % 1024 * 10 / 1024, value / 1024, next);
    }
    match unit {
        "" => octets.to_string(),
        _ if value < 10 => format!("{value}.{tenth}{unit}"),
        _ => format!("{value}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_it_may_be() {
        let rows = vec![
            ["1".to_owned(), "net.tcp://localhost:808/a/very/long/path/to/orders".to_owned(), "7".to_owned()],
            ["22".to_owned(), "b".to_owned(), "4711".to_owned()],
        ];
        let columns = [text("ID"), long_text("ADDRESS", 20), number("HANDED")];
        let drawn = draw(columns, rows.clone(), Some(40));
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "ID ADDRESS                        HANDED");
        assert_eq!(lines[1], "1  net.tcp://local…path/to/orders      7", "{drawn}");
        assert_eq!(lines[2], "22 b                                4711");
        assert!(draw(columns, rows, None).contains("/a/very/long/path/to/orders"));
    }

    #[test]
    fn times_and_octets_are_short() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (86_400, "1d"), (86_400 * 400, "400d")]
        {
            assert_eq!(short_time(seconds), text);
        }
        for (octets, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1536, "1.5K"),
            (20 << 20, "20M"),
            (u64::MAX, "16383P"),
        ] {
            assert_eq!(short_octets(octets), text);
        }
    }
}
