//! Targets that lost what was committed: restored from an older backup, changed, cut, removed.
use super::{Flow, rows, sqlite, times};
use crate::{
    program::{Node, count, is, start},
    server::Postgres,
};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

/// What is done to a file.
type Change<'a> = &'a dyn Fn(&Path);

fn file(folder: &Path) -> Value {
    json!({"type": "file", "path": folder.join("out.jsonl")})
}

/// How often each id is in the file.
fn lines(folder: &Path) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    for line in fs::read_to_string(folder.join("out.jsonl")).unwrap().lines() {
        *found.entry(serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).or_default() += 1;
    }
    found
}

/// What can be restored from an older backup.
enum Store<'a> {
    Sqlite,
    /// A database for each choice.
    Postgres(&'a Postgres),
}

/// A backup of it.
enum Backup {
    Copy(PathBuf),
    Dump(Vec<u8>),
}

impl Store<'_> {
    fn database(folder: &Path) -> String {
        format!("restored_{}", folder.file_name().unwrap().to_str().unwrap().replace('-', "_"))
    }

    fn sink(&self, folder: &Path) -> Value {
        match self {
            Self::Sqlite => sqlite(folder),
            Self::Postgres(server) => {
                let url = format!("postgres://dataflow@{}/{}", server.address, Self::database(folder));
                json!({"type": "postgres", "url": url, "table": "rows", "mode": "append"})
            }
        }
    }

    async fn make(&self, choice: &str) {
        if let Self::Postgres(server) = self {
            let database = Self::database(Path::new(choice));
            server.client().await.batch_execute(&format!("create database {database}")).await.unwrap();
        }
    }

    fn back_up(&self, folder: &Path) -> Backup {
        match self {
            Self::Sqlite => {
                let copy = folder.join("copy.db");
                let db = Connection::open(folder.join("out.db")).unwrap();
                db.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
                Backup::Copy(copy)
            }
            Self::Postgres(server) => Backup::Dump(server.dump(&Self::database(folder))),
        }
    }

    async fn restore(&self, folder: &Path, backup: Backup) {
        match (self, backup) {
            (Self::Sqlite, Backup::Copy(copy)) => {
                for gone in ["out.db", "out.db-wal", "out.db-shm"] {
                    fs::remove_file(folder.join(gone)).ok();
                }
                fs::rename(copy, folder.join("out.db")).unwrap();
            }
            (Self::Postgres(server), Backup::Dump(dump)) => server.restore(&Self::database(folder), &dump).await,
            _ => unreachable!("a backup is of its own store"),
        }
    }

    async fn rows(&self, folder: &Path) -> BTreeMap<u64, u64> {
        let Self::Postgres(server) = self else { return rows(folder) };
        let client = server.client_of(&Self::database(folder)).await;
        let rows = client.query("select id::bigint, count(*) from rows group by id", &[]).await.unwrap();
        rows.iter().map(|row| (row.get::<_, i64>(0) as u64, row.get::<_, i64>(1) as u64)).collect()
    }
}

#[tokio::test]
async fn a_sqlite_file_restored_from_an_older_copy() {
    restored(&Store::Sqlite).await;
}

#[tokio::test]
async fn a_postgres_database_restored_from_an_older_dump() {
    let Some(postgres) = Postgres::start().await else { return };
    restored(&Store::Postgres(&postgres)).await;
}

async fn restored(store: &Store<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    // What becomes of records 100 to 250, which the restored file has no longer, and what is counted as lost, with what is
    // passed over.
    let choices = [
        ("sink-token", times(&[(0..300, 1)]), 0, 300),
        ("journal", times(&[(0..100, 1), (250..300, 1)]), 150, 150),
        ("end", times(&[(0..100, 1), (260..300, 1)]), 160, 140),
        ("beginning", times(&[(0..100, 2), (100..300, 1)]), 0, 550),
        ("positions", times(&[(0..100, 1), (240..300, 1)]), 150, 160),
    ];
    for (choice, expected, lost, delivered) in choices {
        store.make(choice).await;
        let flow = Flow::new(&node, folder.path(), choice, |folder| store.sink(folder), json!({})).await;
        flow.append(0..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        let before = flow.position().await;
        let backup = store.back_up(&flow.folder);
        flow.act("start").await;
        flow.append(100..240);
        flow.delivered(240).await;
        let middle = fs::metadata(flow.input()).unwrap().len();
        flow.append(240..250);
        flow.delivered(250).await;
        flow.act("stop").await;
        let after = flow.position().await;
        assert_eq!(after, fs::metadata(flow.input()).unwrap().len());
        store.restore(&flow.folder, backup).await;

        let error = flow.fails("token-behind").await;
        let message = error["message"].as_str().unwrap();
        for at in [before, after] {
            assert!(message.contains(&format!("{}: {at}", flow.input().display())), "{at} is not in {message}");
        }
        flow.append(250..260);
        let to = match choice {
            "positions" => json!({"positions": [{"partition": flow.input(), "position": middle.to_string()}]}),
            named => json!(named),
        };
        let reset = flow.choose(to).await;
        assert_eq!(count(&reset, "recordsLost"), lost, "{choice}");
        flow.act("start").await;
        flow.append(260..300);
        let view = flow.delivered(delivered).await;
        assert_eq!(count(&view, "recordsLost"), lost, "{choice}");
        flow.act("stop").await;
        assert_eq!(store.rows(&flow.folder).await, expected, "{choice}");
    }
}

#[tokio::test]
async fn a_token_that_is_gone_or_contradicts_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let changes = [
        ("gone", "DELETE FROM dataflow_tokens", "token-missing"),
        (
            "moved",
            "UPDATE dataflow_tokens SET positions = replace(positions, '\"at\":\"', '\"at\":\"1')",
            "token-mismatch",
        ),
    ];
    let choices = [("journal", 1, 150), ("beginning", 2, 250)];
    for ((name, change, code), (choice, first, delivered)) in
        changes.into_iter().flat_map(|change| choices.map(|choice| (change, choice)))
    {
        let flow = Flow::new(&node, folder.path(), &format!("{name}-{choice}"), sqlite, json!({})).await;
        flow.append(0..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        let changed = Connection::open(flow.folder.join("out.db")).unwrap().execute(change, []).unwrap();
        assert!(changed > 0);
        let error = flow.fails(code).await;
        let at = flow.position().await;
        assert!(error["message"].as_str().unwrap().contains(&format!(": {at}")), "{error}");
        // Nothing is guessed, however often it is started.
        flow.fails(code).await;
        flow.choose(json!(choice)).await;
        flow.act("start").await;
        flow.append(100..150);
        // Nothing tells that a target without its token still has what was delivered to it.
        let lost = if (name, choice) == ("gone", "journal") { 100 } else { 0 };
        let view = flow.delivered(delivered - lost).await;
        assert_eq!(count(&view, "recordsLost"), lost, "{name}: {choice}");
        flow.act("stop").await;
        assert_eq!(rows(&flow.folder), times(&[(0..100, first), (100..150, 1)]), "{name}: {choice}");
    }
}

/// What can't be seen when a pipeline is changed is seen when it is opened: also after a change of how rows are written.
#[tokio::test]
async fn a_target_that_is_another_one_by_now_although_its_settings_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    for (name, columns) in [("same", Value::Null), ("changed", json!(["id"]))] {
        let flow = Flow::new(&node, folder.path(), name, sqlite, json!({})).await;
        flow.append(0..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        let path = format!("/api/pipelines/{name}");
        let mut spec = node.get(&path).await;
        spec["sink"]["columns"] = columns;
        assert_eq!(node.request("PUT", &path, Some(&spec)).await.0, 200, "{name}");
        let database = Connection::open(flow.folder.join("out.db")).unwrap();
        database.execute_batch("DROP TABLE dataflow_tokens; DROP TABLE rows").unwrap();
        let error = flow.fails("token-missing").await;
        assert!(error["message"].as_str().unwrap().contains("100"), "{error}");
        flow.choose(json!("beginning")).await;
        flow.act("start").await;
        flow.delivered(200).await;
        flow.act("stop").await;
        assert_eq!(rows(&flow.folder), times(&[(0..100, 1)]), "{name}");
    }
}

/// A table that goes under a run or while it is stopped, with or without a reset since it was written.
#[tokio::test]
async fn a_table_that_is_gone_beside_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    for (name, choice, lost) in
        [("stopped", "journal", 100), ("running", "end", 110), ("running", "beginning", 0), ("reset", "journal", 100)]
    {
        let flow = Flow::new(&node, folder.path(), &format!("{name}-{choice}"), sqlite, json!({})).await;
        flow.append(0..100);
        flow.delivered(100).await;
        if name != "running" {
            flow.act("stop").await;
        }
        if name == "reset" {
            flow.choose(json!("journal")).await;
        }
        Connection::open(flow.folder.join("out.db")).unwrap().execute("drop table rows", []).unwrap();
        match name {
            "running" => {
                flow.append(100..110);
                let view = flow.until("failed", is("failed")).await;
                assert_eq!(view["error"]["code"], "table-missing", "{view}");
            }
            _ => drop(flow.fails("table-missing").await),
        }
        flow.fails("table-missing").await;
        let reset = flow.choose(json!(choice)).await;
        assert_eq!(count(&reset, "recordsLost"), lost, "{name}: {choice}");
        flow.act("start").await;
        flow.append(110..150);
        let (delivered, expected) = match choice {
            "beginning" if name == "running" => (250, times(&[(0..150, 1)])),
            _ => (40, times(&[(110..150, 1)])),
        };
        flow.delivered(delivered).await;
        flow.act("stop").await;
        assert_eq!(rows(&flow.folder), expected, "{name}: {choice}");
    }
}

/// The key that a spec leaves to the table is remembered when the table is gone, also by the generation that makes another.
#[tokio::test]
async fn a_table_that_is_made_anew_by_choice_has_the_key_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    for choice in ["beginning", "journal"] {
        let keyed = |folder: &Path| {
            let setup = "create table rows (id integer primary key)";
            Connection::open(folder.join("out.db")).unwrap().execute_batch(setup).unwrap();
            json!({"type": "sqlite", "path": folder.join("out.db"), "table": "rows"})
        };
        let flow = Flow::new(&node, folder.path(), &format!("keyed-{choice}"), keyed, json!({})).await;
        flow.append(0..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        Connection::open(flow.folder.join("out.db")).unwrap().execute("drop table rows", []).unwrap();
        flow.fails("table-missing").await;
        flow.choose(json!(choice)).await;
        flow.act("start").await;
        flow.append(100..150);
        flow.append(100..150);
        let delivered = if choice == "journal" { 100 } else { 300 };
        flow.delivered(delivered).await;
        flow.act("stop").await;
        let first = if choice == "journal" { 100 } else { 0 };
        assert_eq!(rows(&flow.folder), times(&[(first..150, 1)]), "{choice}");
    }
}

/// A database file that is moved under a run is not made anew, empty.
#[tokio::test]
async fn a_database_that_is_moved_under_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let flow = Flow::new(&node, folder.path(), "moved", sqlite, json!({})).await;
    flow.append(0..100);
    flow.delivered(100).await;
    let files = ["out.db", "out.db-wal", "out.db-shm"];
    let moved = |name: &str| flow.folder.join(format!("moved-{name}"));
    for name in files {
        drop(fs::rename(flow.folder.join(name), moved(name)));
    }
    flow.append(100..110);
    let view = flow.until("failed", is("failed")).await;
    assert_eq!(view["error"]["code"], "file-missing", "{view}");
    flow.fails("file-missing").await;
    assert!(!flow.folder.join("out.db").exists());
    for name in files {
        drop(fs::rename(moved(name), flow.folder.join(name)));
    }
    flow.act("start").await;
    flow.delivered(110).await;
    flow.act("stop").await;
    assert_eq!(rows(&flow.folder), times(&[(0..110, 1)]));
}

/// What the file holds no longer is lost where the user goes on after it: by the lines that are still there.
#[tokio::test]
async fn a_target_file_that_is_shorter_than_committed_another_or_gone() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let first = |path: &Path, lines: usize| -> String {
        fs::read_to_string(path).unwrap().split_inclusive('\n').take(lines).collect()
    };
    let empty = |path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    let shorten = |path: &Path| {
        let left = first(path, 40).len() as u64;
        OpenOptions::new().write(true).open(path).unwrap().set_len(left).unwrap();
    };
    let replace = |path: &Path| {
        fs::write(path.with_extension("new"), "").unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let restore = |path: &Path| {
        fs::write(path.with_extension("copy"), first(path, 60)).unwrap();
        fs::rename(path.with_extension("copy"), path).unwrap();
    };
    let copy = |path: &Path| {
        fs::copy(path, path.with_extension("copy")).unwrap();
        fs::rename(path.with_extension("copy"), path).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let changes: [(&str, &str, Change<'_>, u64); 6] = [
        ("emptied", "file-too-short", &empty, 0),
        ("shorter", "file-too-short", &shorten, 40),
        ("replaced", "file-replaced", &replace, 0),
        ("restored", "file-replaced", &restore, 60),
        ("copied", "file-replaced", &copy, 100),
        ("removed", "file-missing", &remove, 0),
    ];
    for (name, code, change, left) in changes {
        for choice in ["journal", "end", "beginning"] {
            let flow = Flow::new(&node, folder.path(), &format!("{name}-{choice}"), file, json!({})).await;
            flow.append(0..100);
            flow.delivered(100).await;
            flow.act("stop").await;
            let out = flow.folder.join("out.jsonl");
            let committed = fs::metadata(&out).unwrap().len();
            change(&out);
            let error = flow.fails(code).await;
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&committed.to_string()) && message.contains("out.jsonl"), "{message}");
            assert!(error["fix"].as_str().unwrap().contains("journal"), "{error}");
            flow.choose(json!(choice)).await;
            flow.act("start").await;
            flow.append(100..150);
            let again = choice == "beginning";
            let lost = if again { 0 } else { 100 - left };
            let delivered = if again { 250 } else { left + 50 };
            let view = flow.delivered(delivered).await;
            assert_eq!(count(&view, "recordsLost"), lost, "{name}: {choice}");
            flow.act("stop").await;
            let expected =
                if again { times(&[(0..left, 1), (0..150, 1)]) } else { times(&[(0..left, 1), (100..150, 1)]) };
            assert_eq!(lines(&flow.folder), expected, "{name}: {choice}");
        }
    }
}

impl Flow<'_> {
    /// Has it write to another target, on purpose.
    async fn turn_to(&self, sink: &Value) {
        self.act("stop").await;
        let path = format!("/api/pipelines/{}", self.id);
        let mut spec = self.node.get(&path).await;
        spec["sink"] = sink.clone();
        let (status, body) = self.node.request("PUT", &format!("{path}?retarget=true"), Some(&spec)).await;
        assert_eq!(status, 200, "{body}");
    }
}

/// A target that a pipeline leaves and returns to, by way of a second and a third one.
struct Left<'a> {
    flow: Flow<'a>,
    first: Value,
}

impl<'a> Left<'a> {
    /// The first target has records 0 to 100 when it is left, and `backup` was made of it after 60.
    async fn new<B>(
        node: &'a Node,
        folder: &Path,
        id: &str,
        sink: impl Fn(&Path) -> Value,
        back_up: impl Fn(&Path) -> B,
        others: [Value; 2],
    ) -> (Self, B) {
        let flow = Flow::new(node, folder, id, &sink, json!({})).await;
        flow.append(0..60);
        flow.delivered(60).await;
        flow.act("stop").await;
        let backup = back_up(&flow.folder);
        flow.act("start").await;
        flow.append(60..100);
        flow.delivered(100).await;
        for (other, to) in others.iter().zip([120, 140]) {
            flow.turn_to(other).await;
            flow.act("start").await;
            flow.append(to - 20..to);
            flow.delivered(to).await;
        }
        let first = sink(&flow.folder);
        (Self { flow, first }, backup)
    }

    /// What becomes of the target meanwhile is noticed, and so many records are counted as lost once a user goes on.
    async fn misses(&self, code: &str, lost: u64) {
        self.flow.turn_to(&self.first).await;
        let error = self.flow.fails(code).await;
        assert!(error["fix"].as_str().unwrap().contains("journal"), "{error}");
        let reset = self.flow.choose(json!("journal")).await;
        assert_eq!(count(&reset, "recordsLost"), lost, "{code}");
        self.goes_on(140 - lost).await;
    }

    /// Records 140 to 150 arrive.
    async fn goes_on(&self, delivered: u64) {
        self.flow.act("start").await;
        self.flow.append(140..150);
        self.flow.delivered(delivered + 10).await;
        self.flow.act("stop").await;
    }

    async fn returns(&self) {
        self.flow.turn_to(&self.first).await;
        self.goes_on(140).await;
    }
}

#[tokio::test]
async fn a_sqlite_table_that_lost_rows_while_a_pipeline_wrote_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let other =
        |name: &str| json!({"type": "sqlite", "path": folder.path().join(name), "table": "rows", "mode": "append"});
    let store = Store::Sqlite;
    for name in ["kept", "restored", "dropped", "removed"] {
        let others = [other(&format!("{name}-b")), other(&format!("{name}-c"))];
        let (left, backup) =
            Left::new(&node, folder.path(), name, sqlite, |folder| store.back_up(folder), others).await;
        let at = &left.flow.folder;
        let mut expected = times(&[(140..150, 1)]);
        match name {
            "kept" => {
                left.returns().await;
                expected = times(&[(0..100, 1), (140..150, 1)]);
            }
            "restored" => {
                store.restore(at, backup).await;
                left.misses("token-behind", 40).await;
                expected = times(&[(0..60, 1), (140..150, 1)]);
            }
            "dropped" => {
                Connection::open(at.join("out.db")).unwrap().execute_batch("drop table rows").unwrap();
                left.misses("table-missing", 100).await;
            }
            _ => {
                for gone in ["out.db", "out.db-wal", "out.db-shm"] {
                    fs::remove_file(at.join(gone)).ok();
                }
                left.misses("token-missing", 100).await;
            }
        }
        assert_eq!(rows(at), expected, "{name}");
    }
}

#[tokio::test]
async fn a_postgres_table_that_lost_rows_while_a_pipeline_wrote_elsewhere() {
    let Some(postgres) = Postgres::start().await else { return };
    let store = Store::Postgres(&postgres);
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    store.make("elsewhere").await;
    for name in ["away_kept", "away_restored", "away_dropped"] {
        store.make(name).await;
        let sink = |folder: &Path| store.sink(folder);
        // Their tokens are in the same table, unless that is restored with the rows.
        let other = |table: &str| {
            let mut sink = sink(Path::new(if name == "away_restored" { "elsewhere" } else { name }));
            sink["table"] = json!(table);
            sink
        };
        let back_up = |folder: &Path| store.back_up(folder);
        let (left, backup) =
            Left::new(&node, folder.path(), name, sink, back_up, [other("second"), other("third")]).await;
        let at = &left.flow.folder;
        let mut expected = times(&[(140..150, 1)]);
        match name {
            "away_kept" => {
                left.returns().await;
                expected = times(&[(0..100, 1), (140..150, 1)]);
            }
            "away_restored" => {
                store.restore(at, backup).await;
                left.misses("token-behind", 40).await;
                expected = times(&[(0..60, 1), (140..150, 1)]);
            }
            _ => {
                let client = postgres.client_of(&Store::database(at)).await;
                client.batch_execute("drop table rows").await.unwrap();
                left.misses("table-missing", 100).await;
            }
        }
        assert_eq!(store.rows(at).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_others_changed_while_a_pipeline_wrote_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let other = |name: String| json!({"type": "file", "path": folder.path().join(name)});
    let foreign = |path: &Path| {
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, b"{\"id\":9000}\n").unwrap();
    };
    let cut = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let left: usize = text.split_inclusive('\n').take(60).map(str::len).sum();
        OpenOptions::new().write(true).open(path).unwrap().set_len(left as u64).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let keep = |_: &Path| {};
    let changes: [(&str, &str, Change<'_>, u64, _); 4] = [
        ("kept", "", &keep, 0, times(&[(0..100, 1), (140..150, 1)])),
        ("longer", "file-changed", &foreign, 0, times(&[(0..100, 1), (140..150, 1), (9000..9001, 1)])),
        ("shorter", "file-too-short", &cut, 40, times(&[(0..60, 1), (140..150, 1)])),
        ("removed", "file-missing", &remove, 100, times(&[(140..150, 1)])),
    ];
    for (name, code, change, lost, expected) in changes {
        let others = [other(format!("{name}-b")), other(format!("{name}-c"))];
        let (left, ()) = Left::new(&node, folder.path(), name, file, |_| (), others).await;
        change(&left.flow.folder.join("out.jsonl"));
        match code {
            "" => left.returns().await,
            code => left.misses(code, lost).await,
        }
        assert_eq!(lines(&left.flow.folder), expected, "{name}");
    }
}

/// Of each generation that has written to it, also where that was told to go on elsewhere.
#[tokio::test]
async fn a_file_that_lost_lines_of_several_generations() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    // When it is cut: before the last generation has begun, before it has written, and after that.
    for (name, opened, written, kept) in
        [("before", false, 0, 30), ("begun", true, 0, 30), ("written", true, 20, 30), ("little", true, 20, 110)]
    {
        let flow = Flow::new(&node, folder.path(), name, file, json!({})).await;
        flow.append(0..60);
        flow.delivered(60).await;
        let mut at = 60;
        for more in [40, written] {
            flow.act("stop").await;
            flow.choose(json!("journal")).await;
            if more > 0 || opened {
                flow.act("start").await;
                flow.append(at..at + more);
                at += more;
                flow.until("running", is("running")).await;
                flow.delivered(at).await;
            }
        }
        if opened {
            flow.act("stop").await;
        }
        let out = flow.folder.join("out.jsonl");
        let text = fs::read_to_string(&out).unwrap();
        let left: usize = text.split_inclusive('\n').take(kept as usize).map(str::len).sum();
        OpenOptions::new().write(true).open(&out).unwrap().set_len(left as u64).unwrap();
        flow.fails("file-too-short").await;
        let reset = flow.choose(json!("journal")).await;
        assert_eq!(count(&reset, "recordsLost"), at - kept, "{name}");
        flow.act("start").await;
        flow.append(at..at + 10);
        flow.delivered(kept + 10).await;
        flow.act("stop").await;
        assert_eq!(lines(&flow.folder), times(&[(0..kept, 1), (at..at + 10, 1)]), "{name}");
    }
}

/// Whoever looks at a file that another program holds is told of the lock, of its holder, and to come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_that_is_locked_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    for mode in ["wal", "delete"] {
        let sink = |folder: &Path| {
            let mut sink = sqlite(folder);
            sink["fenceTimeout"] = json!("100ms");
            sink
        };
        let flow = Flow::new(&node, folder.path(), mode, sink, json!({})).await;
        flow.append(0..10);
        flow.delivered(10).await;
        flow.act("stop").await;
        let holder = Connection::open(flow.folder.join("out.db")).unwrap();
        holder.pragma_update(None, "journal_mode", mode).unwrap();
        holder.pragma_update(None, "locking_mode", "exclusive").unwrap();
        holder.execute_batch("begin exclusive; create table theirs (id integer)").unwrap();

        let path = format!("/api/pipelines/{mode}");
        let locked = |what: &str, said: &str| {
            assert!(said.contains("out.db") && said.contains("locked"), "{mode}: {what}: {said}");
        };
        assert_eq!(flow.until("looked at", |_| true).await["status"], "stopped");
        let checkpoint = node.get(&format!("{path}/checkpoint")).await;
        assert!(checkpoint["positions"].is_array(), "{checkpoint:#}");
        let mut spec = node.get(&path).await;
        spec["sink"]["path"] = json!(flow.folder.join("./link.db"));
        std::os::unix::fs::symlink(flow.folder.join("out.db"), flow.folder.join("link.db")).unwrap();
        let (status, answer) = node.request("PUT", &path, Some(&spec)).await;
        assert_eq!(status / 100, 4, "{answer:#}");
        for to in ["sink-token", "journal"] {
            let (status, answer) = node.request("PUT", &format!("{path}/checkpoint"), Some(&json!({"to": to}))).await;
            assert_eq!((status, answer["code"].as_str()), (409, Some("unsettled")), "{answer:#}");
            locked("set", answer["detail"].as_str().unwrap());
        }
        flow.act("start").await;
        let view = flow.until("waiting for the lock", |view| view["error"]["code"] == "locked").await;
        assert!(view["error"]["retryAt"].is_string(), "{view:#}");
        locked("start", view["error"]["message"].as_str().unwrap());
        flow.act("stop").await;
        drop(holder);
        flow.act("start").await;
        flow.append(10..20);
        flow.delivered(20).await;
        flow.act("stop").await;
        assert_eq!(rows(&flow.folder), times(&[(0..20, 1)]), "{mode}");
    }
}

/// A field without a column is counted until it has one, also if that comes under a run.
#[tokio::test]
async fn a_column_that_is_added_for_an_ignored_field() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let postgres = Postgres::start().await;
    for name in ["lite", "pg"] {
        let at = match (&postgres, name) {
            (_, "lite") => None,
            (None, _) => continue,
            (Some(postgres), _) => Some(postgres),
        };
        let alter = async |sql: &str| match at {
            None => Connection::open(folder.path().join("out.db")).unwrap().execute_batch(sql).unwrap(),
            Some(postgres) => postgres.client().await.batch_execute(sql).await.unwrap(),
        };
        alter("create table rows (id bigint)").await;
        let sink = |_: &Path| match at {
            None => sqlite(folder.path()),
            Some(postgres) => {
                let url = format!("postgres://dataflow@{}/postgres", postgres.address);
                json!({"type": "postgres", "url": url, "table": "rows", "mode": "append"})
            }
        };
        let flow = Flow::new(&node, folder.path(), name, sink, json!({})).await;
        let append = |ids: std::ops::Range<u64>| {
            let text: String = ids.map(|id| format!("{{\"id\":{id},\"zip\":{id}}}\n")).collect();
            let mut input = OpenOptions::new().append(true).open(flow.input()).unwrap();
            std::io::Write::write_all(&mut input, text.as_bytes()).unwrap();
        };
        append(0..10);
        flow.delivered(10).await;
        alter("alter table rows add column zip bigint").await;
        append(10..20);
        flow.delivered(20).await;
        flow.act("stop").await;
        flow.act("start").await;
        append(20..30);
        let view = flow.delivered(30).await;
        let warned = view["warnings"].as_array().unwrap().iter().filter(|it| it["code"] == "ignored-field");
        let warned: Vec<_> = warned.map(|it| it["records"].as_u64().unwrap()).collect();
        assert_eq!(warned, [10], "{name}: {view:#}");
        flow.act("stop").await;
        let filled: i64 = match at {
            None => {
                let db = Connection::open(folder.path().join("out.db")).unwrap();
                db.query_row("select count(zip) from rows", [], |row| row.get(0)).unwrap()
            }
            Some(postgres) => {
                let client = postgres.client().await;
                client.query_one("select count(zip) from rows", &[]).await.unwrap().get(0)
            }
        };
        assert_eq!(filled, 20, "{name}");
    }
}
