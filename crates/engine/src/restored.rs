//! What was pushed to the pipelines of a journal when it was restored from a backup. What came after the backup and was acknowledged is
//! nowhere in it, and a sink can't tell what it never got, or keeps no count of: so the restore says it, and the pipeline does until
//! something is pushed to it again. Until its sinks were opened, what is new would take numbers that they may have had: only what comes
//! again is taken.
use crate::shard::read_shard;
use dataflow_core::{
    branch::BranchNumber,
    id::{Generation, Incarnation, PipelineId, RunId},
    pipeline::{Branch, Pipeline},
    shard::ShardId,
    warned::Warned,
};
use dataflow_journal::{Error, Journal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What each pipeline that takes pushes had received, and how far its sinks were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    v: Version,
    pipelines: BTreeMap<PipelineId, Received>,
}

/// Of the stored shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        (version == 1).then_some(Self).ok_or_else(|| format!("its version is {version}, and this build knows 1"))
    }
}

impl From<Version> for u32 {
    fn from(Version: Version) -> Self {
        1
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Received {
    incarnation: Incarnation,
    records: u64,
    sinks: BTreeMap<BranchNumber, Asked>,
}

/// When a sink was asked last what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    run: Option<RunId>,
    generation: Generation,
}

impl From<&Branch> for Asked {
    fn from(branch: &Branch) -> Self {
        Self { run: branch.last_run.as_ref().map(|last| last.run), generation: branch.progress.generation }
    }
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
                let sinks = pipeline.present().map(|(number, branch)| (number, branch.into())).collect();
                Some((id.clone(), Received { incarnation, records, sinks }))
            });
            received.extend(pushed_to);
        }
        Ok(Self { v: Version, pipelines: received })
    }

    /// The pipelines that take pushes.
    pub fn pipelines(&self) -> impl Iterator<Item = &PipelineId> {
        self.pipelines.keys()
    }

    fn known(&self, pipeline: &Pipeline) -> Option<&Received> {
        let known = self.pipelines.get(&pipeline.id).filter(|known| known.incarnation == pipeline.incarnation);
        known.filter(|_| pipeline.pushes.is_some())
    }

    /// Its sinks that may have had records of which the journal knows nothing: they were not opened since the restore, and nobody chose where
    /// they go on.
    pub(crate) fn unsure<'a>(&self, pipeline: &'a Pipeline) -> impl Iterator<Item = &'a Branch> {
        let known = self.known(pipeline);
        let as_it_was = move |number: &BranchNumber, branch: &Branch| {
            known.is_some_and(|known| known.sinks.get(number) == Some(&Asked::from(branch)))
        };
        pipeline.present().filter(move |(number, branch)| as_it_was(number, branch)).map(|(_, branch)| branch)
    }

    /// What to know of a pipeline to which nothing was pushed since the restore.
    pub(crate) fn warning(&self, pipeline: &Pipeline) -> Option<Warned> {
        let known = self.known(pipeline).filter(|known| pipeline.inbox.received == known.records)?;
        Some(Warned {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// As it is kept: what was written is read, and written the same.
    #[test]
    fn the_stored_shape() {
        let kept = include_str!("../golden/restored/v1.json");
        let restored: Restored = serde_json::from_str(kept).unwrap();
        assert_eq!(serde_json::to_string(&restored).unwrap(), kept);
        let newer = serde_json::from_str::<Restored>(r#"{"v":2,"pipelines":{}}"#).unwrap_err();
        assert!(newer.to_string().contains("its version is 2"), "{newer}");
    }
}
