//! The `rest` source: records from the pages of a REST API.
//!
//! `walk` goes from page to page: `next` asks for one and knows what comes after it, `page` finds its records, `rows` makes batches of them.
//! A position is a page and a row of it (`place`); what the API calls that page is what the position is known by.
mod auth;
mod client;
mod failure;
mod guard;
mod incremental;
mod link;
mod next;
mod page;
mod place;
mod pointer;
mod reader;
mod retry;
mod rows;
mod settings;
mod url;
mod walk;

#[cfg(test)]
mod tests;

pub use auth::{Auth, ClientAuth, Kind, Place};
pub use settings::{Incremental, Method, OnMissingRecords, Pagination, RestSource};

use crate::ahead::Nothing;
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
use std::{cmp::Ordering, collections::BTreeMap};

/// The one partition there is.
fn partition() -> Partition {
    "rest".into()
}

/// The position before the first record.
fn beginning() -> Position {
    Position { at: "0.0.0".into(), identity: None }
}

impl SourceConfig for RestSource {
    const TYPE: &'static str = "rest";
    const SUMMARY: &'static str = "Reads records from the pages of a REST API.";
    const GUARANTEE: &'static str = "A position is a page and a row of it, with the cursor or address by which the API knows the page: after any \
        crash the same page is asked for again, and read from that row on. So every record is delivered once if the API returns the same page for the \
        same cursor. Pages by `page` and `offset` shift when records are inserted or deleted before them: while that happens, records may be missed or read \
        twice, in a run without any crash, too (warning `pages-shifted`, where it shows). A page that has changed since it was read in part is noticed \
        (warning `page-changed`). With `incremental`, records that appear later with a smaller value than others that were read are missed. With `pollInterval` alone, every poll \
        delivers all records again. Records are the bytes that the API sent.";
    const METADATA: Option<&'static [Metadata]> = Some(&[("page", Type::Bigint), ("poll", Type::Bigint)]);

    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    fn build(self) -> Box<dyn Source> {
        Box::new(self)
    }

    /// A record's place says nothing of it once the pages have shifted, or in another poll.
    fn lasting_ids(&self) -> bool {
        false
    }

    fn reads_like(&self, before: &Self) -> bool {
        (&self.url, self.method, &self.query, &self.body, &self.records, &self.pagination, &self.incremental)
            == (
                &before.url,
                before.method,
                &before.query,
                &before.body,
                &before.records,
                &before.pagination,
                &before.incremental,
            )
            && self.follow == before.follow
            && self.poll_interval.is_some() == before.poll_interval.is_some()
    }

    /// A page of another list is another page.
    fn keeps(&self, before: &Self, _: &Partition) -> Kept {
        if self.reads_like(before) { Kept::Yes } else { Kept::No }
    }
}

#[async_trait]
impl Source for RestSource {
    fn single_lane(&self) -> bool {
        true
    }

    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        Ok(vec![partition()])
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        if lane.lane != 0 {
            return Ok(Box::new(Nothing { bounded: self.poll_interval.is_none() }));
        }
        let from = lane.positions.get(&partition()).cloned();
        if cx.again && self.polls_anew() {
            // Beyond all that was ever read: nothing of it can be read again.
            let last = Position { at: format!("{}.0.0", u64::MAX).into(), identity: None };
            return Err(Error::PositionLost {
                partition: partition(),
                wanted: from.unwrap_or_else(beginning),
                earliest: last.clone(),
                latest: last,
                reason: "polls of a REST API can't be repeated: it returns what it has now, not what it had then"
                    .into(),
            });
        }
        let notices = walk::Notices::default();
        let walk = walk::Walk::new(self, cx, from, notices.clone())?;
        Ok(Box::new(reader::RestReader::new(walk, notices)))
    }

    fn beginning(&self) -> Position {
        beginning()
    }

    fn order(&self, one: &Position, other: &Position) -> Option<Ordering> {
        Some(place::parse(&one.at)?.cmp(&place::parse(&other.at)?))
    }

    /// Only within a page: how long those between are, nobody knows.
    fn between(&self, from: Option<&Position>, to: &Position) -> Option<u64> {
        let (to, last) = place::parse(&to.at)?;
        let (from, first) = from.map_or(Some(Default::default()), |from| place::parse(&from.at))?;
        (from == to).then(|| last.saturating_sub(first))
    }

    /// What a position is known by is the page's name, another one in each.
    fn is_same(&self, _: &Position, _: &Position) -> bool {
        true
    }

    async fn resolve(&self, _: &Context, to: &Edge) -> Result<Positions, Error> {
        match to {
            Edge::Beginning => Ok([(partition(), beginning())].into()),
            Edge::End => {
                Err(Error::fatal("endless", "where the list of a REST API ends is only known once it was read")
                    .fix("choose \"beginning\", or start with `incremental.start`")
                    .for_user())
            }
        }
    }

    async fn extents(&self, _: &Context) -> Result<Extents, Error> {
        Ok([(partition(), Extent { first: beginning(), last: None })].into())
    }

    async fn lag(&self, _: &Context, _: &Positions) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    async fn place(
        &self,
        _: &Context,
        at: &Positions,
        named: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        let (mut positions, mut problems) = (Positions::new(), Vec::new());
        let known = [Some(&beginning()), at.get(&partition())].map(|known| known.cloned());
        for (name, text) in named {
            let position = known.iter().flatten().find(|known| *known.at == **text);
            match position.filter(|_| **name == *partition().0) {
                Some(position) => _ = positions.insert(partition(), position.clone()),
                None if **name != *partition().0 => {
                    let message = format!("the source has no partition {name:?}");
                    problems.push(Problem::new("to.positions", "unknown-partition", message).fix("there is: rest"));
                }
                None => {
                    let message =
                        format!("rest: {text:?} does not say by which cursor or address the API knows that page");
                    let fix = "choose \"beginning\" (0.0.0), or the present position";
                    problems.push(Problem::new("to.positions", "bad-position", message).fix(fix));
                }
            }
        }
        Ok(if problems.is_empty() { Ok(positions) } else { Err(problems) })
    }
}
