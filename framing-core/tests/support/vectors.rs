//! Reads `testvectors/`: octets as `.hex` with comments or as `.bin`, and beside them the expected `.events`.

use std::fs;
use std::path::{Path, PathBuf};

use framing_core::{Limits, Mode};

use super::drive::{self, Run, Upgrades};

/// One vector. `testvectors/README.md` describes the files.
pub struct Vector {
    pub path: PathBuf,
    pub octets: Vec<u8>,
    pub setting: Setting,
    /// The expected lines after the setting.
    pub events: String,
}

/// The first line of an `.events` file.
pub struct Setting {
    pub line: String,
    pub initiator: Option<(Mode, usize)>,
    pub one_way: bool,
    pub upgrades: Upgrades,
    pub limits: Limits,
}

/// Every vector of these groups, sorted by path.
pub fn read(groups: &[&str]) -> Vec<Vector> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testvectors");
    let mut paths = Vec::new();
    for group in groups {
        find(&root.join(group), &mut paths);
    }
    paths.sort();
    paths.into_iter().map(vector).collect()
}

fn find(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of vectors") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "hex" || extension == "bin") {
            paths.push(path);
        }
    }
}

fn vector(path: PathBuf) -> Vector {
    let octets = match path.extension() {
        Some(extension) if extension == "hex" => hex(&fs::read_to_string(&path).expect("UTF-8")),
        _ => fs::read(&path).expect("readable"),
    };
    let events = path.with_extension("events");
    let events = fs::read_to_string(&events).unwrap_or_else(|error| panic!("{}: {error}", events.display()));
    let (setting, events) = events.split_once('\n').expect("a setting and events");
    Vector { path, octets, setting: Setting::parse(setting), events: events.to_owned() }
}

impl Setting {
    fn parse(line: &str) -> Self {
        let mut setting = Self {
            line: line.to_owned(),
            initiator: None,
            one_way: false,
            upgrades: Upgrades::Inside,
            limits: Limits::DEFAULT,
        };
        for word in line.split_ascii_whitespace() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("to", "receiver") => {}
                ("to", "initiator") => setting.initiator = Some((Mode::DUPLEX, 0)),
                ("mode", "singleton-unsized") => {
                    setting.initiator = setting.initiator.map(|(_, asked)| (Mode::SINGLETON_UNSIZED, asked));
                }
                ("upgrades", asked) => {
                    let asked = asked.parse().expect("a number");
                    setting.initiator = setting.initiator.map(|(mode, _)| (mode, asked));
                }
                ("any-mode", "") => setting.one_way = true,
                ("hand-away", "") => setting.upgrades = Upgrades::HandAway,
                ("envelope", limit) => setting.limits.envelope = limit.parse().expect("a number"),
                _ => panic!("{word:?} in a setting"),
            }
        }
        setting
    }
}

impl Vector {
    /// Runs the machine that receives these octets.
    pub fn run(&self, pieces: &[&[u8]]) -> Run {
        let Setting { limits, one_way, upgrades, .. } = &self.setting;
        match self.setting.initiator {
            None => drive::receiver(pieces, limits, *one_way, *upgrades),
            Some((mode, asked)) => drive::initiator(pieces, limits, mode, asked, *upgrades),
        }
    }
}

/// Octets as pairs of digits, `"text"` for its UTF-8, and `* N` to repeat what stands before it; `#` begins a comment.
pub fn hex(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut last = Vec::new();
        let mut repeat = false;
        for (number, part) in line.split('"').enumerate() {
            if number % 2 == 1 {
                octets.append(&mut last);
                last = part.as_bytes().to_vec();
                continue;
            }
            for word in part.split_ascii_whitespace() {
                if word == "*" {
                    repeat = true;
                } else if std::mem::take(&mut repeat) {
                    last = last.repeat(word.parse().expect("a number"));
                } else {
                    octets.append(&mut last);
                    last = vec![u8::from_str_radix(word, 16).expect("two digits")];
                }
            }
        }
        octets.append(&mut last);
    }
    octets
}
