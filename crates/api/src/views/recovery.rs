//! Why the last run went on where it did, in words.
use super::positions;
use dataflow_api_types::{LaneRecovery, RecoveryView};
use dataflow_core::pipeline::event::{LaneOpened, Recovery};
use dataflow_engine::answers::LastRecovery;

/// Why the last run went on where it did.
pub(crate) fn recovery(LastRecovery { generation, run }: LastRecovery) -> RecoveryView {
    let last = run.as_ref();
    RecoveryView {
        run: last.map(|run| run.run.0),
        at: last.map(|run| run.at.to_string()),
        epoch: last.map(|run| run.epoch.0),
        generation,
        lanes: last.map_or_else(Vec::new, |run| run.lanes.iter().map(lane).collect()),
    }
}

fn lane(opened: &LaneOpened) -> LaneRecovery {
    let journal = opened.journal_sequence;
    let (decision, explanation) = match opened.decision {
        Recovery::Fresh => (
            "fresh",
            "nothing was committed in this generation before: the run started where the generation begins".into(),
        ),
        Recovery::Agreed => {
            ("agreed", format!("the sink's token and the journal's checkpoint agree on commit {journal}"))
        }
        Recovery::TokenAdopted => (
            "tokenAdopted",
            format!(
                "the sink's token, at commit {}, was ahead of the journal's checkpoint, at commit {journal}: what the sink \
                 had committed counts, so the run went on after it",
                opened.token_sequence.unwrap_or_default()
            ),
        ),
        Recovery::Journal => (
            "journal",
            format!(
                "the journal's checkpoint, at commit {journal}, decides: what the sink got after it was cut off or is \
                 written again to the same effect"
            ),
        ),
        Recovery::AtLeastOnce => (
            "atLeastOnce",
            format!(
                "the journal's checkpoint, at commit {journal}, decides: what the sink got after it may be there twice, as \
                 this sink can take nothing back"
            ),
        ),
    };
    LaneRecovery {
        lane: opened.lane,
        decision: decision.into(),
        explanation,
        journal_sequence: journal,
        token_sequence: opened.token_sequence,
        positions: positions(&opened.progress.positions),
    }
}
