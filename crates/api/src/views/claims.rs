//! What a pipeline claims to have done.
use super::redacted;
use dataflow_api_types as shown;
use dataflow_core::spec::PipelineSpec;
use dataflow_engine::answers::{Claims, Stretch};
use dataflow_sdk::Catalog;

/// The claims of a pipeline: without secrets if a catalogue knows which they are.
pub fn claims(claims: Claims, catalog: Option<&Catalog>) -> shown::Claims {
    let shown = |spec: PipelineSpec| match catalog {
        Some(catalog) => redacted(catalog, &spec),
        None => spec,
    };
    let stretch = |Stretch { spec, until }| shown::Stretch { spec: shown(spec), until };
    shown::Claims {
        pipeline_id: claims.branch.pipeline().clone(),
        branch: claims.branch,
        sink: claims.sink,
        incarnation: claims.incarnation,
        status: claims.status.into(),
        at_rest: claims.at_rest,
        spec: shown(claims.spec),
        learned: claims.learned,
        generation: claims.generation,
        lanes: claims.lanes,
        begin: claims.begin,
        by_lane: claims.by_lane,
        earlier: claims.earlier,
        lost: claims.lost,
        stretches: claims.stretches.into_iter().map(stretch).collect(),
        changed: claims.changed.map(|at| at.to_string()),
    }
}
