//! Reads the rows of a file of columns where others are read by lines.
use super::{
    FileSource,
    follow::Follow,
    identity::Identity,
    names::name,
    split::Caps,
    table::{self, Part, Table, cut_short},
    tail::{ANEW, Changed, Tail, position},
};
use dataflow_sdk::{
    Error, Records,
    batch::{Notice, Warning},
    records::Layout,
};
use std::{fs::File, io, path::Path};

/// The warning of a file that is not whole yet.
const UNFINISHED: &str = "file-unfinished";

/// What opening the rows of a file came to.
pub(super) enum Opened {
    /// It has lines.
    Lines,
    Ready(Table),
    /// It is not whole yet, which is waited for.
    Unfinished(Warning),
    /// Why the position is not there any more.
    Lost(String),
}

fn unfinished(path: &Path, why: &str) -> Warning {
    let subject = name(path);
    let message = format!("{subject} is not whole yet, and is read once it is: {why}");
    Warning { code: UNFINISHED, message, subject, records: 0 }
}

impl FileSource {
    /// The rows of a file from a row on, if it has rows; `known` is what was read of it.
    pub(super) fn open_rows(
        &self,
        path: &Path,
        file: &File,
        caps: Caps,
        at: u64,
        known: Option<Identity>,
    ) -> Result<Opened, Error> {
        if !self.is_table(path) {
            return Ok(Opened::Lines);
        }
        let mut table = match self.open_table(path, file, caps)? {
            table::Opened::Ready(table) => table,
            table::Opened::Unfinished(why) if self.follow => return Ok(Opened::Unfinished(unfinished(path, &why))),
            table::Opened::Unfinished(why) => return Err(cut_short(&name(path), &why)),
        };
        let length = file.metadata().map_err(|error| super::content::failed(&name(path), 0, error))?.len();
        if !table.may_grow() && known.is_some_and(|known| (at > 0 || known.ended) && known.size != length) {
            return Ok(Opened::Lost(ANEW.into()));
        }
        Ok(match table.seek(at)? {
            Ok(()) => Opened::Ready(table),
            Err(rows) => Opened::Lost(format!("the file has only {rows} rows")),
        })
    }
}

impl Tail {
    /// The next rows; none at the end of what is there.
    pub(super) fn next_rows(&mut self) -> Result<Option<Box<Records>>, Error> {
        let Some(table) = &mut self.table else { return Ok(None) };
        let mut records = Records::empty(self.partition.clone(), self.position.clone(), Layout::Json);
        match table.next()? {
            Some(Part { first, rows }) => {
                records = rows.into_records(records);
                records.offsets = (first..first + records.len() as u64).collect();
                self.identity.ended = false;
            }
            None => match table.cut() {
                Some(why) if self.finite => return Err(cut_short(&self.partition.0, &why)),
                Some(why) => {
                    self.warning = Some(unfinished(&super::names::path(&self.partition.0), &why));
                    return Ok(None);
                }
                // That it was read to its end is part of the position, and said once.
                None if self.identity.ended => return Ok(None),
                None => self.identity.ended = true,
            },
        }
        self.at += records.len() as u64;
        records.to = position(self.at, Some(self.identity));
        records.shared = self.shared.clone();
        self.position = records.to.clone();
        Ok(Some(Box::new(records)))
    }

    /// Whether the file still holds the rows that were read; otherwise why not.
    pub(super) fn rows_changed(&mut self) -> io::Result<Option<Changed>> {
        let meta = self.file().metadata()?;
        let may_grow = self.table.as_ref().is_some_and(Table::may_grow);
        let reason = match meta.len() {
            length if length < self.length => format!("the file was truncated to {length} bytes"),
            length if length > self.length && !may_grow || !self.identity.is_in(self.file())? => ANEW.into(),
            length => {
                self.length = length;
                self.identity.seen(&meta);
                return Ok(None);
            }
        };
        Ok(Some(Changed { reason, emptied: meta.len() == 0, unread: self.identity.unread(self.at) }))
    }
}

impl Follow {
    /// What was said of the file under a path holds no longer: it is whole.
    pub(super) fn note_whole(&mut self, k: usize) {
        let slot = &self.slots[k];
        let subject = name(&slot.path);
        let first = slot.tail.as_ref().is_some_and(|tail| tail.table.is_some() && tail.at == 0);
        if self.warned.remove(&(UNFINISHED, subject.clone())).is_some() || first {
            self.over.push(Notice::over(UNFINISHED, subject));
        }
    }
}
