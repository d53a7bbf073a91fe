//! A record's result is a function of the record and the spec: alone, in any batch, in any order, on any lane.
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A record and its time at the source.
type Line = (String, Option<i64>);

/// A spec and records for it.
#[derive(Clone, Debug)]
struct Case {
    transforms: Value,
    more: Value,
    demand: Demand,
    lines: Vec<Line>,
}

/// What became of a record: its rows, or why it is dead; nothing if it was filtered.
type Fate = Vec<String>;

const HEADER: [&str; 5] = ["n", "m", "d", "s", "t"];

fn gathered(case: &Case, rows: &[usize]) -> Arc<Records> {
    let lines: Vec<&str> = rows.iter().map(|row| case.lines[*row].0.as_str()).collect();
    let mut records = Arc::unwrap_or_clone(records(&lines));
    records.offsets = rows.iter().map(|row| *row as u64).collect();
    records.timestamps = Some(rows.iter().map(|row| case.lines[*row].1).collect());
    if case.more["source"]["format"] == "csv" {
        records.layout = Layout::Csv(Arc::new(CsvLayout {
            delimiter: b',',
            quote: b'"',
            columns: HEADER.map(String::from).to_vec(),
            null_values: vec![String::new()],
            header: None,
        }));
    }
    Arc::new(records)
}

/// The fates of the records of a batch; what is too much at once is given in two parts.
fn fates(program: &mut dyn Program, case: &Case, rows: &[usize], fates: &mut BTreeMap<usize, Fate>) {
    let Ok(processed) = program.process(gathered(case, rows)) else {
        let (first, second) = rows.split_at(rows.len() / 2);
        return [first, second].into_iter().for_each(|half| self::fates(program, case, half, fates));
    };
    rows.iter().for_each(|row| {
        fates.insert(*row, Vec::new());
    });
    let texts = match &processed.output.payload {
        Payload::Documents { .. } => documents(&processed),
        Payload::Columns(_) => table(&processed),
    };
    for (text, record) in texts.into_iter().zip(&processed.output.rows) {
        fates.get_mut(&rows[*record as usize]).unwrap().push(text);
    }
    for dead in &processed.dead {
        let fate = format!("dead: {} {} {}", dead.stage, dead.code, dead.cause);
        fates.get_mut(&rows[dead.row as usize]).unwrap().push(fate);
    }
}

/// The fates of all records, which come in this order, in batches of these lengths, over so many programs.
fn together(case: &Case, order: &[usize], cuts: &[usize], lanes: usize) -> BTreeMap<usize, Fate> {
    let plan = plan(spec(case.transforms.clone(), case.more.clone()), case.demand.clone());
    let mut found = BTreeMap::new();
    for lane in 0..lanes {
        let rows: Vec<usize> = order.iter().copied().filter(|row| row % lanes == lane).collect();
        let (mut program, mut rest, mut cuts) = (program(&plan), rows.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (batch, later) = rest.split_at((*cuts.next().unwrap()).clamp(1, rest.len()));
            fates(&mut *program, case, batch, &mut found);
            rest = later;
        }
    }
    found
}

fn number() -> impl Strategy<Value = String> {
    let texts = [
        "0",
        "1",
        "-3",
        "19.99",
        "0.123456789",
        "1.5",
        "1.25",
        "100",
        "0.1",
        "1e300",
        "2e15",
        "1e-20",
        "9007199254740993",
        "9223372036854775807",
        "12345678901234567890",
        "0.30000000000000004",
        "48.053808600000004",
        "1e3",
        "-0.005",
        "123456789012345678901234567890.12345",
        "1e-400",
        "9007199254740993.0",
    ];
    prop::sample::select(texts.to_vec()).prop_map(String::from)
}

fn text() -> impl Strategy<Value = String> {
    let texts = ["", "a", "B é", "12", "true", "1.50", "2026-01-01"];
    prop::sample::select(texts.to_vec()).prop_map(|text| Value::from(text).to_string())
}

fn time() -> impl Strategy<Value = String> {
    let texts = [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.123456789Z",
        "9999-12-31",
        "0001-01-01T00:00:00Z",
        "2026-01-02 03:04:05.5+01:00",
        "yesterday",
    ];
    prop::sample::select(texts.to_vec()).prop_map(|text| Value::from(text).to_string())
}

/// Now and then of another class, null, or missing.
fn mostly(value: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Option<String>> {
    let odd = prop::sample::select(vec!["true", "[1, 2.5]", "{\"b\": 1}", "\"x\"", "7"]);
    prop_oneof![12 => value.prop_map(Some), 2 => Just(Some("null".into())), 2 => Just(None), 1 => odd.prop_map(|odd| Some(odd.into()))]
}

fn fields() -> impl Strategy<Value = [Option<String>; 5]> {
    let (n, m, d) = (mostly(number()), mostly(number()), mostly(number()));
    (n, m, d, mostly(text()), mostly(time())).prop_map(|(n, m, d, s, t)| [n, m, d, s, t])
}

fn json_line(fields: &[Option<String>; 5]) -> String {
    let members =
        HEADER.iter().zip(fields).filter_map(|(name, value)| Some(format!("\"{name}\": {}", value.as_ref()?)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}

fn csv_line(fields: &[Option<String>; 5]) -> String {
    let field = |value: &Option<String>| match value.as_deref() {
        None | Some("null") => String::new(),
        Some(value) if value.starts_with('"') => value.trim_matches('"').to_owned(),
        Some(value) => format!("\"{}\"", value.replace('"', "\"\"")),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(",")
}

/// Expressions for numbers. `d` is a declared double, `e` a number that an earlier transform made.
fn numeric() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["n", "m", "d", "n", "2", "100", "0.5", "0.0", "1.125", "meta.offset"]);
    leaf.prop_map(String::from).prop_recursive(3, 12, 3, |inner| {
        let pair = (inner.clone(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), inner.clone());
        let call = (prop::sample::select(vec!["round", "abs", "floor", "-", "sqrt", "sin"]), inner.clone());
        prop_oneof![
            4 => pair.prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            1 => call.prop_map(|(name, a)| format!("{name}({a})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("coalesce({a}, {b})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("greatest({a}, {b})")),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("case when {a} > {b} then {c} else {a} end")),
            1 => inner.clone().prop_map(|a| format!("cast({a} as bigint)")),
            1 => inner.prop_map(|a| format!("cast({a} as decimal(12, 2))")),
        ]
    })
}

fn condition() -> impl Strategy<Value = String> {
    let comparison = prop::sample::select(vec!["<", "<=", "=", "<>", ">=", ">", "is distinct from"]);
    let leaf = prop_oneof![
        4 => (numeric(), comparison, numeric()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (numeric(), numeric()).prop_map(|(a, b)| format!("{a} in ({b}, 0.0, 19.99)")),
        1 => (numeric(), numeric()).prop_map(|(a, b)| format!("{a} between 0.0 and {b}")),
        1 => Just("meta.timestamp >= '2026-01-01'".into()),
        1 => Just("t < now()".into()),
        1 => Just("n = s".into()),
        1 => Just("s = t".into()),
        1 => Just("n is null".into()),
        1 => Just("cast(s as double) > 1".into()),
    ];
    let both = (leaf.clone(), prop::sample::select(vec!["and", "or"]), leaf.clone());
    prop_oneof![3 => leaf, 1 => both.prop_map(|(a, op, b)| format!("({a}) {op} not ({b})"))]
}

/// An expression of any class.
fn anything() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => numeric(),
        2 => condition(),
        1 => numeric().prop_map(|a| format!("cast({a} as text)")),
        1 => numeric().prop_map(|a| format!("concat(s, {a}, m)")),
        1 => Just("coalesce(n, s)".into()),
        1 => Just("make_array(n, m)".into()),
        1 => Just("case when n > 1 then s else t end".into()),
        1 => Just("now()".into()),
        1 => Just("t + interval '1 day'".into()),
        1 => Just("date_trunc('hour', t)".into()),
        1 => Just("date_part('year', t)".into()),
        1 => Just("cast(t as date)".into()),
        1 => Just("to_timestamp(t)".into()),
    ]
}

fn transforms() -> impl Strategy<Value = Value> {
    let second = prop::sample::select(vec!["e * 100", "e / 3", "cast(e as text)", "coalesce(e, s)", "e = n", "e"]);
    (prop::option::of(condition()), anything(), numeric(), second, any::<bool>(), any::<bool>()).prop_map(
        |(filter, x, e, second, select, unnest)| {
            let mut all: Vec<Value> =
                filter.into_iter().map(|condition| json!({"type": "filter", "condition": condition})).collect();
            all.push(json!({"type": "map", "set": {"x": x, "e": e}}));
            let second = json!({"type": "map", "set": {"y": second}});
            all.extend(problems(json!([all[all.len() - 1], second])).is_empty().then_some(second));
            if unnest {
                all.push(json!({"type": "sql", "query": "select *, unnest(s) as u from input where n is not null"}));
            }
            if select {
                all.push(json!({"type": "map", "select": ["x", "e", "n", "t"]}));
            }
            json!(all)
        },
    )
}

fn demand() -> impl Strategy<Value = Demand> {
    let ty = prop::sample::select(vec![
        Type::Text,
        Type::Double,
        Type::Real,
        Type::Bigint,
        Type::Number,
        Type::Json,
        Type::Timestamp,
        Type::Date,
        Type::Decimal { precision: 12, scale: 2 },
    ]);
    let columns = prop::collection::vec(ty, 7).prop_map(|types| {
        let names = ["x", "e", "n", "m", "d", "s", "t"];
        Demand::Columns(names.iter().zip(types).map(|(name, ty)| column(name, ty)).collect())
    });
    prop_oneof![Just(Demand::Documents), columns]
}

fn case() -> impl Strategy<Value = Case> {
    let line = (fields(), prop::option::weighted(0.8, 1_700_000_000_000..1_800_000_000_000_i64));
    let source = (any::<bool>(), any::<bool>(), any::<bool>());
    (prop::collection::vec(line, 1..14), transforms(), demand(), source).prop_map(
        |(lines, transforms, demand, (csv, declared, lenient))| {
            let format = if csv { "csv" } else { "json" };
            let mut more = json!({"source": {"type": "http", "format": format}});
            if declared {
                more["schema"] = json!({"d": "double"});
            }
            if lenient {
                more["onTypeMismatch"] = json!("null");
            }
            let line = |fields: &[Option<String>; 5]| if csv { csv_line(fields) } else { json_line(fields) };
            let lines = lines.iter().map(|(fields, time)| (line(fields), *time)).collect();
            Case { transforms, more, demand, lines }
        },
    )
}

fn same_for_all(case: &Case, order: &[usize], cuts: &[usize]) -> Result<(), TestCaseError> {
    if !checked(&spec(case.transforms.clone(), case.more.clone())).is_empty() {
        return Err(TestCaseError::reject("an expression that is refused"));
    }
    let rows: Vec<usize> = (0..case.lines.len()).collect();
    let alone: BTreeMap<usize, Fate> = rows
        .iter()
        .flat_map(|row| {
            let one = Case { lines: case.lines.clone(), ..case.clone() };
            together(&one, &[*row], &[1], 1)
        })
        .collect();
    for (order, cuts, lanes) in
        [(rows.as_slice(), [rows.len()].as_slice(), 1), (rows.as_slice(), &[1], 1), (order, cuts, 1), (order, cuts, 8)]
    {
        prop_assert_eq!(&together(case, order, cuts, lanes), &alone, "in batches of {:?}, over {} lanes", cuts, lanes);
    }
    Ok(())
}

fn shuffled() -> impl Strategy<Value = (Case, Vec<usize>, Vec<usize>)> {
    case().prop_flat_map(|case| {
        let rows: Vec<usize> = (0..case.lines.len()).collect();
        (Just(case), Just(rows).prop_shuffle(), prop::collection::vec(1..6_usize, 1..4))
    })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, max_global_rejects: 1_000_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(32))]
    #[test]
    fn neighbours_make_no_difference((case, order, cuts) in shuffled()) {
        same_for_all(&case, &order, &cuts)?;
    }
}

proptest! {
    #![proptest_config(config(2_000))]
    #[test]
    #[ignore = "takes minutes: make test-long"]
    fn neighbours_make_no_difference_in_many_cases((case, order, cuts) in shuffled()) {
        same_for_all(&case, &order, &cuts)?;
    }
}

/// A number with so many digits before and after the point.
fn of_digits(whole: usize, fraction: usize) -> String {
    let digits = |count: usize| "123456789".chars().cycle().take(count).collect::<String>();
    match fraction {
        0 => digits(whole.max(1)),
        _ => format!("{}.{}", if whole == 0 { "0".into() } else { digits(whole) }, digits(fraction)),
    }
}

proptest! {
    #![proptest_config(config(6))]
    #[test]
    fn any_number_of_types_makes_no_difference(
        second in prop::collection::vec((0..20_usize, 0..38_usize), 400),
        cuts in prop::collection::vec(1..200_usize, 1..4),
    ) {
        let line = |(at, (whole, fraction)): (usize, &(usize, usize))| {
            let own = of_digits(at % 20, at / 20 + 18);
            (format!("{{\"n\": {own}, \"m\": {}}}", of_digits(*whole, *fraction)), None)
        };
        let lines: Vec<Line> = second.iter().enumerate().map(line).collect();
        for set in [
            json!({"x": "make_array(n, m)"}),
            json!({"x": "make_array(n, m)", "e": "n * m", "y": "n - m", "t": "coalesce(m, n)"}),
            json!({"e": "n * m", "x": "e / n"}),
        ] {
            let transforms = json!([{"type": "map", "set": set}]);
            let case = Case { transforms, more: json!({}), demand: Demand::Documents, lines: lines.clone() };
            let rows: Vec<usize> = (0..lines.len()).collect();
            let alone = together(&case, &rows, &[1], 1);
            prop_assert_eq!(&together(&case, &rows, &[rows.len()], 1), &alone);
            prop_assert_eq!(&together(&case, &rows, &cuts, 2), &alone);
        }
    }
}
