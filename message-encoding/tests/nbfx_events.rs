//! The example program `nbfx-events`: a line of output for each line of input, whatever it says.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The program, where Cargo has put it next to this test; nothing if it built the test alone.
fn program() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let program = test.parent()?.parent()?.join("examples/nbfx-events");
    if !program.exists() {
        test_peers::skip("nbfx-events", "test the whole package, not this file alone");
        return None;
    }
    Some(program)
}

/// What it prints for these lines.
fn print(program: PathBuf, arguments: &[&str], lines: &[&str]) -> Vec<serde_json::Value> {
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = lines.join("\n");
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    output
        .stdout
        .split_inclusive(|&octet| octet == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn every_line_gets_one() {
    let Some(program) = program() else { return };
    let start = serde_json::json!({"e": "start", "prefix": "", "local": "r", "ns": "", "attrs": []});
    let start_a = serde_json::json!({"e": "start", "prefix": "", "local": "a", "ns": "", "attrs": []});
    let end = serde_json::json!({"e": "end"});
    let cases = [
        (r#"{"binary": "QAFyAQ=="}"#, vec![&start, &end], false),
        (r#"{"binary": "QAFyAQ==", "session": ["a"], "name": "more members"}"#, vec![&start, &end], false),
        (r#"{"binary": "", "session": null}"#, vec![], false),
        // <r> without its end.
        (r#"{"binary": "QAFy/w=="}"#, vec![&start], true),
        // <r><a>, a text that is no UTF-8, </a><b></b></r>.
        (r#"{"binary": "QAFyQAFhmQH/QAFiAQE="}"#, vec![&start, &start_a], true),
        (r#"{"binary": "QAFyAQ==", "session": [1]}"#, vec![], true),
        (r#"{"binary": "%"}"#, vec![], true),
        (r#"{"binary": null}"#, vec![], true),
        ("{}", vec![], true),
        ("", vec![], true),
        ("[[", vec![], true),
    ];
    let printed = print(program, &["--rewrite"], &cases.each_ref().map(|(line, ..)| *line));
    assert_eq!(printed.len(), cases.len());
    for ((line, events, refused), printed) in cases.iter().zip(&printed) {
        let expected: Vec<_> = events.iter().map(|event| (*event).clone()).collect();
        assert_eq!(printed["events"].as_array(), Some(&expected), "{line}");
        assert_eq!(printed["refused"].is_string(), *refused, "{line}");
    }
    assert_eq!(printed[0]["binary"], "QAFyAQ==");
    assert_eq!(printed[3]["binary"], "QAFy");
    assert_eq!(printed[4]["binary"], "QAFyQAFhmQH/QAFiAQE=", "all that are records");
}

/// Three million events are not all kept before the first is printed.
#[cfg(target_os = "linux")]
#[test]
fn events_are_printed_as_they_are_read() {
    use std::io::Read;

    let Some(program) = program() else { return };
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // "qKio" is three empty texts.
    let line = format!("{{\"binary\": \"QAFy{}\"}}\n", "qKio".repeat(1_000_000));
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(line.as_bytes()));
    let mut output = child.stdout.take().unwrap();
    let mut beginning = [0; 64];
    output.read_exact(&mut beginning).unwrap();
    assert!(beginning.starts_with(b"{\"events\":["));
    // The pipe is full, so it waits: what it holds is the line and the document.
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    drop(output);
    child.wait().unwrap();
    writer.join().unwrap().unwrap();
    assert!(kib < 64 * 1024, "{kib} KiB");
}
