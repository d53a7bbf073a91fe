//! Whatever a role's sessions are set to, what arrives is the same.
use crate::{audited::differences, json::write, target::*};

const SETUP: &str = "create table users (id int primary key, texts text[], numbers int[], duration interval, \
    durations interval[], clock timetz, clocks timetz[], day date, days daterange, at timestamptz, local timestamp, \
    instants tstzrange, document xml, double float8, doubles float8[], single real, number numeric, price money, bytes bytea, \
    json json, jsonb jsonb, text text, words tsvector, point point, flags boolean[])";

const RECORD: &str = r#"{"id":1,"texts":["a",null,"NULL","","\\'\""],"numbers":[1,null],"duration":"-1 days 02:03","durations":["-1 days 02:03",null],
    "clock":"03:04:05","clocks":["03:04 PM","03:04+02"],"day":"0001-02-03","days":"[0001-02-03,2024-05-06)","at":"2024-02-03T04:05:06",
    "local":"2024-02-03T04:05:06Z","instants":"[2024-02-03 04:05:06,)","document":"a<b/>c","double":0.30000000000000004,
    "doubles":[0.30000000000000004],"single":16777216,"number":1.50,"price":1234.56,"bytes":"AP9c","json":{"a":"\\u00e4"},"jsonb":{"a":"\\"},
    "text":"ä\\' \\\\","words":"The 'quick':1A","point":"(0.30000000000000004,1)","flags":[true,null]}"#;

/// Settings that a role may have, and that change how PostgreSQL reads or prints something.
const SETTINGS: &[&str] = &[
    "array_nulls = off",
    "xmloption = document",
    "xmlbinary = hex",
    "bytea_output = escape",
    "intervalstyle = sql_standard",
    "intervalstyle = iso_8601",
    "intervalstyle = postgres_verbose",
    "datestyle = 'SQL, DMY'",
    "datestyle = 'German'",
    "datestyle = 'Postgres, MDY'",
    "timezone = 'Asia/Tokyo'",
    "timezone_abbreviations = 'India'",
    "standard_conforming_strings = off",
    "backslash_quote = off",
    "extra_float_digits = -15",
    "transform_null_equals = on",
    "client_encoding = latin1",
    "quote_all_identifiers = on",
    "default_text_search_config = 'pg_catalog.english'",
    "default_transaction_isolation = 'repeatable read'",
    "row_security = off",
    "check_function_bodies = off",
    "search_path = pg_catalog",
    "lc_numeric = 'C'",
    "lc_messages = 'C'",
];

#[tokio::test]
async fn what_a_role_is_set_to_changes_no_value() {
    let Some(mut target) = Target::new(SETUP, json!({})).await else { return };
    let role = format!("set_{}", target.schema);
    let make = format!(
        "create role {role} login password 'set'; grant all on schema {0} to {role}; grant all on users to {role}; \
         grant temporary on database dataflow to {role}",
        target.schema
    );
    if target.client.batch_execute(&make).await.is_err() {
        return; // the user of the tests may not make roles
    }
    let url = SERVER.replace("dataflow:dataflow@", &format!("{role}:set@"));
    target.more = json!({"url": url, "table": format!("{}.users", target.schema)});
    let document = RECORD.replace('\n', "");
    let (mut first, mut wrong) = (None, Vec::new());
    for setting in std::iter::once(&"application_name = 'x'").chain(SETTINGS) {
        let set = format!(
            "alter role {role} reset all; alter role {role} set {setting}; truncate users; drop table if exists dataflow_tokens"
        );
        target.client.batch_execute(&set).await.unwrap();
        let refused = write(&target, &[&document], 1).await;
        // Once more in the session that an audit may have had.
        let mut told = differences(&target, std::slice::from_ref(&document)).await;
        told.extend(refused.into_iter().map(|(_, cause)| cause));
        target.client.batch_execute("truncate users; drop table dataflow_tokens").await.unwrap();
        told.extend(write(&target, &[&document], 1).await.into_iter().map(|(_, cause)| cause));
        let found = target.texts("select users::text from users").await;
        let first = first.get_or_insert_with(|| found.clone());
        if !told.is_empty() || found != *first {
            wrong.push(format!("{setting}: {found:?} for {first:?} {told:?}"));
        }
    }
    let end = format!("drop owned by {role}; drop role {role}");
    target.client.batch_execute(&end).await.unwrap();
    target.drop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
