//! The keys seen in objects, in the order in which they are expected next.
use super::Key;
use std::collections::HashMap;

/// The most distinct names that are kept. Wanted names are always kept.
pub(super) const MAX_KEYS: usize = 10_000;

/// The longest name that is kept, in bytes, unless it is wanted: bounds the memory that hostile records can claim.
pub const MAX_NAME: usize = 1_024;

/// The absent key.
pub(super) const NONE: u32 = u32::MAX;

/// A key that was seen or is wanted.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: Box<[u8]>,
    /// Whether JSON writes it without escapes.
    plain: bool,
    /// The wanted path that ends here, if any.
    pub slot: Option<usize>,
    /// The dictionary of its object values, if a part of them is wanted.
    pub child: Option<usize>,
    /// Its index among the names to be marked, if any.
    pub mark: Option<u32>,
    /// The key that followed the last time.
    next: u32,
    /// Counts the records of this batch that have it.
    records: u64,
    /// The last two records that have it, the latest first; [`NONE`] if there is none yet.
    last_row: u32,
    row_before: u32,
    /// Its rank among the keys of this batch.
    order: u32,
}

/// The keys of all objects at one path.
#[derive(Debug)]
pub(super) struct Dictionary {
    entries: Vec<Entry>,
    ids: HashMap<Box<[u8]>, u32>,
    first: u32,
    /// Counts the keys of this batch so far.
    order: u32,
}

impl Dictionary {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), ids: HashMap::new(), first: NONE, order: 0 }
    }

    /// Returns the entry of a wanted key.
    pub(super) fn want(&mut self, name: &str) -> &mut Entry {
        let id = match self.ids.get(name.as_bytes()) {
            Some(id) => *id,
            None => self.add(name.as_bytes()),
        };
        &mut self.entries[id as usize]
    }

    fn add(&mut self, name: &[u8]) -> u32 {
        let id = self.entries.len() as u32;
        let plain = !name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let name: Box<[u8]> = name.into();
        self.ids.insert(name.clone(), id);
        self.entries.push(Entry {
            name,
            plain,
            slot: None,
            child: None,
            mark: None,
            next: NONE,
            records: 0,
            last_row: NONE,
            row_before: NONE,
            order: 0,
        });
        id
    }

    /// Returns the name expected after the key `previous`, if it can be compared with the raw text, and its id.
    #[inline]
    pub(super) fn expected(&self, previous: u32) -> Option<(u32, &[u8])> {
        let id = self.entries.get(previous as usize).map_or(self.first, |entry| entry.next);
        self.entries.get(id as usize).filter(|entry| entry.plain).map(|entry| (id, &*entry.name))
    }

    /// Returns the id of a key other than the expected one; [`NONE`] if there are too many keys or it is too long.
    pub(super) fn find(&mut self, name: &[u8], previous: u32) -> u32 {
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None if self.entries.len() >= MAX_KEYS || name.len() > MAX_NAME => return NONE,
            None => self.add(name),
        };
        match self.entries.get_mut(previous as usize) {
            Some(entry) => entry.next = id,
            None => self.first = id,
        }
        id
    }

    /// Records that a record has a key; returns its entry, and whether the record had it before.
    #[inline]
    pub(super) fn touch(&mut self, id: u32, row: u32) -> (&Entry, bool) {
        let entry = &mut self.entries[id as usize];
        let again = entry.last_row == row;
        if !again {
            if entry.records == 0 {
                entry.order = self.order;
                self.order += 1;
            }
            entry.records += 1;
            entry.row_before = entry.last_row;
            entry.last_row = row;
        }
        (entry, again)
    }

    /// Reverts what was recorded for a record that turned out to be broken.
    pub(super) fn untouch(&mut self, row: u32) {
        for entry in self.entries.iter_mut().filter(|entry| entry.last_row == row) {
            entry.records -= 1;
            entry.last_row = entry.row_before;
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The keys of this batch, by first appearance.
    pub(super) fn seen(&self) -> Vec<Key> {
        let mut seen: Vec<&Entry> = self.entries.iter().filter(|entry| entry.records > 0).collect();
        seen.sort_by_key(|entry| entry.order);
        let keys = seen.iter().map(|entry| Key {
            name: String::from_utf8_lossy(&entry.name).into_owned(),
            records: entry.records,
            last_row: entry.last_row,
        });
        keys.collect()
    }

    /// Restarts all counts.
    pub(super) fn reset(&mut self) {
        if self.entries.len() >= MAX_KEYS {
            self.forget();
        }
        self.order = 0;
        for entry in &mut self.entries {
            entry.records = 0;
            entry.last_row = NONE;
            entry.row_before = NONE;
        }
    }

    /// Frees memory: drops keys that this batch lacks, and if that is not enough, all that are not wanted.
    fn forget(&mut self) {
        let wanted = |entry: &Entry| entry.slot.is_some() || entry.child.is_some() || entry.mark.is_some();
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| wanted(entry) || entry.records > 0);
        if entries.len() >= MAX_KEYS {
            entries.retain(wanted);
        }
        self.ids = entries.iter().zip(0..).map(|(entry, id)| (entry.name.clone(), id)).collect();
        self.first = NONE;
        for entry in &mut entries {
            entry.next = NONE;
        }
        self.entries = entries;
    }
}
