//! Audits a table: stores the records' values in a scratch file, and compares each row of the target with them, value
//! by value, in a notation that shares no code with the writer.
mod differences;
mod expected;
mod number;
mod value;

pub use expected::{Column, Equal, Expected, Said, Same};
pub use value::{Cell, Class, texts, with_texts};

use super::{Found, Layout, Options, Unknown};
use async_trait::async_trait;
use dataflow_sdk::{
    Error,
    audit::{Auditor, Example, Findings, Origins},
    batch::Output,
};

/// The layout with which a table was written, including all columns that may have been added for fields of records.
///
/// # Errors
/// If the table can't be written as the spec says.
pub fn layout(options: &Options, found: &Found) -> Result<Layout, Error> {
    let added: Vec<String> = match options.unknown_fields {
        Some(Unknown::Add) => {
            let added = found.columns.iter().filter(|column| !column.generated);
            added.map(|column| column.name.clone()).collect()
        }
        _ => Vec::new(),
    };
    Layout::of(options, found, &added).map(|(layout, _)| layout)
}

/// The places of the compared columns among the found ones: all that a field could fill, whether they are written or
/// not, unless the spec names the columns.
pub fn compared(options: &Options, found: &Found, layout: &Layout) -> Vec<usize> {
    let named = |name: &str| layout.slots.iter().any(|slot| slot.column.name == name);
    let wanted = |place: &usize| {
        let column = &found.columns[*place];
        !column.generated && (options.columns.is_none() || named(&column.name))
    };
    (0..found.columns.len()).filter(wanted).collect()
}

/// The auditor of a missing table: every row is lost.
#[derive(Debug, Default)]
pub struct Gone {
    origins: Origins,
    findings: Findings,
}

#[async_trait]
impl Auditor for Gone {
    async fn expect(&mut self, rows: &Output) -> Result<(), Error> {
        let origins = self.origins.of(rows);
        for (row, origin) in origins.into_iter().enumerate() {
            if rows.deletes(row) {
                continue;
            }
            self.findings.expected += 1;
            let example = || Example { place: Some("the table does not exist".into()), ..self.origins.example(origin) };
            self.findings.lost.add(example);
        }
        Ok(())
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        Ok(vec![None; output.len()])
    }

    fn is_own_reason(&self, _: &str) -> bool {
        false
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        Ok(self.findings)
    }
}
