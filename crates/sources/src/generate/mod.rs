//! The `generate` source: deterministic data, for demonstrations, tests and measurements.
//!
//! Record number n depends only on the seed and n; of k partitions, partition p holds the numbers p, p + k, p + 2k, …
mod record;
mod work;

#[cfg(test)]
mod tests;

use crate::ahead::{Ahead, Nothing};
use async_trait::async_trait;
use dataflow_core::{
    position::{Partition, Position, Positions},
    types::Type,
};
use dataflow_sdk::{
    Context, Error, Problem, SourceConfig,
    declared::Metadata,
    extent::{Extent, Extents},
    source::{Assignment, Edge, Kept, Reader, Source},
};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes records up: the same ones for the same seed, in any number and at any rate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GenerateSource {
    /// The fields of each record, in order. Default: a user with `id`, `name`, `email`, `age`, `city`, `active`,
    /// `balance` and `createdAt`.
    #[serde(default = "record::users")]
    pub schema: IndexMap<String, Field>,
    /// How many records there are in all; then the pipeline is completed. None given: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How many records come per second, over all partitions. None given: as fast as they are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Another seed makes other data.
    #[serde(default)]
    pub seed: u64,
    /// How many partitions the records are spread over.
    #[serde(default = "one")]
    pub partitions: u32,
}

fn one() -> u32 {
    1
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Field {
    /// The number of the record.
    Sequence {
        /// The number of the first record.
        #[serde(default)]
        start: u64,
    },
    /// An integer, evenly spread.
    Integer {
        /// Smallest.
        #[serde(default)]
        min: i64,
        /// Greatest.
        #[serde(default = "million")]
        max: i64,
    },
    /// A number with a fraction, evenly spread.
    Number {
        /// Smallest.
        #[serde(default)]
        min: f64,
        /// Greatest.
        #[serde(default = "thousand")]
        max: f64,
        /// Digits behind the point, at most 9.
        #[serde(default = "two")]
        decimals: u32,
    },
    /// true or false.
    Boolean {
        /// How often it is true, from 0 to 1.
        #[serde(default = "half")]
        probability: f64,
    },
    /// Letters and digits.
    Text {
        /// How many.
        #[serde(default = "sixteen")]
        length: u32,
    },
    /// One of some values, whatever they are; only one: always that.
    Choice {
        /// The values.
        values: Vec<serde_json::Value>,
    },
    /// A first and a last name.
    Name {},
    /// An e-mail address; a different one in each record.
    Email {},
    /// The name of a city.
    City {},
    /// A random UUID.
    Uuid {},
    /// A point in time, RFC 3339, UTC, which rises from record to record.
    Timestamp {
        /// The time of the first record, milliseconds since the Unix epoch.
        #[serde(default = "year_2026")]
        start: i64,
        /// Milliseconds from one record to the next.
        #[serde(default = "thousand_ms")]
        step: u64,
    },
}

fn million() -> i64 {
    1_000_000
}
fn thousand() -> f64 {
    1_000.0
}
fn two() -> u32 {
    2
}
fn half() -> f64 {
    0.5
}
fn sixteen() -> u32 {
    16
}
fn year_2026() -> i64 {
    1_767_225_600_000
}
fn thousand_ms() -> u64 {
    1_000
}

impl SourceConfig for GenerateSource {
    const TYPE: &'static str = "generate";
    const SUMMARY: &'static str = "Generates records: the same ones for the same seed.";
    const GUARANTEE: &'static str = "A record depends only on the seed and its number, and the position is the number \
        of records before it: after any crash the same records follow. A change of schema or seed changes the records that have not been read yet.";
    const METADATA: Option<&'static [Metadata]> = Some(&[("partition", Type::Bigint)]);

    /// Another pipeline has other records of the same numbers.
    fn lasting_ids(&self) -> bool {
        false
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut finding = |path: &str, code: &str, message: &str| problems.push(Problem::new(path, code, message));
        if self.schema.is_empty() {
            finding("schema", "too-few", "names no field");
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            finding("rate", "out-of-range", "must be greater than 0");
        }
        if !(1..=1024).contains(&self.partitions) {
            finding("partitions", "out-of-range", "must be from 1 to 1024");
        }
        for (name, field) in &self.schema {
            let path = format!("schema.{name}");
            match field {
                Field::Integer { min, max } if min > max => {
                    finding(&path, "out-of-range", "`min` is greater than `max`")
                }
                Field::Number { decimals, .. } if *decimals > 9 => {
                    finding(&path, "out-of-range", "`decimals` must be at most 9");
                }
                Field::Number { min, max, .. } if min > max || min.abs().max(max.abs()) > 1e9 => {
                    finding(&path, "out-of-range", "`min` must be at most `max`, and both within a thousand millions");
                }
                Field::Boolean { probability } if !(0.0..=1.0).contains(probability) => {
                    finding(&path, "out-of-range", "`probability` must be from 0 to 1");
                }
                Field::Text { length } if *length > 1 << 20 => {
                    finding(&path, "out-of-range", "`length` must be at most 1048576");
                }
                Field::Choice { values } if values.is_empty() => finding(&path, "too-few", "`values` is empty"),
                Field::Timestamp { start, .. } if !(0..=253_402_300_799_999).contains(start) => {
                    finding(&path, "out-of-range", "`start` must be between the years 1970 and 9999");
                }
                _ => {}
            }
        }
        problems
    }

    fn build(self) -> Box<dyn Source> {
        Box::new(self)
    }

    fn reads_like(&self, before: &Self) -> bool {
        (&self.schema, self.seed, self.partitions) == (&before.schema, before.seed, before.partitions)
    }

    /// Which record a number stands for depends on how many partitions take turns; what it holds, on fields and seed.
    fn keeps(&self, before: &Self, _: &Partition) -> Kept {
        if self.reads_like(before) { Kept::Yes } else { Kept::No }
    }
}

impl GenerateSource {
    fn partition(p: u32) -> Partition {
        format!("generate/{p}").as_str().into()
    }

    /// How many records a partition holds in all.
    fn share(&self, p: u32) -> Option<u64> {
        let parts = u64::from(self.partitions);
        self.count.map(|count| count / parts + u64::from(u64::from(p) < count % parts))
    }
}

#[async_trait]
impl Source for GenerateSource {
    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        Ok((0..self.partitions).map(Self::partition).collect())
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        let work = work::Generate::new(self, cx, &lane)?;
        match work.is_empty() {
            true => Ok(Box::new(Nothing { bounded: self.count.is_some() })),
            false => Ok(Box::new(Ahead::new(work))),
        }
    }

    async fn resolve(&self, _: &Context, to: &Edge) -> Result<Positions, Error> {
        let place = |p| match to {
            Edge::Beginning => Ok((Self::partition(p), Position::offset(0))),
            Edge::End => match self.share(p) {
                Some(share) => Ok((Self::partition(p), Position::offset(share))),
                None => Err(Error::fatal("endless", "generated data without `count` has no end").for_user()),
            },
        };
        (0..self.partitions).map(place).collect()
    }

    async fn extents(&self, _: &Context) -> Result<Extents, Error> {
        let extent = |p| Extent { first: Position::offset(0), last: self.share(p).map(Position::offset) };
        Ok((0..self.partitions).map(|p| (Self::partition(p), extent(p))).collect())
    }
}
