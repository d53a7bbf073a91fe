//! The program as it runs in a pipeline: JSON records in, JSON documents out.
use crate::values::{Row, schema};
use dataflow_core::{position::Position, spec::PipelineSpec, types::InferredTypes};
use dataflow_sdk::{
    Records,
    batch::{Demand, Payload},
    declared::{Declared, SourceRecords},
    records::{CsvLayout, Layout, Span},
    transform::{Compiler, Plan, SoFar},
};
use dataflow_transforms::SqlCompiler;
use serde_json::{Value, json};
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
    let lines: Vec<String> = rows.iter().map(Row::record).collect();
    evaluated(expression, &json!(schema()), Declared::default(), records(&lines, Layout::Json))
}

/// The same for rows of untyped texts, which have these names.
pub fn of_texts(expression: &str, names: &[&str], rows: &[Vec<Option<&str>>]) -> Result<Vec<Fate>, String> {
    let field = |text: &Option<&str>| text.map_or(String::new(), |text| format!("\"{text}\""));
    let lines: Vec<String> = rows.iter().map(|row| row.iter().map(field).collect::<Vec<_>>().join(",")).collect();
    let layout = CsvLayout {
        delimiter: b',',
        quote: b'"',
        columns: names.iter().map(ToString::to_string).collect(),
        null_values: vec![String::new()],
        header: None,
    };
    let source = SourceRecords { untyped: true, ..SourceRecords::default() };
    let declared = Declared { source, ..Declared::default() };
    evaluated(expression, &json!({}), declared, records(&lines, Layout::Csv(Arc::new(layout))))
}

fn evaluated(expression: &str, schema: &Value, declared: Declared, records: Arc<Records>) -> Result<Vec<Fate>, String> {
    let rows = records.len();
    let spec = json!({
        "source": {"type": "http"},
        "schema": schema,
        "transforms": [{"type": "map", "set": {"x": expression}, "select": ["x"]}],
        "sink": {"type": "stdout"},
    });
    let spec: PipelineSpec = serde_json::from_value(spec).unwrap();
    let plan = Plan {
        transforms: spec.transforms.clone(),
        spec: Arc::new(spec),
        demand: Demand::Documents,
        declared,
        learned: InferredTypes::default(),
        so_far: SoFar::default(),
    };
    let findings =
        |problems: Vec<dataflow_sdk::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let mut program = COMPILER.compile(&plan).map_err(findings)?;
    let processed = program.process(records).unwrap();
    let Payload::Documents { data, spans } = &processed.output.payload else { panic!("no documents") };
    let mut fates: Vec<Option<Fate>> = vec![None; rows];
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

fn records(lines: &[String], layout: Layout) -> Arc<Records> {
    let mut records = Records::empty("events/0".into(), Position::offset(0), layout);
    let mut data = Vec::new();
    for (offset, line) in lines.iter().enumerate() {
        let start = data.len();
        data.extend_from_slice(line.as_bytes());
        records.spans.push(Span::new(start, data.len()));
        records.offsets.push(offset as u64);
        data.push(b'\n');
    }
    records.data = data.into();
    Arc::new(records)
}
