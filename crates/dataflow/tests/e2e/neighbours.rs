//! What a record becomes depends on the record and the spec, never on which others share its batch: files and tables are the same to
//! the byte, and so are the dead letters, however the records are cut. (`transforms/src/program/tests/neighbours.rs` holds that of
//! transforms alone, on any lanes: these sinks have one.)
use crate::program::output;
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Draws one of several.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// A line of JSON, now and then with a value of another class, null, or without a field.
fn line(draw: &mut Draw) -> String {
    let fields: [(&str, &[&str]); 6] = [
        ("id", &[r#""a""#, r#""A""#, r#""b""#, r#""B ""#, r#""c""#, "null"]),
        ("n", &["0", "1", "3", "19.99", "1e3", "9007199254740993", "12345678901234567890", r#""x""#, "true", "[1]"]),
        ("m", &["0.1", "0.30000000000000004", "1e300", "1e-400", "2", r#""1.5""#]),
        ("s", &[r#""""#, r#""a""#, r#""B é""#, r#""12""#, r#""x\ny,\"z\"""#, "7", r#"{"b": 1}"#]),
        ("t", &[r#""2026-01-02T03:04:05Z""#, r#""2026-01-02 03:04:05.5+01:00""#, r#""yesterday""#, r#""0001-01-01""#]),
        ("p", &["1", "2", "9", "null"]),
    ];
    let mut members = Vec::new();
    for (name, values) in fields {
        match draw.below(8) {
            0 if name != "id" => {}
            1 => members.push(format!("\"{name}\": null")),
            _ => members.push(format!("\"{name}\": {}", draw.one(values))),
        }
    }
    members.extend((draw.below(6) == 0).then(|| r#""o": "d""#.to_owned()));
    format!("{{{}}}", members.join(", "))
}

fn transforms(draw: &mut Draw) -> Value {
    let filter = |condition: &str| json!({"type": "filter", "condition": condition});
    let all = [
        json!([]),
        json!([filter("n > 0 or n is null")]),
        json!([{"type": "map", "set": {"s": "concat(s, n)", "m": "m * 2"}}]),
        json!([filter("id <> 'c'"), {"type": "map", "set": {"n": "cast(n as bigint)", "s": "coalesce(s, id)"}}]),
        json!([{"type": "sql", "query": "select id, n, m / 3 as m, upper(s) as s, t, p, o from input where p is not null"}]),
    ];
    all[draw.below(all.len())].clone()
}

/// Tables whose rules depend on other rows, on what a record lacks, and on how often a row is written.
const TABLES: &str = "create table parents (id integer primary key); insert into parents values (1), (2); \
    create table keyed (id text primary key collate nocase, n integer check (n <> 3), m double not null default 0.5, s text unique, \
        t datetime, p integer references parents deferrable initially deferred, of text references keyed); \
    create table appended (id text not null, n numeric, m double, s text, t datetime, p integer references parents); \
    create table log (number integer primary key autoincrement, what text); \
    create trigger added after insert on keyed begin insert into log (what) values ('+' || new.id); end; \
    create trigger changed after update on keyed begin insert into log (what) values ('=' || new.id || coalesce(new.n, '')); end; \
    create trigger refused before update on keyed when new.m = 0.1 begin select raise(abort, 'not this one'); end";

/// All that a run leaves behind, as one text.
fn left(folder: &Path, spec: &Value) -> String {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (data, file) = (path("data"), path("spec.json"));
    let database = rusqlite::Connection::open(path("out.db")).unwrap();
    database.execute_batch(TABLES).unwrap();
    fs::write(&file, spec.to_string()).unwrap();
    let (code, said, why) = output(&["run", &file, "--data-dir", &data]);
    assert!(code == 0 || code == 3, "{spec}: {said}{why}");
    let mut left = String::new();
    for name in ["out.jsonl", "out.csv"] {
        left += &format!("{name}:\n{}", fs::read_to_string(path(name)).unwrap_or_default());
    }
    let columns =
        "quote(id) || ' ' || quote(n) || ' ' || quote(m) || ' ' || quote(s) || ' ' || quote(t) || ' ' || quote(p)";
    for (table, row) in [("keyed", columns), ("appended", columns), ("log", "number || ' ' || what"), ("made", columns)]
    {
        left += &format!("{table}:\n");
        let Ok(mut rows) = database.prepare(&format!("select {row} from {table} order by rowid")) else { continue };
        let rows = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.for_each(|row| left += &(row.unwrap() + "\n"));
    }
    let (code, listed, why) =
        output(&["dead-letters", "list", "cut", "--data-dir", &data, "--output", "json", "--limit", "1000"]);
    assert_eq!(code, 0, "{why}");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut letters: Vec<String> = listed["items"]
        .as_array()
        .unwrap_or_else(|| panic!("{listed:#}"))
        .iter()
        .map(|letter| {
            let said = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
            ["sink", "position", "stage", "code", "cause"].map(said).join(" ")
        })
        .collect();
    letters.sort();
    left + &letters.join("\n")
}

fn same_however_it_is_cut(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut draw = Draw(seed);
        let records = 1 + draw.below(60);
        let lines: String = (0..records).map(|_| line(&mut draw) + "\n").collect();
        let transforms = transforms(&mut draw);
        let schema = draw.one(&["{}", r#"{"n": "bigint"}"#, r#"{"m": "double", "t": "timestamp"}"#]);
        let mismatch = draw.one(&["dead", "null"]);
        let cuts = [1, 2 + draw.below(7), records, 4096];
        let mut first: Option<String> = None;
        for (number, cut) in cuts.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs::write(path("in.jsonl"), &lines).unwrap();
            let table = |name: &str, more: &Value| {
                let mut sink = json!({"name": name, "type": "sqlite", "path": path("out.db"), "table": name, "unknownFields": "ignore"});
                sink.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                sink
            };
            let types =
                json!({"id": "text", "n": "number", "m": "double", "s": "text", "t": "timestamp", "p": "bigint"});
            let spec = json!({
                "pipelineId": "cut",
                "source": {"type": "file", "path": path("in.jsonl")},
                "transforms": transforms,
                "schema": serde_json::from_str::<Value>(schema).unwrap(),
                "onTypeMismatch": mismatch,
                "batch": {"maxRecords": cut},
                "sinks": [
                    {"name": "lines", "type": "file", "path": path("out.jsonl")},
                    {"name": "cells", "type": "file", "path": path("out.csv"), "columns": ["id", "n", "m", "s", "t", "p"]},
                    table("keyed", &json!({"op": "o"})),
                    table("appended", &json!({"mode": "append"})),
                    table("made", &json!({"key": "id", "columns": types})),
                ],
            });
            let left = left(folder.path(), &spec);
            match &first {
                None => first = Some(left),
                Some(first) => {
                    let differs = first.lines().zip(left.lines()).find(|(one, other)| one != other);
                    assert!(
                        *first == left,
                        "seed {seed}, in batches of {cut} (run {number}): {differs:?}\n{spec:#}\n{lines}\n{first}\n\n{left}"
                    );
                }
            }
        }
    }
}

#[test]
fn sinks_have_the_same_however_records_are_cut() {
    same_however_it_is_cut(0..6);
}

#[test]
#[ignore = "takes minutes: make test-long"]
fn sinks_have_the_same_however_records_are_cut_in_many_cases() {
    same_however_it_is_cut(6..200);
}
