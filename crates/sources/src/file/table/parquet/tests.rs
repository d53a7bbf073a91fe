//! Files that nobody writes, unless to do harm, and damaged ones.
use super::super::{Opened, Source, Table};
use crate::file::split::Caps;
use ::parquet::{
    arrow::ArrowWriter,
    file::metadata::{ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter},
};
use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use dataflow_sdk::Error;
use std::{io::Write, sync::Arc};

const CAPS: Caps = Caps { records: 64, bytes: 1 << 20, record_bytes: 1 << 20 };

fn open(bytes: &[u8], caps: Caps) -> Result<Table, Error> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    match super::open(Source { name: "a.parquet".into(), file: Arc::new(file) }, caps)? {
        Opened::Ready(table) => Ok(table),
        Opened::Unfinished(why) => panic!("{why}"),
    }
}

/// A file of nothing but this footer.
fn with_footer(footer: &[u8]) -> Vec<u8> {
    [b"PAR1", footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

/// A file of these row groups, of one column each.
fn written(groups: &[ArrayRef]) -> Vec<u8> {
    let batch = |column: &ArrayRef| RecordBatch::try_from_iter([("a", column.clone())]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch(&groups[0]).schema(), None).unwrap();
    for group in groups {
        writer.write(&batch(group)).unwrap();
        writer.flush().unwrap();
    }
    writer.into_inner().unwrap()
}

/// The same, of which the footer says that its row groups have so many rows.
fn claims(bytes: &[u8], rows: &[i64]) -> Vec<u8> {
    let read = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::copy_from_slice(bytes)).unwrap();
    let groups = read.row_groups().iter().zip(rows);
    let groups =
        groups.map(|(group, rows)| group.clone().into_builder().set_num_rows(*rows).build().unwrap()).collect();
    let metadata = ParquetMetaData::new(read.file_metadata().clone(), groups);
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let mut out = bytes[..bytes.len() - 8 - footer].to_vec();
    let mut end = Vec::new();
    ParquetMetaDataWriter::new(&mut end, &metadata).finish().unwrap();
    out.append(&mut end);
    out
}

/// The number of rows that come before the error, and its code.
fn until_error(table: &mut Table) -> (usize, String) {
    let mut read = 0;
    loop {
        match table.next() {
            Ok(Some(part)) => read += part.rows.len(),
            Ok(None) => panic!("no error after {read} rows"),
            Err(error) => return (read, error.code().to_owned()),
        }
    }
}

fn ints(count: i32) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(0..count))
}

#[test]
fn a_footer_does_not_end_the_process() {
    use super::footer::tests::{chain, groups};
    for (footer, code) in
        [(groups((1 << 31) - 1), "file-damaged"), (chain(500_000), "unsupported"), (vec![], "file-damaged")]
    {
        assert_eq!(open(&with_footer(&footer), CAPS).unwrap_err().code(), code);
    }
}

#[test]
fn numbers_of_rows_do_not_overflow() {
    // The library writes no such sum, but numbers of as many bytes.
    let some = [(1 << 62) + 3, -(1 << 62) - 1, (1 << 62) + 5];
    let mut bytes = claims(&written(&[ints(1), ints(1), ints(1)]), &some);
    let number = |value: i64| super::footer::tests::number((value << 1 ^ value >> 63) as u64);
    for value in some {
        let at = bytes.windows(10).position(|place| place == number(value)).unwrap();
        bytes[at..at + 10].copy_from_slice(&number(i64::MAX));
    }
    assert_eq!(open(&bytes, CAPS).unwrap_err().code(), "file-damaged");
}

#[test]
fn a_row_group_has_as_many_rows_as_the_footer_says() {
    let bytes = written(&[ints(150), ints(50)]);
    assert_eq!(open(&claims(&bytes, &[150, 50]), CAPS).unwrap().seek(200).unwrap(), Ok(()));
    for wrong in [100, 128, 149, 151, 200] {
        let bytes = claims(&bytes, &[wrong, 50]);
        let mut table = open(&bytes, CAPS).unwrap();
        let (read, code) = until_error(&mut table);
        assert!(read <= 150 && code == "file-damaged", "{wrong}: {read} {code}");
        // Nothing is read by who goes on there, either.
        for _ in 0..2 {
            assert_eq!(until_error(&mut table), (0, code.clone()), "{wrong}");
            table.seek(read as u64).unwrap().unwrap();
        }
    }
}

#[test]
fn records_before_a_damaged_one_are_read() {
    let whole = written(&[ints(50), ints(50)]);
    let second = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::copy_from_slice(&whole)).unwrap();
    let at = second.row_group(1).column(0).byte_range().0 as usize;
    let mut bytes = whole;
    bytes[at..at + 8].fill(0xff);
    let mut table = open(&bytes, CAPS).unwrap();
    assert_eq!(until_error(&mut table), (50, "file-damaged".to_owned()));
    assert_eq!(until_error(&mut table), (0, "file-damaged".to_owned()));
}

#[test]
fn what_is_too_large_is_a_record_nevertheless() {
    // Each byte is written as six.
    let large = "\0".repeat(100 << 20);
    let column: ArrayRef = Arc::new(StringArray::from(vec!["x", large.as_str(), "y"]));
    let mut table = open(&written(&[column]), CAPS).unwrap();
    let mut rows = 0;
    while let Some(part) = table.next().unwrap() {
        rows += part.rows.len();
    }
    assert_eq!(rows, 3);
}
