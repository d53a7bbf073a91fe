//! Specs as people write them: findings, or a spec that comes back from its own JSON.
use dataflow_core::{id::PipelineId, spec::PipelineSpec};
use dataflow_sdk::{Catalog, Problem, catalog::Connections, check::check_new};
use dataflow_transforms::SqlCompiler;
use serde_json::Value;
use std::sync::LazyLock;

static PARTS: LazyLock<(Catalog, Connections, SqlCompiler)> = LazyLock::new(|| {
    let mut catalog = Catalog::new();
    dataflow_sources::register(&mut catalog);
    dataflow_sinks::register(&mut catalog);
    (catalog, Connections::default(), SqlCompiler::new())
});

fn checked(value: &Value) -> Result<(PipelineId, PipelineSpec), Vec<Problem>> {
    let (catalog, connections, compiler) = &*PARTS;
    check_new(value, catalog, connections, compiler)
}

/// A pipeline in YAML or JSON, as `dataflow run` and `POST /api/pipelines` take it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = serde_json::from_str::<Value>(text).ok().or_else(|| serde_yaml_ng::from_str(text).ok());
    let Some(value) = parsed else { return };
    match checked(&value) {
        Err(problems) => {
            assert!(!problems.is_empty(), "nothing is said to be wrong with {value}");
            assert!(problems.iter().all(|problem| !problem.code.is_empty() && !problem.message.is_empty()));
        }
        Ok((id, spec)) => {
            let mut written = serde_json::to_value(&spec).unwrap();
            written["pipelineId"] = id.as_str().into();
            let again = checked(&written)
                .unwrap_or_else(|problems| panic!("{written} was taken once, and is not taken again: {problems:?}"));
            assert_eq!(again, (id, spec));
        }
    }
}
