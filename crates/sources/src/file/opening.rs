//! Which file is opened under a path that is followed, and from where it is read.
use super::{
    content::{TOO_MANY_FILES, failed},
    copies::Copied,
    follow::{Follow, Known},
    identity::Identity,
    lost,
    names::name,
    packed::{Packed, left_out},
    rotation,
    tail::{self, Opened, Tail, position},
};
use dataflow_core::position::Position;
use dataflow_sdk::{Error, Records, batch::Warning};
use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

impl Follow {
    /// Opens the file under a path, with no more files open than may be.
    pub(super) fn open_in_turn(&mut self, k: usize) -> Result<Option<Box<Records>>, Error> {
        while self.slots.iter().filter(|slot| slot.tail.is_some()).count() >= self.open && self.close_one() {}
        loop {
            match self.open(k) {
                Err(error) if error.code() == TOO_MANY_FILES && !self.watched.is_empty() => self.watched.clear(),
                Err(error) if error.code() == TOO_MANY_FILES && self.close_one() => {
                    self.open = (self.open / 2).max(1);
                }
                opened => return opened,
            }
        }
    }

    /// Closes the file that was not read for the longest time, of those that are not about to go; true if there is one.
    fn close_one(&mut self) -> bool {
        let open = self.slots.iter_mut().filter(|slot| slot.tail.is_some());
        match open.min_by_key(|slot| (slot.replaced.is_some(), slot.used)) {
            Some(slot) => slot.close(),
            None => return false,
        }
        true
    }

    /// Opens the file under a path, or says how to get to its beginning first.
    fn open(&mut self, k: usize) -> Result<Option<Box<Records>>, Error> {
        let slot = &self.slots[k];
        let (there, file) = match tail::open(&slot.path, &self.cx) {
            Err(error)
                if error.code() == "file-missing"
                    || self.source.is_pattern()
                        && matches!(error.code(), "not-a-file" | "is-a-directory" | "link-circle") =>
            {
                let path = slot.path.clone();
                let is_link = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink());
                if is_link {
                    let name = name(&path);
                    let message = format!("{name} is a link to nothing: it is read once its target exists");
                    self.warn(vec![Warning { code: "dangling-link", subject: name, message, records: 0 }]);
                }
                // It was renamed, and nothing has taken its place yet.
                let slot = &self.slots[k];
                match slot.known.and_then(|known| rotation::find(&slot.path, &known, &self.cx)) {
                    _ if slot.rotated.is_some() => return Ok(None),
                    Some(path) => {
                        let file = tail::open(&path, &self.cx)?;
                        (path, file)
                    }
                    None if is_link => return Ok(None), // what it leads to may be elsewhere
                    None => return self.removed(k),
                }
            }
            file => {
                let opened = (slot.path.clone(), file?);
                self.note_found(k);
                opened
            }
        };
        let slot = &self.slots[k];
        let partition = slot.partition.clone();
        let failed = |error| failed(&partition.0, 0, error);
        if slot.rotated.is_none() && slot.is_passed_over(&file, &self.cx).map_err(failed)? {
            return self.removed(k);
        }
        if slot.rotated.is_some() && self.is_left_to_another(k) {
            return Ok(None);
        }
        // What was found under this path and has not begun is read wherever it lies now, unless it is read elsewhere.
        let found = match slot.is_begun() {
            true => None,
            false => slot.renamed(&file, &self.cx).map_err(failed)?,
        };
        let (grace, pattern) = (self.source.grace(), self.source.is_pattern());
        let mut passed = false;
        if let Some((there, found)) = &found {
            let meta = found.metadata().map_err(failed)?;
            passed = self.is_read_elsewhere(k, &meta);
            let matched = self.source.may_match(there);
            let slot = &mut self.slots[k];
            // Its writer may not have opened the new one yet.
            if !passed && meta.len() == 0 && slot.has_waited(grace) {
                passed = true;
                if let Some(known) = slot.known.filter(|_| !matched) {
                    slot.left(found, &known).map_err(failed)?;
                }
            }
        }
        let slot = &self.slots[k];
        let (there, file) = found.filter(|_| !passed).unwrap_or((there, file));
        // Whatever was in a file that was empty may be in a copy by now.
        if slot.rotated.is_none()
            && let Some(known) = slot.known.filter(Identity::is_of_nothing)
            && let meta = file.metadata().map_err(failed)?
            && !passed
            && (known.is_written(&meta) || !known.is_inode(&meta))
            && let Some(records) = self.to_copy(k).map_err(failed)?
        {
            return Ok(Some(records));
        }
        let begins = passed || slot.begins(&file, pattern, &self.cx).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let another = slot.known.is_some_and(|known| known.is_of_nothing() && !known.is_inode(&meta));
        let over = passed || begins && (slot.is_begun() || another);
        if begins && !passed && slot.is_begun() && self.is_left_to_another(k) {
            return Ok(None);
        }
        if slot.rotated.is_some() || slot.copy.is_some() || begins {
            let (between, original) = match &slot.rotated {
                Some(left) => {
                    let is_read = |path: &Path, meta: &Metadata| self.is_read(path, meta);
                    let between = left.successor(&slot.path, &file, is_read, &self.cx).map_err(failed)?;
                    let original = left.original_after(between.as_ref(), &file).map_err(failed)?;
                    (between, original)
                }
                None => (None, None),
            };
            let file = between.as_ref().unwrap_or(&file);
            let identity = Identity::of(file, 0).map_err(failed)?.copied_from(original);
            if identity.is_of_nothing() {
                return Ok(None);
            }
            let Some(begin) = self.begin(k, file).map_err(failed)? else { return Ok(None) };
            // It was seen to be gone, and is back.
            let slot = &self.slots[k];
            if begin.is_none()
                && original.is_none()
                && between.is_none()
                && !passed
                && let meta = file.metadata().map_err(failed)?
                && let Some(known) = slot.known.filter(|known| !known.is_inode(&meta))
            {
                let packed = !self.source.counts_bytes(&slot.path);
                let removed = packed && slot.rotated.is_none() && !known.given_up;
                if let Some(records) = self.replacement(k, file, removed, 0)? {
                    self.slots[k].rotated = None;
                    return Ok(Some(records));
                }
            }
            let missed = match self.slots[k].rotated {
                Some(_) => self.missed(k, &file.metadata().map_err(failed)?).map_err(failed)?,
                None => Some(BTreeMap::new()),
            };
            let Some(missed) = missed else { return Ok(None) };
            let slot = &mut self.slots[k];
            if slot.rotated.take().is_some() || begin.is_some() || over {
                slot.replaced = None;
                let (identity, begin) = begin.unwrap_or((identity, 0));
                let from = slot.position.clone().unwrap_or(Position::offset(0));
                let to = position(begin, Some(identity));
                return match missed.is_empty() {
                    true => Ok(Some(lost::between(partition, from, to))),
                    false => self.pass_missed(k, missed, from, to).map(Some),
                };
            }
        }
        let renamed = self.slots[k].renamed(&file, &self.cx).map_err(failed)?;
        if let (None, Some(known)) = (&renamed, self.slots[k].known)
            && !known.is(&file).map_err(failed)?
        {
            if let Some(records) = self.to_copy(k).map_err(failed)? {
                return Ok(Some(records));
            }
            // Rotated away after its end was read: what is there is the next generation.
            let is_other = !known.is_inode(&file.metadata().map_err(failed)?);
            if is_other && !known.ended && known.unread(self.slots[k].at()) == 0 && self.is_generation(k) {
                return self.removed(k);
            }
        }
        let (there, file) = renamed.unwrap_or((there, file));
        let slot = &mut self.slots[k];
        match Tail::open(&self.source, self.caps, &slot.path, (&there, file), slot.position.clone())? {
            Opened::Ready(mut tail) => {
                let warning = tail.warning.take();
                slot.tail = Some(tail);
                self.warn(warning.into_iter().collect());
                self.note_whole(k);
            }
            Opened::Moved(records) => return Ok(Some(records)),
            Opened::Empty => {}
            Opened::Unfinished(warning) => self.warn(vec![warning]),
        }
        Ok(None)
    }

    /// How far a file was read under another name, if it was; none at all while it is still being read under it.
    #[allow(clippy::option_option, reason = "wait, from its beginning, or from a place")]
    fn begin(&mut self, k: usize, file: &File) -> io::Result<Option<Option<(Identity, u64)>>> {
        if !self.source.is_pattern() {
            return Ok(Some(None));
        }
        let meta = file.metadata()?;
        if self.is_read_elsewhere(k, &meta) {
            return Ok(None);
        }
        match self.copied(k, file, &meta)? {
            Copied::Wait => return Ok(None),
            Copied::Known => return Ok(Some(Some((Identity::of(file, meta.len())?, meta.len())))),
            Copied::No if self.slots[k].copy.take().is_some() && self.slots[k].is_begun() => {
                return Ok(Some(None));
            }
            Copied::No => {}
        }
        for Known { identity, at, .. } in self.known.iter().rev() {
            // A compressed file is shorter than what it holds, and ended.
            if identity.is_inode(&meta) && (identity.ended || meta.len() >= *at) && identity.is(file)? {
                return Ok(Some(Some((*identity, *at))));
            }
        }
        match self.is_packed(k, file) {
            Packed::No => {}
            Packed::Wait => return Ok(None),
            Packed::Copy(of) => {
                // One that is written or was just made replaces the other in a moment.
                if has_rested(&meta, self.source.grace()) {
                    self.warn(vec![left_out(&self.slots[k].path, &of)]);
                }
                return Ok(None);
            }
            Packed::Known(Known { identity, at, .. }) => {
                let own = Identity::of(file, meta.len())?.copied_from(Some(identity.inode()));
                return Ok(Some(Some((own, at))));
            }
        }
        Ok(Some(None))
    }
}

/// Whether nothing was done to a file for so long.
pub(super) fn has_rested(meta: &Metadata, time: Duration) -> bool {
    let since = u64::try_from(meta.ctime()).unwrap_or(0);
    let changed = UNIX_EPOCH + Duration::new(since, u32::try_from(meta.ctime_nsec()).unwrap_or(0));
    changed.elapsed().is_ok_and(|elapsed| elapsed >= time)
}
