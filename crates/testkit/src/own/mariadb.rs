//! A MariaDB server of a test's own, by the programs of the system.
use super::{Identity, Process, free_port};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

const SERVER: &str = "/usr/sbin/mariadbd";

/// A server. Its data is gone with it.
pub struct Mariadb {
    folder: TempDir,
    /// Where it listens, at 127.0.0.1.
    pub port: u16,
    process: Option<Process>,
}

impl std::fmt::Debug for Mariadb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mariadb").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Mariadb {
    /// A server without databases; it is started by `start`. None: MariaDB is not installed.
    pub fn new() -> Option<Self> {
        if !Path::new(SERVER).is_file() {
            let required = env::var_os("DATAFLOW_REQUIRE_SERVICES").is_some_and(|value| value == "1");
            assert!(!required, "MariaDB is not installed (dev/services/services.sh up mariadb)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let server = Self { folder, port: free_port(), process: None };
        let mut install = server.command("mariadb-install-db");
        let made =
            install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]).output().expect("it runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A program of the server's side, as the user that runs the test.
    fn command(&self, program: &str) -> Command {
        let user = Command::new("id").arg("-un").output().expect("id runs").stdout;
        let mut command = Command::new(program);
        command.arg("--no-defaults").arg(format!("--user={}", String::from_utf8_lossy(&user).trim()));
        command.arg(format!("--datadir={}", self.data().display())).stdin(Stdio::null());
        // A server that starts removes all temporary tables there, those of another server, too.
        command.arg(format!("--tmpdir={}", self.folder.path().display()));
        command
    }

    fn put(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    /// Starts the server, or starts it again. `tls`: what it shows of itself; `clients`: the authority (PEM) that it knows for
    /// the certificates of clients.
    pub fn start(&mut self, tls: Option<&Identity>, clients: Option<&str>) {
        self.stop();
        let mut mariadb = self.command(SERVER);
        mariadb.arg("--bind-address=127.0.0.1").arg(format!("--port={}", self.port));
        mariadb.arg(format!("--socket={}", self.socket().display()));
        mariadb.args(["--skip-name-resolve", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"]);
        mariadb.arg("--plugin-load-add=auth_ed25519");
        if let Some(Identity { cert, key }) = tls {
            mariadb.arg(format!("--ssl-cert={}", self.put("server.crt", cert)));
            mariadb.arg(format!("--ssl-key={}", self.put("server.key", key)));
        }
        if let Some(authority) = clients {
            mariadb.arg(format!("--ssl-ca={}", self.put("clients.crt", authority)));
        }
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("out")).expect("a file");
        mariadb.stdout(log.try_clone().expect("a file")).stderr(log);
        let mut process = Process(mariadb.spawn().expect("mariadbd runs"));
        // It listens before it answers.
        process.wait_for("MariaDB", || self.ask("select 1").is_ok());
        self.process = Some(process);
    }

    /// Ends the server.
    pub fn stop(&mut self) {
        let Some(process) = &mut self.process else { return };
        drop(Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status());
        drop(process.0.wait());
        self.process = None;
    }

    /// Runs statements by `mariadb`, as the server's owner.
    pub fn run(&self, statements: &str) {
        self.ask(statements).unwrap_or_else(|refused| panic!("{refused}"));
    }

    fn ask(&self, statements: &str) -> Result<(), String> {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "-u", "root"]).arg(format!("--socket={}", self.socket().display()));
        let done = client.args(["-e", statements]).output().expect("mariadb runs");
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        self.stop();
    }
}
