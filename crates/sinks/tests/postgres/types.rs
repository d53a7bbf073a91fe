//! Values of each type.
use crate::target::*;
use std::sync::Arc;

#[tokio::test]
async fn every_type_arrives_as_it_was_sent() {
    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Int16Array, Int32Array,
        TimestampMicrosecondArray,
    };
    let types = "a bool, b int2, c int4, d int8, e float4, f float8, g numeric(10,2), h numeric, i text, j timestamptz, k timestamp, l date, \
        m uuid, n json, o jsonb, p bytea, q mood, r citext_like, s char(3)";
    let setup = format!(
        "create type mood as enum ('sad', 'glad'); create domain citext_like as varchar(9); create table users ({types})"
    );
    for (copies, extra) in [(1, ""), (100, ""), (1, ", t inet, u interval"), (100, ", t inet, u interval")] {
        let setup = setup.replace("s char(3)", &format!("s char(3){extra}"));
        let Some(target) = Target::new(&setup, json!({})).await else { return };
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![Some(text), None])) };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            Arc::new(Int16Array::from(vec![Some(-2), None])),
            Arc::new(Int32Array::from(vec![Some(3), None])),
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None])),
            Arc::new(Float32Array::from(vec![Some(1.5), None])),
            Arc::new(Float64Array::from(vec![Some(0.1), None])),
            Arc::new(Decimal128Array::from(vec![Some(-1234), None]).with_precision_and_scale(10, 2).unwrap()),
            texts("12345678901234567890.000123e2"),
            texts("t\u{e4}\t\\N\n"),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("UTC")),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None])),
            Arc::new(Date32Array::from(vec![Some(20_780), None])),
            texts("67e55044-10b1-426f-9247-bb680e5fe0c8"),
            texts("{\"a\": 1}"),
            texts("{\"b\": [1, 2.50]}"),
            Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None])),
            texts("glad"),
            texts("dom"),
            texts("ab"),
        ];
        if !extra.is_empty() {
            columns.extend([texts("10.0.0.1"), texts("1 day")]);
        }
        let outputs = vec![with_columns(&demand, columns); copies];
        let committed = writer.commit(&outputs.clone().into(), &token(&fence("p", 1), 1)).await.unwrap();
        assert_eq!(committed.rows_written, copies as u64 * 2);
        target.client.batch_execute("set timezone to 'UTC'").await.unwrap();
        let rows = target.texts("select distinct row_to_json(users)::jsonb::text from users order by 1").await;
        let mut expected = json!({"a": true, "b": -2, "c": 3, "d": i64::MAX, "e": 1.5, "f": 0.1, "i": "t\u{e4}\t\\N\n",
            "j": "1970-01-01T00:00:01.5+00:00", "k": "1969-12-31T23:59:59.999999", "l": "2026-11-23",
            "m": "67e55044-10b1-426f-9247-bb680e5fe0c8", "n": {"a": 1}, "p": "\\x00ff", "q": "glad", "r": "dom", "s": "ab "});
        if !extra.is_empty() {
            expected["t"] = json!("10.0.0.1");
            expected["u"] = json!("1 day");
        }
        let mut found: serde_json::Value =
            serde_json::from_str(rows.iter().flatten().find(|row| row.contains("glad")).unwrap()).unwrap();
        for exact in ["g", "h", "o"] {
            found.as_object_mut().unwrap().remove(exact);
        }
        assert_eq!(found, expected);
        let exact = target.texts("select distinct concat_ws(' ', g, h, o) from users where a order by 1").await;
        assert_eq!(exact, [Some("-12.34 1234567890123456789000.0123 {\"b\": [1, 2.50]}".into())]);
        assert_eq!(
            target.texts("select count(*)::text from users where users is null").await,
            [Some(copies.to_string())]
        );
        target.drop().await;
    }
}

/// What is known of a type of an extension is how it spells what it has taken: other numbers are other values.
#[tokio::test]
async fn a_type_of_an_extension_rounds_no_number_unnoticed() {
    for (extension, ty, kept, refused) in [
        (
            "seg",
            "seg",
            &["1.5", "1.50", "1 .. 2", "1..2", "< 1.5e1"][..],
            &["5(+-)0.3", "1.123456789", "1.5 .. 2.123456789"][..],
        ),
        (
            "cube",
            "cube",
            &["(0.1, 2)", "0.1,2", "(1e3),(-2.50)", "0.30000000000000004"],
            &["0.1234567890123456789", "1,9007199254740993"],
        ),
        ("isn", "isbn13", &["9780393040029", "978-0-393-04002-9"], &[]),
        ("ltree", "ltree", &["Top.a1.b2"], &[]),
        ("hstore", "hstore", &["2=>3, 1=>4"], &[]),
        ("cube", "cube[]", &["[\"(1,2)\", null]"], &["[\"1\", \"0.1234567890123456789\"]"]),
    ] {
        let setup = format!("{} create table users (v {ty})", extension_statement(extension));
        let Some(target) = Target::new(&setup, json!({})).await else { return };
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let mut sequence = 0;
        for (texts, taken) in [(kept, true), (refused, false)] {
            for text in texts {
                let rows = with_columns(&demand, vec![Arc::new(StringArray::from(vec![*text])) as ArrayRef]);
                let done = writer.commit(&[rows].into(), &token(&fence("p", 1), sequence + 1)).await;
                sequence += u64::from(done.is_ok());
                assert_eq!(done.is_ok(), taken, "{ty} {text}: {done:?}");
                assert!(matches!(done, Ok(_) | Err(CommitError::Rejected(_))), "{ty} {text}: {done:?}");
            }
        }
        assert_eq!(target.texts("select v::text from users").await.len(), kept.len(), "{ty}");
        target.drop().await;
    }
}
