//! Rows of a MariaDB table come to a table in PostgreSQL that the sink makes, with the same values, whatever their types, and are proven.
#![allow(clippy::unwrap_used)]
mod case;

use case::Case;
use dataflow_engine::region::Action;
use dataflow_mysql::Session;
use dataflow_sdk::catalog::Connections;
use dataflow_testkit::servers;
use dataflow_verify::Claimant;
use serde_json::json;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// How the values of a column are said alike on both sides: in MariaDB's SQL, and in PostgreSQL's.
const TEXT: [&str; 2] = ["cast({} as char)", "{}::text"];
const FLAG: [&str; 2] = ["{} + 0", "{}::int::text"];
const NUMBER: [&str; 2] = ["{} + 0", "{}::text"];
const SINGLE: [&str; 2] = ["{} + 0e0", "{}::float8::text"];
const BITS: [&str; 2] = ["lpad(bin(cast({} as unsigned)), 12, '0')", "{}"];
const BYTES: [&str; 2] = ["lower(hex({}))", "encode({}, 'hex')"];
const MOMENT: [&str; 2] =
    ["date_format({}, '%Y-%m-%d %H:%i:%s.%f')", "to_char({} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"];
const CLOCK: [&str; 2] = ["date_format({}, '%Y-%m-%d %H:%i:%s.%f')", "to_char({}, 'YYYY-MM-DD HH24:MI:SS.US')"];

/// Each type, the one of the column that is made for it, how its values are said, and literals of it.
const TYPES: &[(&str, &str, [&str; 2], &[&str])] = &[
    ("tinyint(1)", "smallint", TEXT, &["1", "-128"]),
    ("tinyint unsigned", "smallint", TEXT, &["255"]),
    ("smallint unsigned", "integer", TEXT, &["65535"]),
    ("mediumint", "integer", TEXT, &["-8388608"]),
    ("int", "integer", TEXT, &["-2147483648"]),
    ("int unsigned", "bigint", TEXT, &["4294967295"]),
    ("int(8) zerofill", "bigint", NUMBER, &["42"]),
    ("bigint", "bigint", TEXT, &["-9223372036854775808", "9007199254740993"]),
    ("bigint unsigned", "numeric", TEXT, &["18446744073709551615"]),
    ("decimal(10,2)", "numeric", TEXT, &["99999999.99", "-0.01", "5"]),
    ("decimal(65,30)", "numeric", TEXT, &["-12345678901234567890123456789012345.012345678901234567890123456789"]),
    ("float", "real", SINGLE, &["0.1", "-2.5"]),
    ("double", "double precision", TEXT, &["0.1", "123456789.125"]),
    ("bit(1)", "boolean", FLAG, &["b'1'", "b'0'"]),
    ("bit(12)", "text", BITS, &["b'101'"]),
    ("varchar(20)", "text", TEXT, &["'ends with blanks  '", "'😀 ä'", "''"]),
    ("varchar(20) character set latin1", "text", TEXT, &["'äöü ß'"]),
    ("text", "text", TEXT, &["'it''s \"quoted\" \\\\ and\\n\\tä'"]),
    ("enum('glad', 'so so')", "text", TEXT, &["'so so'"]),
    ("set('a', 'b', 'c')", "text", TEXT, &["'a,c'"]),
    ("varbinary(20)", "bytea", BYTES, &["x''", "x'00ff10'"]),
    ("blob", "bytea", BYTES, &["x'deadbeef'"]),
    ("date", "date", TEXT, &["'2026-02-28'", "'0001-01-01'", "'9999-12-31'"]),
    ("datetime(6)", "timestamp without time zone", CLOCK, &["'2026-01-02 03:04:05.678901'", "'1000-01-01'"]),
    ("timestamp(3) null", "timestamp with time zone", MOMENT, &["'2026-10-25 00:30:00.125'", "'1970-01-01 00:00:01'"]),
    ("time(6)", "text", TEXT, &["'-838:59:59'", "'23:59:59.5'"]),
    ("year", "smallint", TEXT, &["2026"]),
    ("json", "jsonb", TEXT, &["'{\"a\": [1, null]}'", "'7'"]),
    ("uuid", "uuid", TEXT, &["'6f9619ff-8b86-d011-b42d-00cf4fc964ff'"]),
];

const ROWS: usize = 100;
const DATABASE: &str = "dataflow_mariadb_to_postgres";

async fn postgres(database: &str) -> Client {
    let config = format!("host=127.0.0.1 user=dataflow password=dataflow dbname={database}");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
    tokio::spawn(async move { drop(connection.await) });
    client
}

async fn mariadb(database: &str) -> Session {
    let url = format!("mariadb://dataflow:dataflow@127.0.0.1/{database}");
    let target = dataflow_mysql::read(&url).unwrap().unwrap();
    Session::connect(&target, None, &Default::default()).await.unwrap()
}

/// Of all columns, how one of the two says them.
fn said(side: usize) -> String {
    let columns = TYPES.iter().enumerate();
    columns.map(|(at, (_, _, says, _))| says[side].replace("{}", &format!("c{at}"))).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn values_of_every_type_arrive_as_they_are() {
    if !servers::are_up() || !servers::mariadb_is_up() {
        return;
    }
    let admin = postgres("dataflow").await;
    admin.batch_execute(&format!("drop database if exists {DATABASE} with (force)")).await.unwrap();
    admin.batch_execute(&format!("create database {DATABASE}")).await.unwrap();
    let mut source = mariadb("dataflow").await;
    let columns: Vec<_> = TYPES.iter().enumerate().map(|(at, (ty, ..))| format!("c{at} {ty}")).collect();
    for statement in [
        "set names utf8mb4".into(),
        "set time_zone = '+00:00'".into(),
        format!("drop database if exists {DATABASE}"),
        format!("create database {DATABASE} character set utf8mb4"),
        format!("use {DATABASE}"),
        format!("create table source (id int auto_increment primary key, {})", columns.join(", ")),
    ] {
        source.run("prepare", &statement).await.unwrap();
    }
    let mut dice: u64 = 11;
    for id in 1..=ROWS {
        let mut values = vec![id.to_string()];
        for (.., literals) in TYPES {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // A column gets its type from the first row on.
            let choices = literals.len() + usize::from(id > 1);
            values.push(literals.get((dice >> 33) as usize % choices).copied().unwrap_or("null").into());
        }
        source.run("fill", &format!("insert into source values ({})", values.join(", "))).await.unwrap();
    }
    let fields = |url: &str| json!({"url": url}).as_object().unwrap().clone();
    let connections = Connections::default()
        .with(
            "jdbc",
            "default",
            fields(&format!("jdbc:mariadb://127.0.0.1:3306/{DATABASE}?user=dataflow&password=dataflow")),
        )
        .with("postgres", "default", fields(&format!("postgres://dataflow:dataflow@127.0.0.1/{DATABASE}")));
    let mut case = Case::new("mariadb-types", connections);
    case.open().await;
    let spec = json!({
        "source": {"type": "jdbc", "table": "source", "mode": "incrementing", "incrementingColumn": "id", "pollInterval": "10ms"},
        "sink": {"type": "postgres", "table": "target"},
        "batch": {"maxRecords": 16, "linger": "1ms"},
        "checkpointInterval": "10ms"
    });
    case.act(Action::Create(Box::new(serde_json::from_value(spec).unwrap()))).await.unwrap();
    case.act(Action::Start { sink: None }).await.unwrap();
    case.until_read(ROWS as u64).await;
    let letters = case.dead_letters(0).await.unwrap();
    assert!(letters.is_empty(), "{letters:#?}");
    case.stop().await;
    let target = postgres(DATABASE).await;
    let types = "select column_name, data_type from information_schema.columns where table_name = 'target'";
    let made: std::collections::BTreeMap<String, String> =
        target.query(types, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    for (at, (ty, expected, ..)) in TYPES.iter().enumerate() {
        assert_eq!(made[&format!("c{at}")], *expected, "{ty}");
    }
    let expected = source.rows("ask", &format!("select {} from source order by id", said(0))).await.unwrap();
    let found = target.simple_query(&format!("select {} from target order by id", said(1))).await.unwrap();
    let found: Vec<Vec<Option<String>>> = found
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
            _ => None,
        })
        .collect();
    assert_eq!(found.len(), ROWS);
    for (row, (one, other)) in expected.iter().zip(&found).enumerate() {
        for (at, (ty, ..)) in TYPES.iter().enumerate() {
            assert_eq!(other[at], one[at], "{ty} of row {row}");
        }
    }
    let report = case.verify(false).await;
    assert!(report.verified, "{report:#?}");
    drop(target);
    source.run("drop", &format!("drop database {DATABASE}")).await.unwrap();
    admin.batch_execute(&format!("drop database {DATABASE} with (force)")).await.unwrap();
}
