//! What was pushed to the pipelines of a journal when it was restored from a backup. What came after the backup and was acknowledged is
//! nowhere in it, and a sink can't tell what it never got, or keeps no count of: so the restore says it, and the pipeline does until
//! something is pushed to it again.
use crate::shard::read_shard;
use dataflow_core::{
    id::{Incarnation, PipelineId},
    pipeline::Pipeline,
    shard::ShardId,
    warned::Warned,
};
use dataflow_journal::{Error, Journal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many records each pipeline had received that takes pushes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Restored(BTreeMap<PipelineId, Received>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Received {
    incarnation: Incarnation,
    records: u64,
}

impl Restored {
    /// Reads a journal that no node has open.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn from(journal: &Journal) -> Result<Self, Error> {
        let mut received = BTreeMap::new();
        for shard in ShardId::all() {
            let states = match read_shard(journal, shard).await {
                Ok(loaded) => loaded.states,
                // That shard's pipelines do not run, and say so.
                Err(Error::Corrupt(_) | Error::OtherBuild(_)) => continue,
                Err(error) => return Err(error),
            };
            let pushed_to = states.iter().filter_map(|(id, state)| {
                let pipeline = state.pipeline().filter(|pipeline| pipeline.pushes.is_some())?;
                let (incarnation, records) = (pipeline.incarnation.clone(), pipeline.inbox.received);
                Some((id.clone(), Received { incarnation, records }))
            });
            received.extend(pushed_to);
        }
        Ok(Self(received))
    }

    /// The pipelines that take pushes.
    pub fn pipelines(&self) -> impl Iterator<Item = &PipelineId> {
        self.0.keys()
    }

    /// What to know of a pipeline to which nothing was pushed since the restore.
    pub(crate) fn warning(&self, pipeline: &Pipeline) -> Option<Warned> {
        let known = self.0.get(&pipeline.id).filter(|known| known.incarnation == pipeline.incarnation)?;
        let nothing_since = pipeline.pushes.is_some() && pipeline.inbox.received == known.records;
        nothing_since.then(|| Warned {
            code: "restored".into(),
            subject: String::new(),
            message: format!(
                "the journal was restored from a backup with the first {} pushed records: what was acknowledged after the backup is \
                    not in it; push it again in its old order and with ?replay=true, each batch with its batchId. This is said until \
                    something is pushed",
                known.records
            ),
            records: 0,
        })
    }
}
