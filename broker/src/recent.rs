//! What went wrong lately, for whoever asks: the last of it, equal ones counted together.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use handoff::administration::Status;
use handoff::{RefusedReason, printable};

use crate::lock::lock;

/// How much of a text is kept, in octets.
pub(crate) const KEPT_OCTETS: usize = 256;

/// What happens again within this time is counted, and nothing else is looked at: a flood shall cost nearly nothing.
const AGAIN: Duration = Duration::from_millis(500);

/// The last [`Status::KEPT`] different ones, the last first.
#[derive(Debug)]
pub(crate) struct Recent<T>(Mutex<VecDeque<Seen<T>>>);

/// Something that has happened, maybe several times.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T> {
    pub(crate) what: T,
    pub(crate) count: u64,
    pub(crate) last: SystemTime,
}

/// A connection for which there was nobody.
#[derive(Clone, Debug)]
pub(crate) struct NoMatch {
    /// The octets of its Via, cut.
    pub(crate) via: Box<[u8]>,
    pub(crate) local: Option<SocketAddr>,
    /// Who came with it last.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) reason: String,
}

/// A registration that was refused.
#[derive(Clone, Debug)]
pub(crate) struct NotRegistered {
    pub(crate) address: Option<String>,
    /// Who tried it last.
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) reason: RefusedReason,
    pub(crate) message: String,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Recent<T> {
    /// Those that another process has seen, the last first.
    pub(crate) fn again(all: impl IntoIterator<Item = Seen<T>>) -> Self {
        Self(Mutex::new(all.into_iter().take(Status::KEPT).collect()))
    }
}

impl<T: Clone> Recent<T> {
    pub(crate) fn all(&self) -> Vec<Seen<T>> {
        lock(&self.0).iter().cloned().collect()
    }
}

impl<T> Recent<T> {
    /// It has happened again, or for the first time. Where there is no room, the oldest goes of those that most of them are of:
    /// nobody can push out what others see.
    pub(crate) fn note_of<Whose: PartialEq>(
        &self,
        whose: impl Fn(&T) -> Whose,
        is_same: impl Fn(&T) -> bool,
        again: impl FnOnce(&mut T),
        make: impl FnOnce() -> T,
    ) {
        let mut entries = lock(&self.0);
        note(&mut entries, is_same, again, make, |entries| {
            let as_many = |at: &usize| {
                let of = |at: usize| entries.get(at).map(|seen| whose(&seen.what));
                (0..entries.len()).filter(|other| of(*other) == of(*at)).count()
            };
            (0..entries.len()).max_by_key(as_many)
        });
    }

    /// The same where nobody may wait: what happens while somebody else has the list is not noted.
    pub(crate) fn note_unless_busy(
        &self,
        is_same: impl Fn(&T) -> bool,
        again: impl FnOnce(&mut T),
        make: impl FnOnce() -> T,
    ) {
        if let Ok(mut entries) = self.0.try_lock() {
            note(&mut entries, is_same, again, make, |entries| entries.len().checked_sub(1));
        }
    }
}

fn note<T>(
    entries: &mut VecDeque<Seen<T>>,
    is_same: impl Fn(&T) -> bool,
    again: impl FnOnce(&mut T),
    make: impl FnOnce() -> T,
    least: impl FnOnce(&VecDeque<Seen<T>>) -> Option<usize>,
) {
    let now = SystemTime::now();
    let known = entries.iter().position(|seen| is_same(&seen.what)).and_then(|place| entries.remove(place));
    let seen = match known {
        Some(mut seen) => {
            if now.duration_since(seen.last).is_ok_and(|since| since >= AGAIN) {
                again(&mut seen.what);
                seen.last = now;
            }
            Seen { count: seen.count + 1, ..seen }
        }
        None => Seen { what: make(), count: 1, last: now },
    };
    if entries.len() >= Status::KEPT
        && let Some(least) = least(entries)
    {
        entries.remove(least);
    }
    entries.push_front(seen);
}

/// As much of a stranger's text as is kept.
pub(crate) fn cut(octets: &[u8]) -> &[u8] {
    octets.get(..KEPT_OCTETS).unwrap_or(octets)
}

/// A stranger's text for a terminal or a page: U+FFFD stands for what is no UTF-8, or misleads.
pub(crate) fn cleaned(octets: &[u8]) -> String {
    let clean = printable(&String::from_utf8_lossy(octets));
    let mut cleaned = String::with_capacity(octets.len().min(KEPT_OCTETS));
    for c in clean.chars() {
        if cleaned.len() + c.len_utf8() > KEPT_OCTETS {
            break;
        }
        cleaned.push(c);
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_are_counted_and_the_oldest_goes() {
        let recent = Recent::default();
        let note = |n: u32| recent.note_unless_busy(|other| *other == n, |_| {}, || n);
        (0..25).for_each(note);
        note(20);
        note(20);
        let seen: Vec<(u32, u64)> = recent.all().iter().map(|seen| (seen.what, seen.count)).collect();
        assert_eq!(seen.len(), Status::KEPT);
        assert_eq!(seen[..3], [(20, 3), (24, 1), (23, 1)]);
        assert_eq!(seen.last(), Some(&(5, 1)));
    }

    #[test]
    fn nobody_pushes_out_what_is_of_others() {
        let recent = Recent::default();
        let note = |who: u32, n: u32| {
            recent.note_of(|of: &(u32, u32)| of.0, |of| *of == (who, n), |_| {}, || (who, n))
        };
        note(1, 0);
        note(2, 0);
        note(2, 1);
        (0..100).for_each(|n| note(3, n));
        let seen: Vec<(u32, u32)> = recent.all().iter().map(|seen| seen.what).collect();
        assert_eq!(seen.len(), Status::KEPT);
        assert_eq!((seen[0], seen[16]), ((3, 99), (3, 83)));
        assert_eq!(seen[17..], [(2, 1), (2, 0), (1, 0)]);
    }

    #[test]
    fn whoever_may_not_wait_does_not() {
        let recent = Recent::default();
        let held = lock(&recent.0);
        recent.note_unless_busy(|_: &u32| false, |_| {}, || 1);
        drop(held);
        assert!(recent.all().is_empty());
        recent.note_unless_busy(|_| false, |_| {}, || 1);
        assert_eq!(recent.all().len(), 1);
    }

    #[test]
    fn a_strangers_text_is_short_and_commands_nothing() {
        for (octets, expected) in [
            (&b"net.tcp://h/a"[..], "net.tcp://h/a"),
            (b"a\x1b[31m\nb\xFF\xC2\x9b", "a\u{fffd}[31m\u{fffd}b\u{fffd}\u{fffd}"),
            ("\u{202e}cba\u{2069}ü\u{200b}".as_bytes(), "\u{fffd}cba\u{fffd}ü\u{fffd}"),
        ] {
            assert_eq!(cleaned(octets), expected);
        }
        assert_eq!(cleaned(&[0xFF; 300]).len(), KEPT_OCTETS / 3 * 3);
        assert_eq!(cleaned(&[b'x'; 300]).len(), KEPT_OCTETS);
    }
}
