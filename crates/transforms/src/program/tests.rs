//! Whole programs on JSON lines: what comes out, what is filtered, what is dead.
#![allow(clippy::unwrap_used)]
use crate::SqlCompiler;
use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use dataflow_core::{
    position::Position,
    spec::PipelineSpec,
    types::{InferredTypes, Type},
};
use dataflow_sdk::{
    Records,
    batch::{Column, Demand, Notice, Payload, Processed},
    declared::{Declared, Metadata, SinkRows, SourceRecords, UnknownFields},
    records::{CsvLayout, Layout, Slices, Span},
    transform::{Compiler, Plan, Program, SoFar, TooMuch},
};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

mod columns;
mod conditions;
mod deletes;
mod dirty;
mod documents;
mod expressions;
mod fixes;
mod kinds;
mod messages;
mod neighbours;
mod numbers;
mod paths;
mod properties;
mod side;
mod tables;
mod typed;
mod types;
mod untyped;
mod warnings;

static COMPILER: LazyLock<SqlCompiler> = LazyLock::new(SqlCompiler::new);

/// What the connectors of a spec declare, as the settings of these tests are meant.
fn declared(spec: &PipelineSpec) -> Declared {
    let untyped = spec.source.config.get("format").is_some_and(|format| format == "csv");
    let metadata: Option<&[Metadata]> =
        Some(&[("topic", Type::Text), ("partition", Type::Bigint), ("headers", Type::Json), ("file", Type::Text)]);
    let source = SourceRecords { untyped, metadata, ..SourceRecords::default() };
    let names = |value: &Value| match value {
        Value::Array(names) => names.iter().map(|name| (name.as_str().unwrap().to_owned(), None)).collect(),
        Value::Object(types) => {
            let ty = |ty: &Value| serde_json::from_value(ty.clone()).unwrap();
            types.iter().map(|(name, given)| (name.clone(), Some(ty(given)))).collect()
        }
        name => vec![(name.as_str().unwrap().to_owned(), None)],
    };
    let setting = |name: &str| spec.sink.config.get(name).map(names).unwrap_or_default();
    let key = setting("key").into_iter().map(|(name, _)| name).collect();
    Declared { source, sink: SinkRows { key, columns: setting("columns"), ..SinkRows::default() } }
}

/// A spec with these transforms; `more` overrides its fields.
fn spec(transforms: Value, more: Value) -> PipelineSpec {
    let mut spec = json!({"source": {"type": "http"}, "transforms": transforms, "sink": {"type": "stdout"}});
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn plan(spec: PipelineSpec, demand: Demand) -> Plan {
    let transforms = spec.transforms.clone();
    let declared = declared(&spec);
    let (learned, so_far) = (InferredTypes::default(), SoFar::default());
    Plan { transforms, spec: Arc::new(spec), demand, declared, learned, so_far }
}

fn program(plan: &Plan) -> Box<dyn Program> {
    COMPILER.compile(plan).unwrap_or_else(|problems| panic!("{}", all(&problems)))
}

fn all(problems: &[dataflow_sdk::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is wrong with a spec.
fn checked(spec: &PipelineSpec) -> Vec<dataflow_sdk::Problem> {
    COMPILER.check(spec, &declared(spec))
}

/// What is wrong with these transforms.
fn problems(transforms: Value) -> String {
    all(&checked(&spec(transforms, json!({}))))
}

/// Records of one line each.
fn records(lines: &[&str]) -> Arc<Records> {
    let mut records = Records::empty("events/0".into(), Position::offset(0), Layout::Json);
    let mut data = Vec::new();
    for (row, line) in lines.iter().enumerate() {
        let start = data.len();
        data.extend_from_slice(line.as_bytes());
        records.spans.push(Span::new(start, data.len()));
        records.offsets.push(100 + row as u64);
        data.push(b'\n');
    }
    records.data = data.into();
    records.timestamps = Some((0..lines.len() as i64).map(|row| Some(1_700_000_000_000 + row * 1000)).collect());
    records.shared = Arc::new(vec![("topic".into(), "events".into()), ("partition".into(), "0".into())]);
    Arc::new(records)
}

/// CSV records of one line each.
fn csv(lines: &[&str], header: &[&str]) -> Arc<Records> {
    let mut records = Arc::unwrap_or_clone(records(lines));
    records.layout = Layout::Csv(Arc::new(CsvLayout {
        delimiter: b',',
        quote: b'"',
        columns: header.iter().map(|name| (*name).to_owned()).collect(),
        null_values: vec![String::new()],
        header: None,
    }));
    Arc::new(records)
}

fn run(transforms: Value, lines: &[&str]) -> Processed {
    program(&plan(spec(transforms, json!({})), Demand::Documents)).process(records(lines)).unwrap()
}

/// The documents that come out.
fn documents(processed: &Processed) -> Vec<String> {
    let Payload::Documents { data, spans } = &processed.output.payload else { panic!("no documents") };
    spans.iter().map(|span| String::from_utf8(span.of(data).to_vec()).unwrap()).collect()
}

fn batch(processed: &Processed) -> &RecordBatch {
    let Payload::Columns(batch) = &processed.output.payload else { panic!("no columns") };
    batch
}

/// A row per line, values separated by `|`, NULL as `-`.
fn table(processed: &Processed) -> Vec<String> {
    let options = FormatOptions::new().with_null("-");
    let batch = batch(processed);
    let columns: Vec<ArrayFormatter<'_>> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"))
        .collect()
}

/// `row stage code: cause` of each dead record.
fn dead(processed: &Processed) -> Vec<String> {
    processed.dead.iter().map(|dead| format!("{} {} {}: {}", dead.row, dead.stage, dead.code, dead.cause)).collect()
}

fn column(name: &str, ty: Type) -> Column {
    Column { name: name.into(), ty }
}
