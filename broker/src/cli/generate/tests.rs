//! Each command and each key, in the help, the manual and the completions: whoever adds one adds no test here.

use std::collections::BTreeSet;
use std::path::Path;

use clap::builder::PossibleValue;
use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, Parser};

use super::{CONFIGURATION, completions, pages, visible};
use crate::cli::Cli;
use crate::config::keys::{KEYS, OnReload};
use crate::config::{Config, ConfigError};

/// The command line and each command, hidden ones too.
fn all() -> Vec<Command> {
    let mut root = Cli::command();
    root.build();
    std::iter::once(root.clone())
        .chain(root.get_subcommands().filter(|command| command.get_name() != "help").cloned())
        .collect()
}

fn after(command: &Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}

/// The command lines of ours among the examples.
fn examples(help: &str) -> Vec<Vec<String>> {
    let block = help.split("\n\n").find(|block| block.starts_with("Example")).unwrap_or_default();
    ours(block.lines().skip(1))
}

/// Those that call us, without the shell's own words and comments.
fn ours<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<Vec<String>> {
    let lines = lines.filter_map(|line| line.split(" #").next()).flat_map(|line| line.split(" && "));
    let commands = lines.flat_map(|line| line.split(" || ")).filter_map(|line| line.split(" | ").next());
    let commands = commands.map(|command| {
        let words = command.split_whitespace().take_while(|word| *word != "<" && *word != ">");
        words.map(|word| word.trim_matches('\'').to_owned()).collect::<Vec<_>>()
    });
    commands.filter(|words| words.first().is_some_and(|first| first == "broker")).collect()
}

#[track_caller]
fn is_taken(words: &[String], place: &str) {
    match Cli::try_parse_from(words) {
        Err(error) if error.kind() != ErrorKind::DisplayHelp => panic!("{place}: {error}"),
        _ => {}
    }
}

#[test]
fn each_command_has_an_example_that_it_takes_and_its_exit_statuses() {
    for command in all() {
        let (name, help) = (command.get_bin_name().unwrap_or("broker").to_owned(), after(&command));
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{name} --help has no command behind \"Example:\"");
        let of_this = examples.iter().any(|words| words.join(" ").starts_with(&name));
        assert!(of_this, "{name} --help: {examples:?} are examples of something else");
        for words in &examples {
            is_taken(words, &format!("{name} --help"));
        }
        for block in help.split("\n\n").filter(|block| !block.starts_with("Example")) {
            assert!(!block.contains('\n'), "{name} --help has line feeds of its own in: {block}");
        }
        let last = help.split("\n\n").last().unwrap_or_default();
        assert!(
            last.starts_with("Exit status: ") && last.ends_with('.'),
            "{name} --help ends with: {last:?}"
        );
        for status in ["0", "2"] {
            let named = last.split(|c: char| !c.is_ascii_digit()).any(|word| word == status);
            assert!(named || last.contains("the program's"), "{name} --help does not say what {status} is");
        }
    }
}

/// docs/operations.md is run (tests/operations.rs).
#[test]
fn each_command_in_the_documents_is_taken() {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (document, least) in [("README.md", 15), ("broker/README.md", 6)] {
        let text = std::fs::read_to_string(documents.join(document)).unwrap();
        let mut inside = false;
        let lines = text.lines().filter_map(|line| {
            inside ^= line.starts_with("```");
            inside.then(|| line.trim_start_matches("ExecStart=/usr/local/bin/"))
        });
        let commands = ours(lines);
        assert!(commands.len() >= least, "{document}: {commands:#?}");
        for words in &commands {
            is_taken(words, document);
        }
    }
}

fn value_name(argument: &Arg) -> &str {
    argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str())
}

/// Long options and possible values, of it and what is below it.
fn words(command: &Command) -> BTreeSet<String> {
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| !argument.is_hide_set()).collect();
    // What is one of a few words is completed, and named where it is wrong.
    for argument in arguments.iter().filter(|argument| ["LEVEL", "MODE"].contains(&value_name(argument))) {
        assert!(!argument.get_possible_values().is_empty(), "{}: {argument}", command.get_name());
    }
    let options = arguments.iter().filter_map(|argument| Some(format!("--{}", argument.get_long()?)));
    let values = arguments.iter().flat_map(|argument| argument.get_possible_values());
    let values =
        values.filter(|value| !value.is_hide_set()).map(|value: PossibleValue| value.get_name().to_owned());
    options.chain(values).filter(|word| !["true", "false"].contains(&word.as_str())).collect()
}

#[test]
fn each_command_and_option_is_in_the_manual() {
    let pages = pages(&Cli::command()).unwrap();
    let shown: Vec<Command> = all().into_iter().filter(|command| !command.is_hide_set()).collect();
    assert_eq!(pages.len(), shown.len());
    let names: Vec<String> = pages.iter().map(|(file, _)| file.trim_end_matches(".1").to_owned()).collect();
    for (command, (file, text)) in shown.iter().zip(&pages) {
        let text = String::from_utf8(text.clone()).unwrap().replace("\\-", "-");
        let name = command.get_bin_name().unwrap_or("broker").replace(' ', "-");
        assert_eq!(file, &format!("{name}.1"));
        for word in words(command) {
            assert!(text.contains(&word), "{file} lacks {word}");
        }
        let plain = text.replace("\\fB", "").replace("\\fI", "").replace("\\fR", "");
        let synopsis = plain.split_once("\n.SH SYNOPSIS\n").unwrap().1.split("\n.SH ").next().unwrap();
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let value = argument.get_action().takes_values().then(|| value_name(argument));
            let option = argument.get_long().map(|long| format!("--{long}"));
            let whole = option.as_deref().into_iter().chain(value).collect::<Vec<_>>().join(" ");
            let whole = if argument.is_required_set() { format!(" {whole}") } else { format!("{whole}]") };
            assert!(synopsis.contains(&whole), "{file}: SYNOPSIS lacks {whole:?}: {synopsis}");
        }
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\"", "\"SEE ALSO\""]
        {
            assert!(text.contains(&format!("\n.SH {section}\n")), "{file} lacks {section}");
        }
        for other in names.iter().filter(|other| **other != name) {
            assert!(text.contains(&format!("\\fB{other}\\fR(1)")), "{file} does not name {other}");
        }
    }
}

#[test]
fn each_command_and_option_is_in_the_completions() {
    let folder = tempfile::tempdir().unwrap();
    completions(folder.path(), &Cli::command()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for (file, option) in [("broker.bash", "--"), ("_broker", "--"), ("broker.fish", "-l ")] {
        let text = read(file);
        for command in all().iter().filter(|command| !command.is_hide_set()) {
            let words = words(command).into_iter().chain([command.get_name().to_owned()]);
            for word in words.map(|word| word.replace("--", option)) {
                assert!(text.contains(&word), "{file} lacks {word}");
            }
        }
        assert!(!text.contains("generate"), "{file} has what is hidden");
    }
}

/// What is said of a key: between its heading and the next.
fn entry<'p>(page: &'p str, table: &str, name: &str) -> Option<&'p str> {
    let section = match table {
        "" => page.split_once("\n.SH KEYS\n")?.1.split("\n.S").next()?,
        table => page.split_once(&format!("\n.SS [{table}]\n"))?.1.split("\n.S").next()?,
    };
    let (_, rest) = section.split_once(&format!(".TP\n.B {name}\n"))?;
    rest.split("\n.TP\n").next()
}

#[test]
fn each_key_is_in_its_manual_page() {
    let page = CONFIGURATION.1.replace("\\-", "-");
    for key in KEYS {
        let entry = entry(&page, key.table, key.name);
        let entry = entry.unwrap_or_else(|| {
            panic!("man/broker.toml.5: no entry .B {} in the section of the table {:?}", key.name, key.table)
        });
        let words = entry.split_whitespace().collect::<Vec<_>>().join(" ");
        let option = format!("--{}", key.option);
        let option = words.split(' ').any(|word| word.trim_end_matches(',') == option);
        assert!(option, "man/broker.toml.5: {key}: no option --{}: {words}", key.option);
        let default = match key.default {
            "" => key.kind.shown(&Config::default()).unwrap_or_default().replace('"', ""),
            words => words.to_owned(),
        };
        assert!(
            words.contains(&format!("Default: {default}.")),
            "man/broker.toml.5: {key}: Default: {default}."
        );
        let restart = words.contains("Needs a restart.");
        assert_eq!(
            restart,
            key.on_reload == OnReload::Restart,
            "man/broker.toml.5: {key}: \"Needs a restart.\""
        );
    }
    // And none that is not there.
    let entries = page.split_once("\n.SH KEYS\n").unwrap().1.split("\n.SS [[route]]\n").next().unwrap();
    assert_eq!(entries.matches(".TP\n.B ").count(), KEYS.len());
}

#[test]
fn the_example_of_the_page_is_a_configuration() -> Result<(), ConfigError> {
    let page = CONFIGURATION.1.replace("\\-", "-");
    let (_, example) = page.split_once("\n.nf\n").unwrap();
    let config = Config::from_toml(example.split_once("\n.fi\n").unwrap().0)?;
    assert_eq!((config.routes.len(), config.listen.len()), (1, 3));
    Ok(())
}

#[test]
fn what_cannot_be_written_is_said() {
    assert!(completions(Path::new("/dev/null/x"), &Cli::command()).is_err());
    assert!(super::man(Path::new("/dev/null/x"), &Cli::command()).is_err());
    assert!(visible(&Cli::command()).get_subcommands().all(|command| command.get_name() != "generate"));
}
