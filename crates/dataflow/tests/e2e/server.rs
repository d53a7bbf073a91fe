//! Servers of a test's own, to be killed and started again.
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);

/// The program and its data. Dropping it kills the server.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    server: Option<Child>,
}

impl Postgres {
    /// Makes and starts a server; none if PostgreSQL isn't installed and needn't be.
    pub(crate) async fn start() -> Option<Self> {
        let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let programs = installed.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists());
        let Some(programs) = programs else {
            let required = std::env::vars().any(|(name, value)| name == "DATAFLOW_REQUIRE_SERVICES" && value == "1");
            assert!(!required, "PostgreSQL is not installed: dev/setup.sh services");
            eprintln!("skipped: PostgreSQL is not installed (dev/setup.sh services)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&data));
        }
        let port = free_port();
        let mut postgres = Self { programs, folder, address: SocketAddr::from(([127, 0, 0, 1], port)), server: None };
        let options = ["-U", "dataflow", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"];
        run(postgres.command("initdb").args(options).arg(&data));
        postgres.up().await;
        Some(postgres)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of its programs; the server refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
        command
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn up(&mut self) {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start");
            // What a killed server leaves behind may keep the next one from starting for a moment.
            if self.server.as_mut().is_none_or(|server| server.try_wait().unwrap().is_some()) {
                let mut server = self.command("postgres");
                server.arg("-D").arg(self.data()).arg("-k").arg(self.data());
                server.args(["-c", "listen_addresses=127.0.0.1", "-p", &self.address.port().to_string()]);
                self.server = Some(server.stderr(Stdio::null()).spawn().unwrap());
            }
            if Self::try_client(&Self::url(self.address)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// "Fast" shutdown: sessions are ended with a word.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            crate::program::signal_to(&server, "INT");
            crate::program::wait(&mut server);
        }
    }

    /// How clients reach it through `address`.
    pub(crate) fn url(address: SocketAddr) -> String {
        format!("postgres://dataflow@{address}/postgres")
    }

    /// A backup of a database, as pg_dump makes it.
    pub(crate) fn dump(&self, database: &str) -> Vec<u8> {
        let mut dump = self.command("pg_dump");
        dump.args(["-h", "127.0.0.1", "-U", "dataflow", "-Fc", "-p", &self.address.port().to_string(), database]);
        let output = dump.stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Makes a database anew from its backup; whoever is connected to the old one is thrown out.
    pub(crate) async fn restore(&self, database: &str, dump: &[u8]) {
        let client = self.client().await;
        for sql in [format!("drop database {database} with (force)"), format!("create database {database}")] {
            client.batch_execute(&sql).await.unwrap();
        }
        let mut restore = self.command("pg_restore");
        restore.args(["-h", "127.0.0.1", "-U", "dataflow", "-p", &self.address.port().to_string(), "-d", database]);
        let mut restore = restore.stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut restore.stdin.take().unwrap(), dump).unwrap();
        assert!(crate::program::wait(&mut restore).success());
    }

    async fn try_client(url: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        #[expect(clippy::disallowed_methods, reason = "the connection lives as long as the test")]
        tokio::spawn(connection);
        Ok(client)
    }

    pub(crate) async fn client(&self) -> Client {
        Self::client_at(self.address).await
    }

    /// A client of a server that is up at this address.
    pub(crate) async fn client_at(address: SocketAddr) -> Client {
        Self::try_client(&Self::url(address)).await.unwrap()
    }

    /// A client of one of its databases.
    pub(crate) async fn client_of(&self, database: &str) -> Client {
        Self::try_client(&format!("postgres://dataflow@{}/{database}", self.address)).await.unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(Path::new("/proc/self")).unwrap().uid() == 0
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A Kafka of a test's own, which tells its clients to come to `advertised` (a proxy). Dropping it kills the server.
pub(crate) struct Kafka {
    folder: tempfile::TempDir,
    jars: PathBuf,
    pub(crate) address: SocketAddr,
    server: Option<Child>,
}

impl Kafka {
    /// Where one will be; none if Kafka isn't installed and needn't be.
    pub(crate) fn new() -> Option<Self> {
        let variables: std::collections::BTreeMap<String, String> = std::env::vars().collect();
        let home = variables.get("DATAFLOW_SERVICES_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(variables.get("HOME")?).join(".cache/dataflow-services")));
        let jars = home.map(|home| home.join("install/kafka/lib")).filter(|jars| jars.is_dir());
        let Some(jars) = jars else {
            assert_ne!(
                variables.get("DATAFLOW_REQUIRE_SERVICES").map(String::as_str),
                Some("1"),
                "Kafka is not installed"
            );
            eprintln!("skipped: Kafka is not installed (dev/services/services.sh up kafka)");
            return None;
        };
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Some(Self { folder: tempfile::tempdir().unwrap(), jars, address, server: None })
    }

    fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xms128m", "-Xmx384m", "-cp"]).arg(self.jars.join("*"));
        java.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        java
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    /// Makes its data folder and starts it.
    pub(crate) async fn start(&mut self, advertised: SocketAddr) {
        let (folder, controller) = (self.folder.path().display(), free_port());
        let settings = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://{},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://{advertised}\nlog.dirs={folder}/log\noffsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n",
            self.address
        );
        fs::write(self.settings(), settings).unwrap();
        let format = ["kafka.tools.StorageTool", "format", "-t", "ZGF0YWZsb3ctc2VydmljZQ", "-c"];
        run(self.java().args(format).arg(self.settings()));
        self.up().await;
    }

    /// Starts the server and waits until it takes connections.
    pub(crate) async fn up(&mut self) {
        self.server = Some(self.java().arg("kafka.Kafka").arg(self.settings()).spawn().unwrap());
        let begun = Instant::now();
        while std::net::TcpStream::connect(self.address).is_err() {
            assert!(begun.elapsed() < 2 * PATIENCE, "Kafka does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// SIGKILL, or SIGTERM and its end.
    pub(crate) fn end(&mut self, kill: bool) {
        if let Some(mut server) = self.server.take() {
            crate::program::signal_to(&server, if kill { "KILL" } else { "TERM" });
            crate::program::wait(&mut server);
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.end(true);
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
