//! What the cause of a dead letter says to declare is declared, and then all records are delivered: at each sink that makes columns.
use crate::program::{dataflow, output};
use dataflow_testkit::{
    bucket::{Bucket, ROOT},
    servers,
};
use serde_json::{Value, json};
use std::{fs, path::Path};
use tokio_postgres::NoTls;

/// The name and lines of a file, the first of which makes a column of a type that is too narrow for the second.
const CASES: &[(&str, &str)] = &[
    ("a.jsonl", "{\"d\":1.5}\n{\"d\":0.1234567890123456789}\n"),
    ("b.jsonl", "{\"d\":5}\n{\"d\":0.1234567890123456789}\n"),
    ("c.jsonl", "{\"d\":5}\n{\"d\":5.5}\n"),
    ("d.jsonl", "{\"d\":9007199254740993}\n{\"d\":1e300}\n"),
    ("e.jsonl", "{\"d\":1.5}\n{\"d\":1e-400}\n"),
    ("f.jsonl", "{\"d\":true}\n{\"d\":\"x\"}\n"),
    ("g.jsonl", "{\"d\":\"x\"}\n{\"d\":{\"a\":[1]}}\n"),
    ("h.csv", "id,d\n1,5\n2,n/a\n"),
    ("i.csv", "id,d\n1,5\n2,0.1234567890123456789\n"),
    ("j.csv", "id,d\n1,10115\n2,01067\n"),
];

/// Runs a pipeline of this name from a file; the causes of its dead letters, and what it said.
fn run(folder: &Path, input: &Path, name: &str, sink: &Value, schema: &Value) -> (Vec<String>, String) {
    let mut source = json!({"type": "file", "path": input});
    if input.extension().is_some_and(|it| it == "csv") {
        source["format"] = json!("csv");
    }
    let spec =
        json!({"pipelineId": name, "source": source, "schema": schema, "sink": sink, "batch": {"maxRecords": 1}});
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, spec.to_string()).unwrap();
    let (data, settings) = (folder.join(name), folder.join("dataflow.toml"));
    let args = [data.to_str().unwrap(), settings.to_str().unwrap(), file.to_str().unwrap()];
    let (code, stdout, stderr) = output(&["run", "--data-dir", args[0], "--config", args[1], args[2]]);
    assert!(matches!(code, 0 | 3), "{name}: {stdout}{stderr}");
    let letters = ["dead-letters", "export", name, "--data-dir", args[0], "--output", "json"];
    let (_, letters, _) = output(&letters);
    let causes = letters.lines().map(|line| {
        let letter: Value = serde_json::from_str(line).unwrap();
        letter["cause"].as_str().unwrap().to_owned()
    });
    (causes.collect(), stderr)
}

/// The type that a cause says to declare for `d` or `at`: `"d": "json"`.
fn advised<'a>(cause: &'a str, field: &str) -> Option<&'a str> {
    let (_, rest) = cause.split_once(&format!("in schema, as in \"{field}\": \""))?;
    rest.split('"').next()
}

fn is_verified(folder: &Path, name: &str) {
    let (data, settings, file) = (folder.join(name), folder.join("dataflow.toml"), folder.join(format!("{name}.json")));
    let mut verify = dataflow(&["verify", "--output", "json", "--data-dir"]);
    let done = verify.arg(data).arg("--config").arg(settings).arg("--file").arg(file).output().unwrap();
    let report: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
    assert_eq!(report["verified"], json!(true), "{name}: {report:#}{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_advice_was_followed_is_delivered() {
    if !(servers::are_up() && servers::minio_is_up()) {
        return;
    }
    let schema = format!("advice_{}", std::process::id());
    let login = "host=127.0.0.1 user=dataflow password=dataflow dbname=dataflow";
    let (client, connection) = tokio_postgres::connect(login, NoTls).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
    tokio::spawn(async move { connection.await.unwrap() });
    client.batch_execute(&format!("create schema {schema}")).await.unwrap();
    let bucket = Bucket::fresh("advice").await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let at = bucket.sink();
    let settings = format!(
        "[connections.postgres.default]\nurl = \"postgres://dataflow:dataflow@127.0.0.1/dataflow?options=-csearch_path%3D{schema}\"\n\
         [connections.s3.default]\nendpoint = {}\nallowHttp = true\naccessKeyId = \"{ROOT}\"\nsecretAccessKey = \"{ROOT}\"\n",
        at["endpoint"]
    );
    fs::write(path("dataflow.toml"), settings).unwrap();
    let times = format!("{}/../sources/tests/tables/int96.parquet", env!("CARGO_MANIFEST_DIR"));
    let inputs = CASES.iter().map(|(name, lines)| {
        fs::write(path(name), lines).unwrap();
        (path(name), "d")
    });
    let mut followed = 0;
    let inputs: Vec<_> = inputs.chain([(times.into(), "at")]).collect();
    for (case, (input, field)) in inputs.iter().enumerate() {
        for kind in ["postgres", "sqlite", "parquet", "avro"] {
            let sink = |name: &str| match kind {
                "postgres" => json!({"type": "postgres", "table": name, "mode": "append"}),
                "sqlite" => json!({"type": "sqlite", "path": path("out.db"), "table": name, "mode": "append"}),
                format => json!({"type": "s3", "bucket": at["bucket"], "path": name, "format": format}),
            };
            let name = format!("{kind}{case}");
            let (causes, said) = run(folder.path(), input, &name, &sink(&name), &json!({}));
            let Some(ty) = causes.first().and_then(|cause| advised(cause, field)) else {
                // All of it arrived, or SQLite has said which number it can't hold.
                assert!(causes.is_empty() || kind == "sqlite", "{name} advises nothing: {causes:?} {said}");
                continue;
            };
            followed += 1;
            let again = format!("{name}b");
            let (causes, said) = run(folder.path(), input, &again, &sink(&again), &json!({*field: ty}));
            assert_eq!(causes, [""; 0], "{again} with {ty}: {said}");
            is_verified(folder.path(), &again);
        }
    }
    assert!(followed > 2 * inputs.len(), "{followed}");
    client.batch_execute(&format!("drop schema {schema} cascade")).await.unwrap();
}
