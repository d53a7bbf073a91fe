//! Generations that were compressed before they were looked at, and that no pattern matches: that they were not read is said.
use super::{
    Compression,
    content::Content,
    follow::Follow,
    names::name,
    rotation::{self, is_older_generation, is_rotated_name},
    tail,
};
use dataflow_sdk::batch::Warning;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

impl Follow {
    /// Says which compressed files are, by their names, generations that came after the one that was read to its end under a path.
    pub(super) fn warn_of_missed(&mut self, k: usize) -> io::Result<()> {
        let slot = &self.slots[k];
        let Some(known) = &slot.known else { return Ok(()) };
        let packed =
            || self.source.packed(&slot.path, known, |_| true, &self.unpacked, &self.cx).map(|(there, _)| there);
        let left = rotation::find(&slot.path, known, &self.cx).or_else(packed);
        let Some(left) = left.map(|left| self.plain(&left)).filter(|left| is_rotated_name(&slot.path, left)) else {
            return Ok(());
        };
        let mut missed = Vec::new();
        for entry in fs::read_dir(rotation::folder(&slot.path))? {
            let there = slot.path.with_file_name(entry?.file_name());
            let plain = self.plain(&there);
            let is_missed = plain != there
                && is_rotated_name(&slot.path, &plain)
                && is_older_generation(&left, &plain)
                && !plain.exists() // otherwise it is read, or being compressed
                && !self.source.may_match(&there);
            if is_missed && self.holds_any(&there) {
                missed.push(warning(&there, &slot.path));
            }
        }
        self.warn(missed);
        Ok(())
    }

    /// The name that a file had before it was compressed.
    fn plain(&self, there: &Path) -> PathBuf {
        match self.source.compression.of(there) {
            Compression::None => there.to_owned(),
            _ => there.with_extension(""),
        }
    }

    /// Whether anything is in a compressed file.
    fn holds_any(&self, there: &Path) -> bool {
        let Ok(file) = tail::open(there, &self.cx) else { return false };
        let content = Content::new(there, file, self.source.compression, 0);
        content.is_ok_and(|content| {
            content.is_ok_and(|mut content| content.append(&mut Vec::new(), 1).is_ok_and(|count| count > 0))
        })
    }
}

fn warning(there: &Path, path: &Path) -> Warning {
    let (subject, path) = (name(there), name(path));
    let message = format!(
        "{subject} was not read: it is an older generation of {path} that was compressed before it was looked at. Read it with \
         another pipeline, and give this one a pattern that matches older generations, or a shorter `pollInterval`"
    );
    Warning { code: "generation-missed", subject, message, records: 0 }
}
