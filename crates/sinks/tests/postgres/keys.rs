//! Which rows are one for the database.
use crate::target::*;

#[tokio::test]
async fn keys_that_only_the_database_takes_for_equal_are_no_failure() {
    let setup = "create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
        create table users (id int, name text collate ci primary key)";
    let Some(client) = connect().await else { return };
    let icu: i64 =
        client.query_one("select count(*) from pg_collation where collprovider = 'i'", &[]).await.unwrap().get(0);
    if icu == 0 {
        return;
    }
    let target = Target::new(setup, json!({})).await.unwrap();
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let rows = [(Some(1), Some("ann")), (Some(2), Some("ANN")), (Some(3), Some("bob"))];
    writer.commit(&[output(&demand, 0, &rows)].into(), &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(target.rows().await.len(), 2);
    target.drop().await;
}

/// What is equal for the server is one row, and that of the last record, however many come together.
#[tokio::test]
async fn the_last_record_of_a_key_wins_by_the_servers_own_equality() {
    for (ty, first, last, printed) in [
        ("uuid", "\"67e55044-10b1-426f-9247-bb680e5fe0c8\"", "\"67E55044-10B1-426F-9247-BB680E5FE0C8\"", None),
        ("numeric", "1.0", "1", None),
        ("numeric(60,2)", "1.0", "1e0", None),
        ("double precision", "0", "-0.0", None),
        ("char(3)", "\"ab\"", "\"ab \"", None),
        ("citext", "\"Ann\"", "\"aNN\"", Some("aNN")),
        ("citext[]", "[\"Ann\", \"x\"]", "[\"aNN\", \"X\"]", Some("{aNN,X}")),
        ("text[] collate dataflow_loose", "[\"René\", null]", "[\"rene\", null]", Some("{rene,NULL}")),
        ("text collate dataflow_loose", "\"René\"", "\"rene\"", Some("rene")),
        ("varchar(9) collate dataflow_loose", "\"Re\u{301}n\"", "\"RÉN\"", Some("RÉN")),
        ("interval", "\"30 days\"", "\"1 mon\"", Some("1 mon")),
        ("interval", "\"24:00:00\"", "\"1 day\"", Some("1 day")),
        ("inet", "\"10.0.0.1\"", "\"10.0.0.1/32\"", None),
        ("numeric[]", "[1.0]", "[1]", Some("{1}")),
    ] {
        for together in [1, 10] {
            let extension = match ty {
                "citext" | "citext[]" => extension_statement("citext"),
                _ if ty.contains("collate") => "create collation dataflow_loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false);".into(),
                _ => String::new(),
            };
            let setup = format!("{extension} create table users (k {ty} primary key, v int)");
            let Some(target) = Target::new(&setup, json!({"key": "k"})).await else { return };
            let documents = [
                format!("{{\"k\":{first},\"v\":1}}"),
                format!("{{\"k\":{last},\"v\":2}}"),
                format!("{{\"k\":{first},\"v\":3}}"),
                format!("{{\"k\":{last},\"v\":4}}"),
            ];
            let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
            assert_eq!(crate::json::write(&target, &documents, together).await, [], "{ty}");
            assert_eq!(target.texts("select v::text from users").await, [Some("4".into())], "{ty}, {together}");
            if let Some(printed) = printed {
                assert_eq!(target.texts("select k::text from users").await, [Some(printed.into())], "{ty}");
            }
            let (outputs, findings) = audited(&target, &documents).await;
            assert_eq!((outputs, findings.expected, findings.found), (4, 1, 1), "{ty}: {findings:?}");
            assert_eq!((findings.lost.count, findings.altered.count), (0, 0), "{ty}: {findings:?}");
            target.drop().await;
        }
    }
}

/// What an audit finds that expects these documents.
async fn audited(target: &Target, documents: &[&str]) -> (usize, dataflow_sdk::audit::Findings) {
    let audited = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap();
    let mut auditor = audited.auditor;
    let documents: Vec<String> = documents.iter().map(|document| (*document).into()).collect();
    let output = crate::json::documents(&documents);
    auditor.expect(&output).await.unwrap();
    (output.len(), auditor.finish().await.unwrap())
}

#[tokio::test]
async fn values_that_another_row_gives_up_are_free() {
    for together in [1, 10] {
        let setup = "create table users (id int primary key, v text unique)";
        let Some(target) = Target::new(setup, json!({})).await else { return };
        let documents = [r#"{"id":1,"v":"x"}"#, r#"{"id":2,"v":"y"}"#, r#"{"id":2,"v":"z"}"#, r#"{"id":1,"v":"y"}"#];
        assert_eq!(crate::json::write(&target, &documents[..2], together).await, []);
        target.client.batch_execute("truncate dataflow_tokens").await.unwrap();
        assert_eq!(crate::json::write(&target, &documents[2..], together).await, []);
        assert_eq!(
            target.texts("select string_agg(id || v, ' ' order by id) from users").await,
            [Some("1y 2z".into())]
        );
        target.drop().await;
    }
}

/// Where rows are written in the order of arrival, lanes may wait for each other.
#[tokio::test]
async fn lanes_that_wait_for_each_other_go_on() {
    let setup = "create table users (id int primary key, name text, other int unique)";
    let Some(target) = Target::new(setup, json!({"maxConnections": 8})).await else { return };
    let lane = |lane: u32| {
        let sink = target.sink();
        async move {
            let fence = dataflow_core::token::Fence { lane, ..fence("p", 1) };
            let Opened { mut writer, demand, .. } = sink.open(&context("p"), open_lane(&fence)).await.unwrap();
            for sequence in 1..=5 {
                let mut rows: Vec<_> = (0..200).map(|id| (Some(id), Some("x"))).collect();
                rows.rotate_left(50 * lane as usize);
                writer.commit(&[output(&demand, 0, &rows)].into(), &token(&fence, sequence)).await.unwrap();
            }
        }
    };
    futures::join!(lane(0), lane(1), lane(2), lane(3));
    assert_eq!(target.rows().await.len(), 200);
    target.drop().await;
}
