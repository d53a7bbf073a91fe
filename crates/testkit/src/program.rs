//! Starts and stops the program, and talks to it. For tests: failures panic.
use serde_json::Value;
use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

/// The longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program, isolated from the settings of the user who runs the tests.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    log: Option<PathBuf>,
    log_level: &'static str,
}

impl Program {
    /// The program at a path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), log: None, log_level: "warn" }
    }

    /// Appends the log of its nodes to a file instead of stderr.
    #[must_use]
    pub fn log_to(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self.log_level = "info";
        self
    }

    /// Sets the log level of its nodes.
    #[must_use]
    pub fn log_level(mut self, level: &'static str) -> Self {
        self.log_level = level;
        self
    }

    /// A call with these arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DATAFLOW_")) {
            command.env_remove(name);
        }
        command.args(args);
        command
    }

    /// Runs a call; returns its exit code (-1: ended by a signal), stdout and stderr.
    pub fn output(&self, args: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } =
            self.command(args).stdin(Stdio::null()).output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("what is printed is UTF-8");
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    /// Starts a node on a free port and waits until it listens.
    pub fn node(&self, folder: &Path) -> Node {
        self.node_with(folder, &[], &[])
    }

    /// Starts a node with further arguments and variables.
    pub fn node_with(&self, folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Node {
        self.try_node(folder, args, variables)
            .unwrap_or_else(|status| panic!("the node ended before it listened: {status}"))
    }

    /// Starts a node that may end before it listens.
    ///
    /// # Errors
    /// Its exit status.
    pub fn try_node(&self, folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Result<Node, ExitStatus> {
        let folder = folder.to_str().expect("the folder's name is UTF-8");
        let mut command =
            self.command(&["serve", "--listen", "127.0.0.1:0", "--data-dir", folder, "--log-level", self.log_level]);
        // Tests keep their files in their own folders.
        command.args(args).env("DATAFLOW_PATHS_ALLOW", "/").envs(variables.iter().copied()).stdout(Stdio::piped());
        if let Some(log) = &self.log {
            command.stderr(appended(log));
        }
        let mut child = command.spawn().expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (first, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line);
            drop(first.send(read.map(|_| line)));
            // Reads to the end, so that the node can continue writing.
            drop(std::io::copy(&mut stdout, &mut std::io::sink()));
        });
        let heard = heard.recv_timeout(PATIENCE);
        let line = heard.expect("it says where it listens, or ends").expect("stdout can be read");
        if line.is_empty() {
            return Err(wait(&mut child));
        }
        let url =
            line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(dataflow_tls::unused())
            .no_proxy()
            .timeout(PATIENCE)
            // A node that was frozen closes what was idle for 10 s when it wakes, just as a request may be under way.
            .pool_idle_timeout(Duration::from_secs(5))
            .build()
            .expect("an HTTP client can be made");
        Ok(Node { child, url, http })
    }
}

fn appended(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("the log can be opened")
}

/// A `dataflow serve`. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    child: Child,
    /// The address on which it listens.
    pub url: String,
    http: reqwest::Client,
}

impl Node {
    /// Sends a request; returns the answer's status and body.
    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.try_request(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// Sends a request with headers.
    pub async fn request_with(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let answer = self.send(method, path, body, headers).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// Sends a request to a node that may end before it answers.
    ///
    /// # Errors
    /// If there is no complete answer.
    pub async fn try_request(&self, method: &str, path: &str, body: Option<&Value>) -> reqwest::Result<(u16, Value)> {
        self.send(method, path, body, &[]).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<(u16, Value)> {
        let method = method.parse().expect("it is a method of HTTP");
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Returns the body of an existing resource.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// Sends a request without a body.
    pub async fn post(&self, path: &str) -> (u16, Value) {
        self.request("POST", path, None).await
    }

    /// Creates a pipeline and starts it.
    pub async fn create_and_start(&self, spec: &Value) {
        let (status, body) = self.request("POST", "/api/pipelines", Some(spec)).await;
        assert_eq!(status, 201, "{body}");
        let id = spec["pipelineId"].as_str().expect("the spec has an id");
        self.start(id).await;
    }

    /// Starts a pipeline, whose source and sink need not open: a test may want them not to. A fault point may end the node before it
    /// answers.
    pub async fn start(&self, id: &str) {
        match self.try_request("POST", &format!("/api/pipelines/{id}/start?wait=0s"), None).await {
            Ok((status, body)) => assert!(matches!(status, 200 | 202), "{body}"),
            Err(error) => {
                let begun = Instant::now();
                while !self.state().starts_with('Z') {
                    assert!(begun.elapsed() < PATIENCE, "start {id}: {error:?}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }

    /// Waits until a pipeline is in the wanted state.
    pub async fn until(&self, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
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

    /// Returns whether it is frozen by SIGSTOP.
    pub fn is_frozen(&self) -> bool {
        self.state().starts_with('T')
    }

    /// What the system says of the process, its state first: `Z` if it has ended and nobody has waited for it.
    fn state(&self) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("nobody has waited for it");
        stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        signal_to(&self.child, signal);
    }

    /// Its exit status, if it has ended.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its state can be asked for")
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// Kills it with SIGKILL and waits.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is gone");
    }

    /// Terminates it with SIGTERM; returns its exit status.
    pub fn terminate(mut self) -> ExitStatus {
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

/// Sends a signal to a process.
pub fn signal_to(child: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().expect("there is kill");
    assert!(sent.success());
}

/// Waits for the end of a process.
pub fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("its state can be asked for") {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "the program does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns a check for a pipeline's status.
pub fn is(status: &str) -> impl Fn(&Value) -> bool {
    move |view| view["status"] == status
}

/// Returns a count in the ledger.
pub fn count(view: &Value, name: &str) -> u64 {
    view["metrics"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {view:#}"))
}

/// Asserts that every read record has exactly one fate.
pub fn assert_balanced(view: &Value) {
    let fates =
        ["recordsFiltered", "recordsDelivered", "recordsAbsorbed", "recordsDead", "recordsLost", "recordsInFlight"];
    let sum: u64 = fates.iter().map(|fate| count(view, fate)).sum();
    assert_eq!(count(view, "recordsRead"), sum, "{view:#}");
}
