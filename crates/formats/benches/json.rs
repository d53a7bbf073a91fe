//! Benchmarks decoding records into columns and encoding them again, on one thread: bytes and records per second.
#![allow(missing_docs, clippy::unwrap_used)]
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dataflow_core::{position::Position, types::Type};
use dataflow_formats::{
    decode::{Decoder, Field, Want},
    encode, pushed,
};
use dataflow_sdk::{
    batch::Column,
    records::{Layout, Records, Span},
};
use std::sync::Arc;

const ROWS: usize = 8_192;

/// A record of about 220 bytes.
fn record(row: usize) -> String {
    let (id, age, active) = (9_007_199_254_740_993 + row, row % 90, row.is_multiple_of(3));
    format!(
        r#"{{"id":{id},"userId":"user-{row:06}","email":"user{row}@example.org","age":{age},"balance":{row}.{age:02},"active":{active},"tags":["alpha","beta"],"address":{{"city":"Ulm","zip":"{row:05}"}},"createdAt":"2026-01-02T03:04:05.678Z"}}"#
    )
}

fn records() -> Records {
    let mut data = String::new();
    let mut spans = Vec::new();
    for row in 0..ROWS {
        let start = data.len();
        data.push_str(&record(row));
        spans.push(Span::new(start, data.len()));
        data.push('\n');
    }
    let mut records = Records::empty("speed/0".into(), Position::offset(0), Layout::Json);
    (records.data, records.spans) = (data.into(), spans);
    records
}

fn field(path: &[&str], want: Want) -> Field {
    Field { path: path.iter().map(|key| (*key).into()).collect(), want }
}

fn decode(criterion: &mut Criterion) {
    let records = records();
    let all = ["id", "userId", "email", "age", "balance", "active", "tags", "address", "createdAt"];
    let table = vec![
        field(&["id"], Want::As(Type::Bigint)),
        field(&["userId"], Want::As(Type::Text)),
        field(&["age"], Want::As(Type::Integer)),
        field(&["balance"], Want::As(Type::Decimal { precision: 12, scale: 2 })),
        field(&["address", "city"], Want::As(Type::Text)),
        field(&["createdAt"], Want::As(Type::Timestamp)),
    ];
    let cases = [
        ("no field", Vec::new()),
        ("age as a number", vec![field(&["age"], Want::Number)]),
        ("address.city as text", vec![field(&["address", "city"], Want::Text)]),
        ("six columns of a table", table),
        ("all fields, inferred", all.iter().map(|name| field(&[name], Want::Infer)).collect()),
    ];
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(records.data.len() as u64));
    group.bench_function("UTF-8 alone", |bench| bench.iter(|| std::str::from_utf8(&records.data).is_ok()));
    for (what, fields) in cases {
        let mut decoder = Decoder::new(fields);
        group.bench_function(what, |bench| bench.iter(|| decoder.decode(&records)));
    }
    group.finish();
}

/// The same values as a table's rows: written as records, and read into columns.
fn table(criterion: &mut Criterion) {
    let names = ["id", "userId", "age", "balance", "active", "createdAt"];
    let columns: Arc<[Column]> = names.map(|name| Column { name: name.into(), ty: Type::Text }).into();
    let texts: Vec<_> = (0..ROWS).map(|row| (format!("user-{row:06}"), format!("{row}.{:02}", row % 90))).collect();
    let rows = || {
        let mut rows = encode::Rows::new(columns.clone(), usize::MAX);
        for (row, (user, balance)) in texts.iter().enumerate() {
            rows.push([
                encode::Value::Integer(9_007_199_254_740_993 + row as i64),
                encode::Value::Text(user),
                encode::Value::Integer(row as i64 % 90),
                encode::Value::Number(balance),
                encode::Value::Boolean(row.is_multiple_of(3)),
                encode::Value::Timestamp(1_767_323_045_678_000 + row as i64),
            ]);
        }
        rows.into_records(Records::empty("speed/0".into(), Position::offset(0), Layout::Json))
    };
    let types = [
        Type::Bigint,
        Type::Text,
        Type::Integer,
        Type::Decimal { precision: 12, scale: 2 },
        Type::Boolean,
        Type::Timestamp,
    ];
    let fields = || names.iter().zip(types).map(|(name, ty)| field(&[name], Want::As(ty))).collect();
    let known = rows();
    let looked_for = Records { layout: Layout::Json, ..known.clone() };
    let mut group = criterion.benchmark_group("table");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("rows to records", |bench| bench.iter(rows));
    for (what, records) in [("records to columns", &known), ("the same, looked for", &looked_for)] {
        let mut decoder = Decoder::new(fields());
        group.bench_function(what, |bench| bench.iter(|| decoder.decode(records)));
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let records = records();
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    let decoder = Decoder::new(vec![field(&["age"], Want::Number)]);
    let decoded = decoder.marking(["age"]).decode(&records);
    let set = [encode::Column { name: "age", array: &decoded.columns[0].array, raw: false, absent: None }];
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("overlay of one field", |bench| {
        bench.iter(|| encode::overlay(&records, &rows, &set, &[], &decoded.marks));
    });
    group.bench_function("documents of one column", |bench| {
        bench.iter(|| encode::documents_from_columns(&set, ROWS));
    });
    group.finish();
}

fn push(criterion: &mut Criterion) {
    let items: Vec<String> = (0..ROWS).map(|row| format!("{{\"data\":{}}}", record(row))).collect();
    let body = Bytes::from(format!("{{\"batchId\":\"b\",\"records\":[{}]}}", items.join(",")));
    let mut group = criterion.benchmark_group("pushed");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("check", |bench| bench.iter(|| pushed::check(&body).unwrap()));
    group.bench_function("read", |bench| bench.iter(|| pushed::read(&body, 0).unwrap()));
    group.finish();
}

criterion_group!(benches, decode, table, encode, push);
criterion_main!(benches);
