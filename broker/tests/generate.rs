//! `broker generate`: what it writes is taken without a word by those that read it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use test_peers::{Terminal, installed, skip, until};

fn generate(what: &str, folder: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    let output = command.args(["generate", what]).arg(folder).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn run(program: &str, arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(file)
        .env("LC_ALL", "C.UTF-8")
        .env("MANWIDTH", "100")
        .env("MAN_KEEP_FORMATTING", "");
    command.output().unwrap()
}

#[test]
fn the_manual_is_read_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    generate("man", folder.path());
    let pages = [files(&folder.path().join("man1")), files(&folder.path().join("man5"))].concat();
    assert!(pages.len() > 10, "{pages:?}");
    for (program, arguments) in [("man", &["--warnings", "-l"][..]), ("mandoc", &["-Tlint", "-Wwarning"])] {
        if !installed(program) {
            skip(program, &format!("apt-get install {}", if program == "man" { "man-db" } else { program }));
            continue;
        }
        for page in &pages {
            let output = run(program, arguments, page);
            let said = [&output.stderr[..], if program == "man" { b"" } else { &output.stdout }].concat();
            let said = String::from_utf8_lossy(&said);
            // A page has no date: the same sources give the same page.
            let warnings: Vec<&str> = said.lines().filter(|line| !line.contains("missing date")).collect();
            assert!(warnings.is_empty(), "{program} {}: {warnings:#?}", page.display());
        }
    }
}

#[test]
fn shells_take_the_completions() {
    let folder = tempfile::tempdir().unwrap();
    generate("completions", folder.path());
    for (shell, file) in [("bash", "broker.bash"), ("zsh", "_broker"), ("fish", "broker.fish")] {
        if !installed(shell) {
            skip(shell, &format!("apt-get install {shell}"));
            continue;
        }
        let output = run(shell, &["-n"], &folder.path().join(file));
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    }
}

/// Tab is pressed at a terminal, as somebody does who does not know the words.
#[test]
fn a_tab_shows_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    generate("completions", folder.path());
    let here = folder.path().display();
    let bash = format!("PS1='$ '; bind 'set bell-style none'; . {here}/broker.bash\n");
    let zsh =
        format!("PS1='$ '; fpath=({here} $fpath); autoload -Uz compinit; compinit -u -D; unsetopt beep\n");
    for (shell, arguments, start) in
        [("bash", &["--norc", "--noprofile", "-i"][..], &bash), ("zsh", &["-f", "-i"], &zsh)]
    {
        if !installed(shell) {
            skip(shell, &format!("apt-get install {shell}"));
            continue;
        }
        for (typed, words) in TABS {
            let mut command = Command::new(shell);
            command.args(arguments).current_dir(folder.path()).env("HOME", folder.path()).env("TERM", "dumb");
            let terminal = Terminal::start(&mut command);
            terminal.press(start);
            terminal.press("echo rea''dy\n");
            until(|| terminal.said().contains("ready"));
            terminal.press(&format!("{typed}\t\t"));
            let shown = || terminal.said().rsplit("ready").next().unwrap_or_default().to_owned();
            until(|| words.iter().all(|word| shown().split_whitespace().any(|shown| shown == *word)));
        }
    }
    if !installed("fish") {
        skip("fish", "apt-get install fish");
        return;
    }
    for (typed, words) in TABS {
        let script = format!("source {here}/broker.fish; complete -C '{typed}'");
        let output =
            Command::new("fish").args(["--no-config", "-c", &script]).env("HOME", folder.path()).output();
        let shown = String::from_utf8(output.unwrap().stdout).unwrap();
        for word in words {
            assert!(
                shown.lines().any(|line| line.split('\t').next() == Some(word)),
                "{typed:?}: {word}: {shown}"
            );
        }
    }
}

/// What is typed before the tab, and some of what is shown then.
const TABS: [(&str, &[&str]); 4] = [
    ("broker ", &["run", "check", "ls", "drain", "log-level", "reload"]),
    ("broker log-level ", &["off", "error", "warn", "info", "debug", "trace"]),
    ("broker run --log-level ", &["off", "error", "warn", "info", "debug", "trace"]),
    ("broker exec --host-name-comparison ", &["strong_wildcard", "exact", "weak_wildcard"]),
];
