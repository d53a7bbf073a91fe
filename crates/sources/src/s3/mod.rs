//! The `s3` source: records from the objects of a bucket.
//!
//! A partition is an object, named by bucket and key; its position is the (decompressed) byte offset, or the number of a row, with the
//! ETag that the object had (`known`). `walk` goes from one to the next: `list` says what is there, `keys` which of it is read, `open` has
//! the records of one, and `object` its bytes, in blocks.
mod count;
mod keys;
mod known;
mod list;
mod object;
mod open;
mod place;
mod settings;
mod walk;

#[cfg(test)]
mod tests;

pub use settings::S3Source;

use crate::{
    ahead::{Ahead, Nothing},
    blocking::blocking,
};
use async_trait::async_trait;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_s3::{Connection, Trouble};
use dataflow_sdk::{
    Context, Error, Problem,
    source::{Assignment, Edge, LagUnit, Reader, Source},
};
use known::{Known, offset};
use object::Bucket;
use object_store::aws::S3ConditionalPut;
use std::collections::BTreeMap;
use tokio::runtime::Handle;
use walk::{Lane, Walk};

/// What the source's user must be allowed to do.
const RIGHTS: &str = "s3:ListBucket of the bucket and s3:GetObject of its objects";

impl S3Source {
    fn connection(&self, cx: &Context) -> Result<Connection, Error> {
        Connection::new(&self.access, &self.bucket, S3ConditionalPut::Disabled, |_| RIGHTS, cx)
    }

    fn bucket(&self, cx: &Context) -> Result<Bucket, Error> {
        Ok(Bucket { connection: self.connection(cx)?, runtime: Handle::current(), stop: cx.stop.clone() })
    }
}

#[async_trait]
impl Source for S3Source {
    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        // However many objects there are: they are read one after the other, unless the spec says in how many lanes.
        Ok(vec![self.partition(&self.path)])
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        if lane.lane != 0 && self.is_one() {
            return Ok(Box::new(Nothing { bounded: !self.follow }));
        }
        let mut source = self.clone();
        source.on_position_lost = source.on_position_lost.of_reader(cx);
        let mut positions = lane.positions;
        if cx.again {
            // What was read is known by what it was at its end; here it has not ended. And it ends where all is read again.
            source.follow = false;
            for at in positions.values_mut() {
                *at = Known::of(at).map_or_else(|| at.clone(), |known| known.ending(false).at(offset(at)));
            }
        }
        let of = if self.is_one() { 1 } else { lane.lanes };
        let walk = Walk::new(source, cx, self.bucket(cx)?, Lane { number: lane.lane, of }, positions);
        Ok(Box::new(Ahead::new(walk)))
    }

    fn is_same(&self, one: &Position, other: &Position) -> bool {
        match (Known::of(one), Known::of(other)) {
            (Some(one), Some(other)) => one.etag == other.etag,
            _ => true,
        }
    }

    fn lag_unit(&self) -> LagUnit {
        LagUnit::Bytes
    }

    /// The end of an object that is compressed, or has rows, is known by its name alone: that it was read is what counts.
    async fn resolve(&self, cx: &Context, to: &Edge) -> Result<Positions, Error> {
        let objects = self.all(&self.connection(cx)?).await?;
        let place = |listed: list::Listed| {
            let known = Known { etag: listed.etag, size: listed.size, ended: *to == Edge::End };
            let at = if *to == Edge::End { listed.size } else { 0 };
            (self.partition(&listed.key), known.at(at))
        };
        Ok(objects.into_iter().map(place).collect())
    }

    /// Positions are bytes here: records are counted by reading them.
    async fn count(&self, cx: &Context, from: &Positions, to: &Positions) -> Result<BTreeMap<Partition, u64>, Error> {
        let (source, cx, bucket, from, to) = (self.clone(), cx.clone(), self.bucket(cx)?, from.clone(), to.clone());
        blocking("s3", move || Ok(count::count(&source, &cx, &bucket, &from, &to))).await
    }

    async fn lag(&self, cx: &Context, at: &Positions) -> Result<Option<u64>, Error> {
        let waits = |listed: list::Listed| {
            let partition = self.partition(&listed.key);
            let position = at.get(&partition);
            match position.and_then(Known::of).filter(|known| known.etag == listed.etag) {
                Some(known) if known.ended => 0,
                Some(_) if self.counts_bytes(&listed.key) => listed.size.saturating_sub(position.map_or(0, offset)),
                _ => listed.size,
            }
        };
        Ok(Some(self.all(&self.connection(cx)?).await?.into_iter().map(waits).sum()))
    }

    async fn place(
        &self,
        cx: &Context,
        _: &Positions,
        named: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        let bucket = self.connection(cx)?;
        let (mut positions, mut problems) = (Positions::new(), Vec::new());
        for (name, at) in named {
            match self.placed(&bucket, name, at).await.map_err(Trouble::error)? {
                Ok((partition, position)) => _ = positions.insert(partition, position),
                Err(problem) => problems.push(problem),
            }
        }
        Ok(if problems.is_empty() { Ok(positions) } else { Err(problems) })
    }
}
