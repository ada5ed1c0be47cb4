//! Which descriptors are listeners of ours: process-local, changed by atomic stores only.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::shared::BEHIND;

/// How many listeners a process may have at a time.
pub(crate) const LISTENERS: usize = 64;

/// Descriptors with an entry of their own; higher ones share [`HIGH`].
const LOW: usize = 16_384;

static ENTRIES: [AtomicU8; LOW] = [const { AtomicU8::new(0) }; LOW];

/// Listeners on descriptors above the table, each with a copy, and what stands behind them: descriptor << 8 | entry; 0 is free.
static HIGH: [AtomicU64; HIGH_ROOM] = [const { AtomicU64::new(0) }; HIGH_ROOM];

const HIGH_ROOM: usize = LISTENERS * (BEHIND + 2);

/// How many of `HIGH` are in use.
static HIGH_USED: AtomicU32 = AtomicU32::new(0);

/// The process whose memory this is. A child of vfork sees its parent's.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing of ours.
    Other,
    /// The program's descriptor of the listener with this number.
    Listener(usize),
    /// One that the listener with this number needs, unknown to the program.
    Internal(usize),
}

const INTERNAL: u8 = 0x80;

impl Entry {
    fn to_octet(self) -> u8 {
        match self {
            Self::Other => 0,
            Self::Listener(listener) => (listener as u8).wrapping_add(1),
            Self::Internal(listener) => (listener as u8).wrapping_add(1) | INTERNAL,
        }
    }

    fn of_octet(octet: u8) -> Self {
        match usize::from(octet & !INTERNAL) {
            0 => Self::Other,
            number if octet & INTERNAL == 0 => Self::Listener(number - 1),
            number => Self::Internal(number - 1),
        }
    }
}

const _: () = assert!(LISTENERS < INTERNAL as usize);

/// Called when the library is loaded and in each child of `fork`.
pub(crate) extern "C" fn own() {
    OWNER.store(pid(), Ordering::Relaxed);
}

/// Whether state may be changed: false in a child of `vfork`, which shares its parent's memory but not its descriptors.
pub(crate) fn is_owner() -> bool {
    OWNER.load(Ordering::Relaxed) == pid()
}

pub(crate) fn pid() -> c_int {
    // SAFETY: cannot fail.
    unsafe { libc::getpid() }
}

/// Process << 32 | thread.
pub(crate) fn this_thread() -> u64 {
    // SAFETY: cannot fail.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    (pid() as u64) << 32 | u64::from(thread)
}

#[inline]
pub(crate) fn entry(descriptor: c_int) -> Entry {
    match usize::try_from(descriptor).ok().and_then(|index| ENTRIES.get(index)) {
        Some(octet) => match octet.load(Ordering::Relaxed) {
            0 => Entry::Other,
            octet => Entry::of_octet(octet),
        },
        None => high_entry(descriptor),
    }
}

fn high_entry(descriptor: c_int) -> Entry {
    if HIGH_USED.load(Ordering::Relaxed) == 0 {
        return Entry::Other;
    }
    let cells = HIGH.iter().map(|cell| cell.load(Ordering::Relaxed));
    let cell = cells.into_iter().find(|cell| *cell != 0 && cell >> 8 == high_key(descriptor));
    cell.map_or(Entry::Other, |cell| Entry::of_octet(cell as u8))
}

fn high_key(descriptor: c_int) -> u64 {
    u64::from(descriptor.unsigned_abs())
}

/// Stores the entry; gives the former one.
pub(crate) fn set(descriptor: c_int, entry: Entry) -> Entry {
    match usize::try_from(descriptor).ok().and_then(|index| ENTRIES.get(index)) {
        Some(octet) => Entry::of_octet(octet.swap(entry.to_octet(), Ordering::AcqRel)),
        None => set_high(descriptor, entry),
    }
}

fn set_high(descriptor: c_int, entry: Entry) -> Entry {
    let key = high_key(descriptor);
    let mut former = Entry::Other;
    for cell in &HIGH {
        let value = cell.load(Ordering::Acquire);
        if value != 0
            && value >> 8 == key
            && cell.compare_exchange(value, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            HIGH_USED.fetch_sub(1, Ordering::AcqRel);
            former = Entry::of_octet(value as u8);
        }
    }
    if entry != Entry::Other {
        let value = key << 8 | u64::from(entry.to_octet());
        let mut cells = HIGH.iter();
        if cells.any(|cell| cell.compare_exchange(0, value, Ordering::AcqRel, Ordering::Relaxed).is_ok()) {
            HIGH_USED.fetch_add(1, Ordering::AcqRel);
        }
    }
    former
}

/// Calls `each` with the descriptors of `first..=last` that are ours, in order.
pub(crate) fn for_each_in(first: u32, last: u32, mut each: impl FnMut(c_int, Entry)) {
    let low = ENTRIES.iter().enumerate().skip(first as usize);
    let low = low.take((last as usize).saturating_sub(first as usize).saturating_add(1));
    for (index, octet) in low {
        match octet.load(Ordering::Relaxed) {
            0 => {}
            octet => each(index as c_int, Entry::of_octet(octet)),
        }
    }
    if HIGH_USED.load(Ordering::Relaxed) == 0 {
        return;
    }
    // the few high ones are not kept in order
    let mut next = u64::from(first).max(LOW as u64);
    loop {
        let cells = HIGH.iter().map(|cell| cell.load(Ordering::Relaxed));
        let lowest = cells.filter(|cell| *cell != 0 && (next..=u64::from(last)).contains(&(cell >> 8))).min();
        let Some(cell) = lowest else { return };
        each((cell >> 8) as c_int, Entry::of_octet(cell as u8));
        next = (cell >> 8).saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    #[test]
    fn descriptors_of_any_size_are_kept_and_forgotten() {
        let _guard = ONE_AT_A_TIME.lock();
        for descriptor in [3, 16_383, 16_384, 1_000_000, c_int::MAX] {
            assert_eq!(entry(descriptor), Entry::Other);
            assert_eq!(set(descriptor, Entry::Listener(4)), Entry::Other);
            assert_eq!(entry(descriptor), Entry::Listener(4));
            assert_eq!(set(descriptor, Entry::Internal(LISTENERS - 1)), Entry::Listener(4));
            assert_eq!(entry(descriptor), Entry::Internal(LISTENERS - 1));
            assert_eq!(set(descriptor, Entry::Other), Entry::Internal(LISTENERS - 1));
            assert_eq!(entry(descriptor), Entry::Other);
        }
        assert_eq!(entry(-1), Entry::Other);
    }

    #[test]
    fn there_is_room_for_all_listeners_above_the_table_and_what_is_behind_them() {
        let _guard = ONE_AT_A_TIME.lock();
        let all = || (0..LISTENERS * (BEHIND + 1)).zip(20_000..);
        for (index, descriptor) in all() {
            set(descriptor, Entry::Internal(index / (BEHIND + 1)));
        }
        for (index, descriptor) in all() {
            assert_eq!(set(descriptor, Entry::Other), Entry::Internal(index / (BEHIND + 1)));
        }
    }

    #[test]
    fn a_range_gives_what_is_in_it_in_order() {
        let _guard = ONE_AT_A_TIME.lock();
        let ours = [100, 101, 16_383, 16_384, 70_000, 2_000_000];
        for descriptor in ours.iter().rev() {
            set(*descriptor, Entry::Listener(0));
        }
        let in_range = |first, last| {
            let mut found = Vec::new();
            for_each_in(first, last, |descriptor, _| found.push(descriptor));
            found
        };
        assert_eq!(in_range(0, u32::MAX), ours);
        assert_eq!(in_range(101, 70_000), ours[1..5]);
        assert!(in_range(70_001, 70_001).is_empty());
        assert_eq!(in_range(100, 100), [100]);
        assert!(in_range(5, 4).is_empty());
        for descriptor in ours {
            set(descriptor, Entry::Other);
        }
        assert!(in_range(0, u32::MAX).is_empty());
    }
}
