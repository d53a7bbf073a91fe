//! Generations that came after the one that was read, and can't be read any more.
//!
//! One that was compressed before it was looked at, and that no pattern matches, is there: that it was not read is said. One that is
//! gone is a lost position: it was seen to wait, or its number is missing among those that are there.
use super::{
    Compression,
    content::Content,
    follow::Follow,
    identity::Identity,
    lost::{self, Loss, Lost, passed_over},
    names::name,
    opening::has_rested,
    rotation::{self, is_older_generation, is_rotated_name, number, with_number},
    tail,
};
use crate::lost::OnPositionLost;
use dataflow_core::position::Position;
use dataflow_sdk::{Error, Records, batch::Warning};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Generations that are gone, and how many bytes they had, where that is known.
pub(super) type Missed = BTreeMap<PathBuf, Option<u64>>;

impl Follow {
    /// What is gone of the generations that came after the one that was read to its end under a path and before the `next` one; none
    /// while they are renamed.
    pub(super) fn missed(&mut self, k: usize, next: &Metadata) -> io::Result<Option<Missed>> {
        let slot = &self.slots[k];
        let Some(known) = slot.known else { return Ok(Some(Missed::new())) };
        let packed =
            || self.source.packed(&slot.path, &known, |_| true, &self.unpacked, &self.cx).map(|(there, _)| there);
        let left = rotation::find(&slot.path, &known, &self.cx).or_else(packed);
        let (mut missed, mut compressed) = (Missed::new(), Vec::new());
        if let Some(there) = left {
            missed = self.gaps(k, (&known, &there), next)?;
            // Whoever shifts the generations is not done yet.
            if !missed.is_empty() && !has_rested(&fs::metadata(&there)?, self.source.grace()) {
                return Ok(None);
            }
            compressed = self.compressed_unread(k, &there)?;
        }
        let gone = std::mem::take(&mut self.slots[k].waiting.gone);
        missed.extend(gone);
        self.warn(compressed);
        Ok(Some(missed))
    }

    /// The generations whose numbers are missing between that of the one that is known and lies `there`, and the `next` one.
    fn gaps(&self, k: usize, (known, there): (&Identity, &Path), next: &Metadata) -> io::Result<Missed> {
        let path = &self.slots[k].path;
        let Some(own) = rotation::seats(path).iter().find_map(|seat| number(seat, there)) else {
            return Ok(Missed::new());
        };
        let (mut numbers, mut after) = (BTreeSet::new(), 0);
        for other in rotation::beside(path, |seat, other| number(seat, other).is_some())? {
            let Some(number) = rotation::seats(path).iter().find_map(|seat| number(seat, &other)) else { continue };
            numbers.insert(number);
            let Ok(meta) = fs::symlink_metadata(&other) else { continue };
            if (meta.dev(), meta.ino()) == (next.dev(), next.ino()) {
                after = number;
            }
            // Numbers that grow with time are missing where old generations were removed.
            let grows = match number < own {
                true => known.is_made_after(&meta),
                false => known.is_made_before(&meta) && self.source.compression.of(&other) == Compression::None,
            };
            if grows {
                return Ok(Missed::new());
            }
        }
        let missing = (after + 1..own).filter(|number| !numbers.contains(number));
        let missing: Missed = missing.map(|nth| (with_number(&self.plain(there), nth), None)).collect();
        // Those that have a position of their own are read or lost by that.
        let others = self
            .slots
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != k)
            .filter_map(|(_, slot)| Some((&slot.path, slot.identity()?)));
        let others = others.chain(self.known.iter().map(|known| (&known.path, known.identity)));
        let tracked = others.filter(|(_, other)| known.is_older(other) && !rotation::is_beside(path, other));
        let tracked: BTreeSet<_> =
            tracked.filter(|(at, _)| is_rotated_name(path, at)).map(|(_, other)| other.file()).collect();
        Ok(if missing.len() > tracked.len() { missing } else { Missed::new() })
    }

    /// Says which compressed files are, by their names, generations that came after the one that lies `there`.
    fn compressed_unread(&self, k: usize, there: &Path) -> io::Result<Vec<Warning>> {
        let path = &self.slots[k].path;
        let left = self.plain(there);
        let is_missed = |seat: &Path, there: &Path| {
            let plain = self.plain(there);
            plain != there
                && is_rotated_name(seat, &left)
                && is_rotated_name(seat, &plain)
                && is_older_generation(&left, &plain)
                && !plain.exists() // otherwise it is read, or being compressed
                && !self.source.may_match(there)
        };
        let there = rotation::beside(path, is_missed)?.into_iter().filter(|there| self.holds_any(there));
        Ok(there.map(|there| compressed(&there, path)).collect())
    }

    /// The interval that passes over generations that are gone, to what is there, or the failure.
    pub(super) fn pass_missed(
        &mut self,
        k: usize,
        missed: Missed,
        from: Position,
        to: Position,
    ) -> Result<Box<Records>, Error> {
        let bytes = missed.values().flatten().sum();
        let names: Vec<String> = missed.keys().map(|path| name(path)).collect();
        let reason = format!("older generations were removed before they were read: {}", names.join(", "));
        let slot = &self.slots[k];
        let (path, partition) = (slot.path.clone(), slot.partition.clone());
        self.warn(missed.into_iter().map(|(gone, bytes)| removed(&gone, bytes, &path)).collect());
        match self.source.on_position_lost {
            OnPositionLost::Earliest => {
                Ok(passed_over(partition, from, to, Loss { records: 0, bytes, reason: &reason }))
            }
            OnPositionLost::Fail | OnPositionLost::Latest => {
                let now = tail::open(&path, &self.cx)?;
                lost::moved(&self.source, &path, &now, Lost { wanted: from, reason: &reason, bytes })
            }
        }
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

fn compressed(there: &Path, path: &Path) -> Warning {
    let (subject, path) = (name(there), name(path));
    let message = format!(
        "{subject} was not read: it is an older generation of {path} that was compressed before it was looked at. Read it with \
         another pipeline, and give this one a pattern that matches older generations, or a shorter `pollInterval`"
    );
    Warning { code: "generation-missed", subject, message, records: 0 }
}

fn removed(gone: &Path, bytes: Option<u64>, path: &Path) -> Warning {
    let (subject, path) = (name(gone), name(path));
    let bytes =
        bytes.map_or_else(|| "how many bytes it had is unknown".into(), |bytes| format!("it had {bytes} bytes"));
    let message = format!(
        "{subject}, an older generation of {path}, was removed before it was read: {bytes}. Keep more generations, or let the \
         pipeline keep up"
    );
    Warning { code: "generation-missed", subject, message, records: 0 }
}
