//! Records per second that one thread decodes: `cargo run -p dataflow-formats --example decode_speed --release`.
use bytes::Bytes;
use dataflow_core::{
    position::Position,
    types::{Learned, Type},
};
use dataflow_formats::{
    decode::{Decoder, Field, Want},
    encode, pushed,
};
use dataflow_sdk::records::{Layout, Records, Span};
use std::time::{Duration, Instant};

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

/// Runs something on a batch of records again and again for a while and prints how fast it went.
fn measure(what: &str, bytes: usize, mut run: impl FnMut()) {
    run();
    let begin = Instant::now();
    let mut rounds = 0_u32;
    while begin.elapsed() < Duration::from_secs(1) {
        run();
        rounds += 1;
    }
    let seconds = begin.elapsed().as_secs_f64() / f64::from(rounds);
    let (records, megabytes) = (ROWS as f64 / seconds / 1e6, bytes as f64 / seconds / 1e6);
    println!("{what:<44} {records:8.2} million records/s {megabytes:8.0} MB/s");
}

fn main() {
    let records = records();
    let bytes = records.data.len();
    println!("{ROWS} records of {} bytes", bytes / ROWS);
    measure("UTF-8 alone", bytes, || assert!(std::str::from_utf8(&records.data).is_ok()));
    let field = |path: &[&str], want| Field { path: path.iter().map(|key| (*key).into()).collect(), want };
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
    for (what, fields) in cases {
        let mut decoder = Decoder::new(fields, &Learned::default());
        measure(what, bytes, || assert!(decoder.decode(&records).broken.is_empty()));
    }
    let mut decoder = Decoder::new(vec![field(&["age"], Want::Number)], &Learned::default());
    let age = decoder.decode(&records).columns.swap_remove(0).array;
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    let set = [encode::Column { name: "age", array: &age, raw: false }];
    measure("overlay of one field", bytes, || {
        assert!(encode::overlay(&records, &rows, &set, &[], None).misfits.is_empty())
    });
    measure("documents of one column", bytes, || {
        assert!(encode::documents_from_columns(&set, ROWS).misfits.is_empty());
    });
    let items: Vec<String> = (0..ROWS).map(|row| format!("{{\"data\":{}}}", record(row))).collect();
    let body = Bytes::from(format!("{{\"batchId\":\"b\",\"records\":[{}]}}", items.join(",")));
    measure("check of a pushed batch", body.len(), || assert!(pushed::check(&body).is_ok()));
    measure("read of a pushed batch", body.len(), || assert!(pushed::read(&body, 0).is_ok()));
}
