//! Of which source most connections are parked without a preamble, so that it is the first to lose some.
//!
//! Sources with equally many are in one list, and the lists are in the order of how many that is. One connection more or less
//! moves its source to the next list, so all that is asked here takes the same time however many there are. A source is known
//! for as long as it has a connection.

use std::collections::HashMap;
use std::net::IpAddr;

use super::chain::{Chain, Links};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sources {
    numbers: HashMap<IpAddr, u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// By how many they have, in the order in which they came to have so many. The last is not empty.
    with: Vec<Chain>,
}

#[derive(Debug)]
struct Entry {
    source: IpAddr,
    count: usize,
    /// Its connections in the order of arrival; whoever parks them links them.
    connections: Chain,
    links: Links,
}

impl Entry {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Sources {
    /// How many connections of this source there are.
    pub(super) fn count(&self, source: IpAddr) -> usize {
        self.numbers.get(&source).map_or(0, |&number| self.entries[number as usize].count)
    }

    /// Counts a connection more. Returns the number of its source.
    pub(super) fn add(&mut self, source: IpAddr) -> u32 {
        let (entries, free) = (&mut self.entries, &mut self.free);
        let number = *self.numbers.entry(source).or_insert_with(|| {
            let new = Entry { source, count: 0, connections: Chain::EMPTY, links: Links::NONE };
            if let Some(number) = free.pop() {
                entries[number as usize] = new;
                return number;
            }
            entries.push(new);
            // There are no more of them than of descriptors.
            u32::try_from(entries.len() - 1).unwrap_or_default()
        });
        let count = self.entries[number as usize].count;
        self.moved(number, count, count + 1);
        number
    }

    /// Counts a connection of this source, by its number, no longer.
    pub(super) fn remove(&mut self, number: u32) {
        let Entry { source, count, .. } = self.entries[number as usize];
        self.moved(number, count, count - 1);
        if count == 1 {
            self.numbers.remove(&source);
            self.free.push(number);
        }
    }

    fn moved(&mut self, number: u32, from: usize, to: usize) {
        if from > 0 {
            self.with[from].remove(&mut self.entries, Entry::links, number);
        }
        if to > 0 {
            self.with.resize(self.with.len().max(to + 1), Chain::EMPTY);
            self.with[to].push(&mut self.entries, Entry::links, number);
        }
        self.entries[number as usize].count = to;
        while self.with.last().is_some_and(|last| last.head().is_none()) {
            self.with.pop();
        }
    }

    /// The connections of a source, by its number.
    pub(super) fn connections(&mut self, number: u32) -> &mut Chain {
        &mut self.entries[number as usize].connections
    }

    /// The oldest connection of a source.
    pub(super) fn oldest(&self, source: IpAddr) -> Option<u32> {
        self.numbers.get(&source).and_then(|&number| self.entries[number as usize].connections.head())
    }

    /// The oldest connection of the source that has most; among such, of the one that has had as many for longest.
    pub(super) fn oldest_of_most(&self) -> Option<u32> {
        let number = self.with.last()?.head()?;
        self.entries[number as usize].connections.head()
    }

    /// For how much it has room.
    #[cfg(test)]
    pub(super) fn rooms(&self) -> [usize; 2] {
        [self.entries.len(), self.with.len()]
    }
}
