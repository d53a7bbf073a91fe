//! Generations that were written to after they were read to their end, by a writer that still had them open, and that are not
//! read under the name that they have now: what came late is not read, which is said.
use super::{follow::Follow, identity::Identity, names::name, rotation, slot::Slot, tail::Tail};
use dataflow_sdk::batch::Warning;
use std::{
    fs::File,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// How many generations are held open for it: the last ones.
const WATCHED: usize = 64;

/// A generation that was read to its end, and another file has its name.
#[derive(Debug)]
pub(super) struct Watched {
    /// As which it was read.
    path: PathBuf,
    file: File,
    known: Identity,
    /// How far it was read, in bytes.
    end: u64,
}

impl Follow {
    /// Looks at a generation from now on.
    pub(super) fn watch(&mut self, path: &Path, tail: &Tail) {
        let Ok(file) = tail.file().try_clone() else { return };
        let end = match &tail.table {
            Some(table) if table.may_grow() => tail.length - table.left(tail.length).min(tail.length),
            _ if tail.is_compressed() => return,
            _ => tail.at,
        };
        self.watched.push_back(Watched { path: path.to_owned(), file, known: tail.identity, end });
        if self.watched.len() > WATCHED {
            self.watched.pop_front();
        }
    }

    /// Says which generations were written to since, once of each.
    pub(super) fn warn_of_late(&mut self) {
        let (mut late, slots) = (Vec::new(), &self.slots);
        self.watched.retain(|left| {
            let Ok(meta) = left.file.metadata() else { return false };
            let knows = |slot: &Slot| slot.identity().is_some_and(|known| known.is_same_inode(&left.known));
            let is_late = meta.len() > left.end && !slots.iter().any(knows);
            if is_late {
                let there = rotation::find(&left.path, &left.known, &self.cx);
                late.push(warning(&left.path, there.as_deref(), meta.len() - left.end));
            }
            // As long as it is open, the space of a deleted one is not free.
            !is_late && meta.nlink() > 0
        });
        late.into_iter().for_each(|warning| self.warn_again(warning));
    }
}

fn warning(path: &Path, there: Option<&Path>, bytes: u64) -> Warning {
    let (subject, path) = (name(there.unwrap_or(path)), name(path));
    let message = format!(
        "{bytes} bytes or more at the end of {subject} were not read: they were written after it was rotated away from {path} and \
         nothing had come for a second. Let its writers open the new file at each rotation, or give `path` a pattern that matches \
         older generations"
    );
    Warning { code: "written-late", subject, message, records: 0 }
}
