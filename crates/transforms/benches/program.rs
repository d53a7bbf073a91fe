//! Whole programs on JSON records, on one thread: decode, expressions, and what the sink wants. Records a second.
#![allow(missing_docs, clippy::unwrap_used)]
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dataflow_core::{position::Position, spec::PipelineSpec, types::InferredTypes};
use dataflow_sdk::{
    Records,
    batch::Demand,
    declared::Declared,
    records::{Layout, Span},
    transform::{Compiler, Plan, SoFar},
};
use dataflow_transforms::SqlCompiler;
use serde_json::{Value, json};
use std::sync::Arc;

const ROWS: usize = 8_192;

fn records() -> Arc<Records> {
    let mut records = Records::empty("speed/0".into(), Position::offset(0), Layout::Json);
    let mut data = String::new();
    for row in 0..ROWS {
        let (start, age) = (data.len(), 17 + row % 64);
        data.push_str(&format!(
            r#"{{"id":"u-{row:07}","user_id":{row},"name":"Dana Eze","email":"dana.eze{row}@example.com","age":{age},"country":"DE","amount":{row}.25,"ts":"2026-01-02T03:04:05.678Z","tags":["new","vip"],"address":{{"city":"Berlin","zip":"{row:05}"}}}}"#
        ));
        records.spans.push(Span::new(start, data.len()));
        records.offsets.push(row as u64);
        data.push('\n');
    }
    records.data = data.into();
    Arc::new(records)
}

fn program(criterion: &mut Criterion) {
    let records = records();
    let compiler = SqlCompiler::new();
    let filter = json!({"type": "filter", "condition": "age > 18"});
    let map = json!({
        "type": "map",
        "set": {"full": "upper(name)", "amount_cents": "cast(round(amount * 100) as bigint)"},
        "remove": ["tags"],
    });
    let cases: [(&str, Value); 5] = [
        ("nothing", json!([])),
        ("filter age > 18", json!([filter])),
        (
            "filter by five conditions",
            json!([{"type": "filter",
            "condition": "age > 18 and country in ('DE', 'FR') and amount < 1e6 and name like 'D%' and address.city <> ''"}]),
        ),
        ("filter and map", json!([filter, map])),
        (
            "sql",
            json!([{"type": "sql", "query": "select id, upper(name) as name, amount * 2 as twice from input where age > 18"}]),
        ),
    ];
    let mut group = criterion.benchmark_group("program");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (what, transforms) in cases {
        let spec = json!({"source": {"type": "http"}, "transforms": transforms, "sink": {"type": "stdout"}});
        let spec: PipelineSpec = serde_json::from_value(spec).unwrap();
        let plan = Plan {
            transforms: spec.transforms.clone(),
            spec: Arc::new(spec),
            demand: Demand::Documents,
            declared: Declared::default(),
            learned: InferredTypes::default(),
            so_far: SoFar::default(),
        };
        let mut program = compiler.compile(&plan).unwrap();
        group.bench_function(what, |bench| {
            bench.iter_batched(|| records.clone(), |records| program.process(records).unwrap(), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, program);
criterion_main!(benches);
