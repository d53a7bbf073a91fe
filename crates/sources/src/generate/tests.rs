#![allow(clippy::unwrap_used)]
use super::GenerateSource;
use crate::testing::{context, lane, read_all, texts};
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{SourceConfig, source::Edge};
use proptest::prelude::*;
use serde_json::{Value, json};

fn source(config: Value) -> GenerateSource {
    let source: GenerateSource = serde_json::from_value(config).unwrap();
    assert_eq!(source.check(), []);
    source
}

async fn all(source: &GenerateSource, positions: &Positions, max_records: u32) -> Vec<dataflow_sdk::Records> {
    let mut cx = context();
    cx.batch.max_records = max_records;
    read_all(&mut *source.clone().build().open(&cx, lane(positions)).await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_field_is_valid_json() {
    let schema = json!({
        "n": {"type": "sequence", "start": 5}, "i": {"type": "integer", "min": -3, "max": 3},
        "x": {"type": "number", "min": -1.5, "max": 1.5, "decimals": 3}, "b": {"type": "boolean"},
        "t": {"type": "text", "length": 23}, "c": {"type": "choice", "values": ["a\"b", 1, null]},
        "name": {"type": "name"}, "mail": {"type": "email"}, "city": {"type": "city"}, "u": {"type": "uuid"},
        "at": {"type": "timestamp", "start": 1_709_164_799_999u64, "step": 1}, "ke\"y": {"type": "integer"}
    });
    let batches = all(&source(json!({"schema": schema, "count": 500})), &Positions::new(), 100).await;
    let records: Vec<Value> = texts(&batches).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(records.len(), 500);
    assert_eq!(records[499]["n"], 504);
    assert_eq!(records[0]["at"], "2024-02-28T23:59:59.999Z");
    assert_eq!(records[1]["at"], "2024-02-29T00:00:00.000Z");
    for record in &records {
        assert!((-3..=3).contains(&record["i"].as_i64().unwrap()));
        assert!((-1.5..=1.5).contains(&record["x"].as_f64().unwrap()));
        assert_eq!(record["t"].as_str().unwrap().len(), 23);
        assert_eq!(record["u"].as_str().unwrap().as_bytes()[14], b'4');
    }
    assert!((-3..=3).all(|i| records.iter().any(|record| record["i"] == i)));
}

#[tokio::test]
async fn the_default_is_a_user() {
    let batches = all(&source(json!({"count": 3})), &Positions::new(), 100).await;
    let user: Value = serde_json::from_str(&texts(&batches)[0]).unwrap();
    assert_eq!(user["id"], 1);
    assert!(user["age"].is_i64() && user["email"].as_str().unwrap().contains('@'));
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept() {
    let source = source(json!({"count": 100, "rate": 10.0}));
    let begin = tokio::time::Instant::now();
    let batches = all(&source, &Positions::new(), 1000).await;
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(texts(&batches).len(), 100);
    assert!((9.5..11.0).contains(&took), "{took}");
}

/// It waits for its next record, instead of looking again and again: many pipelines at a low rate must cost little.
#[tokio::test(start_paused = true)]
async fn a_low_rate_is_waited_for() {
    let source = source(json!({"count": 3, "rate": 1.0 / 0.77}));
    let begin = tokio::time::Instant::now();
    assert_eq!(texts(&all(&source, &Positions::new(), 10).await).len(), 3);
    let took = begin.elapsed().as_millis();
    assert!((1_540..1_545).contains(&took), "{took}");
}

#[test]
fn findings_name_the_field() {
    let check = |config: Value| {
        let source: GenerateSource = serde_json::from_value(config).unwrap();
        source.check().into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    assert_eq!(check(json!({"rate": 0.0, "partitions": 0, "schema": {}})), ["schema", "rate", "partitions"]);
    assert_eq!(check(json!({"schema": {"a": {"type": "choice", "values": []}}})), ["schema.a"]);
    assert!(serde_json::from_value::<GenerateSource>(json!({"schema": {"a": {"type": "name", "x": 1}}})).is_err());
}

#[tokio::test]
async fn an_endless_source_has_no_end_to_go_to() {
    let resolve = async |config| source(config).build().resolve(&context(), &Edge::End).await;
    assert!(resolve(json!({})).await.is_err());
    let ends = resolve(json!({"count": 5, "partitions": 2})).await.unwrap();
    assert_eq!(ends.values().map(|at| at.as_offset().unwrap()).collect::<Vec<_>>(), [3, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn a_record_depends_only_on_seed_and_number(seed: u64, count in 0..60u64, parts in 1..4u32, cut in 0..60u64, max in 1..9u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let one = texts(&all(&source(json!({"count": count, "seed": seed})), &Positions::new(), 8192).await);
            let spread = source(json!({"count": count, "seed": seed, "partitions": parts}));
            let mut merged = texts(&all(&spread, &Positions::new(), max).await);
            let mut sorted = one.clone();
            merged.sort();
            sorted.sort();
            assert_eq!(merged, sorted);
            let cut = cut.min(count);
            let positions = Positions::from([("generate/0".into(), Position::offset(cut))]);
            let rest = texts(&all(&source(json!({"count": count, "seed": seed})), &positions, max).await);
            assert_eq!(rest, one[cut as usize..]);
        });
    }
}
