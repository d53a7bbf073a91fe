//! A PostgreSQL server of a test's own, by the programs of the system.
use super::{Identity, Process, free_port};
use std::{
    env, fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A server. Its data is gone with it.
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    account: Option<(u32, u32)>,
    /// Where it listens, at 127.0.0.1.
    pub port: u16,
    process: Option<Process>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("port", &self.port).finish_non_exhaustive()
    }
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|folder| folder.join("postgres").is_file()).max()
}

/// The account of the system that the server runs as: it refuses to run as root.
fn account() -> Option<(u32, u32)> {
    let id = |what: &str, of: &str| {
        let said = Command::new("id").args([what, of]).output().ok()?;
        String::from_utf8(said.stdout).ok()?.trim().parse::<u32>().ok()
    };
    let own = Command::new("id").arg("-u").output().ok()?;
    (own.stdout == b"0\n").then(|| Some((id("-u", "postgres")?, id("-g", "postgres")?))).flatten()
}

impl Postgres {
    /// A server with a user `dataflow`, whose password is `secret`, and this pg_hba.conf; it is started by `start`. None:
    /// PostgreSQL is not installed.
    pub fn new(hba: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            let required = env::var_os("DATAFLOW_REQUIRE_SERVICES").is_some_and(|value| value == "1");
            assert!(!required, "PostgreSQL is not installed (dev/services/services.sh up postgres)");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let server = Self { folder, programs, account: account(), port: free_port(), process: None };
        server.give(server.folder.path(), 0o700);
        let password = server.put("password", "secret");
        let mut initdb = server.command("initdb");
        initdb.args([
            "-U",
            "dataflow",
            "--auth=scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--data-checksums",
            "-D",
        ]);
        initdb.arg(server.data()).arg(format!("--pwfile={}", password.display()));
        let made = initdb.output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(server.data().join("pg_hba.conf"), format!("local all all trust\n{hba}\n")).expect("a file");
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives a file or folder to the server.
    fn give(&self, path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its own");
        if let Some((user, group)) = self.account {
            std::os::unix::fs::chown(path, Some(user), Some(group)).expect("root may");
        }
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        self.give(&path, 0o600);
        path
    }

    /// Starts the server, or starts it again. `tls`: what it shows of itself; `clients`: the authority (PEM) that it knows for
    /// the certificates of clients.
    pub fn start(&mut self, tls: Option<&Identity>, clients: Option<&str>) {
        self.stop();
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        let port = self.port.to_string();
        postgres.args(["-p", &port, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        if let Some(Identity { cert, key }) = tls {
            let (cert, key) = (self.put("server.crt", cert), self.put("server.key", key));
            postgres.args(["-c", "ssl=on"]);
            postgres.arg("-c").arg(format!("ssl_cert_file={}", cert.display()));
            postgres.arg("-c").arg(format!("ssl_key_file={}", key.display()));
        }
        if let Some(authority) = clients {
            let path = self.put("clients.crt", authority);
            postgres.arg("-c").arg(format!("ssl_ca_file={}", path.display()));
        }
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("out")).expect("a file");
        postgres.stdout(log.try_clone().expect("a file")).stderr(log);
        let mut process = Process(postgres.spawn().expect("postgres runs"));
        // It listens before it answers.
        process.wait_for("PostgreSQL", || self.ask("select 1").is_ok());
        self.process = Some(process);
    }

    /// Ends the server.
    pub fn stop(&mut self) {
        let Some(process) = &mut self.process else { return };
        // With its sessions, which are processes of their own.
        let pid = process.0.id().to_string();
        drop(Command::new("kill").args(["-INT", &pid]).status());
        drop(process.0.wait());
        self.process = None;
    }

    /// Runs statements by `psql`, as the server's owner.
    pub fn run(&self, statements: &str) {
        self.ask(statements).unwrap_or_else(|refused| panic!("{refused}"));
    }

    fn ask(&self, statements: &str) -> Result<(), String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string(), "-U", "dataflow", "-d", "postgres"]);
        psql.args(["-v", "ON_ERROR_STOP=1", "-qc", statements]);
        let done = psql.output().expect("psql runs");
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
