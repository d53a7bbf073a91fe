//! Files as a source: what their names, their number and their ends do to what is read of them.
use crate::program::{count as counted, dataflow, output, query, start};
use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

struct Case {
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn input(&self, name: &[u8], text: &str) {
        fs::write(self.path("in").join(OsStr::from_bytes(name)), text).unwrap();
    }

    fn args(&self, more: &Value) -> [String; 4] {
        let mut source = json!({"type": "file", "path": self.path("in/*.jsonl")});
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let sink = json!({"type": "sqlite", "path": self.path("out.db"), "table": "lines", "mode": "append"});
        let spec = json!({"pipelineId": "files", "source": source, "sink": sink});
        let file = self.path("pipeline.json");
        fs::write(&file, spec.to_string()).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        ["run".into(), text(&file), "--data-dir".into(), text(&self.path("data"))]
    }

    fn run(&self, more: &Value) -> (i32, String) {
        let args = self.args(more);
        let (code, _, stderr) = output(&args.each_ref().map(String::as_str));
        (code, stderr)
    }

    fn rows(&self) -> i64 {
        query(&self.path("out.db"), "SELECT count(*) FROM lines")
    }
}

/// What a user should know is shown also while nothing comes: then most of all.
#[tokio::test]
async fn what_is_passed_over_is_said_while_nothing_comes() {
    let case = Case::new();
    case.input(b"a.jsonl", "{\"id\":1}\n");
    let node = start(&case.path("data"));
    let source = json!({"type": "file", "path": case.path("in/*.jsonl"), "follow": true, "pollInterval": "20ms", "format": "json"});
    let sink = json!({"type": "sqlite", "path": case.path("out.db"), "table": "lines", "mode": "append"});
    node.create_and_start(&json!({"pipelineId": "p", "source": source, "sink": sink})).await;
    node.until("p", "delivered", |view| counted(view, "recordsDelivered") == 1).await;
    std::os::unix::fs::symlink("nowhere", case.path("in/0.jsonl")).unwrap();
    fs::create_dir(case.path("in/b.jsonl")).unwrap();
    let said = |view: &Value, code: &str| {
        view["warnings"].as_array().is_some_and(|all| all.iter().any(|one| one["code"] == code))
    };
    node.until("p", "warned", |view| said(view, "dangling-link") && said(view, "is-a-directory")).await;
}

/// In the run that has said it or in a later one, and also for who looks while nothing runs.
#[tokio::test]
async fn what_was_said_is_taken_back_once_it_holds_no_longer() {
    for again in [false, true] {
        let case = Case::new();
        let mut node = start(&case.path("data"));
        let source = json!({"type": "file", "path": case.path("in/a.jsonl"), "follow": true, "pollInterval": "20ms"});
        let sink = json!({"type": "sqlite", "path": case.path("out.db"), "table": "lines", "mode": "append"});
        let transforms = json!([{"type": "filter", "condition": "age is null or age > 0"}]);
        let spec = json!({
            "pipelineId": "p", "source": source, "sink": sink, "transforms": transforms, "checkpointInterval": "20ms",
        });
        let said = |view: &Value| -> Vec<String> {
            let all = view["warnings"].as_array().into_iter().flatten();
            all.map(|one| one["code"].as_str().unwrap().to_owned()).filter(|code| code != "ignored-field").collect()
        };
        node.create_and_start(&spec).await;
        node.until("p", "said to be missing", |view| said(view) == ["file-missing"]).await;
        if again {
            node.post("/api/pipelines/p/stop").await;
            node.kill();
            node = start(&case.path("data"));
            assert_eq!(said(&node.get("/api/pipelines/p").await), ["file-missing"]);
        }
        case.input(b"a.jsonl", "{\"id\":1}\n");
        if again {
            node.post("/api/pipelines/p/start").await;
        }
        node.until("p", "found", |view| counted(view, "recordsDelivered") == 1 && said(view) == ["unknown-field"])
            .await;
        let mut input = fs::OpenOptions::new().append(true).open(case.path("in/a.jsonl")).unwrap();
        std::io::Write::write_all(&mut input, b"{\"id\":2,\"age\":3}\n").unwrap();
        node.until("p", "mended", |view| counted(view, "recordsDelivered") == 2 && said(view).is_empty()).await;
        node.post("/api/pipelines/p/stop").await;
        assert_eq!(said(&node.get("/api/pipelines/p").await), [""; 0]);
        node.kill();
        node = start(&case.path("data"));
        assert_eq!(said(&node.get("/api/pipelines/p").await), [""; 0], "again: {again}");
    }
}

#[test]
fn a_file_that_matches_later_is_read_by_the_next_run() {
    let case = Case::new();
    case.input(b"a.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    for (file, rows) in [("a", 2), ("b", 3), ("c", 4)] {
        if file != "a" {
            case.input(format!("{file}.jsonl").as_bytes(), "{\"id\":3}\n");
        }
        let (code, stderr) = case.run(&json!({}));
        assert_eq!((code, case.rows()), (0, rows), "{stderr}");
        assert!(!stderr.contains("nothing to do"), "{stderr}");
    }
    let (code, stderr) = case.run(&json!({}));
    assert_eq!((code, case.rows()), (0, 4), "{stderr}");
    assert!(stderr.contains("nothing to do"), "{stderr}");
}

#[test]
fn names_links_and_ends() {
    let case = Case::new();
    case.input(b"caf\xe9.jsonl", "{\"id\":1}\n");
    case.input(b"b.jsonl", "{\"id\":2}\n{\"id\":3}");
    std::os::unix::fs::symlink("b.jsonl", case.path("in/a.jsonl")).unwrap();
    fs::create_dir(case.path("in/c.jsonl")).unwrap();
    let (code, stderr) = case.run(&json!({"lastLine": "dead"}));
    assert_eq!((code, case.rows()), (3, 2), "{stderr}");
    // What can't be read is no end.
    std::os::unix::fs::symlink("nowhere", case.path("in/d.jsonl")).unwrap();
    let (code, stderr) = case.run(&json!({"lastLine": "dead"}));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("d.jsonl"), "{stderr}");
}

#[test]
fn more_files_than_may_be_open_are_followed() {
    let case = Case::new();
    for nth in 0..300 {
        case.input(format!("{nth}.jsonl").as_bytes(), &format!("{{\"id\":{nth}}}\n"));
    }
    let args = case.args(&json!({"follow": true, "pollInterval": "20ms"}));
    let program = dataflow(&[]).get_program().to_owned();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 128; exec \"$@\"", "sh"]).arg(program).args(args);
    let mut child = limited.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !case.path("out.db").exists() || count(&case.path("out.db")) < 300 {
        assert!(begun.elapsed() < Duration::from_secs(60), "they are not all read");
        assert!(child.try_wait().unwrap().is_none(), "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(query(&case.path("out.db"), "SELECT count(DISTINCT id) FROM lines"), 300);
    assert_eq!(case.rows(), 300);
}

fn count(database: &Path) -> i64 {
    let open = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    open.and_then(|open| open.query_row("SELECT count(*) FROM lines", [], |row| row.get(0))).unwrap_or(0)
}
