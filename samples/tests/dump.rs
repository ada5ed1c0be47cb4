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
    samples::dump::dump(octets, None, &mut xml).unwrap();
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
        (b"\x0B\x07\x47", "<error offset=\"2\">no record has type 0x47</error>"),
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

/// The envelopes of a dump without their first lines: their offsets differ from file to file.
fn envelopes(xml: &str) -> Vec<Vec<&str>> {
    let begins = |line: &&str| line.starts_with("  <envelope");
    let mut envelopes: Vec<Vec<&str>> = Vec::new();
    for line in xml.lines() {
        if begins(&line) {
            envelopes.push(Vec::new());
        } else if line.starts_with("    ")
            && let Some(envelope) = envelopes.last_mut()
        {
            envelope.push(line);
        }
    }
    envelopes
}

/// A session from its middle: what is shown is what the whole capture shows, or is shown as unknown under its right number.
#[test]
fn a_session_from_its_middle_shows_no_wrong_names() {
    let (mut cuts, mut unknown, mut known) = (0, 0, 0);
    for capture in ["mono/calc-20-calls", "corewcf/calc", "corewcf/duplex", "corewcf/oneway", "mono/duplex"] {
        for direction in ["c2s.bin", "s2c.bin"] {
            let octets = std::fs::read(captures().join(capture).join(direction)).unwrap();
            let whole = text(&octets);
            let whole_envelopes = envelopes(&whole);
            let strings: Vec<(&str, &str)> = whole
                .lines()
                .filter_map(|line| line.trim().strip_prefix("<string id=\"")?.strip_suffix("</string>"))
                .filter_map(|line| line.split_once("\">"))
                .collect();
            let offsets = whole.lines().filter_map(|line| {
                line.strip_prefix("  <envelope offset=\"")?.split('"').next()?.parse::<usize>().ok()
            });
            for (number, offset) in offsets.enumerate() {
                cuts += 1;
                let mut xml = Vec::new();
                let findings = samples::dump::dump(&octets[offset..], None, &mut xml).unwrap();
                assert!(
                    findings.warnings.iter().any(|warning| warning.contains("beginning")),
                    "{findings:?}"
                );
                assert_eq!(findings.problem, None);
                let xml = String::from_utf8(xml).unwrap();
                unknown += xml.matches("unknown-string-").count();
                known += xml.matches("<string id=").count();
                for (mid, whole) in envelopes(&xml).iter().zip(&whole_envelopes[number..]) {
                    let mut mid = mid.join("\n").replace("<string>", "<string id=\"?\">");
                    let mut whole = whole.join("\n");
                    for (id, string) in strings.iter().rev() {
                        mid = mid.replace(&format!("unknown-string-{id}"), string);
                        if !mid.contains(&format!("<string id=\"{id}\">")) {
                            whole = whole.replace(&format!("<string id=\"{id}\">"), "<string id=\"?\">");
                        }
                    }
                    assert_eq!(mid, whole, "{capture}/{direction} from {offset}");
                }
            }
        }
    }
    assert!(cuts > 50 && unknown > 50 && known > 50, "{cuts} cuts, {unknown} unknown, {known} known");
}

/// A string that its envelope does not use may have any number, and so may the one beside it.
#[test]
fn strings_that_may_have_another_number_give_no_names() {
    // The strings x and y, then an element named by string 5 around one named by string 9.
    let envelope = b"\x04\x01x\x01y\x42\x05\x42\x09\x01\x01";
    let xml = text(&[&[6, envelope.len() as u8][..], envelope].concat());
    for expected in ["<string>x</string>", "<string>y</string>", "<unknown-string-5>", "<unknown-string-9/>"]
    {
        assert!(xml.contains(expected), "{expected}: {xml}");
    }
    // Used both, and nothing behind them: they are the last two.
    let envelope = b"\x04\x01x\x01y\x42\x07\x42\x09\x01\x01";
    let xml = text(&[&[6, envelope.len() as u8][..], envelope].concat());
    assert!(xml.contains("<x>") && xml.contains("<y/>"), "{xml}");
}

/// What .NET's client with `CompressionFormat` GZip and Deflate sends, buffered and streamed, and its mirror image.
#[test]
fn compressed_envelopes_are_read() {
    let xml = dump("dump/dotnet-compression.pcap");
    for format in ["msbinsession1+gzip", "msbinsession1+deflate", "msbin1+gzip", "msbin1+deflate"] {
        let encoding = format!("encoding=\"application/soap+{format}\"");
        assert_eq!(xml.matches(&encoding).count(), 2, "{format}: {xml}");
    }
    assert_eq!(xml.matches("<n2>16.990000000000002</n2>").count(), 8, "{xml}");
    assert!(!xml.contains("<refused"), "{xml}");
}

/// A file that is none of what is read: nothing but a line that says what it is, and exit status 1. Each of these gave 0.
#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, octets: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, octets).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_wcf-dump")).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for (name, octets, said) in [
        ("empty", &b""[..], "the file is empty"),
        ("text", b"\nhello", "looks like text that begins with hello"),
        ("elf", b"\x7FELF\x02\x01\x01\x00\x00", "looks like something that begins with 7F 45 4C 46"),
        ("http", b"POST /calc HTTP/1.1\r\nHost: h\r\n\r\n", "give the body alone"),
        ("tls", b"\x16\x03\x01\x02\x00\x01", "TLS"),
        ("gzip", b"\x1F\x8B\x08\x08\x0C\x2F\x0A\x6B", "gzip archive: unpack it first"),
        ("zip", b"PK\x03\x04\x14\x00", "Fiddler"),
        ("pcap without packets", &[0xD4, 0xC3, 0xB2, 0xA1], "the capture"),
    ] {
        let (printed, message) = run(name, octets);
        assert_eq!(printed, "", "{name}");
        assert!(message.contains(said), "{name}: {message}");
    }
    for (name, octets, said) in [
        ("cut", &b"\x0B\x06\x05\x00\x40"[..], "offset 3: the stream ends inside an envelope"),
        ("envelope", b"\x0B\x06\x04\x00\x40\x01\x1B", "the envelope at offset 1 cannot be read"),
    ] {
        let (printed, message) = run(name, octets);
        assert!(printed.starts_with("<stream>\n"), "{name}: {printed}");
        assert!(message.contains(said), "{name}: {message}");
    }
}

#[test]
fn standard_input_is_read_and_standard_output_is_not_the_files_fault() {
    use std::fs::File;
    use std::process::Stdio;

    let capture = captures().join("mono/calc/c2s.bin");
    let run = |file: &Path, output: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wcf-dump"));
        command.arg(file).stdin(File::open(&capture).unwrap()).stdout(output).output().unwrap()
    };
    let (there, here) = (run(&capture, Stdio::piped()), run("-".as_ref(), Stdio::piped()));
    assert!(here.status.success() && !here.stdout.is_empty());
    assert_eq!(there.stdout, here.stdout);

    let full = File::options().write(true).open("/dev/full").unwrap();
    let full = run(&capture, full.into());
    assert_eq!(full.status.code(), Some(1));
    let said = String::from_utf8(full.stderr).unwrap();
    assert!(said.starts_with("wcf-dump: standard output: No space left"), "{said}");

    // As `wcf-dump FILE | head -1` leaves it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = run(&capture, writer.into());
    assert!(closed.status.success() && closed.stderr.is_empty(), "{closed:?}");
}

/// An envelope without framing: the body of an HTTP message.
#[test]
fn bare_envelopes_are_read() {
    use std::io::Write;

    let binary = b"\x56\x02\x0B\x01\x73\x04\x56\x0E\x40\x01\x6E\x89\x2A\x01\x01";
    let body = "<s:Body>\n        <n>42</n>";
    let with_table = [&b"\x03\x02hi"[..], binary].concat();
    let text_11 = br#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><n>42</n></s:Body></s:Envelope>"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(binary).unwrap();
    let gzip = gzip.finish().unwrap();
    for (octets, content_type) in [
        (&binary[..], "application/soap+msbin1"),
        (&with_table, "application/soap+msbinsession1"),
        (&gzip, "application/soap+msbin1+gzip"),
        (text_11, "text/xml; charset=utf-8"),
    ] {
        let mut xml = Vec::new();
        let findings = samples::dump::dump(octets, None, &mut xml).unwrap();
        let xml = String::from_utf8(xml).unwrap();
        assert_eq!(findings.problem, None, "{xml}");
        assert!(xml.contains(&format!("encoding=\"{content_type}\"")), "{content_type}: {xml}");
        assert!(xml.contains(body), "{content_type}: {xml}");
    }
}

/// A kilobyte that stands for a gigabyte is refused before it is one.
#[test]
fn decompression_is_bounded() {
    use std::io::Write;

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..65 {
        gzip.write_all(&[0x40; 1 << 20]).unwrap();
    }
    let payload = gzip.finish().unwrap();
    let mut record = [0; 6];
    let header =
        framing_core::Record::SizedEnvelope { size: payload.len() as u32 }.encode(&mut record).unwrap();
    let capture = [b"\x0B", &record[..header], &payload].concat();
    let mut xml = Vec::new();
    let findings = samples::dump::dump(&capture, None, &mut xml).unwrap();
    assert!(findings.problem.unwrap().contains("over 67108864 octets"));
}
