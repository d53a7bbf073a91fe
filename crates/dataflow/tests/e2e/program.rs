//! Starts and stops the program, and talks to it.
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program with these arguments, away from the settings of whoever runs the tests.
pub(crate) fn dataflow(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dataflow"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DATAFLOW_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// What the program printed and how it ended.
pub(crate) fn output(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = dataflow(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A `dataflow serve`. Dropping it kills it.
pub(crate) struct Node {
    child: Child,
    pub(crate) url: String,
    http: reqwest::Client,
}

impl Node {
    /// Starts a node on a free port and waits until it listens.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[], &[])
    }

    pub(crate) fn start_with(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::try_start_with(folder, args, variables).expect("it says why it does not start")
    }

    /// None: it ended before it listened.
    pub(crate) fn try_start_with(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Option<Self> {
        let folder = folder.to_str().unwrap();
        let mut command = dataflow(&["serve", "--listen", "127.0.0.1:0", "--data-dir", folder, "--log-level", "warn"]);
        command.args(args).envs(variables.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            wait(&mut child);
            return None;
        }
        let url =
            line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Some(Self { child, url, http })
    }

    pub(crate) async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str) -> (u16, Value) {
        self.request("POST", path, None).await
    }

    /// Makes a pipeline and starts it.
    pub(crate) async fn create_and_start(&self, spec: &Value) {
        let (status, body) = self.request("POST", "/api/pipelines", Some(spec)).await;
        assert_eq!(status, 201, "{body}");
        let (status, body) = self.post(&format!("/api/pipelines/{}/start", spec["pipelineId"].as_str().unwrap())).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Waits until a pipeline is as it should be.
    pub(crate) async fn until(&self, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let view = self.get(&format!("/api/pipelines/{id}")).await;
            if is(&view) {
                return view;
            }
            assert!(begun.elapsed() < PATIENCE, "{id} is not {what} within {PATIENCE:?}: {view:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it was frozen by SIGSTOP.
    pub(crate) fn is_frozen(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        signal_to(&self.child, signal);
    }

    /// SIGKILL, and gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        wait(&mut self.child)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _gone = self.child.wait();
    }
}

pub(crate) fn signal_to(child: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits for the end of a process.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "the program does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn is(status: &str) -> impl Fn(&Value) -> bool {
    move |view| view["status"] == status
}

/// A count in the ledger.
pub(crate) fn count(view: &Value, name: &str) -> u64 {
    view["metrics"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {view:#}"))
}

/// Every record that was read has exactly one fate.
pub(crate) fn assert_balanced(view: &Value) {
    let fates =
        ["recordsFiltered", "recordsDelivered", "recordsAbsorbed", "recordsDead", "recordsLost", "recordsInFlight"];
    let sum: u64 = fates.iter().map(|fate| count(view, fate)).sum();
    assert_eq!(count(view, "recordsRead"), sum, "{view:#}");
}

/// One value of a SQLite file.
pub(crate) fn query(database: &Path, sql: &str) -> i64 {
    let connection =
        rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}
