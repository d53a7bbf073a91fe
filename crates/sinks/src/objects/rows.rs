//! Which folder each row goes to, and how it gets into its object.
use super::{
    layout::{Format, Layout},
    object::Open,
    template::Template,
};
use crate::file::lines::{Csv, documents, misfit};
use arrow::array::{Array, AsArray, StringArray};
use dataflow_sdk::{
    Error,
    batch::{Output, Payload},
    sink::{CommitError, RejectedRow},
};
use std::collections::HashMap;

/// Folders that are remembered by the values that give them.
const REMEMBERED: usize = 10_000;
/// Rows that are encoded at a time where bytes are counted only after that.
const CHUNK: usize = 1_024;

/// Rows by folder, in the order in which the folders come.
pub(super) type ByFolder = Vec<(String, Vec<usize>)>;

/// Sorts rows by folder.
pub(super) struct Rows {
    template: Template,
    format: Format,
    csv: Csv,
    /// By the values, each after a character that says whether it is null.
    known: HashMap<String, Result<String, String>>,
}

impl Rows {
    pub(super) fn new(config: &Layout) -> Self {
        let csv = Csv { delimiter: config.delimiter as u8, quote: config.quote as u8 };
        Self { template: config.template(), format: config.format, csv, known: HashMap::new() }
    }

    /// The rows of each output by folder.
    ///
    /// # Errors
    /// [`CommitError::Rejected`] for rows that can't be written, with all of them; nothing was written then.
    pub(super) fn sort(&mut self, outputs: &[Output]) -> Result<Vec<ByFolder>, CommitError> {
        let mut rejected = refused(self.format, self.csv, outputs)?;
        let mut all = Vec::with_capacity(outputs.len());
        for (index, output) in outputs.iter().enumerate() {
            all.push(self.folders(output, |row, cause| rejected.push(RejectedRow { output: index, row, cause }))?);
        }
        if rejected.is_empty() {
            return Ok(all);
        }
        rejected.sort_by_key(|row| (row.output, row.row));
        rejected.dedup_by_key(|row| (row.output, row.row));
        Err(CommitError::Rejected(rejected))
    }

    fn folders(&mut self, output: &Output, mut reject: impl FnMut(usize, String)) -> Result<ByFolder, Error> {
        let values: Vec<&StringArray> =
            output.side.iter().map(|side| side.as_string_opt::<i32>().ok_or_else(misfit)).collect::<Result<_, _>>()?;
        let mut by_folder: ByFolder = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let (mut key, mut last) = (String::new(), None::<(String, usize)>);
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        for row in 0..output.len() {
            key.clear();
            for value in &values {
                key.push(if value.is_valid(row) { '\u{1}' } else { '\u{0}' });
                key.push_str(if value.is_valid(row) { value.value(row) } else { "" });
            }
            if let Some((_, place)) = last.as_ref().filter(|(before, _)| *before == key) {
                by_folder[*place].1.push(row);
                continue;
            }
            if !self.known.contains_key(&key) {
                let folder =
                    self.template.folder(values.iter().map(|value| value.is_valid(row).then(|| value.value(row))));
                self.known.insert(key.clone(), folder);
            }
            match &self.known[&key] {
                Err(cause) => reject(row, cause.clone()),
                Ok(folder) => {
                    let place = *places.entry(folder.clone()).or_insert_with(|| {
                        by_folder.push((folder.clone(), Vec::new()));
                        by_folder.len() - 1
                    });
                    by_folder[place].1.push(row);
                    last = Some((key.clone(), place));
                }
            }
        }
        Ok(by_folder)
    }
}

/// The rows that have no form in this format.
pub(super) fn refused(format: Format, csv: Csv, outputs: &[Output]) -> Result<Vec<RejectedRow>, CommitError> {
    let mut rejected = Vec::new();
    let tried = match format {
        Format::Csv => csv.rows(outputs).map(drop),
        Format::Parquet | Format::Avro => Ok(()),
        Format::Json => {
            for (index, output) in outputs.iter().enumerate() {
                let Payload::Documents { spans, .. } = &output.payload else { return Err(misfit().into()) };
                if spans.iter().any(|span| span.is_null()) {
                    return match documents(outputs) {
                        Err(CommitError::Rejected(rows)) => Ok(rows),
                        Err(error) => Err(error),
                        Ok(_) => {
                            Err(Error::fatal("internal", format!("output {index} has rows without a value")).into())
                        }
                    };
                }
            }
            Ok(())
        }
    };
    match tried {
        Ok(()) => {}
        Err(CommitError::Rejected(rows)) => rejected = rows,
        Err(error) => return Err(error),
    }
    Ok(rejected)
}

/// Rows that go to one object.
pub(super) struct Chunk<'a> {
    pub(super) config: &'a Layout,
    pub(super) output: &'a Output,
    pub(super) rows: &'a [usize],
}

impl Chunk<'_> {
    /// Writes some of them, in order, until the object is full; returns how many.
    pub(super) fn write(&self, object: &mut Open) -> Result<usize, CommitError> {
        if let (Format::Json, Payload::Documents { data, spans }) = (self.config.format, &self.output.payload) {
            for (nth, row) in self.rows.iter().enumerate() {
                object.encoder.text(spans[*row].of(data))?;
                object.encoder.text(b"\n")?;
                if object.bytes() >= self.config.roll.max_bytes {
                    return Ok(nth + 1);
                }
            }
            return Ok(self.rows.len());
        }
        let rows = &self.rows[..self.rows.len().min(CHUNK)];
        let all = rows.len() == self.output.len();
        let part;
        let output = if all {
            self.output
        } else {
            let mut wanted = vec![false; self.output.len()];
            rows.iter().for_each(|row| wanted[*row] = true);
            part = self.output.retain(|row| wanted[row]);
            &part
        };
        match (self.config.format, &output.payload) {
            (Format::Parquet | Format::Avro, Payload::Columns(cells)) => object.encoder.rows(cells)?,
            (Format::Csv, Payload::Columns(_)) => {
                let csv = Csv { delimiter: self.config.delimiter as u8, quote: self.config.quote as u8 };
                object.encoder.text(&csv.rows(std::slice::from_ref(output))?.0)?;
            }
            _ => return Err(misfit().into()),
        }
        Ok(rows.len())
    }
}
