//! The manual page of a command: clap_mangen's sections, and what its help says behind the options as sections of their own.

use std::io;

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

/// In roff; `names` are those of all pages.
pub(super) fn page(command: &Command, names: &[String]) -> io::Result<Vec<u8>> {
    let this = command.get_display_name().unwrap_or_else(|| command.get_name());
    // Without a date: the same sources give the same page.
    let mut text = format!(
        ".TH {} 1 \"\" \"broker {}\" \"Net.TCP port sharing\"\n",
        this.replace('-', "\\-"),
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes();
    let man = Man::new(command.clone());
    man.render_name_section(&mut text)?;
    synopsis(command).to_writer(&mut text)?;
    man.render_description_section(&mut text)?;
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let after = After::of(&help);
    let mut more = Roff::new();
    for words in after.paragraphs {
        more.control("PP", []);
        more.text([roman(in_one_line(words))]);
    }
    more.to_writer(&mut text)?;
    let mut options = Vec::new();
    man.render_options_section(&mut options)?;
    // Two breaks around a blank line are one paragraph too many for mandoc.
    text.extend(String::from_utf8_lossy(&options).replace("\n.br\n\n.br\n", "\n.sp\n").bytes());
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }

    let mut last = Roff::new();
    if let Some(examples) = after.examples {
        last.control("SH", ["EXAMPLES"]);
        last.control("nf", []);
        for line in examples.lines().skip(1) {
            last.text([roman(line.trim_start())]);
        }
        last.control("fi", []);
    }
    if let Some(words) = after.status {
        last.control("SH", ["EXIT STATUS"]);
        last.text([roman(capital(&in_one_line(words)))]);
    }
    last.control("SH", ["SEE ALSO"]);
    let others = names.iter().filter(|name| *name != this).map(|name| (name.as_str(), "(1), "));
    let others = others.chain([("broker.toml", "(5)")]);
    last.text(others.flat_map(|(name, section)| [bold(name), roman(section)]).collect::<Vec<_>>());
    last.to_writer(&mut text)?;
    Ok(text)
}

/// As clap_mangen's, which leaves out what an option takes.
fn synopsis(command: &Command) -> Roff {
    let mut line = vec![bold(command.get_bin_name().unwrap_or_else(|| command.get_name()))];
    let shown = || command.get_arguments().filter(|argument| !argument.is_hide_set());
    let (needed, others): (Vec<&Arg>, Vec<&Arg>) =
        shown().filter(|argument| !argument.is_positional()).partition(|option| option.is_required_set());
    for argument in needed.into_iter().chain(others).chain(command.get_positionals()) {
        let (before, after) = if argument.is_required_set() { (" ", "") } else { (" [", "]") };
        line.push(roman(before));
        let names = argument.get_short().map(|short| format!("-{short}")).into_iter();
        let names: Vec<String> = names.chain(argument.get_long().map(|long| format!("--{long}"))).collect();
        line.push(bold(names.join("|")));
        if argument.get_action().takes_values() {
            line.push(roman(if names.is_empty() { "" } else { " " }));
            let values = argument.get_value_names().unwrap_or_default();
            line.push(italic(values.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(" ")));
        }
        line.push(roman(after));
        let many = argument.get_num_args().is_some_and(|range| range.max_values() > 1);
        if many || matches!(argument.get_action(), ArgAction::Append) {
            line.push(roman("..."));
        }
    }
    if command.has_subcommands() {
        line.extend([roman(" ["), italic("COMMAND"), roman("]")]);
    }
    let mut section = Roff::new();
    section.control("SH", ["SYNOPSIS"]);
    section.text(line);
    section
}

/// What a command's help says behind the options, by blank lines.
struct After<'t> {
    paragraphs: Vec<&'t str>,
    examples: Option<&'t str>,
    status: Option<&'t str>,
}

impl<'t> After<'t> {
    fn of(help: &'t str) -> Self {
        let mut after = Self { paragraphs: Vec::new(), examples: None, status: None };
        for block in help.split("\n\n").filter(|block| !block.trim().is_empty()) {
            if block.starts_with("Example") {
                after.examples = Some(block);
            } else if let Some(words) = block.strip_prefix("Exit status:") {
                after.status = Some(words);
            } else {
                after.paragraphs.push(block);
            }
        }
        after
    }
}

fn in_one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
