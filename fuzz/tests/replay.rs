//! Feeds every kept input to its oracle, on stable Rust: what a fuzzer once found stays found.

use std::fs;
use std::path::Path;

#[test]
fn kept_inputs() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testvectors/regressions");
    for folder in fs::read_dir(kept).expect("the kept inputs") {
        let folder = folder.expect("an entry");
        let target = folder.file_name().into_string().expect("the name of a target");
        let (_, oracle) =
            fuzz::ORACLES.iter().find(|(name, _)| *name == target).expect("a target of this name");
        let mut inputs = 0;
        for input in fs::read_dir(folder.path()).expect("a folder") {
            let path = input.expect("an entry").path();
            println!("{target}: {}", path.display());
            oracle(&fs::read(&path).expect("readable"));
            inputs += 1;
        }
        assert!(inputs > 0, "nothing is kept for {target}");
    }
}
