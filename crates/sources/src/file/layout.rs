//! How the bytes of a file are to be read: the names of CSV fields come from its first record.
use super::{
    FileSource, Format,
    content::Content,
    fields::named,
    names::name,
    split::{Caps, Dialect, Splitter},
};
use dataflow_formats::{csv, foreign};
use dataflow_sdk::{
    Error,
    batch::Warning,
    records::{CsvLayout, Layout},
};
use std::{
    fs::File,
    io::{Read, Seek},
    path::Path,
    sync::Arc,
};

/// Longest header, in bytes.
const MAX_HEADER: usize = 1 << 20;
const BLOCK: usize = 64 << 10;

impl FileSource {
    pub(crate) fn dialect(&self, path: &Path) -> Option<Dialect> {
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
        self.layout_of(path, finite, || {
            let path = self.named(path, there);
            let clone = file.try_clone().map_err(|error| super::content::failed(&name(path), 0, error))?;
            Ok(Content::new(path, clone, self.compression, 0)?.ok())
        })
    }

    /// The same of other things than files, which have this content.
    pub(crate) fn layout_of<F: Read + Seek>(
        &self,
        path: &Path,
        finite: bool,
        content: impl FnOnce() -> Result<Option<Content<F>>, Error>,
    ) -> Result<Option<(Layout, u64, Option<Warning>)>, Error> {
        let Some(dialect) = self.dialect(path) else { return Ok(Some((Layout::Json, 0, None))) };
        let (columns, begin, warning, header) = match self.header {
            false => (self.columns.clone(), 0, None, None),
            true => match content()?.map(|content| header(content, dialect, finite)).transpose()?.flatten() {
                Some(Header { line, names, end }) => {
                    let (columns, warning) = named(&name(path), names);
                    let warning = suspicious(&name(path), &line, &columns, dialect).or(warning);
                    (columns, end, warning, Some(line))
                }
                None => return Ok(None),
            },
        };
        let null_values = self.null_values.clone();
        let Dialect { delimiter, quote } = dialect;
        Ok(Some((Layout::Csv(Arc::new(CsvLayout { delimiter, quote, columns, null_values, header })), begin, warning)))
    }
}

/// The first record of a file.
struct Header {
    /// As it is written.
    line: String,
    names: Vec<String>,
    /// Where the next record begins.
    end: u64,
}

fn header<F: Read + Seek>(mut content: Content<F>, dialect: Dialect, finite: bool) -> Result<Option<Header>, Error> {
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
    let (split, name) = (splitter.take(), content.name());
    let bad = |what: &str| {
        let error = Error::fatal("bad-header", format!("the first line of {name} can't be read as a header: {what}"));
        error.fix("check `delimiter` and `quote`, or set `header: false` and give `columns`")
    };
    if !split.oversized.is_empty() {
        return Err(bad("it has more than 1 MiB"));
    }
    let Some(span) = split.spans.first() else { return Ok(None) };
    let line = span.of(&split.data);
    let names = fields(line, dialect).map_err(|error| bad(&error))?;
    let line = String::from_utf8_lossy(line).trim_start_matches('\u{feff}').into();
    Ok(Some(Header { line, names, end: split.to }))
}

/// What a header looks like that was written with another delimiter.
fn suspicious(file: &str, line: &str, columns: &[String], dialect: Dialect) -> Option<Warning> {
    let told = |message: String| Warning { code: "bad-header", message, subject: file.into(), records: 0 };
    if let Some(delimiter) = line.strip_prefix("sep=").filter(|rest| rest.chars().count() == 1) {
        return Some(told(format!(
            "the first line of {file} is {line:?}, which tells Excel the delimiter and is no header: remove the line \
             (tail -n +2) and set delimiter: {delimiter:?}"
        )));
    }
    let other = |c: &char| matches!(c, ',' | ';' | '\t' | '|') && *c != char::from(dialect.delimiter);
    let [only] = columns else { return None };
    let delimiter = only.chars().find(other)?;
    Some(told(format!(
        "the header of {file} is one field, {only:?}: if the fields are apart by {delimiter:?}, set delimiter: {delimiter:?}"
    )))
}

/// The fields of one CSV record.
fn fields(record: &[u8], dialect: Dialect) -> Result<Vec<String>, String> {
    // Its bytes are no texts, line ends and delimiters, though some look like them.
    if let Some(encoding) = foreign::format(record) {
        return Err(format!("it is not UTF-8; {encoding}"));
    }
    let text = std::str::from_utf8(record).map_err(|_| format!("it is not UTF-8; {}", foreign::encoding(record)))?;
    let text = text.trim_start_matches('\u{feff}').trim_end_matches('\r');
    let fields = csv::texts(text, dialect.delimiter, dialect.quote)?;
    if fields.iter().any(|(text, quoted)| !quoted && text.contains('\r')) {
        return Err(format!("its {}", foreign::RETURNS));
    }
    Ok(fields.into_iter().map(|(text, _)| text).collect())
}
