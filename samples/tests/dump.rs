//! `wcf-dump` on captures.

use std::path::{Path, PathBuf};
use std::process::Command;

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testvectors")
}

fn dump(capture: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wcf-dump"));
    let output = command.arg(captures().join(capture)).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What the library says of these octets.
fn text(octets: &[u8]) -> String {
    let mut xml = Vec::new();
    samples::dump::dump(octets, &mut xml).unwrap();
    String::from_utf8(xml).unwrap()
}

#[test]
fn framing_and_encoding_together() {
    let expected = r#"<stream>
  <version offset="0">1.0</version>
  <mode offset="3">Duplex</mode>
  <via offset="5">net.tcp://localhost:9001/calculator/SALT</via>
  <encoding offset="47">application/soap+msbinsession1</encoding>
  <preamble-end offset="49"/>
  <envelope offset="50" record="sized" octets="270" encoding="application/soap+msbinsession1">
    <string id="1">n1</string>
    <string id="3">n2</string>
    <s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://www.w3.org/2005/08/addressing">
      <s:Header>
        <a:Action s:mustUnderstand="1">http://Microsoft.ServiceModel.Samples/ICalculator/Add</a:Action>
        <a:MessageID>urn:uuid:6faed679-8bc4-4507-b9bb-f706ceb26c43</a:MessageID>
        <a:ReplyTo>
          <a:Address>http://www.w3.org/2005/08/addressing/anonymous</a:Address>
        </a:ReplyTo>
        <a:To s:mustUnderstand="1">net.tcp://localhost:9001/calculator/SALT</a:To>
      </s:Header>
      <s:Body>
        <Add xmlns="http://Microsoft.ServiceModel.Samples">
          <n1>100</n1>
          <n2>15.99</n2>
        </Add>
      </s:Body>
    </s:Envelope>
  </envelope>
"#;
    assert!(dump("mono/calc/c2s.bin").starts_with(expected));
}

#[test]
fn several_sessions_have_dictionaries_of_their_own() {
    let xml = dump("corewcf/calc-3-channels/c2s.bin");
    let first = "<string id=\"1\">http://Microsoft.ServiceModel.Samples/ICalculator/Add</string>";
    assert_eq!(xml.matches(first).count(), xml.matches("<version").count());
    assert!(xml.matches("<version").count() > 1);
}

#[test]
fn every_capture_in_either_direction() {
    let mut envelopes = 0;
    for peer in ["mono", "corewcf"] {
        for scenario in std::fs::read_dir(captures().join(peer)).unwrap() {
            let scenario = scenario.unwrap().path();
            let Ok(files) = std::fs::read_dir(&scenario) else { continue };
            for file in
                files.map(|file| file.unwrap().path()).filter(|file| file.extension() == Some("bin".as_ref()))
            {
                let xml = text(&std::fs::read(&file).unwrap());
                assert!(!xml.contains("<error") && !xml.contains("<refused"), "{}: {xml}", file.display());
                envelopes += xml.matches("<envelope").count();
            }
        }
    }
    assert!(envelopes > 250, "{envelopes}");
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    for (octets, said) in [
        (&b"\x0B\x06\x05\x00\x40"[..], "<error offset=\"3\">the stream ends inside an envelope</error>"),
        (b"\x0B\x06\x04\x00\x40\x01\x1B", "<refused>the document ends too early</refused>"),
        (b"\x0B\x47", "<error offset=\"1\">"),
        (b"\x08\x02\x1B\x3C", "<fault offset=\"0\">&#x1B;&lt;</fault>"),
    ] {
        let xml = text(octets);
        assert!(xml.contains(said), "{xml}");
    }
    let nowhere = Command::new(env!("CARGO_BIN_EXE_wcf-dump")).arg("no such file").output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
}

#[test]
fn the_help_says_what_the_output_is_not() {
    let help = Command::new(env!("CARGO_BIN_EXE_wcf-dump")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("not always well-formed XML"), "{help}");
}

/// Megabytes of text that a few kilobytes stand for are written as they are read: within the events of an array, in one list, in one
/// start tag.
#[cfg(target_os = "linux")]
#[test]
fn what_is_printed_is_not_kept() {
    use std::io::Read;
    use std::process::Stdio;

    use message_encoding::Int31;

    let sized = |octets: &[u8]| {
        let mut size = Vec::new();
        Int31::new(octets.len() as u32).unwrap().encode(&mut size);
        [&size, octets].concat()
    };
    let long = "x".repeat(4_000);
    let table = sized(&sized(long.as_bytes()));
    let array = [b"\x03\x42\x01\x01\xB5", &*sized(&[1; 5000])].concat();
    let list = [b"\xA4", &*b"\xAA\x01".repeat(5000), b"\xA6"].concat();
    let attributes: Vec<u8> = (0..5000)
        .flat_map(|number| [b"\x04\x04", format!("{number:04}").as_bytes(), b"\xAA\x01"].concat())
        .collect();
    for (what, content) in [("array", array), ("list", list), ("attributes", attributes)] {
        let envelope = [&*table, b"\x40\x01r", &content, b"\x01"].concat();
        let capture = [b"\x0B\x06", &*sized(&envelope)].concat();
        let file = std::env::temp_dir().join(format!("wcf-dump-{what}-{}.bin", std::process::id()));
        std::fs::write(&file, capture).unwrap();
        let mut child =
            Command::new(env!("CARGO_BIN_EXE_wcf-dump")).arg(&file).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let read = std::io::copy(&mut output.by_ref().take(15_000_000), &mut std::io::sink()).unwrap();
        // The pipe is full, so it waits.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        drop(output);
        assert!(child.wait().unwrap().success());
        std::fs::remove_file(file).unwrap();
        assert_eq!(read, 15_000_000, "{what}");
        assert!(kib < 12 * 1024, "{what}: {kib} KiB");
    }
}
