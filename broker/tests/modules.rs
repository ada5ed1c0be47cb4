//! The modules of the broker have an order: each can be read with nothing in mind but those below it, and a folder uses only
//! those that its first page names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// What the modules of a folder may use besides each other, and besides files that are in no folder.
const ARROWS: [(&str, &[&str]); 14] = [
    ("access", &["config", "log", "routes"]),
    ("cli", &["config", "control", "listening", "log", "routes", "start", "store", "upgrade"]),
    ("config", &[]),
    ("control", &["config", "listening", "log", "passed", "relay", "routes", "store"]),
    ("dispatch", &["config", "listening", "passed", "relay", "routes"]),
    ("http", &["config", "control"]),
    ("listening", &[]),
    ("log", &[]),
    ("passed", &[]),
    ("relay", &["config", "listening", "routes"]),
    ("routes", &["config"]),
    (
        "start",
        &[
            "access",
            "config",
            "control",
            "dispatch",
            "http",
            "listening",
            "log",
            "passed",
            "relay",
            "routes",
            "store",
            "upgrade",
        ],
    ),
    ("store", &["passed"]),
    ("upgrade", &["config", "control", "dispatch", "log", "passed", "relay", "routes"]),
];

/// A module by its path: `["dispatch", "accept"]`. The crate itself is `[]`.
type Module = Vec<String>;

/// Every module, and those that its code names, tests left out.
fn modules() -> BTreeMap<Module, BTreeSet<Module>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: BTreeMap<Module, PathBuf> =
        files(&src).into_iter().map(|file| (module(&src, &file), file)).collect();
    let needs = files.iter().map(|(module, file)| {
        let code = syn::parse_file(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut named = Named { module, files: &files, needs: BTreeSet::new() };
        named.visit_file(&code);
        (module.clone(), named.needs)
    });
    needs.collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| self::files(folder));
    // Tests stand above everything, and so does the crate's first page.
    let above = |file: &PathBuf| {
        let is_test = file.iter().any(|part| part == "model");
        is_test || ["tests.rs", "lib.rs", "main.rs"].iter().any(|name| file.ends_with(name))
    };
    let code = |file: &PathBuf| file.extension().is_some_and(|end| end == "rs") && !above(file);
    files.into_iter().filter(code).chain(below).collect()
}

fn module(src: &Path, file: &Path) -> Module {
    let path = file.strip_prefix(src).unwrap().with_extension("");
    let parts = path.iter().map(|part| part.to_str().unwrap().to_owned());
    parts.filter(|part| part != "mod").collect()
}

/// Collects what the code of a module names.
struct Named<'f> {
    module: &'f Module,
    files: &'f BTreeMap<Module, PathBuf>,
    needs: BTreeSet<Module>,
}

impl Named<'_> {
    fn names(&mut self, path: &[String]) {
        let mut at = self.module.clone();
        let rest = match path.first().map(String::as_str) {
            Some("crate") => {
                at.clear();
                &path[1..]
            }
            Some("self") => &path[1..],
            Some("super") => {
                let up = path.iter().take_while(|part| *part == "super").count();
                at.truncate(at.len().saturating_sub(up));
                &path[up..]
            }
            // A child of this module, or another crate.
            _ => path,
        };
        for part in rest {
            let child = [&at[..], std::slice::from_ref(part)].concat();
            if !self.files.contains_key(&child) {
                break;
            }
            at = child;
        }
        if at != *self.module && self.files.contains_key(&at) {
            self.needs.insert(at);
        }
    }

    fn uses(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.uses(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.names(&with(&name.ident)),
            syn::UseTree::Rename(name) => self.names(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.names(before),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.uses(before, tree)),
        }
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

impl<'ast> Visit<'ast> for Named<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.uses(&[], &item.tree);
        }
    }

    /// `pub(super)` names nothing that is used.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.names(&parts);
        visit::visit_path(self, path);
    }
}

#[test]
fn no_modules_need_each_other() {
    let mut needs = modules();
    let needed = |module: [&str; 2], other: [&str; 2]| {
        needs[&module.map(str::to_owned)[..]].contains(&other.map(str::to_owned)[..])
    };
    assert!(needed(["dispatch", "accept"], ["dispatch", "preamble"]), "{needs:?}");
    assert!(needed(["control", "registry"], ["routes", "table"]), "{needs:?}");
    // Those that need none of the others go, until nothing changes.
    loop {
        let left: BTreeSet<Module> = needs.keys().cloned().collect();
        needs.retain(|module, needed| needed.iter().any(|other| other != module && left.contains(other)));
        if needs.len() == left.len() {
            break;
        }
    }
    assert!(needs.is_empty(), "these need each other, or something that does: {needs:?}");
}

/// A folder: the first part of a path that has more, or whose module has children.
fn folder(module: &Module) -> Option<&str> {
    let first = module.first()?.as_str();
    ARROWS.iter().any(|(folder, _)| *folder == first).then_some(first)
}

#[test]
fn folders_use_what_their_first_page_says() {
    let needs = modules();
    let folders: BTreeSet<&str> =
        needs.keys().filter(|module| module.len() > 1).map(|module| module[0].as_str()).collect();
    assert_eq!(
        folders,
        ARROWS.iter().map(|(folder, _)| *folder).collect(),
        "a folder without arrows, or arrows without one"
    );
    let mut used = BTreeSet::new();
    for (module, needed) in &needs {
        let Some(from) = folder(module) else { continue };
        let (_, allowed) = ARROWS.iter().find(|(folder, _)| *folder == from).unwrap();
        for to in needed.iter().filter_map(folder).filter(|to| *to != from) {
            assert!(allowed.contains(&to), "{} may not use {to}", module.join("::"));
            used.insert((from, to));
        }
    }
    let drawn = ARROWS.iter().flat_map(|(from, to)| to.iter().map(move |to| (*from, *to)));
    let unused: Vec<_> = drawn.filter(|arrow| !used.contains(arrow)).collect();
    assert!(unused.is_empty(), "arrows that nothing needs: {unused:?}");
}
