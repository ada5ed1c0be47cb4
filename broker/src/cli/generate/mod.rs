//! `broker generate`: manual pages and completions for shells, from the same definitions as the command line, so that a package can
//! install them.
//!
//! - [`mod@page`]: the manual page of one command

mod page;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, Subcommand};
use clap_complete::{Shell, generate_to};

use self::page::page;

/// The page of the configuration is written by hand; its tests ask for each key.
const CONFIGURATION: (&str, &str) = ("broker.toml.5", include_str!("../../../man/broker.toml.5"));

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker generate man /usr/local/share/man
  broker generate completions /tmp/completions

Exit status: 0, 1 if a file cannot be written, 2 if the command line is wrong.")]
pub(crate) struct GenerateArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Manual pages, into man1 and man5 below this folder.
    Man { folder: PathBuf },
    /// broker.bash, _broker (zsh) and broker.fish, into this folder.
    Completions { folder: PathBuf },
}

/// The whole command; `root` is the command line that it is about.
pub(crate) fn run(arguments: &GenerateArguments, root: &Command) -> ExitCode {
    let (written, folder) = match &arguments.what {
        What::Man { folder } => (man(folder, root), folder),
        What::Completions { folder } => (completions(folder, root), folder),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "broker generate: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn man(folder: &Path, root: &Command) -> io::Result<()> {
    let (commands, formats) = (folder.join("man1"), folder.join("man5"));
    fs::create_dir_all(&commands)?;
    fs::create_dir_all(&formats)?;
    for (name, text) in pages(root)? {
        fs::write(commands.join(name), text)?;
    }
    fs::write(formats.join(CONFIGURATION.0), CONFIGURATION.1)
}

/// Each command's, with the name of its file.
pub(super) fn pages(root: &Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = visible(root);
    root.build();
    let commands: Vec<&Command> = std::iter::once(&root).chain(root.get_subcommands()).collect();
    let names: Vec<String> = commands.iter().copied().map(name).collect();
    commands.into_iter().map(|command| Ok((format!("{}.1", name(command)), page(command, &names)?))).collect()
}

/// As `man` finds it: `broker-ls`.
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn completions(folder: &Path, root: &Command) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut root = visible(root);
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let file = generate_to(shell, &mut root, "broker", folder)?;
        if shell == Shell::Fish {
            let mut file = OpenOptions::new().append(true).open(file)?;
            file.write_all(words_for_fish(&root).as_bytes())?;
        }
    }
    Ok(())
}

/// What clap_complete leaves out: arguments of commands, not of options, that are one of a few words.
fn words_for_fish(root: &Command) -> String {
    let mut lines = String::new();
    for command in root.get_subcommands() {
        for argument in command.get_positionals() {
            let words = argument.get_possible_values();
            let words: Vec<&str> = words.iter().map(|word| word.get_name()).collect();
            if !words.is_empty() {
                let (name, words) = (command.get_name(), words.join(" "));
                lines += &format!(
                    "complete -c broker -n \"__fish_broker_using_subcommand {name}\" -f -a \"{words}\"\n"
                );
            }
        }
    }
    lines
}

/// Without what is hidden, and without `broker help`, which says what `--help` says.
fn visible(root: &Command) -> Command {
    let shown = root.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("broker")
        .version(env!("CARGO_PKG_VERSION"))
        .about(root.get_about().cloned().unwrap_or_default())
        .after_help(root.get_after_help().cloned().unwrap_or_default())
        .args(root.get_arguments().cloned())
        .subcommands(shown)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
}

#[cfg(test)]
mod tests;
