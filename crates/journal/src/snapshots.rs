//! Snapshots as their users see them: complete states of any length.
use crate::{
    Entry, Error, Journal, Snapshot, overflow, range,
    segments::{self, Moment, Named, Unread},
};
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, PipelineId, Seq},
    shard::ShardId,
};
use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
};

impl Journal {
    /// Stores the states of a shard's changed pipelines after all events before `next`; fenced by `epoch`. `next` lies between the last snapshot's place and the head. States that are too long
    /// for a row are first stored in chunks, of which only the changed ones are written.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::Corrupt`] if `next` lies elsewhere.
    pub async fn snapshot(
        &self,
        shard: ShardId,
        epoch: Epoch,
        next: Seq,
        mut changed: Vec<Snapshot>,
    ) -> Result<(), Error> {
        let moment = Moment { next, epoch };
        let mut named: Vec<(PipelineId, Named)> = Vec::with_capacity(changed.len());
        for Snapshot { pipeline, state } in &mut changed {
            let before = self.segments().get(pipeline).cloned().unwrap_or_default();
            let (row, segments) = segments::row(&*self.store, moment, pipeline, state, &before).await?;
            *state = row;
            named.push((pipeline.clone(), segments));
        }
        self.store.snapshot(shard, epoch, next, changed).await?;
        let replaced: Vec<ChunkId> =
            named.into_iter().flat_map(|(pipeline, now)| self.replace(pipeline, now)).collect();
        if !replaced.is_empty()
            && let Err(error) = self.store.remove_chunks(&replaced).await
        {
            tracing::warn!(shard = shard.0, %error, "segments of replaced snapshots stay until the shard is next claimed");
        }
        Ok(())
    }

    /// Records the segments of a pipeline's snapshot; returns those that no snapshot names any more.
    fn replace(&self, pipeline: PipelineId, now: Named) -> Vec<ChunkId> {
        let mut segments = self.segments();
        let before = segments.remove(&pipeline).unwrap_or_default();
        let replaced = before.beyond(&now, &pipeline);
        if !now.is_empty() {
            segments.insert(pipeline, now);
        }
        replaced
    }

    pub(crate) fn segments(&self) -> MutexGuard<'_, HashMap<PipelineId, Named>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the snapshots of a shard to the owner that has just claimed it and will write the next ones.
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn recover(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error> {
        let (snapshots, named, next) = self.whole(shard).await?;
        let mut segments = self.segments();
        segments.retain(|pipeline, _| ShardId::of(pipeline) != shard);
        segments.extend(named);
        drop(segments);
        Ok((snapshots, next))
    }

    /// Removes what owners before this epoch have stored of a shard, and neither its snapshots nor its log, which ends at `next`,
    /// name; once all of the shard was [recovered](Self::recover) and read: what this build can't read may name more.
    pub async fn collect(&self, shard: ShardId, epoch: Epoch, next: Seq) {
        let of_shard = |(pipeline, _): &(&PipelineId, &Named)| ShardId::of(pipeline) == shard;
        let named =
            self.segments().iter().filter(of_shard).flat_map(|(pipeline, named)| named.chunks(pipeline)).collect();
        let collected = async {
            segments::collect(&*self.store, shard, epoch, &named).await?;
            overflow::collect_unwritten(&*self.store, shard, epoch, next).await
        };
        if let Err(error) = collected.await {
            tracing::warn!(shard = shard.0, %error, "chunks that nothing names stay until the shard is next claimed");
        }
    }

    /// Returns all snapshots of a shard at one moment: while its owner writes new ones, the segments of earlier ones
    /// disappear.
    async fn whole(&self, shard: ShardId) -> Result<(Vec<Snapshot>, HashMap<PipelineId, Named>, Seq), Error> {
        let mut read = self.store.snapshots(shard).await?;
        loop {
            let (rows, next) = &read;
            match self.states(rows).await {
                Ok((snapshots, named)) => return Ok((snapshots, named, *next)),
                Err(Unread::Failed(error)) => return Err(error),
                Err(Unread::Missing(error)) => {
                    let again = self.store.snapshots(shard).await?;
                    if again == read {
                        return Err(error);
                    }
                    read = again;
                }
            }
        }
    }

    async fn states(&self, rows: &[Snapshot]) -> Result<(Vec<Snapshot>, HashMap<PipelineId, Named>), Unread> {
        let (mut snapshots, mut all) = (Vec::with_capacity(rows.len()), HashMap::new());
        for Snapshot { pipeline, state: row } in rows {
            let (state, named) = segments::state(&*self.store, pipeline, row.clone()).await?;
            snapshots.push(Snapshot { pipeline: pipeline.clone(), state });
            if !named.is_empty() {
                all.insert(pipeline.clone(), named);
            }
        }
        Ok((snapshots, all))
    }

    /// Returns all snapshots of a shard, and the place from which to read its log to bring them up to date.
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error> {
        let (snapshots, _, next) = self.whole(shard).await?;
        Ok((snapshots, next))
    }

    /// Returns the snapshot of one pipeline, and its own events since; events of other pipelines in the shard are left
    /// out.
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Vec<Entry>), Error> {
        let shard = ShardId::of(pipeline);
        let mut before = None;
        let (state, mut page) = loop {
            let (row, since, page) = self.store.load(pipeline).await?;
            range::covered(shard, since, usize::MAX, &page)?;
            let Some(row) = row else { break (None, page) };
            match segments::state(&*self.store, pipeline, row.clone()).await {
                Ok((state, _)) => break (Some(state), page),
                Err(Unread::Failed(error)) => return Err(error),
                // If the row has changed, its owner has just written the next snapshot.
                Err(Unread::Missing(error)) if before.as_ref() == Some(&row) => return Err(error),
                Err(Unread::Missing(_)) => before = Some(row),
            }
        };
        page.rows.retain(|row| row.pipeline == pipeline.as_str());
        Ok((state, self.entries(shard, page.rows).await?))
    }
}
