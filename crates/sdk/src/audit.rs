//! Audits: what a target holds is held against what it should hold, row by row. An audit writes nothing to the target.
use crate::{
    Error,
    batch::{Demand, Output},
};
use async_trait::async_trait;
use dataflow_core::{id::Generation, pipeline::event::LaneProgress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Most examples of each kind of finding; the others are only counted.
pub const MAX_EXAMPLES: usize = 100;

/// The subject of an audit: what the branch and incarnation of its [context](crate::Context) have written.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// The generation that has written what is expected.
    pub generation: Generation,
    /// Where each lane is, as the journal has it.
    pub lanes: Vec<LaneProgress>,
    /// Top-level output fields that are other ones whenever a record is read (`random()`): they can't be compared.
    pub volatile: Vec<String>,
}

/// A target that is ready to be audited.
pub struct Audited {
    /// The auditor.
    pub auditor: Box<dyn Auditor>,
    /// What the target's writer would want of each row now: which records it could not have taken shows by that.
    pub demand: Demand,
    /// Why what is there may not outlive a crash.
    pub not_durable: Vec<String>,
}

impl std::fmt::Debug for Audited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audited").field("demand", &self.demand).finish_non_exhaustive()
    }
}

/// Compares what a target holds with the rows that it should hold.
#[async_trait]
pub trait Auditor: Send {
    /// Rows that should be there, as [documents](crate::batch::Payload::Documents): what the records say, whatever the
    /// target's writer would ask for. Those of one partition come in their order; how those of several are mingled says
    /// nothing about the order in which they were written.
    ///
    /// # Errors
    /// If they can't be kept.
    async fn expect(&mut self, rows: &Output) -> Result<(), Error>;

    /// For each row, in the shape of the [demand](Audited::demand), why the target would refuse it, as far as that can be
    /// told without writing to it.
    ///
    /// # Errors
    /// If the target can't be asked.
    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error>;

    /// Whether a dead letter's cause is a reason of the database's own. That may lie in other rows or in triggers, so that it
    /// can't be told whether the row would be refused again.
    fn is_own_reason(&self, cause: &str) -> bool;

    /// What was found, once all rows that should be there have been named.
    ///
    /// # Errors
    /// If the target can't be read.
    async fn finish(self: Box<Self>) -> Result<Findings, Error>;
}

/// How a target differs from what it should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Rows that should be there. With a key: the last one of each.
    pub expected: u64,
    /// Rows that are there.
    pub found: u64,
    /// Rows that are not there.
    pub lost: Finding,
    /// Rows that are there once more than they should be.
    pub doubled: Finding,
    /// Rows that are there with other content.
    pub altered: Finding,
    /// Rows that are there and that nothing explains.
    pub unexpected: Finding,
    /// Fields that records have and that the target has no place for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwritten: Vec<Unwritten>,
    /// Why rows that are not there may have been: they are neither lost nor proven.
    #[serde(skip)]
    pub unverifiable: Vec<String>,
}

/// A field that records have and that the target has no place for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unwritten {
    /// Its name.
    pub field: String,
    /// How many rows should have it.
    pub records: u64,
    /// The first of them.
    #[serde(flatten)]
    pub example: Example,
}

/// Collects fields that the target has no place for, at most 1,000 of them.
#[derive(Clone, Debug, Default)]
pub struct Leftovers(BTreeMap<String, Unwritten>);

impl Leftovers {
    /// Most fields that are named.
    const MOST: usize = 1_000;

    /// Notes that a row from `origin` has a field without a place.
    pub fn note(&mut self, field: &str, origin: Origin, origins: &Origins) {
        if let Some(known) = self.0.get_mut(field) {
            known.records += 1;
        } else if self.0.len() < Self::MOST {
            let found = Unwritten { field: field.into(), records: 1, example: origins.example(origin) };
            self.0.insert(field.into(), found);
        }
    }

    /// All of them, by name.
    pub fn into_vec(self) -> Vec<Unwritten> {
        self.0.into_values().collect()
    }
}

/// How often something was found, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How often.
    pub count: u64,
    /// The first of them, at most [`MAX_EXAMPLES`].
    pub examples: Vec<Example>,
}

impl Finding {
    /// Counts one; kept as an example if there is room.
    pub fn add(&mut self, example: impl FnOnce() -> Example) {
        self.count += 1;
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// One row that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// The place of its record in the source; `None`: no record explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Its record's place in the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Where in the target it is: `line 5`, `id = 7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The row as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The row as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The differing fields of an altered row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Difference>,
}

/// A field that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Its name.
    pub field: String,
    /// The expected value; `None`: it should not exist.
    pub expected: Option<String>,
    /// The value found; `None`: it does not exist.
    pub found: Option<String>,
}

/// Where in a source a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The partition, by its number in [`Origins`].
    pub partition: u32,
    /// Place in the partition: a number, or that of a text which [`Origins`] keeps.
    pub position: u64,
}

impl Origin {
    /// Not the number of a partition: the row comes from no record.
    const NO_PARTITION: u32 = u32::MAX;
}

/// Partitions by number, so that a row's origin is small.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<Places>);

/// A partition, and where its records are, unless that is a number.
#[derive(Clone, Debug)]
struct Places {
    partition: String,
    texts: Vec<Arc<str>>,
}

impl Origins {
    /// Where each of these rows comes from.
    pub fn of<'a>(&mut self, output: &'a Output) -> impl Iterator<Item = Origin> + use<'a> {
        let partition =
            output.records.as_ref().map_or(Origin::NO_PARTITION, |records| self.number(&records.partition.0));
        let texts = output.records.as_ref().and_then(|records| records.positions.as_ref());
        let first_text = texts.map(|texts| {
            let known = &mut self.0[partition as usize].texts;
            known.extend(output.rows.iter().map(|row| texts[*row as usize].clone()));
            (known.len() - output.rows.len()) as u64
        });
        output.rows.iter().zip(0_u64..).map(move |(row, nth)| {
            let position = match (first_text, &output.records) {
                (Some(first), _) => first + nth,
                (None, Some(records)) => records.offsets[*row as usize],
                (None, None) => (*row).into(),
            };
            Origin { partition, position }
        })
    }

    fn number(&mut self, name: &str) -> u32 {
        let number = self.0.iter().rposition(|known| known.partition == name).unwrap_or_else(|| {
            self.0.push(Places { partition: name.into(), texts: Vec::new() });
            self.0.len() - 1
        });
        number as u32
    }

    /// The name of a partition.
    pub fn name(&self, partition: u32) -> Option<&str> {
        Some(&self.0.get(partition as usize)?.partition)
    }

    /// Where a record is in its partition.
    fn place(&self, origin: Origin) -> Option<String> {
        let texts = &self.0.get(origin.partition as usize)?.texts;
        let text = texts.get(usize::try_from(origin.position).ok()?);
        Some(text.map_or_else(|| origin.position.to_string(), ToString::to_string))
    }

    /// An example of a row from there.
    pub fn example(&self, origin: Origin) -> Example {
        Example {
            partition: self.name(origin.partition).map(Into::into),
            position: self.place(origin),
            ..Example::default()
        }
    }
}

/// A text that is short enough to be shown.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 1_000;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MOST)]);
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text.into_owned(),
    }
}
