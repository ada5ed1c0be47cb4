//! Walks `testvectors/`: every stream whole, octet by octet and at every two-way split gives the events written beside
//! it, and those of the naive decoder; what was accepted is encoded again, compared, and decoded again.
//!
//! `BLESS=1 cargo test -p framing-core --test vectors` writes what was seen into the `.events` files, for review.

use std::fmt::Write;
use std::fs;

use framing_core::{Decoded, Implementation, Limits, Mode, Record, StreamEnd, size};
use support::drive::{Run, Upgrades, pieces};
use support::naive;
use support::seen::Seen;
use support::vectors::{self, Vector};
use support::views;

mod support;

/// Up to this many octets a stream is split everywhere, beyond it near the borders of its records only.
const SPLIT_EVERYWHERE: usize = 3000;

#[test]
fn spec() {
    walk("spec");
}

#[test]
fn malformed() {
    walk("malformed");
}

#[test]
fn mono() {
    walk("mono");
}

#[test]
fn corewcf() {
    walk("corewcf");
}

fn walk(group: &str) {
    let vectors = vectors::read(&[group]);
    assert!(vectors.len() > 20, "only {} vectors in {group}", vectors.len());
    for vector in vectors {
        let whole = vector.run(&[&vector.octets]);
        compare(&vector, &whole);
        assert_eq!(whole, naively(&vector, &whole), "{}: naive decoder", vector.path.display());

        views::agree(&vector.octets, &vector.setting.limits);
        views::agree(&vector.octets, &Limits { via: 12, content_type: 3, ..Limits::DEFAULT });
        let single: Vec<_> = [&[][..]].into_iter().chain(vector.octets.chunks(1)).collect();
        assert_eq!(vector.run(&single), whole, "{}: octet by octet", vector.path.display());

        let records = Records::of(&vector);
        for cut in cuts(&vector.octets, &records.borders) {
            let split = vector.run(&pieces(&vector.octets, &[cut]));
            assert_eq!(split, whole, "{}: split at {cut}", vector.path.display());
        }
        if whole.seen.iter().any(|seen| matches!(seen, Seen::Failed(_))) {
            continue;
        }

        let again = Vector { octets: records.encoded, ..vector };
        if again.octets.len() == records.decoded.len() {
            assert_eq!(again.octets, records.decoded, "{}: encoded again", again.path.display());
        }
        assert_eq!(again.run(&[&again.octets]).seen, whole.seen, "{}: decoded again", again.path.display());
    }
}

/// Compares with the `.events` file, or writes it.
fn compare(vector: &Vector, run: &Run) {
    let mut lines = String::new();
    for seen in &run.seen {
        writeln!(lines, "{seen}").expect("a string");
        // An initiator answers nothing.
        if let (Seen::Failed(error), None) = (seen, vector.setting.initiator) {
            let answers = [error.fault(), error.compatible_fault(Implementation::Service)]
                .map(|fault| fault.map_or_else(|| "none".to_owned(), |fault| fault.to_string()));
            writeln!(lines, "fault: {}; .NET Framework's service: {}", answers[0], answers[1])
                .expect("a string");
        }
    }
    match (run.handed_away, run.end) {
        (Some(octets), _) => writeln!(lines, "handed away: {octets} octets"),
        (None, Ok(end)) => writeln!(lines, "end of stream: {end:?}"),
        (None, Err(error)) if run.seen.last() != Some(&Seen::Failed(error)) => {
            writeln!(lines, "end of stream: error: {error}")
        }
        (None, Err(_)) => Ok(()),
    }
    .expect("a string");
    if std::env::var_os("BLESS").is_some() {
        let events = vector.path.with_extension("events");
        fs::write(events, format!("{}\n{lines}", vector.setting.line)).expect("writable");
    } else {
        assert_eq!(lines, vector.events, "{}", vector.path.display());
    }
}

/// What the naive decoder sees. It knows no hand-away: what it makes of the octets behind one is cut off.
fn naively(vector: &Vector, whole: &Run) -> Run {
    let setting = &vector.setting;
    let mut run = match setting.initiator {
        None => naive::receiver(&vector.octets, &setting.limits, setting.one_way),
        Some((mode, asked)) => naive::initiator(&vector.octets, &setting.limits, mode, asked),
    };
    if setting.upgrades == Upgrades::HandAway {
        let upgrade = |seen: &Seen| matches!(seen, Seen::UpgradeRequest(_) | Seen::UpgradeResponse);
        if let Some(position) = run.seen.iter().position(upgrade) {
            run.seen.truncate(position + 1);
            run = Run { seen: run.seen, end: Ok(StreamEnd::Quiet), handed_away: whole.handed_away };
        }
    }
    run
}

/// Where to split: everywhere, or around the borders of records and their sizes.
fn cuts(octets: &[u8], borders: &[usize]) -> Vec<usize> {
    if octets.len() <= SPLIT_EVERYWHERE {
        return (0..=octets.len()).collect();
    }
    let mut cuts: Vec<_> = borders.iter().flat_map(|border| border.saturating_sub(3)..=border + 7).collect();
    cuts.extend([octets.len() / 3, octets.len() / 2]);
    cuts.retain(|cut| *cut <= octets.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// A stream decoded record by record and encoded again.
#[derive(Default)]
struct Records {
    /// The octets that are whole records, as they came.
    decoded: Vec<u8>,
    /// The same, encoded.
    encoded: Vec<u8>,
    /// Offsets at which records and chunks begin.
    borders: Vec<usize>,
}

impl Records {
    fn of(vector: &Vector) -> Self {
        let limits = Limits { via: 4096, content_type: 4096, upgrade: 4096, fault: 4096, envelope: u64::MAX };
        let mut records = Self::default();
        let mut rest = vector.octets.as_slice();
        let mut mode = Mode::DUPLEX;
        while let Ok(Decoded::Complete { value: record, consumed }) = Record::decode(rest, &limits) {
            records.borders.push(records.decoded.len());
            let mut out = vec![0; record.encoded_len()];
            // An empty envelope is accepted and never written; keep it as it came.
            match record.encode(&mut out) {
                Ok(_) => records.encoded.append(&mut out),
                Err(_) => records.encoded.extend_from_slice(&rest[..consumed]),
            }
            records.take(&mut rest, consumed);
            match record {
                Record::Mode(new) => mode = new,
                Record::SizedEnvelope { size } => records.copy(&mut rest, size as usize),
                Record::UnsizedEnvelope => records.chunks(&mut rest),
                Record::KnownEncoding(_) if mode == Mode::SINGLETON_SIZED => {
                    records.copy(&mut rest, usize::MAX)
                }
                Record::UpgradeRequest(_) | Record::UpgradeResponse
                    if vector.setting.upgrades == Upgrades::HandAway =>
                {
                    records.copy(&mut rest, usize::MAX);
                }
                _ => {}
            }
        }
        // The beginning of a record at the end, as it came.
        records.copy(&mut rest, usize::MAX);
        records
    }

    fn chunks(&mut self, rest: &mut &[u8]) {
        while let Ok(Decoded::Complete { value, consumed }) = size::decode(rest) {
            self.borders.push(self.decoded.len());
            let mut out = [0; size::MAX_OCTETS];
            let written = size::encode(value, &mut out).expect("fits");
            self.encoded.extend_from_slice(&out[..written]);
            self.take(rest, consumed);
            if value == 0 {
                return;
            }
            self.copy(rest, value as usize);
        }
    }

    fn take(&mut self, rest: &mut &[u8], octets: usize) {
        let (taken, after) = rest.split_at(octets);
        self.decoded.extend_from_slice(taken);
        *rest = after;
    }

    fn copy(&mut self, rest: &mut &[u8], octets: usize) {
        let octets = octets.min(rest.len());
        self.encoded.extend_from_slice(&rest[..octets]);
        self.take(rest, octets);
    }
}
