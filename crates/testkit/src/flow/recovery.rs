//! The state that a restarted node has to find, read from journal and sink while no node runs, and the proof that the
//! node reports it truthfully.
use super::{Flow, Place, Sink};
use crate::program::{Node, PATIENCE};
use dataflow_core::{
    id::{PipelineId, RunId},
    pipeline::{State, evolve},
    position::Positions,
};
use dataflow_journal::Journal;
use dataflow_journal_sqlite::Sqlite;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// The state of a flow in journal and sinks while no node runs, by branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known(Vec<KnownBranch>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownBranch {
    /// Whether the next start has to resume it.
    running: bool,
    last_run: Option<RunId>,
    /// The number of the last journalled commit, by lane.
    journal: BTreeMap<u32, u64>,
    /// The journalled positions of each lane: partition and place.
    positions: BTreeMap<u32, BTreeMap<String, String>>,
    /// The number of the last commit in the sink's tokens, if it has any.
    tokens: Option<BTreeMap<u32, u64>>,
}

fn places(positions: &Positions) -> BTreeMap<String, String> {
    positions.iter().map(|(partition, position)| (partition.to_string(), position.at.to_string())).collect()
}

/// A snapshot as the node stores it.
#[derive(Deserialize)]
struct Stored {
    state: State,
}

impl Flow {
    /// Reads the current state of journal and sinks. No node may run.
    pub async fn known(&self) -> Known {
        let state = self.state().await;
        let mut known = Vec::new();
        for sink in &self.sinks {
            let branch = state.branch(sink.number);
            let lanes = || branch.into_iter().flat_map(|branch| &branch.progress.by_lane);
            known.push(KnownBranch {
                running: branch.is_some_and(|branch| branch.running().is_some() && branch.stopping().is_none()),
                last_run: branch.and_then(|branch| Some(branch.last_run.as_ref()?.run)),
                journal: lanes().map(|(lane, progress)| (*lane, progress.sequence)).collect(),
                positions: lanes().map(|(lane, progress)| (*lane, places(&progress.positions))).collect(),
                tokens: sink.tokens().await,
            });
        }
        Known(known)
    }

    pub(super) async fn state(&self) -> State {
        let path = self.data_dir().join("node/journal.db");
        if !path.exists() {
            return State::Empty;
        }
        let journal = Journal::new(Arc::new(Sqlite::open(&path).expect("the journal can be opened")));
        let id = PipelineId::try_from(Self::ID).expect("a pipeline's id");
        let (snapshot, since) = journal.load(&id).await.expect("the journal can be read");
        let snapshot = snapshot.map(|bytes| serde_json::from_slice::<Stored>(&bytes).expect("a snapshot").state);
        since.iter().fold(snapshot.unwrap_or_default(), |state, entry| {
            evolve(&id, state, &entry.event).expect("the history fits")
        })
    }

    /// Proves that a node that has just been started resumes each branch at the right place, and reports it, unless it dies
    /// before it can. `known` was read before the start.
    pub async fn prove_recovery(&self, node: &Node, known: &Known) {
        for (sink, known) in self.sinks.iter().zip(&known.0).filter(|(_, known)| known.running) {
            self.prove_recovery_of(sink, node, known).await;
        }
    }

    async fn prove_recovery_of(&self, sink: &Sink, node: &Node, known: &KnownBranch) {
        let begun = Instant::now();
        let recovery = loop {
            let path = format!("/api/pipelines/{}/recovery?{}", Self::ID, sink.query());
            let Ok((_, recovery)) = node.try_request("GET", &path, None).await else { return };
            if recovery["run"].as_u64() > known.last_run.map(|run| run.0) {
                break recovery;
            }
            assert!(begun.elapsed() < PATIENCE, "no run is opened: {recovery:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        for lane in 0..self.pair.lanes {
            let told = &recovery["lanes"][lane as usize];
            let journal = known.journal.get(&lane).copied().unwrap_or_default();
            let token = match sink.place {
                // An open transaction of the node that died may hide it from everyone else. The rows prove it.
                Place::Kafka => Some(told["tokenSequence"].as_u64()),
                _ => known.tokens.as_ref().map(|tokens| tokens.get(&lane).copied()),
            };
            let decision = match token {
                Some(token) if token.unwrap_or_default() > journal => "tokenAdopted",
                Some(_) if journal > 0 => "agreed",
                None if journal > 0 => "journal",
                _ => "fresh",
            };
            let expected = json!({"decision": decision, "journalSequence": journal, "tokenSequence": token.flatten()});
            for (name, expected) in expected.as_object().into_iter().flatten() {
                let told = told.get(name).unwrap_or(&Value::Null);
                assert_eq!(told, expected, "{name} of lane {lane} in {recovery:#}, where {known:?}");
            }
            // The actual place of resumption. Commits that only the sink knew are proved by the rows.
            if decision != "tokenAdopted" {
                let at = |position: &Value| {
                    let text = |name: &str| position[name].as_str().unwrap_or_default().to_owned();
                    (text("partition"), text("position"))
                };
                let told: BTreeMap<_, _> = told["positions"].as_array().into_iter().flatten().map(at).collect();
                let expected = known.positions.get(&lane).cloned().unwrap_or_default();
                assert_eq!(told, expected, "positions of lane {lane} in {recovery:#}, where {known:?}");
            }
        }
    }
}
