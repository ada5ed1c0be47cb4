//! The modules of the broker have an order: each can be read with nothing in mind but those below it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules that a source file names behind `crate::`, its tests left out.
fn named(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let behind = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(list) => list.split('}').next().unwrap_or_default().split(',').collect::<Vec<_>>(),
        None => vec![rest],
    });
    let word = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    behind.map(word).collect()
}

#[test]
fn no_modules_need_each_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut needs = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "rs") {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            needs.insert(name, named(&std::fs::read_to_string(&file).unwrap()));
        }
    }
    assert!(needs["accept"].contains("preamble") && needs["start"].contains("help"), "{needs:?}");
    // Those that need none of the others go, until nothing changes.
    loop {
        let left: BTreeSet<String> = needs.keys().cloned().collect();
        needs.retain(|name, needed| needed.iter().any(|other| other != name && left.contains(other)));
        if needs.len() == left.len() {
            break;
        }
    }
    assert!(needs.is_empty(), "these need each other, or something that does: {needs:?}");
}
