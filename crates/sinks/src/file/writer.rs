//! Writing: append a commit, remember the length, make it durable when asked.
use super::{
    Compression,
    handle::Handle,
    lines::{self, Csv},
    mark::Mark,
    open::demand,
    still::{holds, still},
};
use crate::{blocking, on_disk};
use async_trait::async_trait;
use dataflow_core::{ledger::Counters, token::Token};
use dataflow_sdk::{
    Error,
    batch::{Column, Demand, Output},
    sink::{CommitError, Committed, Seal, Sealed, Writer},
};
use std::{fs::File, io::Write, sync::Arc};

/// What opening a file has found out.
pub(super) struct Found {
    pub(super) file: File,
    pub(super) handle: Handle,
    pub(super) mark: Mark,
    /// What the ledger counts before this generation.
    pub(super) before: Counters,
    pub(super) compression: Compression,
    pub(super) csv: Option<Csv>,
    pub(super) header: bool,
    pub(super) columns: Option<Vec<String>>,
    /// Whether a line that somebody else began must be ended first.
    pub(super) joins: bool,
}

/// The one writer of a file. The lock on the file goes with it.
pub(super) struct FileWriter {
    file: Arc<File>,
    handle: Handle,
    mark: Mark,
    /// What the ledger counts before this generation.
    before: Counters,
    /// Whether a commit was begun whose end is not known.
    torn: bool,
    compression: Compression,
    csv: Option<Csv>,
    header: bool,
    columns: Option<Vec<String>>,
    joins: bool,
}

impl FileWriter {
    pub(super) fn new(found: Found) -> Self {
        let Found { file, handle, mark, before, compression, csv, header, columns, joins } = found;
        let (file, torn) = (Arc::new(file), false);
        Self { file, handle, mark, before, torn, compression, csv, header, columns, joins }
    }

    /// The text of a commit, and its rows.
    fn text(&self, outputs: &[Output]) -> Result<(Vec<u8>, u64), CommitError> {
        let Some(csv) = self.csv else { return lines::documents(outputs) };
        let (rows, count) = csv.rows(outputs)?;
        match &self.columns {
            Some(columns) if self.header && self.handle.length == 0 && count > 0 => {
                Ok(([csv.header(columns), rows].concat(), count))
            }
            _ => Ok((rows, count)),
        }
    }
}

#[async_trait]
impl Writer for FileWriter {
    fn is_untyped(&self) -> bool {
        true
    }

    async fn define(&mut self, columns: &[Column]) -> Result<Demand, Error> {
        let known = self.columns.get_or_insert_with(|| columns.iter().map(|column| column.name.clone()).collect());
        Ok(demand(known))
    }

    async fn commit(&mut self, outputs: &Arc<[Output]>, _: &Token) -> Result<Committed, CommitError> {
        let (mut text, rows_written) = self.text(outputs)?;
        if rows_written > 0 && std::mem::take(&mut self.joins) {
            text.insert(0, b'\n');
        }
        let (file, compression, handle) = (self.file.clone(), self.compression, self.handle.clone());
        let unwritten = std::mem::replace(&mut self.torn, true);
        let written = blocking::run(move || {
            still(&file, &handle)?;
            Ok(compression.frame(text).and_then(|frame| {
                (&*file).write_all(&frame)?;
                handle.longer(&file, frame.len() as u64)
            }))
        });
        let written: Result<_, Error> = written.await?;
        // After a failure the file may hold part of the commit: whoever opens it again cuts that off.
        let written = written.inspect_err(|_| self.torn = unwritten)?;
        self.handle = written.map_err(|error| on_disk::failure("write to", &self.handle.path, &error))?;
        self.torn = unwritten;
        Ok(Committed { rows_written })
    }

    async fn seal(&mut self, _: Seal) -> Result<Sealed, Error> {
        let (file, handle, path) = (self.file.clone(), self.handle.clone(), self.handle.path.clone());
        let sealed = blocking::run(move || {
            still(&file, &handle)?;
            let synced = file.sync_all().and_then(|()| handle.sealed(&file));
            synced.map_err(|error| on_disk::failure("make durable", &path, &error))
        });
        self.handle = sealed.await??;
        Ok(Sealed::Handle(self.handle.to_json()?))
    }

    /// What others have done to the file may leave all that was written to it before.
    async fn salvage(&mut self) -> Option<serde_json::Value> {
        let (file, handle) = (self.file.clone(), self.handle.clone());
        let sealed = blocking::run(move || {
            let is_there = holds(&file, &handle) && File::open(&handle.path).is_ok_and(|there| holds(&there, &handle));
            let sealed = || file.sync_all().and_then(|()| handle.sealed(&file)).ok();
            is_there.then(sealed).flatten().map(|handle| Handle { last: true, ..handle })
        });
        self.handle = sealed.await.ok().flatten()?;
        self.handle.to_json().ok()
    }

    async fn publish(&mut self, handle: &serde_json::Value, token: &Token) -> Result<Option<serde_json::Value>, Error> {
        self.mark.counted = Handle::from_json(handle.clone())?.length;
        self.mark.ledger = self.before;
        self.mark.ledger.add(&token.counters);
        let (file, mut mark) = (self.file.clone(), self.mark.clone());
        blocking::run(move || mark.renew(&file)).await.map(|()| None)
    }

    async fn close(self: Box<Self>) {}
}

impl Drop for FileWriter {
    /// From here on whatever is longer was written by others.
    fn drop(&mut self) {
        if !self.torn {
            Mark { left: Some(self.handle.length), ..self.mark.clone() }.renew(&self.file);
        }
    }
}
