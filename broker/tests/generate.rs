//! `broker generate`: what it writes is taken without a word by those that read it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use test_peers::{installed, skip};

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
    if !installed("bash") {
        return;
    }
    // As bash calls it when a tab is pressed behind `broker p`.
    let script =
        ". \"$0\"; COMP_WORDS=(broker p); COMP_CWORD=1; _broker broker p broker; echo \"${COMPREPLY[@]}\"";
    let file = folder.path().join("broker.bash");
    let output = Command::new("bash").args(["-c", script]).arg(&file).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "probe", "{output:?}");
}
