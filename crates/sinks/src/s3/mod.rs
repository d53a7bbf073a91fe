//! `s3`: objects of a bucket, of JSON lines, CSV, Parquet or Avro, in folders that expressions name.
//!
//! An object is uploaded in parts while the run goes on, and nobody sees it. A roll seals what is open: all parts are there, and
//! the handle names their uploads. Once that is in the journal, and only then, the uploads are completed. So whatever is killed or
//! frozen, an object appears if and only if the journal counts its records. A record of each lane in the bucket (`record`) says
//! whose it is, and which uploads it has begun, so that those that were never sealed can be aborted.
mod audit;
mod avro;
mod bucket;
mod columns;
mod config;
mod copies;
mod encoder;
mod failure;
mod handle;
mod http;
mod object;
mod open_objects;
mod opening;
mod publish;
mod record;
mod roll;
mod rows;
mod template;
#[cfg(test)]
mod tests;
mod writer;

pub use config::{Compression, Format, S3Sink};
pub use roll::Roll;

use async_trait::async_trait;
use bucket::Bucket;
use dataflow_sdk::{
    Context, Error,
    audit::{Audit, Audited},
    sink::{OpenLane, Opened, Sink, Traces},
};
use handle::Handle;

#[async_trait]
impl Sink for S3Sink {
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        opening::open(self, cx, lane).await
    }
    async fn missing(&self, cx: &Context, handle: &serde_json::Value, _: u64) -> Result<Option<u64>, Error> {
        let bucket = Bucket::new(self, cx)?;
        let published = record::published(&bucket, &self.root(), &cx.branch).await?;
        let mut missing = 0;
        for object in Handle::from_json(handle)?.objects {
            if !published.contains(&object.key) && !bucket.is_published(&object).await? {
                missing += object.rows;
            }
        }
        Ok(Some(missing))
    }
    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        let bucket = Bucket::new(self, cx)?;
        let known = bucket.read(&record::key(&self.root(), &traces.branch, 0)).await?;
        let known = known.map(|(bytes, _)| record::Record::from_json(&bytes)).transpose()?;
        Ok(known.is_some_and(|known| known.owner.incarnation == traces.incarnation))
    }
    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        audit::open(self, cx, audit).await
    }
}
