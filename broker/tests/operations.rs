//! docs/operations.md: its commands still give what it says they give. `BLESS=1` writes what they give now.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{free_port, installed};
use test_peers::skip;

/// Stands in the script's output behind that of each command, before the processes that it has started.
const END: &str = "=== end of a command, processes:";

/// The ports of the document.
const PORTS: [&str; 4] = ["9000", "9003", "9101", "9102"];

const CONFIGURATION: &str =
    "[[route]]\naddress = \"net.tcp://localhost:9000/legacy\"\nrelay = \"127.0.0.1:9101\"\n";

/// A piece of the document, in its order.
#[derive(Debug, PartialEq)]
enum Piece {
    /// What is not run.
    Words(String),
    /// A command with its continuation lines, and what it gives.
    Command { lines: Vec<String>, output: Vec<String> },
    /// Waited for, unseen.
    Wait(String),
}

fn pieces(document: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        inside = match line {
            "```console" => true,
            "```" => false,
            _ => inside,
        };
        let wait = line.strip_prefix("<!-- wait: ").and_then(|line| line.strip_suffix(" -->"));
        let command = line.strip_prefix("$ ").filter(|_| inside);
        match (command, wait, pieces.last_mut()) {
            (Some(command), _, _) => {
                pieces.push(Piece::Command { lines: vec![command.to_owned()], output: Vec::new() });
            }
            (None, Some(wait), _) => pieces.push(Piece::Wait(wait.to_owned())),
            (None, None, Some(Piece::Command { lines, output })) if inside && line != "```" => {
                match line.strip_prefix('>').filter(|_| output.is_empty()) {
                    Some(more) => lines.push(more.strip_prefix(' ').unwrap_or(more).to_owned()),
                    None => output.push(line.to_owned()),
                }
            }
            _ => pieces.push(Piece::Words(line.to_owned())),
        }
    }
    pieces
}

fn document(pieces: &[Piece]) -> String {
    let lines = pieces.iter().flat_map(|piece| match piece {
        Piece::Words(line) => vec![line.clone()],
        Piece::Wait(command) => vec![format!("<!-- wait: {command} -->")],
        Piece::Command { lines, output } => {
            let (first, more) = lines.split_first().unwrap();
            let first = [format!("$ {first}")].into_iter();
            first.chain(more.iter().map(|line| format!("> {line}"))).chain(output.iter().cloned()).collect()
        }
    });
    lines.map(|line| line + "\n").collect()
}

/// One shell for all of it: it knows the processes that it has started.
fn script(pieces: &[Piece]) -> String {
    let mut script = "trap 'kill -CONT $(jobs -p); kill $(jobs -p); wait' EXIT\n".to_owned();
    for piece in pieces {
        match piece {
            Piece::Words(_) => {}
            Piece::Wait(command) => {
                script += &format!("until {{ {command}; }} > wait.log 2>&1; do sleep 0.05; done\n");
            }
            Piece::Command { lines, .. } => {
                script += &format!("{}\necho \"{END}\" $(jobs -p)\n", lines.join("\n"));
            }
        }
    }
    script
}

/// Each run of digits that stands for something else stands for that.
fn with_numbers(text: &str, numbers: &BTreeMap<String, String>) -> String {
    let (mut all, mut digits) = (String::new(), String::new());
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_digit() {
            digits.push(letter);
        } else {
            all += numbers.get(&digits).unwrap_or(&digits);
            digits.clear();
            all.push(letter);
        }
    }
    all.pop();
    all
}

/// What is another at each run: how long something took, how old it is.
fn without_times(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        if words[at].starts_with("ms") && words[at - 1].parse::<f64>().is_ok() {
            let waited = at > 1 && words[at - 2] == "within";
            words[at - 1] = if waited { "1000.2" } else { "0.4" };
        }
    }
    if let Some(last) = words.last_mut() {
        let is_age = last.strip_suffix(['s', 'm']).is_some_and(|seconds| seconds.parse::<u8>().is_ok());
        *last = if is_age { "0s" } else { last };
    }
    words.join(" ")
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the commands gave, one text each, with the document's ports and made-up process ids.
fn run(folder: &Path, pieces: &[Piece], ports: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations");
    std::fs::copy(documents.join("service.py"), folder.join("service.py")).unwrap();
    std::fs::write(folder.join("broker.toml"), with_numbers(CONFIGURATION, ports)).unwrap();
    std::fs::write(folder.join("script"), with_numbers(&script(pieces), ports)).unwrap();
    let output = std::fs::File::create(folder.join("output")).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_broker")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let status = Command::new("timeout")
        .args(["300", "bash", "script"])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("NET_TCP_PORT_SHARING_CONTROL", folder.join("control"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .status()
        .unwrap();
    let output = std::fs::read_to_string(folder.join("output")).unwrap();
    let log = std::fs::read_to_string(folder.join("broker.log")).unwrap_or_default();
    let commands = pieces.iter().filter(|piece| matches!(piece, Piece::Command { .. })).count();
    assert_eq!(output.matches(END).count(), commands, "{status}\n{output}\n{log}");

    let mut numbers: BTreeMap<String, String> =
        ports.iter().map(|(of_document, here)| (here.clone(), of_document.clone())).collect();
    let mut given = Vec::new();
    let mut lines = Vec::new();
    let mut processes = 0;
    for line in output.lines() {
        match line.strip_prefix(END) {
            None => lines.push(line),
            Some(started) => {
                for process in started.split_whitespace() {
                    numbers.entry(process.to_owned()).or_insert_with(|| {
                        processes += 1;
                        (4120 + processes).to_string()
                    });
                }
                given.push(std::mem::take(&mut lines));
            }
        }
    }
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let in_document = |line: &&str| {
        let line = without_times(&with_numbers(line, &numbers));
        let line = line.replace(&*folder.to_string_lossy(), "/srv");
        line.replace(&format!(" {} ", user.trim()), " root ").trim_end().to_owned()
    };
    given.iter().map(|lines| lines.iter().map(in_document).collect()).collect()
}

#[test]
fn each_command_gives_what_the_document_says() {
    for program in ["python3", "bash", "timeout"] {
        if !installed(program) {
            return skip(program, &format!("apt-get install {program}"));
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let written = std::fs::read_to_string(&file).unwrap();
    let mut pieces = pieces(&written);
    assert_eq!(document(&pieces), written, "read as it is written");
    let bless = std::env::var_os("BLESS").is_some();
    // Columns are as wide as what stands in them: written down are the document's own.
    let here = |port: &str| if bless { port.to_owned() } else { free_port().to_string() };
    let ports = PORTS.map(|port| (port.to_owned(), here(port))).into_iter().collect();
    let folder = tempfile::tempdir().unwrap();
    let mut given = run(folder.path(), &pieces, &ports).into_iter();
    let mut different = Vec::new();
    for piece in &mut pieces {
        let Piece::Command { lines, output } = piece else { continue };
        let now = given.next().unwrap();
        let same = |a: &[String], b: &[String]| {
            let a = a.iter().map(|line| words(&without_times(line)));
            a.eq(b.iter().map(|line| words(&without_times(line))))
        };
        if !same(output, &now) {
            different.push(format!(
                "$ {}\nnow:\n{}\nwritten:\n{}",
                lines[0],
                now.join("\n"),
                output.join("\n")
            ));
        }
        *output = now;
    }
    if bless {
        std::fs::write(file, document(&pieces)).unwrap();
    } else {
        assert!(different.is_empty(), "docs/operations.md, BLESS=1 writes it:\n{}", different.join("\n\n"));
    }
}

#[test]
fn what_changes_from_run_to_run_is_left_out() {
    let numbers = [("41207", "4121"), ("35001", "9000")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    assert_eq!(
        with_numbers("127.0.0.1:35001 (pid 41207), 350012 x", &numbers),
        "127.0.0.1:9000 (pid 4121), 350012 x"
    );
    assert_eq!(without_times("acknowledged by x in 12.5 ms"), "acknowledged by x in 0.4 ms");
    assert_eq!(without_times(" 1 x  up  3/100   4s"), " 1 x  up  3/100   0s");
}
