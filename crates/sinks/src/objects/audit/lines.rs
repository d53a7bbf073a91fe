//! Objects of lines: JSON and CSV.
use super::{
    super::{
        columns::Columns,
        layout::{Compression, Format, Layout},
    },
    Objects,
};
use crate::{
    blocking,
    file::{
        audit::{Text, auditor},
        lines::Csv,
        open::demand,
        ruled::{Line, Rule},
    },
};
use dataflow_sdk::{Error, audit::Audited, batch::Demand};
use std::{
    io::{self, BufReader, Read},
    sync::{Mutex, PoisonError},
};

/// Reads all lines.
pub(super) async fn open(
    config: &Layout,
    objects: Objects,
    stored: &Columns,
    volatile: Vec<String>,
) -> Result<Audited, Error> {
    let csv = Csv { delimiter: config.delimiter as u8, quote: config.quote as u8 };
    let csv = (config.format == Format::Csv).then_some(csv);
    let columns = match (csv, stored.all.as_slice()) {
        (None, _) => Vec::new(),
        (_, []) => config.columns.clone().unwrap_or_default(),
        (_, all) => all.iter().map(|column| column.name.clone()).collect(),
    };
    let demand = if csv.is_some() { demand(&columns) } else { Demand::Lines };
    let rule = Rule { csv, columns, volatile };
    let (compression, header) = (config.compression(), csv.is_some() && config.header);
    let text = Lines { objects, compression, header, firsts: Mutex::default() };
    blocking::run(move || auditor(Box::new(text), rule, demand)).await?
}

struct Lines {
    objects: Objects,
    compression: Compression,
    header: bool,
    /// The number of each object's first line.
    firsts: Mutex<Vec<u32>>,
}

impl Text for Lines {
    fn lines(&self, rule: &Rule, each: &mut dyn FnMut(Line<'_>)) -> Result<(), Error> {
        let (mut number, mut firsts) = (0, Vec::new());
        for key in &self.objects.keys {
            firsts.push(number);
            let Some(bytes) = self.objects.read(key)? else { continue };
            let failed = |error: &io::Error| self.objects.damaged(key, error);
            let text: Box<dyn Read> = match self.compression {
                Compression::None | Compression::Snappy => Box::new(&*bytes),
                Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(&*bytes)),
                Compression::Zstd => Box::new(zstd::stream::Decoder::new(&*bytes).map_err(|error| failed(&error))?),
            };
            let mut text = BufReader::with_capacity(1 << 20, text);
            let (mut line, mut lacking, mut first) = (Vec::new(), 0, self.header);
            while let Some(ended) = rule.next(&mut text, &mut line).map_err(|error| failed(&error))? {
                if std::mem::take(&mut first) {
                    let names = rule.csv.map(|csv| csv.names(line.as_slice())).and_then(Result::ok).flatten();
                    lacking = names.map_or(0, |names| rule.columns.len().saturating_sub(names.len()));
                    continue;
                }
                // Columns that came later are null.
                line.extend(rule.csv.iter().flat_map(|csv| std::iter::repeat_n(csv.delimiter, lacking)));
                each(Line { text: &line, ended, beyond: false });
                number += 1;
            }
        }
        *self.firsts.lock().unwrap_or_else(PoisonError::into_inner) = firsts;
        Ok(())
    }

    fn place(&self, line: u32) -> String {
        let firsts = self.firsts.lock().unwrap_or_else(PoisonError::into_inner);
        let object = firsts.partition_point(|first| *first <= line).saturating_sub(1);
        let first = firsts.get(object).copied().unwrap_or_default();
        let key = self.objects.keys.get(object).map_or("", String::as_str);
        format!("{} line {}", self.objects.store.place(key), line - first + 1 + u32::from(self.header))
    }
}
