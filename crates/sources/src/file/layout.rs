//! How the bytes of a file are to be read: the names of CSV fields come from its first record.
use super::{
    Compression, FileSource, Format,
    content::Content,
    fields::named,
    names::name,
    split::{Caps, Dialect, Splitter},
};
use dataflow_sdk::{
    Error,
    batch::Warning,
    records::{CsvLayout, Layout},
};
use std::{fs::File, path::Path, sync::Arc};

/// Longest header, in bytes.
const MAX_HEADER: usize = 1 << 20;
const BLOCK: usize = 64 << 10;

impl FileSource {
    pub(super) fn dialect(&self, path: &Path) -> Option<Dialect> {
        (self.format_of(path) == Format::Csv)
            .then_some(Dialect { delimiter: self.delimiter as u8, quote: self.quote as u8 })
    }

    /// How the file that lies `there` is to be read as `path`, where its records begin, and what to know of its header; none if that can't be told yet.
    pub(super) fn layout(
        &self,
        path: &Path,
        there: &Path,
        file: &File,
        finite: bool,
    ) -> Result<Option<(Layout, u64, Option<Warning>)>, Error> {
        let Some(dialect) = self.dialect(path) else { return Ok(Some((Layout::Json, 0, None))) };
        let (columns, begin, warning) = match self.header {
            false => (self.columns.clone(), 0, None),
            true => match header(there, file, self.compression, dialect, finite)? {
                Some((written, begin)) => {
                    let (columns, warning) = named(&name(path), written);
                    (columns, begin, warning)
                }
                None => return Ok(None),
            },
        };
        let null_values = self.null_values.clone();
        let Dialect { delimiter, quote } = dialect;
        Ok(Some((Layout::Csv(Arc::new(CsvLayout { delimiter, quote, columns, null_values })), begin, warning)))
    }
}

fn header(
    path: &Path,
    file: &File,
    compression: Compression,
    dialect: Dialect,
    finite: bool,
) -> Result<Option<(Vec<String>, u64)>, Error> {
    let name = name(path);
    let clone = file.try_clone().map_err(|error| super::content::failed(&name, 0, error))?;
    let Ok(mut content) = Content::new(path, clone, compression, 0)? else { return Ok(None) };
    let caps = Caps { records: 1, bytes: usize::MAX, record_bytes: MAX_HEADER };
    let mut splitter = Splitter::new(0, Some(dialect), caps);
    while !splitter.scan() {
        if content.append(&mut splitter.buffer, BLOCK)? == 0 {
            if !finite || !splitter.finish() {
                return Ok(None);
            }
            break;
        }
    }
    let split = splitter.take();
    let bad = |what: &str| {
        let error = Error::fatal("bad-header", format!("the first line of {name} can't be read as a header: {what}"));
        error.fix("check `delimiter` and `quote`, or set `header: false` and give `columns`")
    };
    if !split.oversized.is_empty() {
        return Err(bad("it has more than 1 MiB"));
    }
    let Some(span) = split.spans.first() else { return Ok(None) };
    let columns = fields(span.of(&split.data), dialect).map_err(|error| bad(&error))?;
    Ok(Some((columns, split.to)))
}

/// The fields of one CSV record.
fn fields(record: &[u8], dialect: Dialect) -> Result<Vec<String>, String> {
    let mut reader = csv_core::ReaderBuilder::new().delimiter(dialect.delimiter).quote(dialect.quote).build();
    let mut text = vec![0; record.len() + 1];
    let mut ends = vec![0; record.len() + 1];
    let (mut read, mut written, mut ended) = (0, 0, 0);
    loop {
        let (result, input, output, fields) =
            reader.read_record(&record[read..], &mut text[written..], &mut ends[ended..]);
        (read, written, ended) = (read + input, written + output, ended + fields);
        match result {
            csv_core::ReadRecordResult::InputEmpty => {}
            csv_core::ReadRecordResult::Record => break,
            other => return Err(format!("{other:?}")),
        }
    }
    if record[read..].iter().any(|byte| !byte.is_ascii_whitespace()) {
        return Err("its lines end with carriage returns only, where line feeds are needed".into());
    }
    let mut begin = 0;
    let names = ends[..ended].iter().map(|&end| {
        let name = std::str::from_utf8(&text[begin..end]).map_err(|error| error.to_string())?;
        begin = end;
        Ok(name.to_owned())
    });
    names.collect()
}
