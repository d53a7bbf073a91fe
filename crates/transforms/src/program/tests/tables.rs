//! A program makes of the rows of a table what it makes of the same records as JSON, and takes the types of their columns.
use super::*;
use dataflow_formats::encode::{Rows, Value as Of};

fn types() -> Vec<Column> {
    vec![
        column("id", Type::Bigint),
        column("amount", Type::Decimal { precision: 12, scale: 2 }),
        column("at", Type::Timestamp),
        column("doc", Type::Json),
        column("tags", Type::Json),
        column("uid", Type::Uuid),
        column("bytes", Type::Binary),
        column("note", Type::Text),
        column("ok", Type::Boolean),
        column("ratio", Type::Double),
    ]
}

fn orders() -> Arc<Records> {
    let mut rows = Rows::new(types().into(), usize::MAX);
    rows.push([
        Of::Integer(1),
        Of::Number("12.50"),
        Of::Timestamp(1_767_323_045_600_000),
        Of::Json(r#"{"city":"Ulm"}"#),
        Of::Json("[1,2]"),
        Of::Text("6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        Of::Binary(b"\0\xff"),
        Of::Text("a \"b\"\n"),
        Of::Boolean(true),
        Of::Double(0.1),
    ]);
    rows.push([Of::Integer(2)].into_iter().chain([Of::Null; 8]).chain([Of::Missing]));
    rows.push([
        Of::Integer(-3),
        Of::Number("NaN"),
        Of::Timestamp(-1),
        Of::Json("[{}]"),
        Of::Null,
        Of::Text("no uuid"),
        Of::Binary(b""),
        Of::Text(""),
        Of::Boolean(false),
        Of::Double(f64::INFINITY),
    ]);
    let offsets = (0..3).collect();
    Arc::new(rows.into_records(Records { offsets, ..Records::empty("shop".into(), Position::offset(0), Layout::Json) }))
}

#[test]
fn it_comes_out_as_the_same_json_does() {
    let orders = orders();
    let texts = Arc::new(Records { layout: Layout::Json, ..Records::clone(&orders) });
    let programs = [
        json!([]),
        json!([{"type": "filter", "condition": "amount > 10 or id < 0"}]),
        json!([{"type": "filter", "condition": "at < '2026-01-01'"}]),
        json!([{"type": "map", "set": {"amount": "amount * 2", "city": "doc.city"}, "remove": ["note"]}]),
        json!([{"type": "map", "select": ["id", "tags", "ok"]}]),
        json!([{"type": "sql", "query": "select id, unnest(tags) as tag, ratio from input"}]),
    ];
    for transforms in programs {
        for demand in [Demand::Documents, Demand::Lines, Demand::Columns(types())] {
            let shown = |records: &Arc<Records>| {
                let mut plan = plan(spec(transforms.clone(), json!({})), demand.clone());
                plan.declared.sink.unknown_fields = Some(UnknownFields::Ignore);
                let made = program(&plan).process(records.clone()).unwrap();
                let rows = if let Demand::Columns(_) = &demand { table(&made) } else { documents(&made) };
                (rows, dead(&made), made.filtered, made.warnings)
            };
            assert_eq!(shown(&orders), shown(&texts), "{transforms} {demand:?}");
        }
    }
}

#[test]
fn columns_have_the_types_of_the_source() {
    let inferred = |records: &Arc<Records>, condition: &str| {
        let transforms = json!([{"type": "filter", "condition": condition}]);
        let mut program = program(&plan(spec(transforms, json!({})), Demand::AllColumns));
        program.infer(records).unwrap().columns
    };
    let orders = orders();
    assert_eq!(inferred(&orders, "id > 0"), types());
    // Of that one, nothing else has a value.
    assert_eq!(inferred(&orders, "id = 2"), types()[..9]);
    let texts = Arc::new(Records { layout: Layout::Json, ..Records::clone(&orders) });
    assert_eq!(inferred(&texts, "id = 2"), types()[..1]);
}
