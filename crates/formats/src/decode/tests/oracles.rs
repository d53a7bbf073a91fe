//! Compares with serde_json, arrow-json and the csv crate on the same records.
use super::*;
use arrow::datatypes::{Fields, Schema};
use proptest::prelude::*;
use serde_json::Value;

/// Top-level values by name; a few names repeat in any order.
fn objects() -> impl Strategy<Value = Vec<Vec<(String, Value)>>> {
    let member = (prop::sample::select(vec!["a", "b", "c.d", "é", "x\"y"]), crate::json::tests::values());
    let object = prop::collection::vec(member.prop_map(|(name, value)| (name.to_owned(), value)), 0..6);
    prop::collection::vec(object, 0..8)
}

/// Writes members in order, duplicates included.
fn write(members: &[(String, Value)], pretty: bool) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| {
            let value = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
            format!("{}{}{}", Value::from(name.as_str()), if pretty { " :\n" } else { ":" }, value.unwrap())
        })
        .collect();
    format!("{{{}}}", members.join(if pretty { " , " } else { "," }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_are_those_of_serde_json(objects in objects(), pretty in any::<bool>(), spoiled in any::<bool>()) {
        let texts: Vec<String> = objects.iter().map(|object| write(object, pretty)).collect();
        let names = ["a", "b", "c.d", "é", "x\"y"];
        let fields: Vec<_> = names.iter().map(|name| (*name, Want::As(Type::Json))).collect();
        // With a record that is not UTF-8, all are checked one by one.
        let mut bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        bytes.extend(spoiled.then_some(&b"\xff"[..]));
        let decoded = decoder(&fields).decode(&json(&bytes));
        prop_assert_eq!(decoded.broken.len(), usize::from(spoiled));
        for (name, column) in names.iter().zip(&decoded.columns) {
            for (row, text) in texts.iter().enumerate() {
                let object: Value = serde_json::from_str(text).unwrap();
                let found = column.array.as_string::<i32>();
                let found = (!column.array.is_null(row)).then(|| serde_json::from_str::<Value>(found.value(row)).unwrap());
                prop_assert_eq!(found.as_ref(), object.get(name).filter(|value| !value.is_null()));
            }
        }
        for key in &decoded.keys {
            let having = objects.iter().filter(|object| object.iter().any(|(name, _)| *name == key.name)).count();
            prop_assert_eq!(key.records, having as u64);
        }
    }

    #[test]
    fn records_are_broken_if_serde_json_says_so(pieces in prop::collection::vec(crate::json::tests::pieces(), 1..8)) {
        let texts: Vec<String> =
            pieces.iter().map(|piece| format!("{{\"a\":1,\"b\":{}}}", String::from_utf8_lossy(piece))).collect();
        let fields = vec![field(&["a"], Want::Number), field(&["b", "a"], Want::Infer)];
        let decoded = Decoder::new(fields).decode(&json(&texts));
        let broken: Vec<u32> = decoded.broken.iter().map(|dead| dead.row).collect();
        let expected = (0..).zip(&texts).filter(|(_, text)| serde_json::from_str::<serde_json::Map<_, _>>(text).is_err());
        prop_assert_eq!(broken, expected.map(|(row, _)| row).collect::<Vec<u32>>());
        let there = decoded.keys.iter().find(|key| key.name == "b").map_or(0, |key| key.records);
        prop_assert_eq!(there as usize, texts.len() - decoded.broken.len());
        prop_assert_eq!(decoded.columns[0].present as usize, texts.len() - decoded.broken.len());
    }

    #[test]
    fn columns_are_those_of_arrow_json(
        rows in prop::collection::vec((any::<Option<i64>>(), any::<Option<String>>(), any::<Option<bool>>(), any::<Option<i32>>(), -1e15..1e15_f64), 1..20),
    ) {
        let texts: Vec<String> = rows.iter().map(|(a, b, c, d, e)| {
            serde_json::json!({"skipped": [a, {"b": b}], "a": a, "b": b, "c": c, "inner": {"d": d}, "e": e}).to_string()
        }).collect();
        let inner = Fields::from(vec![arrow::datatypes::Field::new("d", DataType::Int32, true)]);
        let schema = Schema::new(vec![
            arrow::datatypes::Field::new("a", DataType::Int64, true),
            arrow::datatypes::Field::new("b", DataType::Utf8, true),
            arrow::datatypes::Field::new("c", DataType::Boolean, true),
            arrow::datatypes::Field::new("e", DataType::Float64, true),
            arrow::datatypes::Field::new("inner", DataType::Struct(inner), true),
        ]);
        let joined = texts.join("\n");
        let mut reader = arrow::json::ReaderBuilder::new(schema.into()).build(joined.as_bytes()).unwrap();
        let oracle = reader.next().unwrap().unwrap();
        let fields = vec![
            field(&["a"], Want::Number),
            field(&["b"], Want::Text),
            field(&["c"], Want::Boolean),
            field(&["e"], Want::As(Type::Double)),
            field(&["inner", "d"], Want::As(Type::Integer)),
        ];
        let decoded = Decoder::new(fields).decode(&json(&texts));
        for (at, column) in decoded.columns.iter().enumerate() {
            prop_assert_eq!(&column.misfits, &[]);
            let expected = if at == 4 { oracle.column(4).as_struct().column(0) } else { oracle.column(at) };
            prop_assert_eq!(&column.array, expected);
        }
    }

    #[test]
    fn integers_and_decimals_are_exact(unscaled in any::<i128>(), scale in 0_usize..20, zeros in 0_usize..4) {
        let unscaled = unscaled % 10_i128.pow(38);
        let digits = format!("{:0>1$}", unscaled.unsigned_abs(), scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{}{whole}{point}{fraction}{}", if unscaled < 0 { "-" } else { "" }, if scale > 0 { "0".repeat(zeros) } else { String::new() });
        let decimal = number::decimal(&text).unwrap();
        prop_assert_eq!(decimal.unscaled * 10_i128.pow(scale as u32 - decimal.scale), unscaled, "{}", text);
        let exponent = format!("{}e-{scale}", unscaled);
        prop_assert_eq!(number::decimal(&exponent), Some(decimal), "{}", exponent);
        prop_assert_eq!(number::integer(&unscaled.to_string()), i64::try_from(unscaled).ok());
    }

    #[test]
    fn doubles_are_the_nearest(value in any::<f64>()) {
        prop_assume!(value.is_finite());
        let text = format!("{value:e}");
        prop_assert_eq!(number::double(&text), Ok(value));
        let _ = number::decimal(&text); // any exponent
    }

    #[test]
    fn fields_are_those_of_the_csv_crate(fields in prop::collection::vec(prop::collection::vec("[a,\"é\n ]{0,6}", 3), 1..6)) {
        let mut writer = ::csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        let texts: Vec<String> = fields.iter().map(|record| {
            writer.write_record(record).unwrap();
            let mut one = ::csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
            one.write_record(record).unwrap();
            let mut text = String::from_utf8(one.into_inner().unwrap()).unwrap();
            text.pop();
            text
        }).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut records = super::csv(&["x", "y", "z"], &texts);
        if let Layout::Csv(layout) = &mut records.layout {
            Arc::make_mut(layout).null_values.clear();
        }
        let decoded = decoder(&[("x", Want::Text), ("y", Want::Text), ("z", Want::Text)]).decode(&records);
        prop_assert_eq!(&decoded.broken, &[]);
        for (row, record) in fields.iter().enumerate() {
            for (column, value) in decoded.columns.iter().zip(record) {
                prop_assert_eq!(column.array.as_string::<i32>().value(row), value);
            }
        }
    }

    #[test]
    fn no_bytes_do_any_harm(bytes in prop::collection::vec(any::<u8>(), 0..60), cut in any::<prop::sample::Index>()) {
        let mut mixed = json(&[&b"{\"a\":1}"[..], &bytes]);
        mixed.spans.push(Span::new(0, cut.index(mixed.data.len())));
        let fields = [("a", Want::Infer), ("a", Want::Number), ("a", Want::Literal)];
        decoder(&fields).decode(&mixed);
        mixed.layout = super::csv(&["a", "b"], &[]).layout;
        decoder(&fields).decode(&mixed);
    }
}
