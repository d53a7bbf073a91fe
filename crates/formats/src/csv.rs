//! Splits CSV records into fields, and recognizes those that stand for null.
use dataflow_sdk::records::CsvLayout;
use memchr::memchr;

/// A field of a record: its content, without the enclosing quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldSpan {
    pub start: usize,
    pub end: usize,
    pub quoted: bool,
    /// Whether it contains doubled quotes.
    pub doubled: bool,
}

impl FieldSpan {
    /// Returns whether the field stands for null in this layout.
    #[inline]
    pub(crate) fn is_null(self, data: &[u8], layout: &CsvLayout) -> bool {
        let text = &data[self.start..self.end];
        !self.quoted && layout.null_values.iter().any(|null| null.as_bytes() == text)
    }
}

/// Replaces each doubled quote by one.
pub(crate) fn undouble(raw: &str, quote: u8, into: &mut String) {
    into.clear();
    let mut rest = raw;
    while let Some(at) = memchr(quote, rest.as_bytes()) {
        into.push_str(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    into.push_str(rest);
}

/// The texts of a record's fields, and whether each was quoted.
///
/// # Errors
/// Text after a closing quote, or no closing quote.
pub fn texts(record: &str, delimiter: u8, quote: u8) -> Result<Vec<(String, bool)>, String> {
    let layout = CsvLayout { delimiter, quote, columns: Vec::new(), null_values: Vec::new(), header: None };
    let mut spans = Vec::new();
    spread(record.as_bytes(), 0, record.len(), &layout, &mut spans).map_err(|(_, what)| what)?;
    let fields = spans.into_iter().map(|FieldSpan { start, end, quoted, .. }| {
        let mut text = record[start..end].to_owned();
        if quoted {
            undouble(&record[start..end], quote, &mut text);
        }
        (text, quoted)
    });
    Ok(fields.collect())
}

/// Splits the record `start..end` into its fields; their number must equal the number of columns.
pub(crate) fn split(
    data: &[u8],
    start: usize,
    end: usize,
    layout: &CsvLayout,
    places: &mut Vec<FieldSpan>,
) -> Result<(), (&'static str, String)> {
    spread(data, start, end, layout, places)?;
    let (found, columns) = (places.len(), layout.columns.len());
    if found == columns {
        return Ok(());
    }
    Err(("csv-fields", format!("the record has {found} fields, the header has {columns}")))
}

fn spread(
    data: &[u8],
    start: usize,
    end: usize,
    layout: &CsvLayout,
    places: &mut Vec<FieldSpan>,
) -> Result<(), (&'static str, String)> {
    places.clear();
    let data = &data[..end];
    let mut at = start;
    loop {
        let place = if data.get(at) == Some(&layout.quote) {
            quoted(data, at + 1, layout, start, places.len())?
        } else {
            let length = memchr(layout.delimiter, &data[at..]).unwrap_or(end - at);
            FieldSpan { start: at, end: at + length, quoted: false, doubled: false }
        };
        places.push(place);
        at = place.end + usize::from(place.quoted);
        if at >= end {
            break;
        }
        at += 1;
    }
    Ok(())
}

/// Reads the rest of a field after its opening quote.
fn quoted(
    data: &[u8],
    start: usize,
    layout: &CsvLayout,
    record: usize,
    field: usize,
) -> Result<FieldSpan, (&'static str, String)> {
    let broken = |what: &str, at: usize| {
        let name = layout.columns.get(field).map(|name| format!(" ({name})")).unwrap_or_default();
        Err(("not-csv", format!("field {}{name} {what} at byte {}", field + 1, at - record)))
    };
    let mut at = start;
    let mut doubled = false;
    loop {
        let Some(length) = memchr(layout.quote, &data[at..]) else {
            return broken("has no closing quote: the record ends", data.len());
        };
        at += length;
        match data.get(at + 1) {
            Some(next) if *next == layout.quote => {
                doubled = true;
                at += 2;
            }
            Some(next) if *next != layout.delimiter => return broken("continues after its closing quote", at + 1),
            _ => return Ok(FieldSpan { start, end: at, quoted: true, doubled }),
        }
    }
}
