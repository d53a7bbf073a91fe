//! `dataflow run FILE`.
use crate::program::{dataflow, output, query, signal_to, wait};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;

struct Case {
    folder: TempDir,
}

impl Case {
    fn new(records: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in.jsonl"), records).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn database(&self) -> PathBuf {
        self.path("out.db")
    }

    fn spec(&self) -> Value {
        json!({
            "pipelineId": "one",
            "source": {"type": "file", "path": self.path("in.jsonl")},
            "transforms": [{"type": "filter", "condition": "age > 18"}],
            "sink": {"type": "sqlite", "path": self.database(), "table": "users", "mode": "append"},
        })
    }

    fn run(&self, spec: &Value) -> (i32, String, String) {
        let file = self.path("pipeline.json");
        fs::write(&file, spec.to_string()).unwrap();
        output(&["run", file.to_str().unwrap(), "--data-dir", self.path("data").to_str().unwrap()])
    }

    fn rows(&self) -> i64 {
        query(&self.database(), "SELECT count(*) FROM users")
    }
}

const GOOD: &str = "{\"id\":1,\"age\":20}\n{\"id\":2,\"age\":10}\n{\"id\":3,\"age\":30}\n";

#[test]
fn a_bounded_pipeline_ends_with_0_and_says_so_when_repeated() {
    let case = Case::new(GOOD);
    let (code, _, stderr) = case.run(&case.spec());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("3  records read") && stderr.contains("the ledger balances"), "{stderr}");
    assert_eq!(case.rows(), 2);
    let (code, _, stderr) = case.run(&case.spec());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("completed") && stderr.contains("nothing to do"), "{stderr}");
    assert_eq!(case.rows(), 2, "repeated without effect");
}

#[test]
fn records_without_fields_that_come_before_all_others_are_dead_letters() {
    for sink in ["sqlite", "file"] {
        let case = Case::new("{}\n{}\n{\"id\":1}\n{}\n");
        let mut spec = case.spec();
        spec["transforms"] = json!([]);
        spec["batch"] = json!({"maxRecords": 1});
        if sink == "file" {
            spec["sink"] = json!({"type": "file", "path": case.path("out.csv"), "format": "csv"});
        }
        let (code, _, stderr) = case.run(&spec);
        assert_eq!(code, 3, "{stderr}");
        assert!(stderr.contains("2  dead letters") && stderr.contains("the ledger balances"), "{stderr}");
        match sink {
            "file" => assert_eq!(fs::read_to_string(case.path("out.csv")).unwrap(), "id\n1\n\"\"\n"),
            _ => assert_eq!(case.rows(), 2),
        }
    }
}

#[test]
fn a_changed_pipeline_is_updated_and_goes_on_where_it_was() {
    let case = Case::new(GOOD);
    assert_eq!(case.run(&case.spec()).0, 0);
    let mut spec = case.spec();
    spec["sink"]["table"] = json!("everybody");
    spec["transforms"] = json!([]);
    fs::write(case.path("in.jsonl"), format!("{GOOD}{{\"id\":4,\"age\":7}}\n")).unwrap();
    let (code, _, stderr) = case.run(&spec);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("goes on where it was") && stderr.contains("4  records read"), "{stderr}");
    assert_eq!(query(&case.database(), "SELECT count(*) FROM everybody"), 1);
    assert_eq!(case.rows(), 2);
}

#[test]
fn dead_letters_make_it_end_with_3() {
    let case = Case::new("{\"id\":1,\"age\":20}\nnot json\n{\"id\":3,\"age\":\"old\"}\n");
    let (code, _, stderr) = case.run(&case.spec());
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("2  dead letters"), "{stderr}");
    assert_eq!(case.rows(), 1);
}

#[test]
fn a_wrong_file_ends_with_2_and_leaves_nothing_behind() {
    let case = Case::new(GOOD);
    let mut spec = case.spec();
    spec["transforms"][0]["condition"] = json!("age >");
    spec["sink"]["tabel"] = json!("x");
    let (code, _, stderr) = case.run(&spec);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("transforms[0].condition") && stderr.contains("sink.tabel"), "{stderr}");
    assert!(!case.path("data").exists());
    for (name, text) in [("pipeline.yaml", "a: [b"), ("pipeline.json", "{"), ("list.json", "[]")] {
        fs::write(case.path(name), text).unwrap();
        let (code, _, stderr) = output(&["run", case.path(name).to_str().unwrap()]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(name), "{stderr}");
    }
    assert_eq!(output(&["run", "/no/such/file.yaml"]).0, 2);
}

#[test]
fn a_source_that_needs_a_listener_is_refused() {
    let case = Case::new("");
    let mut spec = case.spec();
    spec["source"] = json!({"type": "http"});
    let (code, _, stderr) = case.run(&spec);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("no listener") && stderr.contains("dataflow serve"), "{stderr}");
    assert!(!case.path("data").exists());
}

#[test]
fn a_source_that_is_not_there_ends_with_1() {
    let case = Case::new(GOOD);
    let mut spec = case.spec();
    spec["source"]["path"] = json!(case.path("missing.jsonl"));
    let (code, _, stderr) = case.run(&spec);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("missing.jsonl"), "{stderr}");
}

#[test]
fn ctrl_c_settles_and_the_next_run_goes_on() {
    let case = Case::new(GOOD);
    let file = case.path("pipeline.yaml");
    // Endless, so that it does not end by itself however late the signal comes.
    let spec = format!(
        "pipelineId: endless\nsource: {{type: generate, rate: 15000, schema: {{id: {{type: sequence}}}}}}\n\
         sink: {{type: sqlite, path: {}, table: users, mode: append}}\nbatch: {{maxRecords: 100, linger: 5ms}}\n",
        case.database().display()
    );
    fs::write(&file, spec).unwrap();
    let args = ["run", file.to_str().unwrap(), "--data-dir", case.path("data").to_str().unwrap()].map(str::to_owned);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut written = 0;
    for _ in 0..2 {
        let mut child = dataflow(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until_rows(&case.database(), written + 1_000);
        signal_to(&child, "INT");
        assert_eq!(wait(&mut child).code(), Some(0));
        written = case.rows();
        // From the first record on, each once.
        assert_eq!(query(&case.database(), "SELECT count(DISTINCT id) FROM users"), written);
        assert_eq!(query(&case.database(), "SELECT max(id) FROM users"), written - 1);
    }
}

fn until_rows(database: &Path, wanted: i64) {
    let begun = Instant::now();
    let written = || {
        let open = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        open.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0)).ok()
    };
    while written().unwrap_or(0) < wanted {
        assert!(begun.elapsed() < Duration::from_secs(60), "{wanted} rows are not written");
        std::thread::sleep(Duration::from_millis(20));
    }
}
