//! Feeds every kept input to its oracle, on stable Rust: what a fuzzer once found stays found.

use std::fs;
use std::path::Path;

#[test]
fn kept_inputs() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testvectors/regressions");
    for (target, oracle) in fuzz::ORACLES {
        let Ok(inputs) = fs::read_dir(kept.join(target)) else { continue };
        for input in inputs {
            let path = input.expect("an entry").path();
            println!("{target}: {}", path.display());
            oracle(&fs::read(&path).expect("readable"));
        }
    }
}
