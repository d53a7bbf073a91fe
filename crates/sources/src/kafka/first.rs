//! Where reading begins in partitions that were never read.
use super::{
    client::{Client, Found, Log},
    position,
};
use dataflow_core::position::Positions;
use dataflow_sdk::{
    Error, Problem,
    extent::{self, Extent, Extents},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// Where to begin at the first start of the pipeline. Partitions that appear later are read from their beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At the first available record.
    #[default]
    Earliest,
    /// At the first record that arrives after the first start of the pipeline, whose offset the journal records.
    Latest,
    /// At the first record of this time or later: `{"timestamp": "2026-11-01T00:00:00Z"}`. A partition without one begins
    /// at its end, and what arrives later is read whatever its time.
    Timestamp(String),
    /// At these offsets: `{"offsets": {"orders/0": 1200, "orders/1": 0}}`. Other partitions begin at their first
    /// available record.
    Offsets(BTreeMap<String, u64>),
}

impl std::fmt::Display for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Earliest => f.write_str("the beginning"),
            Self::Latest => f.write_str("the end"),
            Self::Timestamp(time) => write!(f, "the first record of {time} or later"),
            Self::Offsets(_) => f.write_str("the offsets of `start`"),
        }
    }
}

impl Start {
    /// Returns what is wrong with it. `reads`: whether a topic of this name is read.
    pub(super) fn check(&self, reads: impl Fn(&str) -> bool) -> Vec<Problem> {
        match self {
            Self::Earliest | Self::Latest => Vec::new(),
            Self::Timestamp(time) => {
                let wrong = || Problem::new("start.timestamp", "invalid-value", format!("{time:?} is not a time"));
                let wrong = millis(time).is_none().then(wrong);
                wrong.map(|wrong| wrong.fix("write it as in \"2026-11-01T00:00:00Z\"")).into_iter().collect()
            }
            Self::Offsets(offsets) if offsets.is_empty() => {
                vec![Problem::new("start.offsets", "too-few", "names no partition").fix("name at least one")]
            }
            Self::Offsets(offsets) => {
                let number = |text: &str| text.parse::<u32>().is_ok_and(|number| number.to_string() == text);
                let is_read = |name: &str| name.rsplit_once('/').is_some_and(|(topic, n)| number(n) && reads(topic));
                let wrong = |name: &String| {
                    let problem = Problem::new(
                        format!("start.offsets[{name:?}]"),
                        "invalid-value",
                        "is not a partition of a topic that is read",
                    );
                    problem.fix("write a topic, a slash and the number of a partition: \"orders/0\"")
                };
                offsets.keys().filter(|name| !is_read(name)).map(wrong).collect()
            }
        }
    }

    /// Returns where each of these partitions begins, which are all of topics that are not `known` yet.
    pub(super) fn places(
        &self,
        client: &Client,
        fresh: &[(Found, Log)],
        known: &HashSet<&str>,
    ) -> Result<Positions, Error> {
        if fresh.is_empty() {
            return Ok(Positions::new());
        }
        let at = |found: &Found, offset| (found.name(), position(offset, found.id.as_ref()));
        let earliest = || fresh.iter().map(|(found, log)| at(found, log.earliest)).collect::<Positions>();
        Ok(match self {
            Self::Earliest => earliest(),
            Self::Latest => fresh.iter().map(|(found, log)| at(found, log.latest)).collect(),
            Self::Timestamp(time) => {
                let millis = millis(time).filter(|time| *time <= jiff::Timestamp::now().as_millisecond());
                let Some(millis) = millis else {
                    let error = Error::fatal("bad-position", format!("the `timestamp` of `start`, {time}, is to come"));
                    return Err(error.fix("use `latest` to begin with what arrives from now on").for_user());
                };
                let found = client.at_time(fresh.iter().map(|(found, _)| found), millis)?;
                let places = fresh
                    .iter()
                    .map(|(partition, log)| at(partition, found.get(&partition.name()).copied().unwrap_or(log.latest)));
                places.collect()
            }
            Self::Offsets(offsets) => {
                let is_known = |name: &str| name.rsplit_once('/').is_some_and(|(topic, _)| known.contains(topic));
                let offsets = offsets.iter().filter(|(name, _)| !is_known(name));
                let mut places = earliest();
                places.extend(chosen(offsets.map(|(name, at)| (name.clone(), at.to_string())).collect(), fresh)?);
                places
            }
        })
    }
}

/// Returns the positions of these offsets, if the logs have them.
fn chosen(named: BTreeMap<String, String>, fresh: &[(Found, Log)]) -> Result<Positions, Error> {
    let extent = |(found, log): &(Found, Log)| {
        let at = |offset| position(offset, found.id.as_ref());
        (found.name(), Extent { first: at(log.earliest), last: Some(at(log.latest)) })
    };
    let extents: Extents = fresh.iter().map(extent).collect();
    let problems = match extent::place(&extents, &named) {
        Ok(positions) => return Ok(positions),
        Err(problems) => problems,
    };
    let said: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let fixes: Vec<&str> = problems.iter().filter_map(|problem| problem.fix.as_deref()).collect();
    let error = Error::fatal("bad-position", format!("the `offsets` of `start` can't be used: {}", said.join("; ")));
    Err(error.fix(fixes.join("; ")).for_user())
}

fn millis(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
