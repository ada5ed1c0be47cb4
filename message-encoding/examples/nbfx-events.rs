//! Reads JSON lines `{"binary": base64, "session": [in-band strings] or null}` and prints the events of each document.
//!
//! One line for one line: `{"events": [...]}`, or `{"refused": "why", "events": [... up to there]}`. With `--rewrite`
//! also `"binary"`: the records, decoded and encoded again. These are all up to the end or the first octets that are no
//! record, also those behind the place where the document is refused for what its records say. Quotas are at their maximum
//! and the time zone is UTC.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use message_encoding::dictionary::{ReaderSession, Strings};
use message_encoding::event::{Event, Name, ReadError, Reader, ReaderState};
use message_encoding::record::Records;
use message_encoding::{Quotas, Value, ValueError};
use serde_json::{Map, Value as Json, json};

const HELP: &str = "\
usage: nbfx-events [--rewrite] < lines.jsonl

Reads lines {\"binary\": base64, \"session\": [strings] or null} and prints the events of each document.

  --rewrite  also print \"binary\": all records up to the end or the first octets that are no record,
             decoded and encoded again, whether the document is refused for what they say or not
";

fn main() -> ExitCode {
    let mut rewrite = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--rewrite" => rewrite = true,
            "--help" | "-h" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("nbfx-events: unknown argument {argument}");
                return ExitCode::from(2);
            }
        }
    }
    match run(rewrite) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nbfx-events: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(rewrite: bool) -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = io::BufWriter::new(io::stdout().lock());
    let mut state = ReaderState::new();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        match Document::parse(&line) {
            Ok(document) => document.answer(&mut state, rewrite, &mut output)?,
            Err(why) => serde_json::to_writer(&mut output, &json!({"refused": why, "events": []}))?,
        }
        output.write_all(b"\n")?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

struct Document {
    octets: Vec<u8>,
    session: Option<ReaderSession>,
}

impl Document {
    fn parse(line: &[u8]) -> Result<Self, String> {
        let line: Json = serde_json::from_slice(line).map_err(|error| format!("no JSON: {error}"))?;
        let binary = line.get("binary").and_then(Json::as_str).ok_or("no string \"binary\"")?;
        let octets = Value::from(binary).to_bytes().map_err(|_| "\"binary\" is no base64")?.into_owned();
        let session = match line.get("session") {
            None | Some(Json::Null) => None,
            Some(Json::Array(strings)) => {
                let strings: Option<Vec<&str>> = strings.iter().map(Json::as_str).collect();
                Some(strings.ok_or("\"session\" has something else than strings")?.into_iter().collect())
            }
            Some(_) => return Err("\"session\" is no array".into()),
        };
        Ok(Self { octets, session })
    }

    /// Writes each event as soon as it is read: what a hostile document gives may be many times its size.
    fn answer(&self, state: &mut ReaderState, rewrite: bool, output: &mut impl Write) -> io::Result<()> {
        let strings = self.session.as_ref().map_or(Strings::STATIC, Strings::with_session);
        let mut reader = Reader::new(state, &self.octets, strings, Quotas::MAX);
        let mut separator = "";
        output.write_all(b"{\"events\":[")?;
        let refused = loop {
            match read(&mut reader) {
                Ok(Some(event)) => {
                    output.write_all(separator.as_bytes())?;
                    serde_json::to_writer(&mut *output, &event)?;
                    separator = ",";
                }
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        output.write_all(b"]")?;
        if let Some(why) = refused {
            output.write_all(b",\"refused\":")?;
            serde_json::to_writer(&mut *output, &why)?;
        }
        if rewrite {
            let mut again = Vec::new();
            Records::new(&self.octets).map_while(Result::ok).for_each(|record| record.encode(&mut again));
            output.write_all(b",\"binary\":")?;
            serde_json::to_writer(&mut *output, &text(&Value::Bytes(&again)).unwrap_or_default())?;
        }
        output.write_all(b"}")
    }
}

/// The next event in the shape of the corpus.
fn read(reader: &mut Reader<'_, '_>) -> Result<Option<Json>, ReadError> {
    Ok(Some(match reader.next()? {
        None => return Ok(None),
        Some(Event::Start(name)) => {
            let mut attributes = Vec::new();
            for attribute in reader.attributes() {
                let mut members = members(attribute.name);
                members.insert("value".into(), text(&attribute.value)?.into());
                attributes.push(Json::from(members));
            }
            let mut start = Map::from_iter([("e".to_owned(), Json::from("start"))]);
            start.extend(members(name));
            start.insert("attrs".into(), attributes.into());
            start.into()
        }
        Some(Event::Text(value)) => json!({"e": "text", "value": text(&value)?}),
        Some(Event::Comment(comment)) => json!({"e": "comment", "value": comment}),
        Some(Event::End) => json!({"e": "end"}),
        Some(_) => return Err(ReadError::UnexpectedEnd),
    }))
}

fn members(name: Name<'_>) -> Map<String, Json> {
    // A declaration of the default namespace has no prefix, as .NET has it.
    Map::from_iter([
        ("prefix".to_owned(), name.prefix.into()),
        ("local".to_owned(), name.local.into()),
        ("ns".to_owned(), name.namespace.into()),
    ])
}

fn text(value: &Value<'_>) -> Result<String, ValueError> {
    value.to_text()
}
