//! Auditing a table: the rows that should be there are in a table of their own, and the database compares the two.
mod comparison;
mod differences;

pub use comparison::{Comparison, Known, PARTITION, POSITION};
pub use differences::{Differences, Row};

use super::{Found, Layout, Options, Unknown};
use async_trait::async_trait;
use dataflow_sdk::{
    Error,
    audit::{Auditor, Example, Findings, Origin, Origins},
    batch::Output,
    sink::CommitError,
};

/// The layout with which a table was written to: with all columns that may have been added because records have them.
///
/// # Errors
/// If the table can't be written as the spec says.
pub fn layout(options: &Options, found: &Found) -> Result<Layout, Error> {
    let added: Vec<String> = match options.unknown_fields {
        Unknown::Add => {
            let added = found.columns.iter().filter(|column| !column.generated);
            added.map(|column| column.name.clone()).collect()
        }
        Unknown::Ignore | Unknown::Dead | Unknown::Fail => Vec::new(),
    };
    Layout::of(options, found, &added).map(|(layout, _)| layout)
}

/// The columns that can be compared, by place: all but those that are other ones each time a record is read.
pub fn compared(layout: &Layout, volatile: &[String]) -> Vec<usize> {
    (0..layout.slots.len()).filter(|place| !volatile.contains(&layout.slots[*place].column.name)).collect()
}

/// The auditor of a table that is not there: every row is lost.
#[derive(Debug, Default)]
pub struct Gone {
    origins: Origins,
    findings: Findings,
}

#[async_trait]
impl Auditor for Gone {
    async fn expect(&mut self, outputs: &[Output]) -> Result<(), CommitError> {
        for output in outputs {
            let partition = self.origins.partition(output);
            for record in &output.rows {
                let origin = Origin { partition, position: output.records.offsets[*record as usize] };
                self.findings.expected += 1;
                let example =
                    || Example { place: Some("the table is not there".into()), ..self.origins.example(origin) };
                self.findings.lost.add(example);
            }
        }
        Ok(())
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        Ok(vec![None; output.len()])
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        Ok(self.findings)
    }
}
