//! Expressions: findings that say where, or a program that gives every record one fate.
use crate::records;
use dataflow_core::{spec::PipelineSpec, types::InferredTypes};
use dataflow_sdk::{
    batch::Demand,
    declared::Declared,
    records::{Layout, Records},
    transform::{Compiler, Plan, SoFar, TooMuch},
};
use dataflow_transforms::SqlCompiler;
use serde_json::json;
use std::sync::{Arc, LazyLock};

static COMPILER: LazyLock<SqlCompiler> = LazyLock::new(SqlCompiler::new);

static RECORDS: LazyLock<Arc<Records>> = LazyLock::new(|| {
    let texts = [
        r#"{"a":1,"b":"x","c":true,"d":"2026-01-02T03:04:05Z","e":{"f":[1,2]},"g":[1,null,"z"]}"#,
        r#"{"a":-9223372036854775808,"b":"","c":false,"d":"","e":{},"g":[]}"#,
        r#"{"a":1.5e300,"b":"\u0000é","c":null,"d":5,"e":null,"g":{}}"#,
        r#"{"a":0,"b":"9999999999","d":"1969-12-31"}"#,
        "{}",
        "not JSON",
    ];
    Arc::new(records::of(texts.map(str::as_bytes), Layout::Json))
});

/// The text of an expression, as a condition and as a field; and that of a query.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for transform in [
        json!({"type": "filter", "condition": text}),
        json!({"type": "map", "set": {"h": text}}),
        json!({"type": "sql", "query": text}),
    ] {
        let spec = json!({"source": {"type": "http"}, "transforms": [transform], "sink": {"type": "stdout"}});
        let spec: Arc<PipelineSpec> = Arc::new(serde_json::from_value(spec).unwrap());
        let plan = Plan {
            transforms: spec.transforms.clone(),
            spec,
            demand: Demand::Documents,
            declared: Declared::default(),
            learned: InferredTypes::default(),
            so_far: SoFar::default(),
        };
        match COMPILER.compile(&plan) {
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in problems {
                    assert!(problem.path.starts_with("transforms[0]"), "{problem:?}");
                    assert!(!problem.code.is_empty() && !problem.message.is_empty(), "{problem:?}");
                }
            }
            Ok(mut program) => {
                let mut parts = vec![RECORDS.clone()];
                while let Some(records) = parts.pop() {
                    let read = records.len() as u64;
                    match program.process(records.clone()) {
                        Ok(made) => {
                            let told = made.filtered + made.dead.len() as u64 + made.output.records_delivered();
                            assert_eq!(told, read, "every record has one fate");
                        }
                        Err(TooMuch) => {
                            let (first, second) = records.halves();
                            parts.extend([Arc::new(second), Arc::new(first)]);
                        }
                    }
                }
            }
        }
    }
}
