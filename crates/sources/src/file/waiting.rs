//! Files that wait until another one is read under their path: how much they hold, and which of them go unread.
use super::{
    follow::Follow,
    identity::Identity,
    rotation::{self, is_rotated_name},
    slot::Slot,
    tail,
};
use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Device and inode.
type File = (u64, u64);

/// What is read under a path after the open file.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Where each lies, how many bytes of it were not read, and what it is known by once it is compressed.
    files: BTreeMap<File, (PathBuf, u64, Option<Identity>)>,
    /// Those that were not there any more at a later look, and were not read.
    pub(super) gone: BTreeMap<PathBuf, Option<u64>>,
}

impl Waiting {
    /// Bytes that wait, without those of the open file.
    pub(super) fn lag(&self, open: Option<File>) -> u64 {
        self.files.iter().filter(|(file, _)| Some(**file) != open).map(|(_, (_, bytes, _))| bytes).sum()
    }
}

impl Follow {
    /// Looks at what waits.
    pub(super) fn measure(&mut self) {
        // How far each file was read, by whatever name; one that is open counts for itself.
        let mut reached: BTreeMap<File, u64> = BTreeMap::new();
        let slots = self.slots.iter().filter_map(|slot| {
            let at = if slot.tail.is_some() { u64::MAX } else { slot.at() };
            Some((slot.identity()?.file(), at))
        });
        for (file, at) in slots.chain(self.known.iter().map(|known| (known.identity.file(), known.at))) {
            let most = reached.entry(file).or_default();
            *most = at.max(*most);
        }
        for k in 0..self.slots.len() {
            let mut files = BTreeMap::new();
            for (path, meta) in self.waiting(&self.slots[k]) {
                let (file, read) = ((meta.dev(), meta.ino()), reached.get(&(meta.dev(), meta.ino())));
                let bytes = meta.len().saturating_sub(read.copied().unwrap_or(0));
                if bytes > 0 {
                    let before = self.slots[k].waiting.files.get(&file).map(|(.., known)| *known);
                    let known = || Identity::of(&tail::open(&path, &self.cx).ok()?, 0).ok();
                    let known = before.unwrap_or_else(known);
                    files.insert(file, (path, bytes, known));
                    reached.insert(file, u64::MAX); // it may have other names
                }
            }
            let before = std::mem::replace(&mut self.slots[k].waiting.files, files);
            for (file, (path, bytes, known)) in before {
                let slot = &self.slots[k];
                let is_left = || slot.waiting.files.contains_key(&file) || reached.contains_key(&file);
                let is_there = || rotation::lies_beside(&slot.path, |meta| (meta.dev(), meta.ino()) == file);
                // It may be read by that name already.
                let is_packed =
                    |known| self.source.packed(&slot.path, &known, |_| true, &self.unpacked, &self.cx).is_some();
                if is_left() || is_there() || known.is_some_and(is_packed) {
                    continue;
                }
                // One that was renamed meanwhile is looked for again.
                let is_gone = self.is_settled(slot);
                let waiting = &mut self.slots[k].waiting;
                match is_gone {
                    true => drop(waiting.gone.insert(path, Some(bytes))),
                    false => drop(waiting.files.insert(file, (path, bytes, known))),
                }
            }
        }
    }

    /// What is there to be read under a path, unless it is open.
    fn waiting(&self, slot: &Slot) -> Vec<(PathBuf, Metadata)> {
        let is_plain = |path: &Path| self.source.counts_bytes(path);
        if slot.is_settled() || !is_plain(&slot.path) {
            return Vec::new();
        }
        let own = fs::metadata(&slot.path).ok().filter(Metadata::is_file).map(|meta| (slot.path.clone(), meta));
        let known = slot.identity().filter(|known| own.as_ref().is_none_or(|(_, meta)| !known.is_inode(meta)));
        let mut waiting = Vec::new();
        if let Some(known) = known {
            for there in rotation::beside(&slot.path, is_rotated_name).unwrap_or_default() {
                let is_later =
                    |meta: &Metadata| meta.is_file() && !known.is_made_after(meta) && !known.is_written_after(meta);
                if !self.paths.contains(&there)
                    && let Some(meta) = fs::symlink_metadata(&there).ok().filter(|meta| is_later(meta))
                {
                    waiting.push((there, meta));
                }
            }
        }
        waiting.extend(own);
        waiting
    }
}
