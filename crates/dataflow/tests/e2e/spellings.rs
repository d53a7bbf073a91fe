//! A target that is spelled or called otherwise now is the same one: what a pipeline has written there stays its own.
use crate::{
    program::{Node, count, start},
    server::Postgres,
};
use serde_json::{Value, json};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
};

/// A pipeline that has delivered records 0 to 10 and was stopped.
async fn delivered(node: &Node, folder: &Path, sink: &Value) {
    feed(folder, 0);
    let spec = json!({
        "pipelineId": "numbers",
        "source": {"type": "file", "path": folder.join("in.jsonl"), "follow": true, "pollInterval": "20ms"},
        "sink": sink,
        "checkpointInterval": "50ms",
    });
    node.create_and_start(&spec).await;
    further(node, 10).await;
}

async fn further(node: &Node, records: u64) {
    node.until("numbers", &format!("{records} delivered"), |view| count(view, "recordsDelivered") == records).await;
    assert_eq!(node.post("/api/pipelines/numbers/stop").await.0, 200);
}

fn feed(folder: &Path, from: u64) {
    let mut input = OpenOptions::new().append(true).create(true).open(folder.join("in.jsonl")).unwrap();
    let lines: String = (from..from + 10).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    input.write_all(lines.as_bytes()).unwrap();
}

/// The answer to an update to this sink.
async fn update(node: &Node, sink: &Value) -> (u16, Value) {
    let mut spec = node.get("/api/pipelines/numbers").await;
    spec["sink"] = sink.clone();
    node.request("PUT", "/api/pipelines/numbers", Some(&spec)).await
}

/// Goes on with each of these one after another, and has each record once in the end.
async fn are_all_one(folder: &Path, first: &Value, others: &[(Value, &dyn Fn())], ids: impl AsyncFn() -> Vec<u64>) {
    let node = start(&folder.join("data"));
    delivered(&node, folder, first).await;
    let mut records = 10;
    for (sink, done) in others {
        done();
        let (status, body) = update(&node, sink).await;
        assert_eq!(status, 200, "{sink}: {body:#}");
        node.post("/api/pipelines/numbers/start").await;
        feed(folder, records);
        records += 10;
        further(&node, records).await;
    }
    assert_eq!(ids().await, (0..records).collect::<Vec<_>>());
}

/// An update to this one asks first.
async fn is_another(node: &Node, sink: &Value) {
    let (status, body) = update(node, sink).await;
    assert_eq!((status, &body["code"]), (409, &json!("retarget-needed")), "{sink}: {body:#}");
}

const NOTHING: &dyn Fn() = &|| {};

#[tokio::test]
async fn a_sqlite_file_has_many_paths() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("sub")).unwrap();
    let sink = |path: &Path, table: &str| json!({"type": "sqlite", "path": path, "table": table, "mode": "append"});
    let renamed = || fs::rename(path("out.db"), path("renamed.db")).unwrap();
    let others: [(Value, &dyn Fn()); 6] = [
        (sink(&path("./out.db"), "rows"), NOTHING),
        (sink(&path("sub/../out.db"), "rows"), NOTHING),
        (sink(&path("out.db"), "ROWS"), NOTHING),
        (sink(&path("link.db"), "rows"), &|| std::os::unix::fs::symlink(path("out.db"), path("link.db")).unwrap()),
        (sink(&path("out.db"), "Rows"), NOTHING),
        (sink(&path("renamed.db"), "rows"), &renamed),
    ];
    let ids = async || {
        let db = rusqlite::Connection::open(path("renamed.db")).unwrap();
        let mut ids = db.prepare("select id from rows order by id").unwrap();
        let ids = ids.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        ids.map(|id| id.unwrap() as u64).collect()
    };
    are_all_one(folder.path(), &sink(&path("out.db"), "rows"), &others, ids).await;

    let node = start(&path("data"));
    is_another(&node, &sink(&path("renamed.db"), "others")).await;
    is_another(&node, &sink(&path("another.db"), "rows")).await;
    for uri in ["file:renamed.db", "file:///renamed.db?mode=ro", ":memory:"] {
        let (status, body) = update(&node, &json!({"type": "sqlite", "path": uri, "table": "rows"})).await;
        assert_eq!((status, &body["problems"][0]["code"]), (400, &json!("invalid-value")), "{uri}: {body:#}");
    }
}

#[tokio::test]
async fn an_output_file_has_many_paths() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("sub")).unwrap();
    let sink = |path: &Path| json!({"type": "file", "path": path});
    let others: [(Value, &dyn Fn()); 5] = [
        (sink(&path("./out.jsonl")), NOTHING),
        (sink(&path("sub/../out.jsonl")), NOTHING),
        (sink(&path("link.jsonl")), &|| std::os::unix::fs::symlink(path("out.jsonl"), path("link.jsonl")).unwrap()),
        (sink(&path("hard.jsonl")), &|| fs::hard_link(path("out.jsonl"), path("hard.jsonl")).unwrap()),
        (sink(&path("renamed.jsonl")), &|| fs::rename(path("out.jsonl"), path("renamed.jsonl")).unwrap()),
    ];
    let ids = async || {
        let text = fs::read_to_string(path("renamed.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect()
    };
    are_all_one(folder.path(), &sink(&path("out.jsonl")), &others, ids).await;

    let node = start(&path("data"));
    fs::copy(path("renamed.jsonl"), path("copy.jsonl")).unwrap();
    is_another(&node, &sink(&path("copy.jsonl"))).await;
    is_another(&node, &sink(&path("another.jsonl"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_table_has_many_names() {
    let Some(postgres) = Postgres::start().await else { return };
    let client = postgres.client().await;
    client.batch_execute("create schema elsewhere; create table elsewhere.others (id bigint)").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sink = |table: &str, more: &str| {
        let url = format!("postgres://dataflow@{}/postgres{more}", postgres.address);
        json!({"type": "postgres", "url": url, "table": table, "mode": "append"})
    };
    let run = |sql: &'static str| {
        let client = &client;
        move || {
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(client.batch_execute(sql)))
                .unwrap();
        }
    };
    let renamed = run("alter table rows rename to renamed");
    let back = run("alter table renamed rename to rows");
    let path = "?options=-csearch_path%3Dpublic";
    let others: [(Value, &dyn Fn()); 5] = [
        (sink("public.rows", ""), NOTHING),
        (sink("rows", path), NOTHING),
        (sink("rows", "?options=-csearch_path%3Delsewhere,public"), NOTHING),
        (sink("renamed", ""), &renamed),
        (sink("public.rows", path), &back),
    ];
    let ids = async || {
        let rows = client.query("select id::bigint from rows order by id", &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, i64>(0) as u64).collect()
    };
    are_all_one(folder.path(), &sink("rows", ""), &others, ids).await;

    let node = start(&folder.path().join("data"));
    is_another(&node, &sink("elsewhere.others", "")).await;
    is_another(&node, &sink("missing", "")).await;
}

/// Two sinks of a pipeline that write to one target are refused, however that is spelled.
#[tokio::test]
async fn one_target_of_two_sinks_is_refused_in_any_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(path("sub")).unwrap();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(path(to), path(name)).unwrap();
    link("sub", "folder");
    link("missing.out", "link.out"); // to what is not there yet
    fs::write(path("there.out"), "").unwrap();
    link("there.out", "link-there.out");
    fs::hard_link(path("there.out"), path("hard.out")).unwrap();
    let file = |name: &str| json!({"type": "file", "path": path(name), "format": "json"});
    let table = |name: &str, table: &str| json!({"type": "sqlite", "path": path(name), "table": table});
    let postgres = |url: &str, table: &str| json!({"type": "postgres", "url": url, "table": table});
    let index = |url: &str| json!({"type": "elasticsearch", "url": url, "index": "rows", "id": "meta.id"});
    let topic = |brokers: &str| json!({"type": "kafka", "brokers": brokers, "topic": "rows"});
    let bucket = |endpoint: &str, prefix: &str| json!({"type": "s3", "bucket": "rows", "endpoint": endpoint, "allowHttp": true, "region": "us-east-1", "path": prefix});
    let node = start(&folder.path().join("data"));
    let conflicts = async |one: &Value, other: &Value| {
        let named = |name: &str, sink: &Value| {
            let mut sink = sink.clone();
            sink["name"] = name.into();
            sink
        };
        let sinks = [named("one", one), named("other", other)];
        let spec = json!({"pipelineId": "p", "source": {"type": "generate", "count": 1}, "sinks": sinks});
        let (_, found) = node.request("POST", "/api/pipelines/validate", Some(&spec)).await;
        let problems = found["problems"].as_array().unwrap();
        let others: Vec<_> = problems.iter().filter(|problem| problem["code"] != "conflict").collect();
        assert!(others.is_empty(), "{others:#?}");
        problems.len() == 1
    };
    let one_place = [
        (file("./a.out"), file("a.out")),
        (file("sub/../a.out"), file("a.out")),
        (file("sub/a.out"), file("folder/a.out")),
        (file("link.out"), file("missing.out")),
        (file("link-there.out"), file("there.out")),
        (file("hard.out"), file("there.out")),
        (table("./a.db", "rows"), table("a.db", "rows")),
        (table("sub/a.db", "rows"), table("folder/a.db", "ROWS")),
        (table("sub/../a.db", "Rows"), table("a.db", "rows")),
        (postgres("postgres://a@here/d", "t"), postgres("postgresql://a@HERE:5432/d", "t")),
        (postgres("postgres://a@here/d", "t"), postgres("host=here user=a dbname=d", "t")),
        (index("http://here:9200"), index("http://HERE:9200/")),
        (topic("one:9092,other:9092"), topic("other:9092, one:9092")),
        (bucket("http://here:9000", "a/"), bucket("http://HERE:9000/", "a/")),
    ];
    for (one, other) in &one_place {
        assert!(conflicts(one, other).await, "{one} {other}");
    }
    let two_places = [
        (file("a.out"), file("sub/a.out")),
        (file("a.out"), file("A.out")),
        (table("a.db", "rows"), table("b.db", "rows")),
        (table("a.db", "rows"), table("a.db", "others")),
        (postgres("postgres://a@here/d", "t"), postgres("postgres://a@here/e", "t")),
        (postgres("postgres://a@here/d", "t"), postgres("postgres://a@here/d", "T")),
    ];
    for (one, other) in &two_places {
        assert!(!conflicts(one, other).await, "{one} {other}");
    }
}
