//! Objects of JSON lines, CSV, Parquet or Avro, in folders that expressions name: what all sinks have in common that write such to
//! a store (`s3`, `azureblob`, `folder`).
//!
//! An object is uploaded in parts while the run goes on, and nobody sees it. A roll seals what is open: all parts are there, and
//! the handle names their uploads. Once that is in the journal, and only then, the uploads are completed. So whatever is killed or
//! frozen, an object appears if and only if the journal counts its records. A record of each lane in the store (`record`) says
//! whose it is, and which uploads it has begun, so that those that were never sealed can be aborted. What differs between stores is
//! behind `store`.
mod audit;
mod avro;
pub(crate) mod bucket;
mod columns;
mod copies;
mod encoder;
pub(crate) mod failure;
pub(crate) mod handle;
mod layout;
mod line;
mod lost;
mod object;
mod open_objects;
mod opening;
mod publish;
mod record;
mod roll;
mod rows;
pub(crate) mod store;
mod template;
mod writer;

pub use layout::{Compression, Format, Layout};
pub(crate) use object::PART;
pub use roll::Roll;

use async_trait::async_trait;
use dataflow_sdk::{
    Context, Error,
    audit::{Audit, Audited},
    sink::{OpenLane, Opened, Sink, Traces},
};
use handle::Handle;
use store::Reaches;

/// A sink of objects, by its config.
#[derive(Debug)]
pub(crate) struct ObjectSink<C>(pub(crate) C);

#[async_trait]
impl<C: Reaches> Sink for ObjectSink<C> {
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        opening::open(self.0.layout(), self.0.reach(cx)?, cx, lane).await
    }
    async fn missing(&self, cx: &Context, handle: &serde_json::Value, _: u64) -> Result<Option<u64>, Error> {
        let store = self.0.reach(cx)?;
        let published = record::published(&store, &self.0.layout().root(), &cx.branch).await?;
        let mut missing = 0;
        for object in Handle::from_json(handle)?.objects {
            if !published.contains(&object.key) && !store.is_published(&object).await? {
                missing += object.rows;
            }
        }
        Ok(Some(missing))
    }
    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        let known = self.0.reach(cx)?.read(&record::key(&self.0.layout().root(), &traces.branch, 0)).await?;
        let known = known.map(|(bytes, _)| record::Record::from_json(&bytes)).transpose()?;
        Ok(known.is_some_and(|known| known.owner.incarnation == traces.incarnation))
    }
    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        audit::open(self.0.layout(), self.0.reach(cx)?, cx, audit).await
    }
}
