//! Files that nobody writes, unless to do harm, and damaged ones.
use super::super::{Opened, Part, Source, Table};
use crate::file::split::Caps;
use dataflow_sdk::{
    Error, Records,
    records::{Layout, Oversized},
};
use serde_json::{Value, json};
use std::io::Write;

const SYNC: [u8; 16] = [7; 16];

fn long(value: i64) -> Vec<u8> {
    let (mut value, mut bytes) = ((value << 1 ^ value >> 63) as u64, Vec::new());
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&long(bytes.len() as i64), bytes].concat()
}

fn header(schema: &Value) -> Vec<u8> {
    [b"Obj\x01", &long(1)[..], &sized(b"avro.schema"), &sized(schema.to_string().as_bytes()), &[0], &SYNC].concat()
}

fn block(rows: i64, bytes: &[u8]) -> Vec<u8> {
    [&long(rows), &sized(bytes)[..], &SYNC].concat()
}

fn source(bytes: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Source { name: "a.avro".into(), file: std::sync::Arc::new(file) }
}

const CAPS: Caps = Caps { records: 100, bytes: 1 << 20, record_bytes: 1 << 20 };

fn open(bytes: &[u8]) -> Result<Table, Error> {
    match super::open(source(bytes), CAPS)? {
        Opened::Ready(table) => Ok(table),
        Opened::Unfinished(why) => panic!("{why}"),
    }
}

fn table(schema: &Value, blocks: &[Vec<u8>]) -> Table {
    open(&[header(schema), blocks.concat()].concat()).unwrap()
}

fn records(Part { rows, .. }: Part) -> Records {
    rows.into_records(Records::empty(
        dataflow_core::position::Partition("a".into()),
        dataflow_core::position::Position::offset(0),
        Layout::Json,
    ))
}

fn texts(part: Part) -> Vec<String> {
    let records = records(part);
    records.spans.iter().map(|span| String::from_utf8(span.of(&records.data).to_vec()).unwrap()).collect()
}

/// The records that come before the error, and its code.
fn until_error(table: &mut Table) -> (Vec<String>, String) {
    let mut read = Vec::new();
    loop {
        match table.next() {
            Ok(Some(part)) => read.extend(texts(part)),
            Ok(None) => panic!("no error after {read:?}"),
            Err(error) => return (read, error.code().to_owned()),
        }
    }
}

fn record(name: &str, fields: &Value) -> Value {
    json!({"type": "record", "name": name, "fields": fields})
}

#[test]
fn a_record_of_no_bytes_does_not_write_without_end() {
    let mut ty = record("r0", &json!([]));
    for nth in 1..37 {
        ty = record(
            &format!("r{nth}"),
            &json!([{"name": "a", "type": ty}, {"name": "b", "type": format!("r{}", nth - 1)}]),
        );
    }
    let (read, code) = until_error(&mut table(&ty, &[block(1, b"")]));
    assert_eq!((read.len(), &*code), (0, "file-damaged"));
    let own = record("r", &json!([{"name": "a", "type": "r"}]));
    assert_eq!(until_error(&mut table(&own, &[block(1, b"")])).1, "file-damaged");
}

#[test]
fn what_is_too_large_is_a_record_nevertheless() {
    // Much more than is written of it.
    let schema = record("r", &json!([{"name": "a", "type": {"type": "array", "items": "r0"}}]));
    let wide: Vec<_> = (0..1000).map(|nth| json!({"name": format!("a{nth}"), "type": "null"})).collect();
    let schema = record("r", &json!([{"name": "z", "type": record("r0", &json!(wide))}, schema["fields"][0]]));
    let many = [long(20_000), long(0)].concat();
    let rows = [long(0), many, long(0)].concat();
    let part = table(&schema, &[block(3, &rows)]).next().unwrap().unwrap();
    let records = records(part);
    let large: Vec<_> = records.oversized.iter().map(|Oversized { row, length, .. }| (*row, *length)).collect();
    assert_eq!(records.len(), 3);
    assert_eq!(large, [(1, (64 << 20) + 1)]);
    // A text of which each byte is written as six.
    let schema = record("r", &json!([{"name": "a", "type": "string"}]));
    let rows = [sized(&vec![0; 100 << 20]), sized(b"x")].concat();
    let mut table = table(&schema, &[block(2, &rows)]);
    let mut read = Vec::new();
    while let Some(part) = table.next().unwrap() {
        read.push(self::records(part));
    }
    assert_eq!(read.iter().map(|records| (records.len(), records.oversized.len())).collect::<Vec<_>>(), [(2, 1)]);
}

#[test]
fn the_records_before_it_do_not_make_one_too_large() {
    let schema = record("r", &json!([{"name": "a", "type": {"type": "array", "items": "string"}}]));
    let row = [long(1), sized(&vec![b'x'; 1 << 19]), long(0)].concat();
    let mut table = table(&schema, &[block(300, &row.repeat(300))]);
    let (mut count, mut large) = (0, 0);
    while let Some(part) = table.next().unwrap() {
        let records = records(part);
        (count, large) = (count + records.len(), large + records.oversized.len());
    }
    assert_eq!((count, large), (300, 0));
}

#[test]
fn a_number_has_no_more_digits_than_are_worth_it() {
    let decimal = |scale: i64| json!({"type": "bytes", "logicalType": "decimal", "precision": scale, "scale": scale});
    let schema =
        record("r", &json!([{"name": "a", "type": decimal(i32::MAX.into())}, {"name": "b", "type": decimal(2)}]));
    let row = [sized(&[1]), sized(&vec![1; 1 << 18])].concat();
    let read = texts(table(&schema, &[block(1, &row)]).next().unwrap().unwrap());
    assert!(read[0].starts_with(r#"{"a":"AQ==","b":"AQEB"#), "{}", &read[0][..40]);
}

#[test]
fn a_record_may_be_wrapped() {
    let inner = record("r", &json!([{"name": "a", "type": "int"}, {"name": "b", "type": "string"}]));
    let bytes = [long(1), sized(b"x")].concat();
    for schema in [json!({"type": inner}), json!({"type": inner, "fields": [{"name": "c", "type": "int"}]}), inner] {
        assert_eq!(texts(table(&schema, &[block(1, &bytes)]).next().unwrap().unwrap()), [r#"{"a":1,"b":"x"}"#]);
    }
}

#[test]
fn numbers_of_rows_do_not_overflow() {
    let schema = record("r", &json!([{"name": "a", "type": "int"}]));
    let blocks = [block(1, &long(5)), block(i64::MAX, b""), block(i64::MAX, b""), block(i64::MAX, b"")];
    let Table::Avro(mut avro) = table(&schema, &blocks) else { panic!() };
    assert_eq!(avro.count().unwrap_err().code(), "file-damaged");
    assert_eq!(avro.seek(u64::MAX).unwrap_err().code(), "file-damaged");
    assert_eq!(until_error(&mut table(&schema, &blocks)), (vec![r#"{"a":5}"#.to_owned()], "file-damaged".to_owned()));
}

#[test]
fn records_before_a_damaged_one_are_read() {
    let schema = record("r", &json!([{"name": "a", "type": "boolean"}]));
    let good = vec![r#"{"a":true}"#.to_owned(); 2];
    for bad in [&[1, 1, 7][..], &[1, 1], &[1, 1, 1, 1]] {
        let mut table = table(&schema, &[block(3, bad), block(1, &[0])]);
        assert_eq!(until_error(&mut table), (good.clone(), "file-damaged".to_owned()), "{bad:?}");
        assert_eq!(table.next().unwrap_err().code(), "file-damaged");
        table.seek(2).unwrap().unwrap();
        assert_eq!(table.next().unwrap_err().code(), "file-damaged");
    }
}

#[test]
fn a_list_of_nodes_may_be_long() {
    let node = record("node", &json!([{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "node"]}]));
    let list = |nodes: usize| [[long(1), long(1)].concat().repeat(nodes - 1), long(1), long(0)].concat();
    for nodes in [257, 1_000, 20_000] {
        let rows = [list(nodes), list(1)].concat();
        let read = texts(table(&node, &[block(2, &rows)]).next().unwrap().unwrap());
        assert_eq!(read[0].matches("\"v\"").count(), nodes);
        assert_eq!(read[1], r#"{"v":1,"next":null}"#);
    }
}

#[test]
fn damage_is_not_waited_for() {
    let schema = record("r", &json!([{"name": "a", "type": "int"}]));
    let header = header(&schema);
    for wrong in [vec![0xff; 11], [long(1), long(-5)].concat(), [long(1), vec![0xff; 11]].concat()] {
        let error = super::open(source(&[b"Obj\x01", &wrong[..]].concat()), CAPS).unwrap_err();
        assert_eq!(error.code(), "file-damaged", "{wrong:?}");
    }
    for wrong in [vec![0xff; 11], [long(1), vec![0xff; 11]].concat(), [long(1), long(-1)].concat()] {
        assert_eq!(until_error(&mut open(&[&header[..], &wrong].concat()).unwrap()).1, "file-damaged", "{wrong:?}");
    }
    let huge = [&header[..], &long(1), &long(i64::MAX / 2)].concat();
    assert_eq!(until_error(&mut open(&huge).unwrap()).1, "unsupported");
    for cut in [&long(300)[..1], &long(1)[..], &[&long(1)[..], &long(9), b"abc"].concat()] {
        let mut table = open(&[&header[..], cut].concat()).unwrap();
        assert!(table.next().unwrap().is_none() && table.cut().is_some(), "{cut:?}");
    }
}
