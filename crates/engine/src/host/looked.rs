//! Looking at pipelines, which takes nobody into memory and waits for no entity: that may be waiting for the journal itself.
use super::{ENDING, LocalRegion, Shard};
use crate::{
    answers::PipelineSnapshot,
    entity::{answer_query, snapshot},
    region::{AskError, Query, Reply, UserQuery},
    shard::{PipelineCell, load_pipeline},
};
use dataflow_core::{
    id::{PipelineId, SinkName},
    shard::ShardId,
};
use std::sync::Arc;

impl LocalRegion {
    /// Answers a question, as long as it is waited for.
    pub(super) async fn asked(&self, pipeline: &PipelineId, asked: UserQuery) -> Result<Reply, AskError> {
        let UserQuery { actor, within, sink, query } = asked;
        tracing::trace!(%pipeline, %actor, ?query, "asked");
        let late = |_| AskError::Unavailable(format!("there was no answer within {} ms", within.as_millis()));
        tokio::time::timeout(within, self.query(pipeline, sink.as_ref(), query)).await.map_err(late)?
    }

    /// Answers a question.
    pub(super) async fn query(
        &self,
        pipeline: &PipelineId,
        sink: Option<&SinkName>,
        query: Query,
    ) -> Result<Reply, AskError> {
        let cell = self.look(pipeline).await?;
        answer_query(&self.context, &cell, sink, query).await
    }

    /// A pipeline as it is now; none if there is none.
    pub(super) async fn snapshot(&self, pipeline: &PipelineId) -> Result<Option<PipelineSnapshot>, AskError> {
        let cell = self.look(pipeline).await?;
        let state = cell.state();
        Ok(snapshot::of(&self.context, &state, &cell.live()))
    }

    /// A pipeline as it is now: in memory, or as the journal has it.
    async fn look(&self, pipeline: &PipelineId) -> Result<Arc<PipelineCell>, AskError> {
        let shard = self.owned(pipeline)?;
        let awake = shard.entities().get(pipeline).map(|handle| handle.cell.clone());
        // An entity that is being loaded has no state yet.
        let known = awake.or_else(|| shard.log.changed(pipeline)).filter(|cell| cell.state().pipeline().is_some());
        match known {
            Some(cell) => Ok(cell),
            None => {
                Ok(PipelineCell::new(pipeline.clone(), load_pipeline(&self.context.parts.journal, pipeline).await?))
            }
        }
    }

    /// The shard of a pipeline, as long as this node owns it.
    fn owned(&self, pipeline: &PipelineId) -> Result<Arc<Shard>, AskError> {
        let shard = self.shard(pipeline)?;
        if self.context.closing.is_cancelled() {
            return Err(AskError::Unavailable(ENDING.into()));
        }
        if shard.log.lost().is_cancelled() {
            return Err(AskError::NotOwner(ShardId::of(pipeline)));
        }
        Ok(shard)
    }

    /// The pipeline in memory, if this node owns it and it is loaded.
    pub(super) fn awake(&self, pipeline: &PipelineId) -> Option<Arc<PipelineCell>> {
        let shard = self.owned(pipeline).ok()?;
        let entities = shard.entities();
        let handle = entities.get(pipeline).filter(|handle| !handle.mailbox.is_closed())?;
        Some(handle.cell.clone()).filter(|cell| cell.state().pipeline().is_some())
    }
}
