//! Writes starting corpora for the targets of message-encoding from `testvectors/nbfx/` into `fuzz/corpus/`:
//! `cargo run --example seed_encoding` in `fuzz/`. Long documents are left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[path = "../../message-encoding/tests/support/mod.rs"]
mod support;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: String, octets: &[u8]| {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(name), octets)
    };
    for (number, document) in support::documents().iter().enumerate() {
        if document.octets.len() <= 1500 {
            // The first octet chooses the dictionary and how the document is cut.
            let choice = [number.to_le_bytes()[0]];
            write("nbfx", format!("vector-{number:04}"), &[&choice, document.octets.as_slice()].concat())?;
        }
    }
    for (number, session) in sessions().iter().enumerate() {
        write("nbfse_session", format!("vector-{number:03}"), session)?;
    }
    Ok(())
}

/// Captured and made sessions, each envelope with its length before it.
fn sessions() -> Vec<Vec<u8>> {
    let mut captured = BTreeMap::<String, Vec<u8>>::new();
    for line in support::lines("envelopes") {
        let payload = support::octets(&line, "payload");
        // Without a session there is no string table.
        let table: &[u8] = if line["encoding"] == 7 { &[0] } else { &[] };
        let session = format!("{} {} {}", line["capture"], line["file"], line["session"]);
        add(captured.entry(session).or_default(), &[table, &payload].concat());
    }
    let made = support::lines("sessions").into_iter().map(|line| {
        let mut session = Vec::new();
        for message in line["messages"].as_array().into_iter().flatten() {
            add(&mut session, &support::octets(message, "nbfse"));
        }
        session
    });
    captured.into_values().chain(made).filter(|session| session.len() <= 6000).collect()
}

/// Adds an envelope, if it is a short one.
fn add(session: &mut Vec<u8>, envelope: &[u8]) {
    if let Some(length) = u16::try_from(envelope.len()).ok().filter(|&length| length < 4000) {
        session.extend_from_slice(&length.to_le_bytes());
        session.extend_from_slice(envelope);
    }
}
