//! Writing: append a commit, remember the length, make it durable when asked.
use super::{
    Compression,
    handle::Handle,
    lines::{self, Csv},
    open::demand,
};
use crate::{blocking, on_disk};
use async_trait::async_trait;
use dataflow_core::token::Token;
use dataflow_sdk::{
    Error,
    batch::{Column, Demand, Output},
    sink::{CommitError, Committed, Writer},
};
use std::{fs::File, io::Write, sync::Arc};

/// The one writer of a file. The lock on the file goes with it.
pub(super) struct FileWriter {
    file: Arc<File>,
    handle: Handle,
    compression: Compression,
    csv: Option<Csv>,
    header: bool,
    columns: Option<Vec<String>>,
    /// Whether a line that somebody else began must be ended first.
    joins: bool,
}

impl FileWriter {
    pub(super) fn new(
        file: File,
        handle: Handle,
        compression: Compression,
        csv: Option<Csv>,
        header: bool,
        columns: Option<Vec<String>>,
        joins: bool,
    ) -> Self {
        Self { file: Arc::new(file), handle, compression, csv, header, columns, joins }
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

    async fn commit(&mut self, outputs: &[Output], _: &Token) -> Result<Committed, CommitError> {
        let (mut text, rows_written) = self.text(outputs)?;
        if rows_written > 0 && std::mem::take(&mut self.joins) {
            text.insert(0, b'\n');
        }
        let (file, compression, path) = (self.file.clone(), self.compression, self.handle.path.clone());
        let written = blocking::run(move || {
            let frame = compression.frame(text)?;
            (&*file).write_all(&frame)?;
            Ok(frame.len() as u64)
        });
        // After a failure the file may hold part of the commit: whoever opens it again cuts that off.
        self.handle.length += written.await?.map_err(|error| on_disk::failure("write to", &path, &error))?;
        Ok(Committed { rows_written })
    }

    async fn seal(&mut self) -> Result<Option<serde_json::Value>, Error> {
        let file = self.file.clone();
        let synced = blocking::run(move || file.sync_all()).await?;
        synced.map_err(|error| on_disk::failure("make durable", &self.handle.path, &error))?;
        Ok(Some(self.handle.to_json()?))
    }

    async fn close(self: Box<Self>) {}
}
