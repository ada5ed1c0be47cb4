//! Writes starting corpora for the framing targets from `testvectors/` into `fuzz/corpus/`: `cargo run --example seed`
//! in `fuzz/`. Streams over 4 KiB are left out, a fuzzer learns nothing from their payloads.

use std::fs;
use std::path::Path;

#[path = "../../framing-core/tests/support/mod.rs"]
mod support;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (number, vector) in
        support::vectors::read(&["spec", "malformed", "mono", "corewcf"]).iter().enumerate()
    {
        if vector.octets.len() > 4096 {
            continue;
        }
        for target in ["preamble", "record", "record_round_trip", "receiver_splits"] {
            let directory = corpus.join(target);
            fs::create_dir_all(&directory)?;
            // The first octets choose limits, mode and cuts.
            let choice: &[u8] = if target == "receiver_splits" { &[choice(vector), 7, 3] } else { &[] };
            fs::write(directory.join(format!("vector-{number:03}")), [choice, &vector.octets].concat())?;
        }
    }
    Ok(())
}

fn choice(vector: &support::vectors::Vector) -> u8 {
    let setting = &vector.setting;
    let (mode, asked) = setting.initiator.unwrap_or((framing_core::Mode::DUPLEX, 0));
    let singleton = mode == framing_core::Mode::SINGLETON_UNSIZED;
    let asked = u8::try_from(asked & 3).unwrap_or_default();
    1 | u8::from(setting.one_way) << 2 | u8::from(singleton) << 3 | asked << 6
}
