//! The program as it runs in a pipeline: JSON records in, JSON documents out.
use crate::values::{Row, schema};
use dataflow_core::{position::Position, spec::PipelineSpec, types::InferredTypes};
use dataflow_sdk::{
    Records,
    batch::{Demand, Payload},
    declared::Declared,
    records::{Layout, Span},
    transform::{Compiler, Plan, SoFar},
};
use dataflow_transforms::SqlCompiler;
use serde_json::json;
use std::sync::{Arc, LazyLock};

static COMPILER: LazyLock<SqlCompiler> = LazyLock::new(SqlCompiler::new);

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// A value as its JSON text, or NULL.
    Value(Option<String>),
    /// A dead letter.
    Dead(String),
}

/// The fate of each row; or the findings, if the expression is refused.
pub fn evaluate(expression: &str, rows: &[Row]) -> Result<Vec<Fate>, String> {
    let spec = json!({
        "source": {"type": "http"},
        "schema": schema(),
        "transforms": [{"type": "map", "set": {"x": expression}, "select": ["x"]}],
        "sink": {"type": "stdout"},
    });
    let spec: PipelineSpec = serde_json::from_value(spec).unwrap();
    let plan = Plan {
        transforms: spec.transforms.clone(),
        spec: Arc::new(spec),
        demand: Demand::Documents,
        declared: Declared::default(),
        learned: InferredTypes::default(),
        so_far: SoFar::default(),
    };
    let findings =
        |problems: Vec<dataflow_sdk::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let mut program = COMPILER.compile(&plan).map_err(findings)?;
    let processed = program.process(records(rows)).unwrap();
    let Payload::Documents { data, spans } = &processed.output.payload else { panic!("no documents") };
    let mut fates: Vec<Option<Fate>> = vec![None; rows.len()];
    for (row, span) in processed.output.rows.iter().zip(spans) {
        let text = std::str::from_utf8(span.of(data)).unwrap();
        // What is just the name of a field is missing where that is.
        let value = text.strip_prefix("{\"x\":").and_then(|text| text.strip_suffix('}'));
        let text = value.unwrap_or_else(|| if text == "{}" { "null" } else { panic!("{text}") });
        fates[*row as usize] = Some(Fate::Value((text != "null").then(|| text.to_owned())));
    }
    for dead in &processed.dead {
        fates[dead.row as usize] = Some(Fate::Dead(dead.cause.clone()));
    }
    Ok(fates.into_iter().map(|fate| fate.unwrap()).collect())
}

fn records(rows: &[Row]) -> Arc<Records> {
    let mut records = Records::empty("events/0".into(), Position::offset(0), Layout::Json);
    let mut data = Vec::new();
    for (offset, row) in rows.iter().enumerate() {
        let start = data.len();
        data.extend_from_slice(row.record().as_bytes());
        records.spans.push(Span::new(start, data.len()));
        records.offsets.push(offset as u64);
        data.push(b'\n');
    }
    records.data = data.into();
    Arc::new(records)
}
