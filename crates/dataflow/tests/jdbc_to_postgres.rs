//! Rows of a PostgreSQL table come to another one with the same values, whatever their types, and are proven; new and changed rows follow.
#![allow(clippy::unwrap_used)]
mod case;

use case::Case;
use dataflow_engine::region::Action;
use dataflow_sdk::catalog::Connections;
use dataflow_testkit::servers;
use dataflow_verify::Claimant;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Each type, and literals of it. What JSON has no number for, and times outside the years 1 to 9999, are dead letters.
const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["t", "f"]),
    ("smallint", &["-32768", "0", "32767"]),
    ("integer", &["-2147483648", "7"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    ("oid", &["0", "4294967295"]),
    ("real", &["0.1", "-3.4028235e38", "1e-45", "16777216", "0"]),
    ("double precision", &["0.1", "1e300", "-2.2250738585072014e-308", "5e-324", "9007199254740992"]),
    ("numeric", &["123456789012345678901234567890.12345678901234567890", "-0.00", "1.50", "1e50"]),
    ("numeric(10,2)", &["99999999.99", "-0.01", "5.00"]),
    ("numeric(38,10)", &["1234567890123456789012345678.0123456789"]),
    ("numeric(60,20)", &["1234567890123456789012345678901234567890.01234567890123456789"]),
    ("numeric(5,-2)", &["1234500", "-100"]),
    ("money", &["12.34", "-92233720368547758.08", "0"]),
    ("text", &["", "a", "it's \"quoted\" \\ and\n\tä 😀", "NULL", "{}"]),
    ("varchar(20)", &["ends with blanks  ", ""]),
    ("char(5)", &["abcde", "ab"]),
    ("name", &["a name"]),
    ("feeling", &["glad", "so so"]),
    ("positive", &["1", "2147483647"]),
    ("bytea", &["\\x", "\\x00ff10", "\\xdeadbeef"]),
    (
        "timestamptz",
        &[
            "2026-01-02 03:04:05.678901+02",
            "0001-01-01 00:00:00Z",
            "9999-12-31 23:59:59.999999Z",
            "1969-12-31 23:59:59Z",
        ],
    ),
    ("timestamp", &["2026-01-02 03:04:05.6", "1900-02-28 00:00:00"]),
    ("timestamp(3)", &["2026-01-02 03:04:05.123"]),
    ("date", &["2026-02-28", "0001-01-01", "9999-12-31"]),
    ("time", &["00:00:00", "23:59:59.999999"]),
    ("timetz", &["03:04:05.5+02", "00:00:00-11:30"]),
    ("interval", &["1 year 2 mons -3 days 04:05:06.789", "-00:00:01", "00:00:00"]),
    ("uuid", &["6f9619ff-8b86-d011-b42d-00cf4fc964ff"]),
    ("json", &["{\"b\": 1,  \"a\": [1.0, null, \"x\"]}", "7", "\"text\"", "[]"]),
    ("jsonb", &["{\"a\": 1e2, \"b\": {\"c\": 12345678901234567890.10}}", "\"ä\"", "false"]),
    ("inet", &["10.0.0.1", "10.0.0.0/8", "::1"]),
    ("cidr", &["10.0.0.0/8", "2001:db8::/32"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("bit(5)", &["10101"]),
    ("varbit", &["1", "10"]),
    ("point", &["(1.5,-2)"]),
    ("lseg", &["[(1,2),(3,4)]"]),
    ("box", &["(3,4),(1,2)"]),
    ("path", &["((1,2),(3,4))", "[(1,2),(3,4)]"]),
    ("polygon", &["((0,0),(1,1),(2,0))"]),
    ("circle", &["<(1,2),3>"]),
    ("tsvector", &["'a':1 'fat':2 'rat':3"]),
    ("tsquery", &["'fat' & 'rat'"]),
    ("xml", &["<a>1</a>"]),
    ("pg_lsn", &["16/B374D848"]),
    ("int4range", &["[1,6)", "empty", "(,5)"]),
    ("numrange", &["[1.5,2.50]"]),
    ("tstzrange", &["[2026-01-01 00:00:00+00,)"]),
    ("daterange", &["[2026-01-01,2026-02-01)"]),
    ("int4multirange", &["{[1,3),[5,9)}", "{}"]),
    ("integer[]", &["{}", "{1,NULL,-3}", "{{1,2},{3,4}}"]),
    ("bigint[]", &["{9223372036854775807}"]),
    ("numeric[]", &["{1.50,123456789012345678901234567890}"]),
    ("boolean[]", &["{t,f,NULL}"]),
    ("text[]", &["{a,\"b c\",\"d\\\"e\\\\\",\"NULL\",NULL,\"\",\"{}\"}"]),
    ("timestamptz[]", &["{\"2026-01-02 03:04:05.5+00\"}"]),
    ("date[]", &["{2026-01-02,NULL}"]),
    ("interval[]", &["{\"1 day\",01:00:00}"]),
    ("uuid[]", &["{6f9619ff-8b86-d011-b42d-00cf4fc964ff}"]),
    ("jsonb[]", &["{\"{\\\"a\\\": [1, 2.0]}\",7,\"[1]\"}"]),
    ("inet[]", &["{10.0.0.1,10.0.0.0/8}"]),
    ("box[]", &["{(3,4),(1,2);(7,8),(5,6)}"]),
    ("feeling[]", &["{glad,\"so so\"}"]),
    ("int4range[]", &["{\"[1,3)\",empty}"]),
];

const ROWS: usize = 200;
const DATABASE: &str = "dataflow_jdbc_to_postgres";

async fn postgres(database: &str) -> Client {
    let config = format!("host=127.0.0.1 user=dataflow password=dataflow dbname={database}");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
    tokio::spawn(async move { drop(connection.await) });
    client
}

async fn fresh(name: &str) -> (Client, String) {
    let database = format!("{DATABASE}_{name}");
    let admin = postgres("dataflow").await;
    admin.batch_execute(&format!("drop database if exists {database} with (force)")).await.unwrap();
    admin.batch_execute(&format!("create database {database}")).await.unwrap();
    (postgres(&database).await, format!("postgres://dataflow:dataflow@127.0.0.1/{database}"))
}

async fn remove(client: Client, name: &str) {
    drop(client);
    let sql = format!("drop database {DATABASE}_{name} with (force)");
    postgres("dataflow").await.batch_execute(&sql).await.unwrap();
}

/// Both ends are in this database.
fn connections(url: &str) -> Connections {
    let fields = json!({"url": url}).as_object().unwrap().clone();
    Connections::default().with("jdbc", "default", fields.clone()).with("postgres", "default", fields)
}

/// Every row of a table in the server's own text.
async fn texts(client: &Client, table: &str) -> Vec<Vec<Option<String>>> {
    let rows = client.simple_query(&format!("select * from {table} order by id")).await.unwrap();
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    };
    rows.into_iter().filter_map(row).collect()
}

async fn create(case: &mut Case, source: Value, sink: Value) {
    let spec = json!({
        "source": source,
        "sink": sink,
        "batch": {"maxRecords": 16, "linger": "1ms"},
        "checkpointInterval": "10ms"
    });
    case.act(Action::Create(Box::new(serde_json::from_value(spec).unwrap()))).await.unwrap();
    case.act(Action::Start { sink: None }).await.unwrap();
}

#[tokio::test]
async fn values_of_every_type_arrive_as_they_are() {
    if !servers::are_up() {
        return;
    }
    let (client, url) = fresh("types").await;
    let types = "create type feeling as enum ('glad', 'so so'); create domain positive as int check (value > 0)";
    client.batch_execute(types).await.unwrap();
    let columns: Vec<_> = TYPES.iter().enumerate().map(|(at, (ty, _))| format!("c{at} {ty}")).collect();
    let columns = columns.join(", ");
    let tables =
        format!("create table source (id int primary key, {columns}); create table target (like source including all)");
    client.batch_execute(&tables).await.unwrap();
    let mut dice: u64 = 11;
    for id in 0..ROWS {
        let mut values = vec![id.to_string()];
        for (ty, literals) in TYPES {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let picked = literals.get((dice >> 33) as usize % (literals.len() + 1));
            values.push(picked.map_or("null".into(), |text| {
                let quoted = format!("'{}'", text.replace('\'', "''"));
                if *ty == "money" { format!("{quoted}::numeric::money") } else { quoted }
            }));
        }
        client.batch_execute(&format!("insert into source values ({})", values.join(", "))).await.unwrap();
    }
    let mut case = Case::new("jdbc-types", connections(&url));
    case.open().await;
    let source = json!({"type": "jdbc", "table": "source", "mode": "bulk"});
    create(&mut case, source, json!({"type": "postgres", "table": "target"})).await;
    case.until_read(ROWS as u64).await;
    let letters = case.dead_letters(0).await.unwrap();
    assert!(letters.is_empty(), "{letters:#?}");
    let (expected, found) = (texts(&client, "source").await, texts(&client, "target").await);
    assert_eq!(found.len(), ROWS);
    for (one, other) in expected.iter().zip(&found) {
        for (at, (ty, _)) in TYPES.iter().enumerate() {
            assert_eq!(other[at + 1], one[at + 1], "{ty} of row {:?}", one[0]);
        }
    }
    // It ends by itself.
    while !case.claims().await.unwrap().at_rest {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let report = case.verify(false).await;
    assert!(report.verified, "{report:#?}");
    remove(client, "types").await;
}

#[tokio::test]
async fn new_and_changed_rows_follow_and_verify_says_what_it_cannot_prove() {
    if !servers::are_up() {
        return;
    }
    let (client, url) = fresh("changes").await;
    let table = "create table orders (id bigserial primary key, note text, at timestamptz not null default now()); \
                 insert into orders (note) select 'n' || n from generate_series(1, 100) n";
    client.batch_execute(table).await.unwrap();
    let mut case = Case::new("jdbc-changes", connections(&url));
    case.open().await;
    let source = json!({"type": "jdbc", "table": "orders", "mode": "timestamp+incrementing",
        "timestampColumn": "at", "incrementingColumn": "id", "pollInterval": "10ms"});
    create(&mut case, source, json!({"type": "postgres", "table": "copy", "key": "id"})).await;
    case.until_read(100).await;
    case.stop().await;
    let report = case.verify(false).await;
    assert!(report.verified, "{report:#?}");
    client.batch_execute("update orders set note = 'changed', at = now() where id % 10 = 0").await.unwrap();
    client.batch_execute("insert into orders (note) values ('new')").await.unwrap();
    case.act(Action::Start { sink: None }).await.unwrap();
    case.until_read(111).await;
    case.stop().await;
    assert_eq!(texts(&client, "copy").await, texts(&client, "orders").await);
    let report = case.verify(false).await;
    assert!(!report.verified && !report.unverifiable.is_empty(), "{report:#?}");
    assert_eq!((report.rows.lost.count, report.rows.altered.count), (0, 0), "{report:#?}");
    remove(client, "changes").await;
}
