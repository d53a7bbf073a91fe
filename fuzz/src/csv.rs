//! CSV, from the bytes of a file to columns: the records and fields of the csv crate, and what RFC 4180 forbids is dead.
use crate::records;
use arrow::array::AsArray;
use dataflow_formats::decode::{Decoder, Field, Want};
use dataflow_sdk::records::{CsvLayout, Layout};
use dataflow_sources::file::testing as split;
use std::sync::Arc;

/// A file without header; it has as many columns as its first record.
pub fn check(data: &[u8]) {
    if data.windows(2).any(|pair| pair == b"\r\"") {
        return; // the csv crate doesn't tell a quoted carriage return from one of a line break
    }
    let found = split::whole(data, true);
    let expected = oracle(data);
    assert_eq!(found.len(), expected.len(), "records of {:?}", String::from_utf8_lossy(data));
    let Some(width) = expected.first().map(Vec::len) else { return };
    let columns: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
    let fields: Vec<Field> = columns.iter().map(|name| Field { path: vec![name.clone()], want: Want::Text }).collect();
    let more = [Want::Infer, Want::Number, Want::Boolean, Want::Time]
        .map(|want| Field { path: vec![columns[0].clone()], want });
    let fields = fields.into_iter().chain(more).collect();
    let layout = CsvLayout { delimiter: b',', quote: b'"', columns, null_values: Vec::new(), header: None };
    let records = records::of(found.iter().map(|record| &*record.bytes), Layout::Csv(Arc::new(layout)));
    let decoded = Decoder::new(fields).decode(&records);
    let mut broken = decoded.broken.iter().peekable();
    for (row, (record, fields)) in found.iter().zip(&expected).enumerate() {
        let dead = broken.next_if(|dead| dead.row == row as u32).map(|dead| dead.code);
        let said = String::from_utf8_lossy(&record.bytes);
        match std::str::from_utf8(&record.bytes) {
            Err(_) => assert_eq!(dead, Some("not-utf8"), "{said:?}"),
            Ok(text) if !is_quoted_well(text) => assert_eq!(dead, Some("not-csv"), "{said:?}"),
            Ok(_) if fields.len() != width => assert_eq!(dead, Some("csv-fields"), "{said:?}"),
            Ok(_) => {
                assert_eq!(dead, None, "{said:?}");
                for (column, field) in decoded.columns.iter().zip(fields) {
                    assert_eq!(column.array.as_string::<i32>().value(row).as_bytes(), field, "{said:?}");
                }
            }
        }
        assert!(dead.is_none() || decoded.columns.iter().all(|column| crate::json::is_null(column, row)));
    }
    assert_eq!(broken.next(), None);
}

/// What the csv crate makes of it. It ends records at line feeds alone; a carriage return before one is no part of the
/// last field, and a line of nothing else is no record.
fn oracle(data: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut builder = csv::ReaderBuilder::new();
    let builder = builder.has_headers(false).flexible(true).terminator(csv::Terminator::Any(b'\n'));
    let records = builder.from_reader(data).into_byte_records().map(|record| {
        let record = record.unwrap();
        let mut fields: Vec<Vec<u8>> = record.iter().map(<[u8]>::to_vec).collect();
        let written = &data[record.position().unwrap().byte() as usize..];
        let blank = fields == [b"\r"] && !written.split(|byte| *byte == b'\r').next().unwrap().contains(&b'"');
        if let Some(last) = fields.last_mut()
            && last.last() == Some(&b'\r')
        {
            last.pop();
        }
        (!blank).then_some(fields)
    });
    records.flatten().collect()
}

/// Whether every field that begins with a quote ends with one, quotes inside doubled.
fn is_quoted_well(record: &str) -> bool {
    let mut rest = record;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut at = 0;
            loop {
                let Some(found) = quoted[at..].find('"') else { return false };
                at += found + 1;
                match quoted[at..].strip_prefix('"') {
                    Some(_) => at += 1,
                    None => break,
                }
            }
            rest = &quoted[at..];
            if !rest.is_empty() && !rest.starts_with(',') {
                return false;
            }
        }
        match rest.split_once(',') {
            Some((_, next)) => rest = next,
            None => return true,
        }
    }
}
