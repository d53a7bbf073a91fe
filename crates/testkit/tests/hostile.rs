//! Hostile input gets the verdict of the table, and that of serde_json and the csv crate.
#![allow(clippy::unwrap_used)]
use dataflow_core::{position::Position, types::Type};
use dataflow_formats::decode::{Decoder, Field, Want};
use dataflow_sdk::records::{Layout, Records, Span};
use dataflow_testkit::hostile;

#[test]
fn json_has_the_verdict_of_rfc_8259() {
    let wants = [Want::Infer, Want::Number, Want::Literal, Want::As(Type::Json), Want::Text, Want::As(Type::Bigint)];
    for (text, code) in hostile::json() {
        let fields = wants.iter().map(|want| Field { path: vec!["a".into()], want: *want }).collect();
        let mut records = Records::empty("p/0".into(), Position::offset(0), Layout::Json);
        records.spans.push(Span::new(0, text.len()));
        records.offsets.push(0);
        records.data = text.clone().into();
        let decoded = Decoder::new(fields).decode(&records);
        let found: Vec<&str> = decoded.broken.iter().map(|dead| dead.code).collect();
        let said = String::from_utf8_lossy(&text[..text.len().min(200)]);
        assert_eq!(found, Vec::from_iter(code), "{said:?}");
        assert!(decoded.broken.iter().all(|dead| dead.cause.len() < 300), "{:?}", decoded.broken);
        dataflow_fuzz::json::check(&text);
    }
}

#[test]
fn csv_has_the_verdict_of_rfc_4180() {
    for (text, _) in hostile::csv() {
        dataflow_fuzz::csv::check(&[&b"a,b,c\n"[..], &text].concat());
    }
}
